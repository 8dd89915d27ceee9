//! A token, and what is signed in an address, stand in no log, no error and no `Debug`, whatever goes wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[allow(dead_code, unreachable_pub, reason = "it serves the tests of several crates")]
#[path = "../testing/hub/mod.rs"]
mod hub;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gibber_hub::{Hub, HubEnvironment, Repository};
use hub::{Fault, Rule, TestHub};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_log_no_error_and_no_debug_has_a_secret() {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::TRACE);
    // Of all threads: requests have their own. As in the program, what the packages below tell the crate `log` goes nowhere:
    // at its finest that is each byte that is sent.
    tracing::subscriber::set_global_default(log.with_writer(move || writer.clone()).finish()).unwrap();

    let (hub, second) = (TestHub::start(), TestHub::start());
    hub.commit("maker/model", &[("model.gguf", &[1; 5000])]);
    hub.send_on_to(&second);
    let url = hub.url();
    let variable = |name: &str| match name {
        "HF_TOKEN" => Some("hf_secret".into()),
        "HF_ENDPOINT" => Some(url.clone().into()),
        _ => None,
    };
    let mut environment = HubEnvironment::with(None, variable).unwrap();
    environment.time_outs.back_off = Duration::from_millis(1);
    let client = Hub::new(&environment).unwrap();
    let repository = Repository::new("maker/model").unwrap();
    let listing = client.list(&repository, "main").unwrap();
    client.range(&listing, "model.gguf", 0..100).unwrap();
    assert!(second.asked()[0].target.contains("X-Signature=secret"));

    let mut said = format!("{environment:?} {client:?}");
    for fault in [Fault::status(500), Fault::status(404), Fault::Reset, Fault::CutAfter(3), Fault::EndlessHeaders] {
        for (server, part) in [(&hub, "/"), (&second, "/blob/")] {
            server.rule(Rule::on(part).fault(fault.clone()));
            let errors = [client.list(&repository, "main").err(), client.range(&listing, "model.gguf", 0..100).err()];
            for error in errors.into_iter().flatten() {
                said += &format!("{error} {error:?}\n");
            }
            server.forget_rules();
        }
    }
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("/resolve/") && log.contains("trying again"), "the log has what happened");
    assert!(!log.contains("secret"), "{log}");
    assert!(!said.contains("secret"), "{said}");
}
