//! The client against a hub on loopback that misbehaves.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "client/bounds.rs"]
mod bounds;
#[path = "client/encryption.rs"]
mod encryption;
#[allow(dead_code, unreachable_pub, reason = "it serves the tests of several crates")]
#[path = "../testing/hub/mod.rs"]
mod hub;
#[path = "client/line.rs"]
mod line;
#[path = "client/refusals.rs"]
mod refusals;
#[allow(unreachable_pub)]
#[path = "../testing/tls.rs"]
mod tls;

use std::time::Duration;

use gibber_hub::{Hub, HubEnvironment, HubError, Listing, Oid, Repository};
use hub::{Fault, Rule, TestHub};

/// A model of three files, one of them large.
const REPOSITORY: &str = "maker/model";

fn weights() -> Vec<u8> {
    (0..10_000_u32).map(|at| (at % 251) as u8).collect()
}

fn serve(hub: &TestHub) -> String {
    hub.commit(REPOSITORY, &[("README.md", b"# Model"), ("config.json", b"{}"), ("sub/model.gguf", &weights())])
}

/// The environment of a client of `hub`, which is quick to give up and to try again.
fn environment(hub: &TestHub, variables: &[(&str, &str)]) -> HubEnvironment {
    let url = hub.url();
    let variable = |name: &str| {
        let own = variables.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
        own.or((name == "HF_ENDPOINT").then_some(&url)).map(Into::into)
    };
    let mut environment = HubEnvironment::with(None, variable).unwrap();
    environment.time_outs.back_off = Duration::from_millis(1);
    environment
}

fn client(hub: &TestHub) -> Hub {
    Hub::new(&environment(hub, &[])).unwrap()
}

/// One that waits for nothing longer than a moment, as far as `change` says.
fn impatient(hub: &TestHub, change: impl FnOnce(&mut gibber_hub::TimeOuts)) -> Hub {
    let mut environment = environment(hub, &[]);
    change(&mut environment.time_outs);
    Hub::new(&environment).unwrap()
}

fn repository() -> Repository {
    Repository::new(REPOSITORY).unwrap()
}

fn list(client: &Hub) -> Listing {
    client.list(&repository(), "main").unwrap()
}

fn large(client: &Hub, listing: &Listing) -> Result<Vec<u8>, HubError> {
    client.range(listing, "sub/model.gguf", 0..10_000)
}

#[test]
fn a_listing_has_the_commit_and_each_files_size_and_hash() {
    let hub = TestHub::start();
    let commit = serve(&hub);
    hub.behave(|manners| manners.page = 2);
    let listing = list(&client(&hub));
    assert_eq!((listing.commit, listing.gated), (commit.clone(), false));
    let files: Vec<_> = listing.files.iter().map(|file| (file.path.as_str(), file.size)).collect();
    assert_eq!(files, [("README.md", 7), ("config.json", 2), ("sub/model.gguf", 10_000)]);
    // What `git hash-object` and `sha256sum` say.
    assert_eq!(listing.files[1].oid, Oid::GitBlob("9e26dfeeb6e641a33dae4961196235bdb965b21b".to_owned()));
    assert!(matches!(&listing.files[2].oid, Oid::Sha256(digits) if digits.len() == 64));
    assert_eq!(hub.asked_for(&format!("/tree/{commit}")).len(), 2, "two pages");
}

#[test]
fn a_revision_with_slashes_is_one_part_of_the_address() {
    let hub = TestHub::start();
    let commit = serve(&hub);
    hub.name(REPOSITORY, "refs/pr/1", &commit);
    assert_eq!(client(&hub).list(&repository(), "refs/pr/1").unwrap().commit, commit);
    assert_eq!(hub.asked()[0].target, "/api/models/maker/model/revision/refs%2Fpr%2F1");
}

#[test]
fn the_token_goes_to_the_hub_and_to_nobody_else() {
    let (hub, second) = (TestHub::start(), TestHub::start());
    serve(&hub);
    hub.send_on_to(&second);
    let client = Hub::new(&environment(&hub, &[("HF_TOKEN", "hf_secret")])).unwrap();
    let listing = list(&client);
    assert_eq!(client.range(&listing, "sub/model.gguf", 100..200).unwrap(), &weights()[100..200]);
    assert!(hub.asked().iter().all(|asked| asked.header("authorization") == Some("Bearer hf_secret")));
    let asked = &second.asked()[0];
    assert_eq!((asked.header("authorization"), asked.range()), (None, Some((100, Some(199)))));
    assert!(asked.header("user-agent").unwrap().starts_with("gibber/"));

    // Whoever sends it back does not get it by that.
    hub.put("/back", b"0123456789");
    second.rule(Rule::on("/blob/").fault(Fault::Redirect(format!("{}/back", hub.url()))));
    hub.forget_asked();
    client.range(&listing, "sub/model.gguf", 0..10).unwrap();
    assert_eq!(hub.asked_for("/back")[0].header("authorization"), None);
}

#[test]
fn a_renamed_repository_is_followed_with_the_token() {
    let hub = TestHub::start();
    serve(&hub);
    let renamed = "/api/models/old/name/revision/main";
    hub.rule(Rule::on(renamed).fault(Fault::Redirect("/api/models/maker/model/revision/main".to_owned())));
    hub.rule(
        Rule::on("/api/models/old/name/tree").fault(Fault::Redirect("/api/models/maker/model/tree/main".to_owned())),
    );
    let client = Hub::new(&environment(&hub, &[("HF_TOKEN", "hf_secret")])).unwrap();
    assert_eq!(client.list(&Repository::new("old/name").unwrap(), "main").unwrap().files.len(), 3);
    assert!(hub.asked().iter().all(|asked| asked.header("authorization").is_some()));
}

#[test]
fn a_redirect_may_be_written_as_no_address_is() {
    let hub = TestHub::start();
    serve(&hub);
    hub.put("/w%C3%A4rme/a%20file", b"0123456789");
    hub.rule(Rule::on("/resolve/").fault(Fault::Redirect("/wärme/a file".to_owned())));
    let client = client(&hub);
    assert_eq!(client.range(&list(&client), "config.json", 0..2).unwrap(), b"01");
}

#[test]
fn a_head_is_the_hubs_own_and_not_that_of_where_the_bytes_are() {
    let (hub, second) = (TestHub::start(), TestHub::start());
    let commit = serve(&hub);
    let client = client(&hub);
    let listing = list(&client);
    let small = client.head(&listing, "config.json").unwrap();
    assert_eq!((small.size, small.commit.as_deref(), small.ranges), (2, Some(commit.as_str()), true));
    assert_eq!(small.etag.as_deref(), Some(listing.files[1].oid.as_str()));
    hub.send_on_to(&second);
    let head = client.head(&listing, "sub/model.gguf").unwrap();
    assert_eq!((head.size, head.etag.as_deref()), (10_000, Some(listing.files[2].oid.as_str())));
    assert_eq!(second.asked().len(), 0);
    // A mirror may send on without a word.
    for name in ["X-Linked-ETag", "X-Linked-Size"] {
        hub.rule(Rule::on("/resolve/").fault(Fault::no_header("X-Linked-Size")).fault(Fault::no_header(name)));
    }
    assert_eq!(client.head(&listing, "sub/model.gguf").unwrap().size, 10_000);
}

#[test]
fn what_is_at_an_address_is_told_by_who_refuses_to_be_asked() {
    let hub = TestHub::start();
    hub.put("/model.gguf", &weights());
    let client = client(&hub);
    let url = format!("{}/model.gguf?sign=secret", hub.url());
    assert_eq!(client.head_address(&url).unwrap().size, 10_000);
    for status in [403, 405, 501] {
        hub.forget_rules();
        hub.rule(Rule::on("/model.gguf").method("HEAD").fault(Fault::status(status)));
        let head = client.head_address(&url).unwrap();
        assert_eq!((head.size, head.ranges), (10_000, true), "{status}");
    }
    hub.rule(Rule::on("/model.gguf").fault(Fault::NoRanges));
    let head = client.head_address(&url).unwrap();
    assert_eq!((head.size, head.ranges), (10_000, false));
}

#[test]
fn a_range_comes_also_from_who_knows_none() {
    let hub = TestHub::start();
    serve(&hub);
    let client = client(&hub);
    let listing = list(&client);
    assert_eq!(client.range(&listing, "sub/model.gguf", 9_990..20_000).unwrap(), &weights()[9_990..]);
    hub.rule(Rule::on("/resolve/").fault(Fault::NoRanges));
    assert_eq!(client.range(&listing, "sub/model.gguf", 500..600).unwrap(), &weights()[500..600]);
    let body = client.open(&listing, "sub/model.gguf", 500..600).unwrap();
    assert_eq!((body.start, body.size), (0, Some(10_000)));
}

#[test]
fn another_range_than_the_one_that_was_asked_for_is_refused() {
    let hub = TestHub::start();
    serve(&hub);
    let client = client(&hub);
    let listing = list(&client);
    for wrong in ["bytes 0-99/10000", "bytes 100-299/10000", "bytes 199-100/10000", "nonsense", ""] {
        hub.forget_rules();
        hub.rule(Rule::on("/resolve/").fault(Fault::header("Content-Range", wrong)));
        let error = client.range(&listing, "sub/model.gguf", 100..200).unwrap_err().to_string();
        assert!(error.contains("bytes 100-199 were asked for") && error.contains(wrong), "{error}");
    }
}

#[test]
fn names_are_found_and_what_is_no_name_is_not_shown() {
    let hub = TestHub::start();
    for name in ["maker/model", "other/model-two", "maker/another"] {
        hub.commit(name, &[("a", b"1")]);
    }
    assert_eq!(client(&hub).search("model").unwrap(), ["maker/model", "other/model-two"]);
    let evil = br#"[{"id":"../../etc"},{"id":"maker/mod\u001b[2Jel"},{"id":"maker/fine"}]"#;
    hub.rule(Rule::on("search=").fault(Fault::Body(evil.to_vec())));
    assert_eq!(client(&hub).search("a b&c").unwrap(), ["maker/fine"]);
    assert!(hub.asked().last().unwrap().target.contains("search=a%20b%26c"));
}

#[test]
fn offline_nothing_is_asked() {
    let hub = TestHub::start();
    serve(&hub);
    let listing = list(&client(&hub));
    hub.forget_asked();
    let client = Hub::new(&environment(&hub, &[("HF_HUB_OFFLINE", "1")])).unwrap();
    let errors = [
        client.list(&repository(), "main").unwrap_err(),
        client.head(&listing, "config.json").unwrap_err(),
        client.range(&listing, "config.json", 0..1).unwrap_err(),
        client.search("model").unwrap_err(),
        client.head_address(&hub.url()).unwrap_err(),
        client.open_address(&hub.url(), 0..1).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("because HF_HUB_OFFLINE is set"), "{error}");
    }
    assert_eq!(hub.asked(), []);
}
