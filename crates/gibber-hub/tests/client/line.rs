//! What a bad line does, and how a request is ended.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use gibber_hub::Cancel;

use super::*;

#[test]
fn what_passes_is_tried_again() {
    let hub = TestHub::start();
    serve(&hub);
    let client = client(&hub);
    let listing = list(&client);
    let faults = [
        Fault::status(500),
        Fault::status(503),
        Fault::status(408),
        Fault::status_with(429, "Retry-After", "0"),
        Fault::status_with(429, "Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"),
        Fault::Reset,
        Fault::Close,
        Fault::CutAfter(5_000),
        Fault::CutAfter(0),
        Fault::Length(-10),
        Fault::Raw(b"HTTP/1.1 200 Sp".to_vec()),
    ];
    for fault in faults {
        hub.forget_rules();
        hub.forget_asked();
        hub.rule(Rule::on("/resolve/").numbers(1..=2).fault(fault.clone()));
        assert_eq!(large(&client, &listing).unwrap(), weights(), "{fault:?}");
        assert_eq!(hub.asked().len(), 3, "{fault:?}");
    }
}

#[test]
fn trying_again_is_told_and_comes_to_an_end() {
    let hub = TestHub::start();
    hub.rule(Rule::on("/api/").fault(Fault::status(503)));
    let told = Arc::new(Mutex::new(Vec::new()));
    let news = Arc::clone(&told);
    let client = client(&hub).with_notice(Arc::new(move |retry| news.lock().unwrap().push(retry.attempt)));
    let error = client.list(&repository(), "main").unwrap_err().to_string();
    assert!(error.contains("the server answered 503"), "{error}");
    assert_eq!(*told.lock().unwrap(), [1, 2, 3, 4, 5]);
    assert_eq!(hub.asked().len(), 6);
}

#[test]
fn a_server_that_asks_for_too_long_a_wait_is_not_waited_for() {
    let hub = TestHub::start();
    hub.rule(Rule::on("/api/").fault(Fault::status_with(429, "Retry-After", "86400")));
    let error = client(&hub).list(&repository(), "main").unwrap_err().to_string();
    assert!(error.contains("429") && error.contains("to wait for 86400 s"), "{error}");
    assert_eq!(hub.asked().len(), 1);
}

#[test]
fn a_server_that_says_nothing_is_left_and_asked_again() {
    let hub = TestHub::start();
    serve(&hub);
    hub.rule(Rule::on("/revision/").once().fault(Fault::StallBefore));
    hub.rule(Rule::on("/resolve/").once().fault(Fault::StallAfter(3_000)));
    let short = Duration::from_millis(300);
    let client = impatient(&hub, |limits| (limits.first_byte, limits.stall) = (short, short));
    assert_eq!(large(&client, &list(&client)).unwrap(), weights());
    assert_eq!((hub.asked_for("/revision/").len(), hub.asked_for("/resolve/").len()), (2, 2));
    hub.rule(Rule::on("/revision/").fault(Fault::StallBefore));
    let error = client.list(&repository(), "main").unwrap_err().to_string();
    assert!(error.contains("localhost answered nothing for 0.3 s"), "{error}");
}

#[test]
fn a_slow_line_is_no_stall() {
    let hub = TestHub::start();
    serve(&hub);
    hub.rule(Rule::on("/resolve/").fault(Fault::Trickle(500, Duration::from_millis(20))));
    let client = client(&hub);
    assert_eq!(large(&client, &list(&client)).unwrap(), weights());
    assert_eq!(hub.asked_for("/resolve/").len(), 1);
}

#[test]
fn nobody_there_is_told_with_the_host() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    drop(listener);
    let hub = TestHub::start();
    let mut environment = environment(&hub, &[]);
    environment.endpoint = url;
    let error = Hub::new(&environment).unwrap().list(&repository(), "main").unwrap_err().to_string();
    assert!(error.starts_with("127.0.0.1 cannot be reached: "), "{error}");
}

/// Ends what `run` does as soon as the server was asked for `part`.
fn cancelled<T: Send>(hub: &TestHub, part: &str, run: impl FnOnce(&Cancel) -> T + Send) -> T {
    let cancel = Cancel::new();
    thread::scope(|scope| {
        let running = scope.spawn(|| run(&cancel));
        while hub.asked_for(part).is_empty() {
            thread::yield_now();
        }
        cancel.cancel();
        running.join().unwrap()
    })
}

#[test]
fn a_request_ends_when_it_is_told_to_whatever_the_server_does() {
    let hub = TestHub::start();
    serve(&hub);
    // So long that the test would not end in its time otherwise.
    let long = Duration::from_secs(3600);
    let client = impatient(&hub, |limits| {
        (limits.first_byte, limits.stall, limits.longest_wait) = (long, long, long);
    });
    let listing = list(&client);
    hub.rule(Rule::on("/revision/").fault(Fault::StallBefore));
    let stalled = cancelled(&hub, "/revision/", |cancel| client.with_cancel(cancel).list(&repository(), "main"));
    assert!(matches!(stalled, Err(HubError::Cancelled)), "{stalled:?}");

    for (name, fault) in [
        ("a stall within", Fault::StallAfter(3_000)),
        ("a slow line", Fault::Trickle(1, Duration::from_secs(1))),
        ("a wait", Fault::status_with(503, "Retry-After", "3000")),
    ] {
        hub.forget_rules();
        hub.forget_asked();
        hub.rule(Rule::on("/resolve/").fault(fault));
        let ended = cancelled(&hub, "/resolve/", |cancel| large(&client.with_cancel(cancel), &listing));
        assert!(matches!(ended, Err(HubError::Cancelled)), "{name}: {ended:?}");
    }
}

#[test]
fn a_body_that_is_left_ends_its_connection() {
    let hub = TestHub::start();
    hub.put("/large", &vec![1; 40 << 20]);
    let client = client(&hub);
    let mut body = client.open_address(&format!("{}/large", hub.url()), 0..40 << 20).unwrap();
    assert!(body.read(&mut [0; 100]).unwrap() > 0);
    drop(body);
    // The next request does not find what was left of the first.
    hub.put("/small", b"0123456789");
    let mut bytes = [0; 10];
    let mut body = client.open_address(&format!("{}/small", hub.url()), 0..10).unwrap();
    let mut at = 0;
    while at < 10 {
        at += body.read(&mut bytes[at..]).unwrap();
    }
    assert_eq!((&bytes, body.read(&mut [0; 4]).unwrap()), (b"0123456789", 0));
}
