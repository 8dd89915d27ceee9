//! A hub on loopback, to try pulls by hand: every folder `ORGANIZATION/NAME` of a folder is a repository.
//!
//! ```text
//! cargo run -p gibber-hub --example hub_server -- FOLDER [--port N] [--rate BYTES_PER_SECOND] [--second]
//!     [--token TOKEN] [--gated REPOSITORY] [--cut-after BYTES] [--stall-after BYTES]
//! HF_ENDPOINT=http://localhost:8123 gibber pull ORGANIZATION/NAME
//! ```
#![allow(clippy::print_stdout, clippy::expect_used, missing_docs)]

#[allow(dead_code, unreachable_pub, reason = "it serves the tests of several crates")]
#[path = "../testing/hub/mod.rs"]
mod hub;

use std::fs;
use std::path::PathBuf;

use hub::{Fault, Rule, TestHub};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut folder = None;
    let (mut port, mut second, mut rules, mut gated) = ("8123".to_owned(), false, Vec::new(), Vec::new());
    let (mut rate, mut token) = (None, None);
    let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok()).expect("a number");
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--port" => port = arguments.next().expect("a port"),
            "--rate" => rate = Some(number(arguments.next())),
            "--second" => second = true,
            "--token" => token = arguments.next(),
            "--gated" => gated.extend(arguments.next()),
            "--cut-after" => rules.push(Fault::CutAfter(number(arguments.next()))),
            "--stall-after" => rules.push(Fault::StallAfter(number(arguments.next()))),
            _ => folder = Some(PathBuf::from(argument)),
        }
    }
    let folder = folder.expect("the folder of the repositories");
    let hub = TestHub::bind(&format!("127.0.0.1:{port}"), None)?;
    for organization in fs::read_dir(&folder)? {
        for repository in fs::read_dir(organization?.path())? {
            let path = repository?.path();
            let name = path.strip_prefix(&folder).expect("a folder of it").to_string_lossy().into_owned();
            println!("{name} at commit {}", hub.commit_folder(&name, &path)?);
        }
    }
    gated.iter().for_each(|repository| hub.make_gated(repository));
    let other = second.then(TestHub::start);
    if let Some(other) = &other {
        hub.send_on_to(other);
    }
    // What sends the bytes of large files is what is slow, and what fails.
    let bytes = other.as_ref().unwrap_or(&hub);
    for fault in rules {
        bytes.rule(Rule::on(if second { "/blob/" } else { "/resolve/" }).method("GET").fault(fault));
    }
    bytes.behave(|manners| manners.bytes_per_second = rate);
    hub.behave(|manners| manners.token = token);
    println!("HF_ENDPOINT={}   (Enter, or the end of the input, ends it)", hub.url());
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}
