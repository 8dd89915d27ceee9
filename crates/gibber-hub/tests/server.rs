//! The server of the tests, so that a fault of a test is not the server's.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[allow(dead_code, unreachable_pub, reason = "it serves the tests of several crates")]
#[path = "../testing/hub/mod.rs"]
mod hub;

use std::io::{Read, Write};
use std::net::TcpStream;

use hub::{Fault, Rule, TestHub};

/// What comes back for a request, to the connection's end.
fn ask(hub: &TestHub, method: &str, target: &str, headers: &str) -> String {
    let mut socket = TcpStream::connect(hub.url().trim_start_matches("http://")).unwrap();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: here\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = socket.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_file_comes_whole_and_in_parts() {
    let hub = TestHub::start();
    let commit = hub.commit("maker/model", &[("config.json", b"0123456789")]);
    let whole = ask(&hub, "GET", "/maker/model/resolve/main/config.json", "");
    assert!(whole.starts_with("HTTP/1.1 200") && whole.ends_with("\r\n\r\n0123456789"), "{whole}");
    assert!(whole.contains(&format!("X-Repo-Commit: {commit}")), "{whole}");
    let part = ask(&hub, "GET", &format!("/maker/model/resolve/{commit}/config.json"), "Range: bytes=3-5\r\n");
    assert!(part.contains("206") && part.contains("bytes 3-5/10") && part.ends_with("\r\n\r\n345"), "{part}");
    assert_eq!(hub.asked()[1].range(), Some((3, Some(5))));
}

#[test]
fn large_files_are_a_second_servers() {
    let (hub, second) = (TestHub::start(), TestHub::start());
    let bytes = vec![7; 5000];
    hub.commit("maker/model", &[("model.gguf", &bytes)]);
    hub.send_on_to(&second);
    let head = ask(&hub, "HEAD", "/maker/model/resolve/main/model.gguf", "");
    assert!(head.contains("302") && head.contains("X-Linked-Size: 5000"), "{head}");
    let (_, rest) = head.split_once(&second.url()).unwrap();
    let answer = ask(&second, "GET", rest.lines().next().unwrap(), "");
    assert!(answer.contains("200") && answer.contains("Content-Length: 5000"), "{answer}");
}

#[test]
fn a_rule_counts_the_requests_that_it_fits() {
    let hub = TestHub::start();
    hub.put("/file", b"0123456789");
    hub.rule(Rule::on("/file").numbers(2..=2).fault(Fault::CutAfter(4)));
    let answers: Vec<_> = (0..3).map(|_| ask(&hub, "GET", "/file", "")).collect();
    assert!(answers[0].ends_with("0123456789") && answers[1].ends_with("\r\n\r\n0123") && answers[2] == answers[0]);
}

#[test]
fn pages_and_closed_repositories() {
    let hub = TestHub::start();
    hub.commit("maker/model", &[("a", b"1"), ("b", b"2"), ("c", b"3")]);
    hub.behave(|manners| manners.page = 2);
    let page = ask(&hub, "GET", "/api/models/maker/model/tree/main?recursive=true", "");
    assert!(page.contains("rel=\"next\"") && page.contains("cursor=2") && !page.contains("\"c\""), "{page}");
    assert!(ask(&hub, "GET", "/api/models?search=MODEL", "").contains("maker/model"));
    hub.make_gated("maker/model");
    assert!(ask(&hub, "GET", "/maker/model/resolve/main/a", "").contains("X-Error-Code: GatedRepo"));
    hub.make_private("maker/model");
    assert!(ask(&hub, "GET", "/api/models/maker/model/revision/main", "").contains("X-Error-Code: RepoNotFound"));
}
