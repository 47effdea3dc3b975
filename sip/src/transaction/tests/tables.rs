//! Every state × input of the four machines as text, compared with the tables committed beside this file.
//!
//! `UPDATE_TABLES=1 cargo test -p holdline-sip tables` writes them anew.

use std::fmt::{Debug, Write as _};
use std::path::Path;

use super::super::machine::{Action, ClientInput, ServerInput, Step};
use super::super::timers::Timer;
use super::super::{invite_client, invite_server, non_invite_client, non_invite_server};

const TIMERS: [Timer; 17] = [
    Timer::Trying,
    Timer::A,
    Timer::B,
    Timer::C,
    Timer::D,
    Timer::E,
    Timer::F,
    Timer::G,
    Timer::H,
    Timer::I,
    Timer::J,
    Timer::K,
    Timer::L,
    Timer::M,
    Timer::Cancelled,
    Timer::Unanswered,
    Timer::UnansweredInvite,
];

fn server_inputs() -> Vec<ServerInput> {
    use ServerInput::{Ack, Failure, Provisional, Request, Start, Success, TransportError};
    let mut inputs = vec![Start, Request, Ack, Provisional, Success, Failure, TransportError];
    inputs.extend(TIMERS.map(ServerInput::Timer));
    inputs
}

fn client_inputs() -> Vec<ClientInput> {
    use ClientInput::{Cancel, Failure, Provisional, Start, Success, TransportError};
    let mut inputs = vec![Start, Provisional, Success, Failure, Cancel, TransportError];
    inputs.extend(TIMERS.map(ClientInput::Timer));
    inputs
}

#[test]
fn invite_server_table() {
    use invite_server::State::{Accepted, Completed, Confirmed, Proceeding, Terminated};
    let states = [Proceeding, Accepted, Completed, Confirmed, Terminated];
    check("invite_server", &states, &server_inputs(), invite_server::step);
}

#[test]
fn non_invite_server_table() {
    use non_invite_server::State::{Completed, Proceeding, Terminated, Trying};
    let states = [Trying, Proceeding, Completed, Terminated];
    check("non_invite_server", &states, &server_inputs(), non_invite_server::step);
}

#[test]
fn invite_client_table() {
    use invite_client::State::{Accepted, Calling, Cancelling, Completed, Proceeding, Terminated};
    let states = [Calling, Proceeding, Cancelling, Completed, Accepted, Terminated];
    check("invite_client", &states, &client_inputs(), invite_client::step);
}

#[test]
fn non_invite_client_table() {
    use non_invite_client::State::{Completed, Proceeding, Terminated, Trying};
    let states = [Trying, Proceeding, Completed, Terminated];
    check("non_invite_client", &states, &client_inputs(), non_invite_client::step);
}

fn check<S: Copy + Debug + PartialEq, I: Copy + Debug>(
    machine: &str,
    states: &[S],
    inputs: &[I],
    step: fn(S, I) -> Option<Step<S>>,
) {
    let mut table = String::new();
    for &state in states {
        for &input in inputs {
            let row = match step(state, input) {
                None => "refused".to_owned(),
                Some(Step { next, actions }) => {
                    assert_tell_comes_last_before_the_end(actions);
                    let actions: Vec<String> = actions.iter().map(|action| format!("{action:?}")).collect();
                    format!("{:<11} {}", format!("{next:?}"), actions.join(", "))
                }
            };
            let line = format!("{:<11} {:<24} {row}", format!("{state:?}"), format!("{input:?}"));
            writeln!(table, "{}", line.trim_end()).unwrap();
        }
        table.push('\n');
    }
    compare(machine, table.trim_end());
}

/// What a TU is told may make it act on the transaction, so the step must have done the rest by then.
fn assert_tell_comes_last_before_the_end(actions: &[Action]) {
    let told =
        |action: &Action| matches!(action, Action::Tell | Action::TellTimeout | Action::TellTransportError);
    let first = actions.iter().position(told).unwrap_or(actions.len());
    assert!(first + 1 >= actions.len(), "{actions:?}");
}

fn compare(machine: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/transaction/tests/{machine}.txt"));
    if std::env::var_os("UPDATE_TABLES").is_some() {
        std::fs::write(&path, format!("{table}\n")).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(committed.trim_end(), table, "the table of {machine} changed; UPDATE_TABLES=1 writes it anew");
}
