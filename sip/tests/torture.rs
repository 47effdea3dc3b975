//! The published torture messages and captured ones: none may panic, and each gets the verdict its RFC gives it.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use holdline_sip::wire::{Message, ParseError, Response, StatusCode, peek};

/// Its Content-Length is larger than its body as archived, so a 400 is as right as taking it.
const EITHER: &[&str] = &["ipv6-in-sdp"];

/// Without Call-ID, From and To there is nothing to answer with.
const UNANSWERABLE: &[&str] = &["insuf"];

#[test]
fn every_message_of_the_corpus_is_read_without_panic() {
    let Some(corpus) = corpus() else { return };
    let mut read = 0;
    for folder in ["torture", "captures", "malformed"] {
        for file in files(&corpus.join(folder)) {
            exercise(&Bytes::from(fs::read(&file).unwrap()));
            read += 1;
        }
    }
    assert!(read > 60, "the corpus has only {read} messages");
}

#[test]
fn every_torture_message_gets_its_verdict() {
    let Some(corpus) = corpus() else { return };
    let manifest = fs::read_to_string(corpus.join("torture/manifest.tsv")).unwrap();
    let mut wrong = Vec::new();
    for row in manifest.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let (name, kind, valid, verdict) = (columns[0], columns[4], columns[5] == "true", columns[6]);
        let bytes = Bytes::from(fs::read(corpus.join(columns[3])).unwrap());
        let result = Message::parse(bytes.clone());
        let right = match (verdict, &result) {
            _ if EITHER.contains(&name) => true,
            ("accept" | "app_reject", Ok(message)) => kind_of(message) == kind,
            ("reject", Err(error)) => answered(name, &bytes, error, columns[7]),
            ("drop", Ok(_)) => valid,
            ("drop", Err(error)) => !valid && error.status.is_none(),
            ("reject_or_liberal" | "no_crash", _) => true,
            _ => false,
        };
        if !right {
            wrong.push(format!("{name}: {verdict}, but {:?}", result.map(|message| kind_of(&message))));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether the request is refused with one of the wanted codes, in a response that is itself in order.
fn answered(name: &str, request: &Bytes, error: &ParseError, wanted: &str) -> bool {
    let Some(status) = error.status.filter(|status| wanted.split('|').any(|code| code == status.to_string()))
    else {
        return false;
    };
    match error.reply(request) {
        Some(reply) => reply.starts_with(format!("SIP/2.0 {status} ").as_bytes()),
        None => UNANSWERABLE.contains(&name),
    }
}

fn kind_of(message: &Message) -> &'static str {
    match message {
        Message::Request(_) => "request",
        Message::Response(_) => "response",
    }
}

/// Reads all there is to read; what parses must come out of every way of writing it as itself.
fn exercise(bytes: &Bytes) {
    let glance = peek(bytes);
    let message = match Message::parse(bytes.clone()) {
        Ok(message) => message,
        Err(error) => {
            if let Some(reply) = error.reply(bytes) {
                let _ = Message::parse(reply);
            }
            return;
        }
    };
    assert_eq!(Message::parse(message.as_bytes().clone()).as_ref(), Ok(&message));
    if let Some(glance) = glance {
        assert_eq!(glance.call_id, message.call_id());
        assert_eq!(glance.from_tag, message.from_tag());
        assert_eq!(glance.to_tag, message.to_tag());
        assert_eq!(glance.branch.unwrap_or_default().trim(), message.branch().trim());
        assert_eq!(glance.cseq, message.cseq().number);
    }
    assert_eq!(message.headers().filter(|header| header.name().as_str().is_empty()).count(), 0);
    let _ = (message.from(), message.to(), message.vias(), message.contacts(), message.routes());
    let _ = (message.record_routes(), message.max_forwards(), message.body());
    match &message {
        Message::Request(request) => {
            assert!(request.parsed_uri().is_ok());
            let edited = request.edit().push_via("SIP/2.0/UDP us.test;branch=z9hG4bKus").finish();
            assert_eq!(edited.branch(), "z9hG4bKus");
            assert!(edited.headers().skip(1).eq(request.headers()), "an edit keeps all else");
            let response = Response::builder(StatusCode::OK, request).to_tag("t").build();
            let again = Response::parse(response.as_bytes().clone()).expect("what was built can be read");
            assert_eq!(again.branch(), request.branch());
            assert_eq!(again.vias(), request.vias());
        }
        Message::Response(response) => {
            let popped = response.edit().pop_via().finish();
            assert_eq!(popped.values("Via").count() + 1, response.values("Via").count());
        }
    }
}

/// The corpus beside the workspace, or where the environment says; its absence is told and no failure.
fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let path = std::env::var_os("HOLDLINE_CORPUS").map_or(beside, PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    println!("no corpus at {}: nothing tested here", path.display());
    None
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("the corpus can be read").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
