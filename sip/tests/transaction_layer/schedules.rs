//! Every timer, to the millisecond, on UDP and on TCP.

use std::time::Duration;

use holdline_sip::Transport::{Tcp, Udp};
use holdline_sip::transaction::{Config, Timers};

use crate::kit::{Bench, text};

#[test]
fn a_doubles_from_t1_and_b_ends_it_after_64_t1() {
    let mut bench = Bench::new(Udp);
    bench.send(text("INVITE", "1")).unwrap();
    bench.run_until(100.0);
    bench.expect(&[
        "0 send INVITE",
        "0.5 send INVITE",
        "1.5 send INVITE",
        "3.5 send INVITE",
        "7.5 send INVITE",
        "15.5 send INVITE",
        "31.5 send INVITE",
        "32 user times out",
        "32 all gone",
    ]);
    assert_eq!(bench.table.counters().retransmissions_out, 6);
    assert_eq!(bench.table.counters().timeouts, 1);
}

#[test]
fn e_doubles_up_to_t2_and_f_ends_it_after_64_t1() {
    let mut bench = Bench::new(Udp);
    bench.send(text("OPTIONS", "1")).unwrap();
    bench.run_until(100.0);
    let mut expected: Vec<String> = [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
        .map(|at| format!("{at} send OPTIONS"))
        .into();
    expected.extend(["32 user times out".to_owned(), "32 all gone".to_owned()]);
    assert_eq!(bench.log(), expected);
}

#[test]
fn e_runs_at_t2_after_a_provisional_response() {
    let mut bench = Bench::new(Udp);
    bench.send(text("OPTIONS", "1")).unwrap();
    bench.run_until(0.6);
    bench.answer(100);
    bench.run_until(12.0);
    bench.expect(&[
        "0 send OPTIONS",
        "0.5 send OPTIONS",
        "0.6 user gets 100",
        "1.5 send OPTIONS",
        "5.5 send OPTIONS",
        "9.5 send OPTIONS",
    ]);
    bench.run_until(100.0);
    assert_eq!(bench.log().last_chunk::<2>().unwrap(), &["32 user times out", "32 all gone"]);
}

#[test]
fn g_doubles_up_to_t2_and_h_ends_it_after_64_t1() {
    let mut bench = Bench::new(Udp);
    bench.receive(text("INVITE", "1"));
    bench.respond(486).unwrap();
    bench.run_until(100.0);
    let mut expected = vec!["0 request INVITE".to_owned()];
    expected.extend(
        [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5].map(|at| format!("{at} send 486")),
    );
    expected.extend(["32 server times out".to_owned(), "32 all gone".to_owned()]);
    assert_eq!(bench.log(), expected);
}

#[test]
fn on_tcp_nothing_is_sent_twice() {
    for (method, timeout) in [("INVITE", "32 user times out"), ("OPTIONS", "32 user times out")] {
        let mut bench = Bench::new(Tcp);
        bench.send(text(method, "1")).unwrap();
        bench.run_until(100.0);
        bench.expect(&[&format!("0 send {method}"), timeout, "32 all gone"]);
    }
    let mut bench = Bench::new(Tcp);
    bench.receive(text("INVITE", "1"));
    bench.respond(486).unwrap();
    bench.run_until(100.0);
    bench.expect(&["0 request INVITE", "0 send 486", "32 server times out", "32 all gone"]);
}

#[test]
fn a_100_is_sent_after_200_ms_unless_the_user_answers_before() {
    let mut bench = Bench::new(Udp);
    bench.receive(text("INVITE", "1"));
    bench.run_until(0.3);
    bench.receive(text("INVITE", "1"));
    bench.expect(&["0 request INVITE", "0.2 send 100", "0.3 send 100"]);

    for first in [180, 200, 486] {
        let mut bench = Bench::new(Udp);
        bench.receive(text("INVITE", "1"));
        bench.run_until(0.199);
        bench.respond(first).unwrap();
        bench.run_until(0.4);
        bench.expect(&["0 request INVITE", &format!("0.199 send {first}")]);
    }
}

#[test]
fn how_long_a_finished_transaction_stays() {
    // (method, server?, final status, seconds on UDP, seconds on TCP): J, K, L, M, and D of the client.
    let cases = [
        ("OPTIONS", true, 200, 32, 0),
        ("OPTIONS", false, 200, 5, 0),
        ("INVITE", true, 200, 32, 32),
        ("INVITE", false, 200, 32, 32),
        ("INVITE", false, 486, 32, 0),
    ];
    for (method, server, status, udp, tcp) in cases {
        for (transport, seconds) in [(Udp, udp), (Tcp, tcp)] {
            let mut bench = Bench::new(transport);
            if server {
                bench.receive(text(method, "1"));
                bench.respond(status).unwrap();
            } else {
                bench.send(text(method, "1")).unwrap();
                bench.answer(status);
            }
            bench.run_until(100.0);
            let log = bench.log();
            assert_eq!(log.last().unwrap(), &format!("{seconds} all gone"), "{method} {transport} {log:?}");
        }
    }
}

#[test]
fn i_absorbs_further_acks_for_t4() {
    for (transport, gone) in [(Udp, "6 all gone"), (Tcp, "1 all gone")] {
        let mut bench = Bench::new(transport);
        bench.receive(text("INVITE", "1"));
        bench.respond(486).unwrap();
        bench.run_until(1.0);
        bench.log();
        bench.receive(text("ACK", "1"));
        if transport == Udp {
            bench.receive(text("ACK", "1"));
            bench.receive(text("INVITE", "1"));
        }
        bench.run_until(100.0);
        bench.expect(&[gone]);
    }
}

#[test]
fn c_cancels_an_invite_that_rings_too_long() {
    let mut bench = Bench::new(Tcp);
    bench.send(text("INVITE", "1")).unwrap();
    bench.run_until(1.0);
    bench.answer(180);
    bench.run_until(200.0);
    bench.answer(180);
    bench.run_until(499.0);
    bench.expect(&["0 send INVITE", "1 user gets 180", "200 user gets 180"]);
    bench.run_until(1000.0);
    bench.expect(&["500 send CANCEL", "532 user times out", "532 all gone"]);
}

#[test]
fn a_request_its_user_forgets_is_given_up() {
    let mut bench = Bench::new(Udp);
    bench.receive(text("OPTIONS", "1"));
    bench.run_until(100.0);
    bench.expect(&["0 request OPTIONS", "32 server times out", "32 all gone"]);

    let mut bench = Bench::new(Udp);
    bench.receive(text("INVITE", "1"));
    bench.run_until(300.0);
    bench.respond(180).unwrap();
    bench.run_until(2000.0);
    bench.expect(&[
        "0 request INVITE",
        "0.2 send 100",
        "300 send 180",
        "900 server times out",
        "900 all gone",
    ]);
}

#[test]
fn a_late_driver_sends_no_burst() {
    let mut bench = Bench::new(Udp);
    bench.send(text("INVITE", "1")).unwrap();
    bench.log();
    let late = bench.now() + Duration::from_secs(20);
    bench.table.handle_timeout(late);
    let effects = std::iter::from_fn(|| bench.table.poll_effect()).count();
    assert_eq!(effects, 1, "one retransmission for the five that were missed");
    assert_eq!(
        bench.table.poll_timeout(),
        Some(late + Duration::from_secs(1)),
        "and the next after twice the interval"
    );
}

#[test]
fn all_values_follow_t1_t2_and_t4() {
    let timers = Timers {
        t1: Duration::from_millis(100),
        t2: Duration::from_millis(300),
        t4: Duration::from_secs(1),
        ..Timers::default()
    };
    let mut bench = Bench::with(Udp, Config { timers, ..Config::default() });
    bench.receive(text("INVITE", "1"));
    bench.respond(404).unwrap();
    bench.run_until(1.0);
    bench.receive(text("ACK", "1"));
    bench.run_until(10.0);
    bench.expect(&[
        "0 request INVITE",
        "0 send 404",
        "0.1 send 404",
        "0.3 send 404",
        "0.6 send 404",
        "0.9 send 404",
        "2 all gone",
    ]);
    assert_eq!(timers.lifetime(), Duration::from_millis(6_400));
}

#[test]
fn timers_of_zero_do_not_hang_the_table() {
    let zero = Timers { t1: Duration::ZERO, t2: Duration::ZERO, t4: Duration::ZERO, c: Duration::ZERO };
    let mut bench = Bench::with(Udp, Config { timers: zero, ..Config::default() });
    bench.send(text("INVITE", "1")).unwrap();
    bench.receive(text("INVITE", "2"));
    bench.run_until(10.0);
    assert_eq!(bench.table.counts().total(), 0);
}
