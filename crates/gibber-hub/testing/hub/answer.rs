//! What is answered to a request.

use std::io::{self, BufReader};
use std::net::{Shutdown, TcpStream};

use percent_encoding::percent_decode_str;
use rustix::net::sockopt::set_socket_linger;
use serde_json::json;

use super::store::{Entry, Repository};
use super::wire::{self, Reply};
use super::{Asked, Fault, Shared, Stream, lock};

/// Answers all requests of a connection.
pub(super) fn connection(shared: &Shared, socket: TcpStream) -> io::Result<()> {
    let raw = socket.try_clone()?;
    raw.set_nodelay(true)?;
    let stream: Box<dyn Stream> = match &shared.accept {
        Some(accept) => accept(socket)?,
        None => Box::new(socket),
    };
    let mut stream = BufReader::new(stream);
    while let Some(asked) = wire::read(&mut stream)? {
        lock(&shared.asked).push(asked.clone());
        let faults = lock(&shared.rules).iter_mut().find_map(|rule| rule.take(&asked)).unwrap_or_default();
        if !respond(shared, &asked, &faults, stream.get_mut().as_mut(), &raw)? {
            break;
        }
    }
    let _ = raw.shutdown(Shutdown::Both);
    Ok(())
}

/// Whether the connection can be used further.
fn respond(
    shared: &Shared,
    asked: &Asked,
    faults: &[Fault],
    stream: &mut dyn Stream,
    raw: &TcpStream,
) -> io::Result<bool> {
    let mut reply = None;
    for fault in faults {
        match fault {
            Fault::StallBefore => {
                wire::wait_for_the_end(stream);
                return Ok(false);
            }
            Fault::Close => return Ok(false),
            Fault::Reset => {
                set_socket_linger(raw, Some(std::time::Duration::ZERO))?;
                return Ok(false);
            }
            Fault::Raw(bytes) => {
                stream.write_all(bytes)?;
                stream.flush()?;
                return Ok(false);
            }
            Fault::EndlessHeaders => {
                wire::endless(stream, "HTTP/1.1 200 Spoken\r\n", "X-More: and more, and more, and more\r\n")?;
            }
            Fault::EndlessBody => {
                wire::endless(stream, "HTTP/1.1 200 Spoken\r\nConnection: close\r\n\r\n", &"[".repeat(1 << 16))?;
            }
            Fault::Status(status, headers, text) => {
                let begin = Reply::new(*status, text.as_str());
                reply = Some(headers.iter().fold(begin, |reply, (name, value)| reply.with(name, value)));
            }
            Fault::Redirect(to) => reply = Some(Reply::new(302, "").with("Location", to)),
            Fault::RedirectForEver => {
                let sign = if asked.target.contains('?') { '&' } else { '?' };
                reply = Some(Reply::new(302, "").with("Location", format!("{}{sign}again", asked.target)));
            }
            Fault::Body(bytes) => reply = Some(Reply::new(200, bytes.clone())),
            Fault::EndlessPages => {
                let next = format!("<{}>; rel=\"next\"", absolute(asked, &asked.target));
                reply = Some(Reply::json(&json!([])).with("Link", next));
            }
            Fault::NoRanges
            | Fault::Header(..)
            | Fault::Length(_)
            | Fault::CutAfter(_)
            | Fault::WrongByte(_)
            | Fault::Trickle(..)
            | Fault::StallAfter(_) => {}
        }
    }
    let ranges = !faults.iter().any(|fault| matches!(fault, Fault::NoRanges));
    let reply = reply.unwrap_or_else(|| behaved(shared, asked, ranges));
    let rate = lock(&shared.manners).bytes_per_second;
    wire::send(stream, asked.method == "HEAD", reply, faults, rate)
}

/// An address of this server.
fn absolute(asked: &Asked, target: &str) -> String {
    format!("http://{}{target}", asked.header("host").unwrap_or_default())
}

/// What a hub would answer.
fn behaved(shared: &Shared, asked: &Asked, ranges: bool) -> Reply {
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    if let Some(bytes) = lock(&shared.store).plain.get(path) {
        let etag = path.rsplit('/').next().unwrap_or_default();
        return Reply::file(bytes.clone(), asked, ranges).with("ETag", format!("\"{etag}\""));
    }
    let parts: Vec<_> = path.split('/').skip(1).map(|part| percent_decode_str(part).decode_utf8_lossy()).collect();
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    match parts.as_slice() {
        ["api", "models"] => search(shared, query),
        ["api", "models", rest @ ..] => api(shared, asked, rest, query),
        rest => match rest.iter().position(|part| *part == "resolve") {
            Some(at) if at <= 2 => resolve(shared, asked, rest, at, ranges),
            _ => not_found("EntryNotFound", "Not Found"),
        },
    }
}

fn not_found(code: &str, message: &str) -> Reply {
    refused(404, code, message)
}

fn refused(status: u16, code: &str, message: &str) -> Reply {
    let body = json!({ "error": message }).to_string();
    Reply::new(status, body).with("X-Error-Code", code).with("X-Error-Message", message)
}

/// The value of a query's name.
fn value_of(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(other, _)| *other == name)?.1;
    Some(percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
}

fn search(shared: &Shared, query: &str) -> Reply {
    let text = value_of(query, "search").unwrap_or_default().to_ascii_lowercase();
    let most = value_of(query, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(100);
    let store = lock(&shared.store);
    let visible = store.repositories.iter().filter(|(_, repository)| !repository.private);
    let names = visible.map(|(name, _)| name).filter(|name| name.to_ascii_lowercase().contains(&text));
    Reply::json(&names.take(most).map(|name| json!({ "id": name, "modelId": name, "private": false })).collect())
}

/// What keeps this person out of the repository's description.
fn kept_out(shared: &Shared, asked: &Asked, repository: Option<&Repository>) -> Option<Reply> {
    let unknown = || refused(401, "RepoNotFound", "Repository not found");
    let Some(repository) = repository else { return Some(unknown()) };
    (repository.private && !has_token(shared, asked)).then(unknown)
}

fn has_token(shared: &Shared, asked: &Asked) -> bool {
    let token = lock(&shared.manners).token.clone();
    token.is_some_and(|token| asked.header("authorization") == Some(&format!("Bearer {token}")))
}

/// `ORGANIZATION/NAME[/revision/REVISION]`, `ORGANIZATION/NAME/tree/REVISION`.
fn api(shared: &Shared, asked: &Asked, parts: &[&str], query: &str) -> Reply {
    let verb = parts.iter().position(|part| matches!(*part, "revision" | "tree" | "refs"));
    let (name, rest) = parts.split_at(verb.unwrap_or(parts.len()));
    let name = name.join("/");
    let store = lock(&shared.store);
    let repository = store.repositories.get(&name);
    if let Some(refusal) = kept_out(shared, asked, repository) {
        return refusal;
    }
    let Some(repository) = repository else { return not_found("RepoNotFound", "Repository not found") };
    if rest.first() == Some(&"refs") {
        let names: Vec<_> =
            repository.names.iter().map(|(name, commit)| json!({ "name": name, "targetCommit": commit })).collect();
        return Reply::json(&json!({ "branches": names, "tags": [], "converts": [] }));
    }
    let revision = rest.get(1).copied().unwrap_or("main");
    let Some((commit, files)) = repository.at(revision) else {
        return not_found("RevisionNotFound", &format!("Invalid rev id: {revision}"));
    };
    if rest.first() != Some(&"tree") {
        let siblings: Vec<_> = files.keys().map(|path| json!({ "rfilename": path })).collect();
        let gated = if repository.gated { json!("auto") } else { json!(false) };
        return Reply::json(&json!({
            "_id": commit, "id": name, "modelId": name, "sha": commit, "private": repository.private,
            "gated": gated, "disabled": false, "tags": [], "downloads": 1, "siblings": siblings,
        }));
    }
    let page = lock(&shared.manners).page;
    let from = value_of(query, "cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let entries: Vec<_> = files.iter().skip(from).take(page).map(|(path, entry)| describe(path, entry)).collect();
    let reply = Reply::json(&entries.into());
    if files.len() <= from + page {
        return reply;
    }
    let path = asked.target.split('?').next().unwrap_or_default();
    let next = absolute(asked, &format!("{path}?recursive=true&cursor={}", from + page));
    reply.with("Link", format!("<{next}>; rel=\"next\""))
}

fn describe(path: &str, entry: &Entry) -> serde_json::Value {
    let size = entry.bytes.length();
    let mut value = json!({ "type": "file", "path": path, "size": size, "oid": entry.blob });
    if let Some(sha256) = &entry.large {
        value["lfs"] = json!({ "oid": sha256, "size": size, "pointerSize": 134 });
    }
    value
}

/// `ORGANIZATION/NAME/resolve/REVISION/PATH`.
fn resolve(shared: &Shared, asked: &Asked, parts: &[&str], at: usize, ranges: bool) -> Reply {
    let store = lock(&shared.store);
    let repository = store.repositories.get(&parts[..at].join("/"));
    if let Some(refusal) = kept_out(shared, asked, repository) {
        return refusal;
    }
    let Some(repository) = repository else { return not_found("RepoNotFound", "Repository not found") };
    if repository.gated && !has_token(shared, asked) {
        let status = if asked.header("authorization").is_some() { 403 } else { 401 };
        return refused(status, "GatedRepo", "Access to this model is restricted");
    }
    let revision = parts.get(at + 1).copied().unwrap_or_default();
    let Some((commit, files)) = repository.at(revision) else {
        return not_found("RevisionNotFound", &format!("Invalid rev id: {revision}"));
    };
    let Some(entry) = files.get(&parts[(at + 2).min(parts.len())..].join("/")) else {
        return not_found("EntryNotFound", "Entry not found").with("X-Repo-Commit", commit);
    };
    let etag = format!("\"{}\"", entry.etag());
    let second = lock(&shared.manners).second.clone();
    let reply = match (second, &entry.large) {
        (Some(second), Some(sha256)) => Reply::new(302, "")
            .with("Location", format!("{second}/blob/{sha256}?X-Signature=secret"))
            .with("X-Linked-ETag", etag)
            .with("X-Linked-Size", entry.bytes.length().to_string()),
        _ => Reply::file(entry.bytes.clone(), asked, ranges).with("ETag", etag),
    };
    reply.with("X-Repo-Commit", commit)
}
