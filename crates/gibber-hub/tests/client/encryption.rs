//! Certificates, and proxies.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use super::*;

/// A server with a certificate of `name`, and the certificate's file.
fn encrypted(name: &str) -> (TestHub, tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority.pem");
    let hub = TestHub::start_with(tls::accept(name, &path));
    serve(&hub);
    (hub, folder, path.to_str().unwrap().to_owned())
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_at_once() {
    // The system may have no authorities at all: then it is another one that is trusted.
    let (_other, _of_other, trusted) = encrypted("localhost");
    let (hub, _folder, _) = encrypted("localhost");
    let client = Hub::new(&environment(&hub, &[("SSL_CERT_FILE", &trusted)])).unwrap();
    let error = client.list(&repository(), "main").unwrap_err();
    assert!(matches!(error, HubError::Certificate { .. }), "{error:?}");
    assert!(error.to_string().contains("localhost is not who it says") && error.to_string().contains("SSL_CERT_FILE"));
    assert_eq!(hub.asked(), []);
}

#[test]
fn a_certificate_of_ones_own_authority_is_trusted() {
    let (hub, _folder, path) = encrypted("localhost");
    for variable in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
        let client = Hub::new(&environment(&hub, &[(variable, &path)])).unwrap();
        assert_eq!(large(&client, &list(&client)).unwrap(), weights(), "{variable}");
    }
}

#[test]
fn a_certificate_of_another_host_is_refused() {
    let (hub, _folder, path) = encrypted("other.example");
    let client = Hub::new(&environment(&hub, &[("SSL_CERT_FILE", &path)])).unwrap();
    let error = client.list(&repository(), "main").unwrap_err();
    assert!(matches!(error, HubError::Certificate { .. }), "{error:?}");
}

#[test]
fn a_file_without_certificates_is_told_with_its_variable() {
    let (hub, folder, _) = encrypted("localhost");
    let path = folder.path().join("empty.pem");
    for (text, part) in [(Some("nothing"), "no certificate in PEM"), (None, "No such file")] {
        let _ = std::fs::remove_file(&path);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let client = Hub::new(&environment(&hub, &[("REQUESTS_CA_BUNDLE", path.to_str().unwrap())])).unwrap();
        let error = client.list(&repository(), "main").unwrap_err().to_string();
        assert!(error.starts_with("REQUESTS_CA_BUNDLE is '") && error.contains(part), "{error}");
    }
}

#[test]
fn nobody_is_sent_on_to_what_is_not_encrypted() {
    let (hub, _folder, path) = encrypted("localhost");
    let plain = TestHub::start();
    hub.rule(Rule::on("/resolve/").fault(Fault::Redirect(format!("{}/blob/x?sign=secret", plain.url()))));
    let client = Hub::new(&environment(&hub, &[("SSL_CERT_FILE", &path)])).unwrap();
    let error = large(&client, &list(&client)).unwrap_err().to_string();
    assert!(error.contains("is not encrypted: this is refused") && !error.contains("secret"), "{error}");
    assert_eq!(plain.asked(), []);
}

/// A proxy that lets everything through, and reports whom it was asked for.
fn proxy() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, asked) = mpsc::channel();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let sender = sender.clone();
            thread::spawn(move || pass_on(socket?, &sender));
        }
    });
    (format!("http://me:secret@{address}"), asked)
}

fn pass_on(socket: TcpStream, sender: &mpsc::Sender<String>) -> io::Result<()> {
    let mut client = BufReader::new(socket);
    let mut first = String::new();
    client.read_line(&mut first)?;
    let mut line = String::new();
    while client.read_line(&mut line)? > 2 {
        line.clear();
    }
    let _ = sender.send(first.trim().to_owned());
    let server = TcpStream::connect(first.split(' ').nth(1).unwrap_or_default())?;
    let mut back = client.get_ref().try_clone()?;
    back.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
    let mut from_server = server.try_clone()?;
    thread::spawn(move || io::copy(&mut from_server, &mut back));
    io::copy(&mut client, &mut &server)?;
    server.shutdown(std::net::Shutdown::Both)
}

#[test]
fn requests_go_through_the_proxy_that_the_environment_names() {
    let (hub, _folder, path) = encrypted("localhost");
    let (proxy, asked) = proxy();
    let own = ("SSL_CERT_FILE", path.as_str());
    let port = hub.url().rsplit(':').next().unwrap().to_owned();
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let client = Hub::new(&environment(&hub, &[own, (variable, &proxy)])).unwrap();
        assert_eq!(list(&client).files.len(), 3);
        assert_eq!(asked.recv().unwrap(), format!("CONNECT localhost:{port} HTTP/1.1"), "{variable}");
    }
    asked.try_iter().for_each(drop);
    let client = Hub::new(&environment(&hub, &[own, ("HTTPS_PROXY", &proxy), ("NO_PROXY", "localhost")])).unwrap();
    assert_eq!(list(&client).files.len(), 3);
    assert!(asked.try_recv().is_err(), "it was asked directly");
}

/// A SOCKS 5 proxy for one connection to a name (RFC 1928), which reports the name.
fn socks() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, asked) = mpsc::channel();
    thread::spawn(move || -> io::Result<()> {
        let mut client = listener.accept()?.0;
        let mut head = [0; 2];
        client.read_exact(&mut head)?;
        client.read_exact(&mut vec![0; head[1].into()])?;
        client.write_all(&[5, 0])?;
        let mut head = [0; 5];
        client.read_exact(&mut head)?;
        let mut rest = vec![0; usize::from(head[4]) + 2];
        client.read_exact(&mut rest)?;
        let (name, port) = rest.split_at(head[4].into());
        let port = u16::from_be_bytes([port[0], port[1]]);
        let name = String::from_utf8_lossy(name).into_owned();
        let server = TcpStream::connect((name.as_str(), port))?;
        let _ = sender.send(name);
        client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
        let (mut from_server, mut back) = (server.try_clone()?, client.try_clone()?);
        thread::spawn(move || io::copy(&mut from_server, &mut back));
        io::copy(&mut client, &mut &server)?;
        server.shutdown(std::net::Shutdown::Both)
    });
    (format!("socks5h://{address}"), asked)
}

#[test]
fn a_socks_proxy_is_told_the_name() {
    let hub = TestHub::start();
    serve(&hub);
    let (proxy, asked) = socks();
    let client = Hub::new(&environment(&hub, &[("ALL_PROXY", &proxy)])).unwrap();
    assert_eq!(list(&client).files.len(), 3);
    assert_eq!(asked.recv().unwrap(), "localhost");
}

#[test]
fn a_proxy_that_is_not_there_is_told_without_its_password() {
    let hub = TestHub::start();
    let client = Hub::new(&environment(&hub, &[("HTTP_PROXY", "http://me:secret@127.0.0.1:1")])).unwrap();
    let error = client.list(&repository(), "main").unwrap_err().to_string();
    assert!(error.starts_with("the proxy 127.0.0.1:1 (HTTP_PROXY) cannot be reached: "), "{error}");
    assert!(!error.contains("secret"), "{error}");
    let wrong = environment(&hub, &[("HTTP_PROXY", "gopher://me:secret@127.0.0.1")]);
    let error = Hub::new(&wrong).unwrap_err().to_string();
    assert!(error.starts_with("HTTP_PROXY is 'gopher://127.0.0.1'") && !error.contains("secret"), "{error}");
}
