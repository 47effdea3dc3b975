//! Every situation of a dialog × everything that can happen to it, as a committed table: `dialog_table.txt`.
//!
//! A change of the table is a change of behaviour. `UPDATE=1 cargo test -p holdline-sip --test dialog_table` rewrites it.

mod dialog_kit;

use std::fmt::Write as _;

use dialog_kit::inputs::{INPUTS, Scene};
use dialog_kit::*;
use holdline_sip::dialog::{Call, Dialog};
use holdline_sip::transaction::ServerTransactionId;

/// The situations, each reached from the first message on by inputs of the table itself.
const SITUATIONS: &[(&str, bool, &[&str])] = &[
    ("UAS initial", true, &[]),
    ("UAS early", true, &["progress"]),
    ("UAS answered, no ACK", true, &["answer"]),
    ("UAS answered, no ACK, wants to hang up", true, &["answer", "bye"]),
    ("UAS confirmed", true, &["answer", "ACK"]),
    ("UAS with the peer's re-INVITE", true, &["answer", "ACK", "re-INVITE"]),
    ("UAS with its re-INVITE answered, no ACK", true, &["answer", "ACK", "re-INVITE moving", "answer"]),
    ("UAS with its own re-INVITE", true, &["answer", "ACK", "reinvite"]),
    ("UAS with an INFO unanswered", true, &["answer", "ACK", "INFO"]),
    ("UAS closing", true, &["answer", "ACK", "bye"]),
    ("UAS terminated by the peer's BYE", true, &["answer", "ACK", "BYE"]),
    ("UAS terminated by refusal", true, &["reject"]),
    ("UAC initial", false, &[]),
    ("UAC early", false, &["180 to INVITE"]),
    ("UAC cancelling", false, &["180 to INVITE", "cancel"]),
    ("UAC confirmed", false, &["200 to INVITE"]),
    ("UAC with its own re-INVITE", false, &["200 to INVITE", "reinvite"]),
    ("UAC with an offer to answer", false, &["200 to INVITE", "reinvite without offer", "200 to INVITE"]),
    ("UAC waiting after glare", false, &["200 to INVITE", "reinvite", "491 to INVITE"]),
    ("UAC closing", false, &["200 to INVITE", "bye"]),
    ("UAC terminated", false, &["200 to INVITE", "bye", "200 to BYE"]),
    ("UAC terminated without an answer", false, &["486 to INVITE"]),
];

#[test]
fn every_situation_and_every_input() {
    let txs = transactions(8);
    let mut table = String::new();
    for (name, uas, path) in SITUATIONS {
        writeln!(table, "== {name}").expect("a string takes it");
        let dialog = reach(&txs, *uas, path);
        for (input, _) in INPUTS {
            let mut dialog = dialog.clone();
            let outcome = apply(&mut dialog, txs[7], input);
            let state = dialog.state();
            let effects = lines(&mut dialog);
            let refused = outcome.err().map(|why| format!("refused: {why}"));
            let effects = refused.unwrap_or_else(|| match effects.as_slice() {
                [] => "-".into(),
                effects => effects.join(" | "),
            });
            writeln!(table, "{input:<27} {state:<11} {effects}").expect("a string takes it");
        }
        table.push('\n');
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dialog_table.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &table).expect("the table can be written");
    }
    let committed = std::fs::read_to_string(path).expect("the table is committed");
    for (number, (now, before)) in table.lines().zip(committed.lines()).enumerate() {
        assert_eq!(now, before, "line {} of dialog_table.txt", number + 1);
    }
    assert_eq!(table.len(), committed.len());
}

fn reach(txs: &[ServerTransactionId], uas: bool, path: &[&str]) -> Dialog {
    let mut dialog = if uas {
        Dialog::uas(START, &config(), txs[0], &invite().build(), flow(), "us".into()).expect("a good INVITE")
    } else {
        Dialog::uac(START, &config(), Call { branch_prefix: "p".into(), ..call() }).expect("a good call")
    };
    for (index, input) in path.iter().enumerate() {
        apply(&mut dialog, txs[index + 1], input).expect("the path is possible");
    }
    lines(&mut dialog);
    dialog
}

fn apply(dialog: &mut Dialog, tx: ServerTransactionId, input: &str) -> Result<(), String> {
    let (_, act) = INPUTS.iter().find(|(name, _)| *name == input).expect("an input of the table");
    act(Scene { dialog, now: START, tx })
}
