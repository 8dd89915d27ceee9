//! What a server sends is input: none of it is without a bound.

use super::*;

fn refused(hub: &TestHub) -> String {
    client(hub).list(&repository(), "main").unwrap_err().to_string()
}

#[test]
fn answers_without_an_end_are_not_read_to_it() {
    let hub = TestHub::start();
    for (fault, part) in [
        (Fault::EndlessHeaders, "too many headers"),
        (Fault::EndlessBody, "more than the 67108864 bytes"),
        (Fault::header("X-Large", &"x".repeat(100_000)), "more than 64 KiB of headers"),
        (Fault::Raw(b"no HTTP at all\r\n\r\n".to_vec()), "cannot be used"),
    ] {
        hub.forget_rules();
        hub.rule(Rule::on("/api/").fault(fault));
        let error = refused(&hub);
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn what_is_no_json_of_a_hub_is_told() {
    let hub = TestHub::start();
    for (body, part) in [
        ("<!DOCTYPE html><p>Log in".to_owned(), "is there a page to log in"),
        ("{\"sha\":".to_owned(), "EOF"),
        (String::new(), "EOF"),
        (format!("{{\"sha\":\"{}\",\"gated\":{}", "a".repeat(40), "[".repeat(100_000)), "recursion limit"),
        ("{\"sha\":\"../../etc\"}".to_owned(), "'../../etc' is no commit"),
        ("{\"sha\":7}".to_owned(), "invalid type"),
    ] {
        hub.forget_rules();
        hub.rule(Rule::on("/revision/").fault(Fault::Body(body.into_bytes())));
        let error = refused(&hub);
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn pages_without_an_end_are_not_turned_for_ever() {
    let hub = TestHub::start();
    serve(&hub);
    hub.rule(Rule::on("/tree/").fault(Fault::EndlessPages));
    let error = refused(&hub);
    assert!(error.contains("an empty page"), "{error}");
    hub.forget_rules();
    let again = format!("<{}/api/models/maker/model/tree/main>; rel=\"next\"", hub.url());
    hub.rule(Rule::on("/tree/").fault(Fault::header("Link", &again)));
    let error = refused(&hub);
    assert!(error.contains("has no end (after 2 pages)"), "{error}");
}

#[test]
fn a_page_of_another_server_is_not_turned_to() {
    let (hub, other) = (TestHub::start(), TestHub::start());
    serve(&hub);
    let link = format!("<{}/api/models/maker/model/tree/main?sign=secret>; rel=\"next\"", other.url());
    hub.rule(Rule::on("/tree/").fault(Fault::header("Link", &link)));
    let error = refused(&hub);
    assert!(error.contains("is not the same server's") && !error.contains("secret"), "{error}");
    assert_eq!(other.asked(), []);
}

#[test]
fn files_whose_paths_lead_elsewhere_are_refused() {
    let hub = TestHub::start();
    serve(&hub);
    for (path, size) in [("../../.bashrc", 1), ("/etc/passwd", 1), ("a\\u001b[2J", 1), ("a", u64::MAX)] {
        let entry = format!(r#"[{{"type":"file","path":"{path}","size":{size},"oid":"{}"}}]"#, "a".repeat(40));
        hub.forget_rules();
        hub.rule(Rule::on("/tree/").fault(Fault::Body(entry.into_bytes())));
        let error = refused(&hub);
        assert!(error.contains("is no path of a file") || error.contains("which no file has"), "{error}");
        assert!(!error.contains('\u{1b}'));
    }
}

#[test]
fn a_size_that_no_file_has_is_none() {
    let hub = TestHub::start();
    hub.put("/model.gguf", b"0123456789");
    hub.rule(Rule::on("/model.gguf").method("HEAD").fault(Fault::header("Content-Length", "18446744073709551615")));
    // The head is of no use, so that the first byte is asked for, which says the size as well.
    assert_eq!(client(&hub).head_address(&format!("{}/model.gguf", hub.url())).unwrap().size, 10);
}
