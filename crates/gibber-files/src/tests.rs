use std::os::unix::net::UnixListener;

use super::*;

fn said(outcome: io::Result<Vec<u8>>) -> (ErrorKind, String) {
    let error = outcome.unwrap_err();
    (error.kind(), error.to_string())
}

fn pipe(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

#[test]
fn what_is_no_file_is_named_and_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let cases = [
        (pipe(folder.path()), ErrorKind::InvalidInput, "it is a named pipe"),
        (socket, ErrorKind::InvalidInput, "it is a socket"),
        (folder.path().to_owned(), ErrorKind::IsADirectory, "it is a folder"),
        ("/dev/zero".into(), ErrorKind::InvalidInput, "it is a device"),
        ("/dev/tty".into(), ErrorKind::InvalidInput, "it is a device"),
    ];
    for (path, kind, what) in cases {
        let (found, text) = said(read(&path, SMALL));
        assert!(found == kind && text.starts_with(what), "{}: {found:?}: {text}", path.display());
        let writing = open_with(OpenOptions::new().append(true).create(true), &path).unwrap_err();
        assert_eq!(writing.kind(), kind, "{}", path.display());
    }
}

#[test]
fn a_link_is_what_it_points_to() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(pipe(folder.path()), &link).unwrap();
    assert_eq!(said(read(&link, SMALL)).0, ErrorKind::InvalidInput);
    let ring = folder.path().join("ring");
    std::os::unix::fs::symlink(&ring, &ring).unwrap();
    read(&ring, SMALL).unwrap_err();
}

#[test]
fn the_null_device_is_an_empty_file() {
    let null = Path::new("/dev/null");
    assert_eq!(read_text(null, SMALL).unwrap(), "");
    assert_eq!(read_stream(null, SMALL).unwrap(), b"");
    open_with(OpenOptions::new().append(true).create(true), null).unwrap();
}

#[test]
fn a_file_is_read_to_the_limit_and_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    std::fs::write(&path, "12345").unwrap();
    assert_eq!(read(&path, 5).unwrap(), b"12345");
    let text = "it has 5 bytes, and no more than 4 are read".to_owned();
    assert_eq!(said(read(&path, 4)), (ErrorKind::FileTooLarge, text));
    assert_eq!(said(read(&folder.path().join("missing"), 4)).0, ErrorKind::NotFound);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_of_the_system_is_read_whatever_size_it_states() {
    let path = Path::new("/proc/self/status");
    assert_eq!(path.metadata().unwrap().len(), 0);
    assert!(read_text(path, SMALL).unwrap().starts_with("Name:"));
    let (kind, text) = said(read(path, 10));
    assert_eq!((kind, text.as_str()), (ErrorKind::FileTooLarge, "it has more than the 10 bytes that are read"));
}

#[test]
fn bytes_that_are_no_text_are_placed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("binary");
    std::fs::write(&path, b"ab\xff").unwrap();
    let error = read_text(&path, SMALL).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().contains("byte 2"), "{error}");
}

#[test]
fn a_stream_may_be_a_pipe_and_has_a_limit_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = pipe(folder.path());
    let write = |text: &'static [u8]| {
        let path = path.clone();
        // Whoever reads to the limit may be gone before all is written.
        std::thread::spawn(move || drop(std::fs::write(path, text)))
    };
    let writer = write(b"from a command");
    assert_eq!(read_stream(&path, SMALL).unwrap(), b"from a command");
    writer.join().unwrap();
    let writer = write(b"from a command");
    assert_eq!(said(read_stream(&path, 3)).0, ErrorKind::FileTooLarge);
    writer.join().unwrap();
    assert_eq!(said(read_stream(Path::new("/dev/zero"), 3)).0, ErrorKind::InvalidInput);
}
