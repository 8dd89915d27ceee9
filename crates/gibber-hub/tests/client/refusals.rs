//! What a hub says no to, and what a person reads.

use super::*;

fn refusal(hub: &TestHub, variables: &[(&str, &str)], name: &str, revision: &str) -> String {
    let client = Hub::new(&environment(hub, variables)).unwrap();
    client.list(&Repository::new(name).unwrap(), revision).unwrap_err().to_string()
}

#[test]
fn a_repository_that_is_not_there_is_told_with_near_names() {
    let hub = TestHub::start();
    serve(&hub);
    hub.commit("maker/model-large", &[("a", b"1")]);
    let error = refusal(&hub, &[], "makr/model", "main");
    assert!(error.contains(&format!("{} has no repository 'makr/model'", hub.url())), "{error}");
    assert!(error.contains("(is it 'maker/model'?)"), "{error}");
    assert!(error.contains(&format!("{}/settings/tokens", hub.url())) && error.contains("HF_TOKEN"), "{error}");
    assert!(refusal(&hub, &[], "some/thing-else", "main").contains("that is open to everyone; if it is"));
}

#[test]
fn a_wrong_letter_or_another_conversion_is_found_by_its_parts() {
    let hub = TestHub::start();
    for name in ["maker/model-GGUF", "other/Tiny-0.6B-gguf-mirror", "other/nothing-alike"] {
        hub.commit(name, &[("a", b"1")]);
    }
    let error = refusal(&hub, &[], "maker/modle-GGUF", "main");
    assert!(error.contains("(is it 'maker/model-GGUF'?)"), "{error}");
    let error = refusal(&hub, &[], "makers/Tiny-0.6B-GGUF", "main");
    assert!(error.contains("(is it 'other/Tiny-0.6B-gguf-mirror'?)"), "{error}");
    let error = refusal(&hub, &[], "org/Tinny-0.6B", "main");
    assert!(!error.contains("is it"), "nothing there is as similar: {error}");
}

#[test]
fn a_hidden_repository_is_open_to_whose_token_it_is() {
    let hub = TestHub::start();
    serve(&hub);
    hub.make_private(REPOSITORY);
    hub.behave(|manners| manners.token = Some("hf_right".to_owned()));
    assert!(refusal(&hub, &[], REPOSITORY, "main").contains("open to everyone"));
    let error = refusal(&hub, &[("HF_TOKEN", "hf_wrong")], REPOSITORY, "main");
    assert!(error.contains("open to the person whose token this is") && !error.contains("hf_wrong"), "{error}");
    let client = Hub::new(&environment(&hub, &[("HF_TOKEN", "hf_right")])).unwrap();
    assert_eq!(list(&client).files.len(), 3);
}

#[test]
fn a_token_that_the_hub_does_not_know_is_told() {
    let hub = TestHub::start();
    let texts = ["Invalid credentials in Authorization header", "User Access Token is expired"];
    for text in texts {
        hub.forget_rules();
        let body = format!("{{\"error\":\"{text}\"}}");
        hub.rule(Rule::on("/api/").fault(Fault::Status(401, Vec::new(), body)));
        let error = refusal(&hub, &[("HF_TOKEN", "hf_old")], REPOSITORY, "main");
        assert!(error.contains("does not accept this token") && !error.contains("hf_old"), "{error}");
    }
    // This is said of what is not there.
    hub.forget_rules();
    let body = r#"{"error":"Invalid username or password."}"#.to_owned();
    hub.rule(Rule::on("/api/").fault(Fault::Status(401, Vec::new(), body)));
    let error = refusal(&hub, &[("HF_TOKEN", "hf_mine")], REPOSITORY, "main");
    assert!(error.contains("has no repository 'maker/model' that is open to the person whose token"), "{error}");
}

#[test]
fn a_gated_repository_names_the_page_and_how_a_token_is_given() {
    let hub = TestHub::start();
    serve(&hub);
    hub.make_gated(REPOSITORY);
    let folder = tempfile::tempdir().unwrap();
    let home = [("HF_HOME", folder.path().to_str().unwrap())];
    let client = Hub::new(&environment(&hub, &home)).unwrap();
    let listing = list(&client);
    assert!(listing.gated);
    let error = client.range(&listing, "config.json", 0..2).unwrap_err().to_string();
    let page = format!("{}/maker/model", hub.url());
    let token = folder.path().join("token");
    for part in ["maker/model is gated", &format!("visit {page},"), "HF_TOKEN", &token.display().to_string()] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(error.lines().count(), 1);
    let stranger = Hub::new(&environment(&hub, &[("HF_TOKEN", "hf_stranger")])).unwrap();
    let error = stranger.head(&listing, "config.json").unwrap_err().to_string();
    assert!(
        error.contains("has not been let in") && error.contains(&page) && !error.contains("hf_stranger"),
        "{error}"
    );
}

#[test]
fn a_revision_that_is_not_there_is_told_with_near_names() {
    let hub = TestHub::start();
    let commit = serve(&hub);
    hub.name(REPOSITORY, "v1.0", &commit);
    let error = refusal(&hub, &[], REPOSITORY, "v1.1");
    assert!(error.contains("maker/model has no branch, tag or commit 'v1.1' (is it 'v1.0'?)"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_told_with_near_names() {
    let hub = TestHub::start();
    serve(&hub);
    let client = client(&hub);
    let listing = list(&client);
    let expected = "maker/model has no file 'sub/modle.gguf' at 'main' (is it 'sub/model.gguf'?)";
    assert_eq!(client.range(&listing, "sub/modle.gguf", 0..1).unwrap_err().to_string(), expected);
    assert_eq!(client.head(&listing, "sub/modle.gguf").unwrap_err().to_string(), expected);
    // A mirror that says nothing but 404.
    hub.rule(Rule::on("/resolve/").fault(Fault::status(404)));
    assert_eq!(client.open(&listing, "sub/modle.gguf", 0..1).unwrap_err().to_string(), expected);
}

#[test]
fn what_the_server_says_cannot_change_the_terminal() {
    let hub = TestHub::start();
    let text = r#"{"error":"go\u001b[2J away"}"#.to_owned();
    hub.rule(Rule::on("/api/").fault(Fault::Status(418, Vec::new(), text)));
    let error = refusal(&hub, &[], REPOSITORY, "main");
    assert!(error.contains("answered 418: go [2J away") && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn a_server_that_repeats_the_token_is_not_repeated() {
    let hub = TestHub::start();
    let body = r#"{"error":"who is hf_secret?"}"#.to_owned();
    let in_header = Fault::status_with(400, "X-Error-Message", "who is hf_secret?");
    for fault in [in_header, Fault::Status(403, Vec::new(), body)] {
        hub.forget_rules();
        hub.rule(Rule::on("/api/").fault(fault));
        let error = refusal(&hub, &[("HF_TOKEN", "hf_secret")], REPOSITORY, "main");
        assert!(error.contains("who is …?") && !error.contains("secret"), "{error}");
    }
}

#[test]
fn redirects_that_lead_nowhere_end() {
    let hub = TestHub::start();
    let rules = [
        (Fault::RedirectForEver, "more than 10 times"),
        (Fault::status(302), "to nowhere"),
        (Fault::Redirect("ftp://other/".to_owned()), "neither https:// nor http://"),
        (Fault::Redirect("http://me:secret@other/".to_owned()), "a name and a password"),
    ];
    for (fault, part) in rules {
        hub.forget_rules();
        hub.rule(Rule::on("/api/").fault(fault));
        let error = refusal(&hub, &[], REPOSITORY, "main");
        assert!(error.contains(part) && !error.contains("secret"), "{error}");
    }
}

#[test]
fn a_token_with_a_line_end_in_it_is_refused_unseen() {
    let hub = TestHub::start();
    let error = refusal(&hub, &[("HF_TOKEN", "hf_se\ncret")], REPOSITORY, "main");
    assert!(error.contains("a token has letters") && !error.contains("hf_se"), "{error}");
    assert_eq!(hub.asked(), []);
}
