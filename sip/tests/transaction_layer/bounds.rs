//! Bounds: the table is never larger than it may be, and neither is its queue of deadlines.

use std::time::Duration;

use holdline_sip::Transport::{Tcp, Udp};
use holdline_sip::transaction::{Config, Counts, Error};
use holdline_sip::wire::{HeaderName, Message};

use crate::kit::{Bench, text, text_with};

fn small(capacity: usize) -> Bench {
    Bench::with(Udp, Config { capacity, ..Config::default() })
}

#[test]
fn new_calls_above_the_capacity_get_503_and_leave_nothing() {
    let mut bench = small(16);
    for branch in 0..16 {
        bench.receive(text("INVITE", &format!("fill{branch}")));
    }
    bench.log();
    let full = bench.table.counts();
    bench.receive(text("INVITE", "more"));
    bench.receive(text("INVITE", "more"));
    bench.receive(text("OPTIONS", "more"));
    bench.expect(&["0 send 503", "0 send 503", "0 send 503"]);
    assert_eq!(bench.table.counts(), full);
    assert_eq!(bench.table.counters().refused, 3);
    let Some((_, Message::Response(refusal))) = &bench.sent else { panic!("a response") };
    assert_eq!(refusal.header(&HeaderName::RetryAfter), Some("5"));
    assert!(refusal.to_tag().is_some());
    assert_eq!(bench.send(text("OPTIONS", "mine")), Err(Error::Full));
}

#[test]
fn requests_inside_a_dialog_may_take_an_eighth_more() {
    let mut bench = small(16);
    for branch in 0..16 {
        bench.receive(text("INVITE", &format!("fill{branch}")));
    }
    bench.log();
    bench.receive(text("CANCEL", "fill15"));
    bench.receive(text_with("BYE", "bye1", "b", ""));
    bench.expect(&["0 cancel", "0 request BYE"]);
    bench.receive(text_with("BYE", "bye2", "b", ""));
    assert_eq!(bench.send(text_with("BYE", "mine", "b", "")), Err(Error::Full));
    bench.expect(&["0 send 503"]);
    assert_eq!(bench.table.counts().total(), 18);
}

#[test]
fn deadlines_of_ended_transactions_do_not_pile_up() {
    let mut bench = Bench::new(Tcp);
    for branch in 0..5_000 {
        bench.send(text("OPTIONS", &branch.to_string())).unwrap();
        bench.answer(200);
        if branch % 100 == 0 {
            bench.send(text("OPTIONS", &format!("stays{branch}"))).unwrap();
        }
        let (live, queued) = (bench.table.counts().total(), bench.table.timers_queued());
        assert!(queued <= 2 * live + 64, "{queued} entries for {live} transactions");
    }
    assert_eq!(bench.table.counts(), Counts { non_invite_client: 50, ..Counts::default() });
}

#[test]
fn any_number_of_transport_errors_costs_one_pass() {
    let mut bench = Bench::new(Udp);
    bench.send(text("OPTIONS", "1")).unwrap();
    bench.log();
    for port in 1..=1_000u16 {
        let flow = holdline_sip::Flow::udp(([192, 0, 2, 1], port).into());
        bench.table.handle_transport_error(bench.now(), flow);
    }
    assert_eq!(bench.table.counters().transport_errors, 1_000);
    bench.run_until(0.1);
    bench.expect(&[]);
    assert_eq!(bench.table.poll_timeout(), Some(bench.now() + Duration::from_millis(400)));
}
