//! The deadlines: order, lazy deletion, and their number.

use std::time::Duration;

use super::super::deadlines::{Clock, Deadlines, Side};
use super::super::machine::Action;
use super::super::slab::{Slab, Slot};
use super::super::timers::{Timer, Timers};

const NOW: Duration = Duration::from_secs(1_700_000_000);

fn started(timer: Timer) -> Clock {
    let mut clock = Clock::new();
    assert_eq!(clock.act(Action::Start(timer), NOW, &Timers::default(), false), None);
    clock
}

fn slot(index: u32) -> Slot {
    Slot { index, generation: 0 }
}

#[test]
fn a_later_deadline_reuses_the_entry_of_the_earlier_one() {
    let (mut deadlines, mut clock) = (Deadlines::new(), started(Timer::Trying));
    deadlines.queue(&mut clock, Side::Server, slot(0));
    clock.act(Action::Stop(Timer::Trying), NOW, &Timers::default(), false);
    clock.act(Action::Start(Timer::L), NOW, &Timers::default(), false);
    deadlines.queue(&mut clock, Side::Server, slot(0));
    assert_eq!(deadlines.len(), 1);

    let entry = deadlines.pop_due(NOW + Duration::from_millis(200)).unwrap();
    assert!(clock.is_queued_for(entry.at));
    clock.unqueue();
    assert_eq!(clock.take_due(NOW + Duration::from_millis(200)), None);
    deadlines.queue(&mut clock, Side::Server, slot(0));
    assert_eq!(deadlines.next(), Some(NOW + Duration::from_secs(32)));
}

#[test]
fn the_timer_that_ends_a_state_beats_a_retransmission() {
    let mut clock = started(Timer::A);
    clock.act(Action::Start(Timer::B), NOW, &Timers::default(), false);
    assert_eq!(clock.take_due(NOW + Duration::from_secs(40)), Some(Timer::B));
    assert_eq!(clock.take_due(NOW + Duration::from_secs(40)), Some(Timer::A));
    assert_eq!(clock.take_due(NOW + Duration::from_secs(40)), None);
}

#[test]
fn a_timer_of_no_time_has_fired_at_once() {
    let mut clock = Clock::new();
    for timer in [Timer::D, Timer::I, Timer::J, Timer::K] {
        let fired = clock.act(Action::Start(timer), NOW, &Timers::default(), true);
        assert_eq!(fired, Some(timer));
        assert_eq!(clock.take_due(NOW + Duration::from_secs(100)), None, "{timer:?} fires once");
    }
}

#[test]
fn the_entries_stay_within_twice_the_live_clocks() {
    let mut deadlines = Deadlines::new();
    let mut clocks = Slab::new();
    let mut live = Vec::new();
    for round in 0..20_000u32 {
        let slot = clocks.insert(started(Timer::J));
        deadlines.queue(clocks.get_mut(slot).unwrap(), Side::Server, slot);
        live.push(slot);
        // Most transactions end long before their deadline, a few stay.
        if round % 16 != 0 {
            let ended = live.swap_remove(round as usize % live.len());
            deadlines.forget(&clocks.remove(ended).unwrap());
            deadlines.compact(|entry| {
                clocks.get(entry.slot).is_some_and(|clock: &Clock| clock.is_queued_for(entry.at))
            });
        }
        assert!(deadlines.len() <= 2 * live.len() + 64, "{} for {}", deadlines.len(), live.len());
    }
    assert!(live.len() > 1_000);
}

#[test]
fn entries_come_out_in_order_whenever_they_were_queued_and_looked_for() {
    let (mut deadlines, mut seed) = (Deadlines::new(), 1u64);
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let (mut now, mut queued, mut popped) = (NOW, Vec::new(), Vec::new());
    for index in 0..5_000 {
        let wait = [20, 400, 5_000, 32_000][random(4) as usize];
        let mut clock = Clock::new();
        let at = now + Duration::from_millis(random(wait));
        clock.act(Action::Start(Timer::J), at, &Timers::default(), false);
        deadlines.queue(&mut clock, Side::Server, slot(index));
        queued.push(at + Duration::from_secs(32));
        let earliest = queued.iter().copied().min();
        assert_eq!(deadlines.next(), earliest, "to the nanosecond");
        now += Duration::from_millis(random(40));
        while let Some(entry) = deadlines.pop_due(now) {
            popped.push(entry.at);
            let (first, _) = queued.iter().enumerate().min_by_key(|(_, at)| **at).unwrap();
            assert!(queued.swap_remove(first) <= now);
        }
        assert!(queued.iter().all(|at| *at > now), "what is due comes out");
        assert_eq!(deadlines.len(), queued.len());
    }
    assert!(popped.is_sorted() && popped.len() > 1_000);
}

#[test]
fn an_id_of_a_removed_value_finds_nothing() {
    let mut slab = Slab::new();
    let first = slab.insert("first");
    assert_eq!(slab.remove(first), Some("first"));
    let second = slab.insert("second");
    assert_eq!(first.index, second.index);
    assert_eq!(slab.get(first), None);
    assert_eq!(slab.get_mut(first), None);
    assert_eq!(slab.remove(first), None);
    assert_eq!((slab.get(second), slab.len()), (Some(&"second"), 1));
    assert_eq!(Slot::from_bits(second.to_bits()), second);
}

#[test]
fn an_id_from_before_a_release_finds_nothing_after_it() {
    let mut slab = Slab::new();
    let ids: Vec<Slot> = (0..2_000).map(|n| slab.insert(n)).collect();
    slab.release();
    assert_eq!(slab.get(ids[7]), Some(&7), "not while something is left");
    for id in &ids {
        slab.remove(*id);
    }
    slab.release();
    let anew: Vec<Slot> = (0..2_000).map(|n| slab.insert(n)).collect();
    assert!(ids.iter().all(|id| slab.get(*id).is_none()) && anew.iter().all(|id| slab.get(*id).is_some()));
}
