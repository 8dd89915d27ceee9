use super::*;

fn progress(done: u64, total: u64) -> PullEvent {
    PullEvent::Progress { done, total, bytes_per_second: 12_400_000.0, seconds_left: Some(16.2) }
}

fn extent(events: &[PullEvent]) -> Extent {
    let mut extent = Extent::default();
    events.iter().for_each(|event| extent.take(event));
    extent
}

#[test]
fn the_share_never_becomes_smaller_though_the_whole_grows() {
    let mut extent = Extent::default();
    let mut last = 0;
    for (done, total) in [(0, 100), (40, 100), (30, 100), (60, 120), (60, 200), (61, 200), (200, 200), (150, 400)] {
        extent.take(&progress(done, total));
        assert!(extent.percent >= last && extent.percent <= 100, "{done} of {total}: {}", extent.percent);
        last = extent.percent;
    }
    assert_eq!((extent.done, extent.total), (200, 400));
}

#[test]
fn what_was_here_before_counts_from_the_beginning() {
    let extent = extent(&[PullEvent::Planned { files: 3, total: 200, here: 150 }]);
    assert_eq!((extent.done, extent.percent), (150, 75));
}

#[test]
fn a_narrow_terminal_leaves_out_what_matters_least() {
    let extent = extent(&[progress(312_000_000, 523_000_000)]);
    assert_eq!(extent.text(80), " 59 %, 312 MB of 523 MB, 12 MB/s, 17 s left");
    assert_eq!(extent.text(30), " 59 %, 12 MB/s, 17 s left");
    assert_eq!(extent.text(20), " 59 %, 17 s left");
    assert_eq!(extent.text(8), " 59 %");
    for columns in 6..200 {
        for ascii in [false, true] {
            let line = bar_and_text(&extent, columns, ascii);
            assert!(line.chars().count() < columns, "{columns}: {line}");
            assert!(!ascii || line.is_ascii(), "{line}");
        }
    }
    assert!(bar_and_text(&extent, 120, true).starts_with("======="));
}

#[test]
fn numbers_that_nothing_can_have_break_nothing() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300] {
        let mut extent = Extent::default();
        extent.take(&PullEvent::Progress {
            done: u64::MAX,
            total: 0,
            bytes_per_second: value,
            seconds_left: Some(value),
        });
        assert_eq!(extent.percent, 100);
        assert!(extent.text(200).len() < 80, "{}", extent.text(200));
    }
}

#[test]
fn without_a_terminal_a_line_comes_every_few_seconds() {
    let mut lines = Lines::default();
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let planned = PullEvent::Planned { files: 2, total: 1000, here: 0 };
    assert_eq!(lines.line(&planned, at(0)).unwrap(), "2 files, 1.0 kB");
    assert_eq!(lines.line(&progress(100, 1000), at(1)), None);
    assert_eq!(lines.line(&progress(400, 1000), at(4)), None);
    assert_eq!(lines.line(&progress(500, 1000), at(5)).unwrap(), "50 %, 500 B of 1.0 kB, 12 MB/s, 17 s left");
    assert_eq!(lines.line(&progress(600, 1000), at(9)), None);
    assert!(lines.line(&progress(700, 1000), at(11)).unwrap().starts_with("70 %"));
}

#[test]
fn waiting_and_trying_again_are_said_and_cannot_steer_the_terminal() {
    let waiting = PullEvent::Waiting { path: "a.gguf".into(), what: "another program".into() };
    assert_eq!(notice(&waiting).unwrap(), "a.gguf: waiting for another program");
    let retrying = PullEvent::Retrying {
        path: "a\u{1b}[2J.gguf".into(),
        reason: "the server cut the line".into(),
        attempt: 2,
        wait_seconds: 1.5,
    };
    assert_eq!(notice(&retrying).unwrap(), "a␛[2J.gguf: the server cut the line; attempt 3 in 2 s");
}

#[test]
fn the_events_are_a_contract() {
    let line = |event: &PullEvent| serde_json::to_string(event).unwrap();
    assert_eq!(
        line(&PullEvent::Planned { files: 1, total: 2, here: 0 }),
        r#"{"type":"planned","files":1,"total":2,"here":0}"#
    );
    assert_eq!(
        line(&PullEvent::Progress { done: 1, total: 2, bytes_per_second: 0.5, seconds_left: None }),
        r#"{"type":"progress","done":1,"total":2,"bytes_per_second":0.5,"seconds_left":null}"#
    );
    assert_eq!(
        line(&PullEvent::Verified { path: "a".into(), sha256: "00".into() }),
        r#"{"type":"verified","path":"a","sha256":"00"}"#
    );
    assert_eq!(line(&PullEvent::Done { path: "a".into(), bytes: 3 }), r#"{"type":"done","path":"a","bytes":3}"#);
    assert_eq!(
        line(&PullEvent::Waiting { path: "a".into(), what: "b".into() }),
        r#"{"type":"waiting","path":"a","what":"b"}"#
    );
}
