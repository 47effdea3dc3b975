//! A retransmission is absorbed and answered without touching the heap.

// A test that can not go on panics.
#![allow(clippy::unwrap_used)]
// A counting allocator can not be written otherwise; it only passes calls on.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use holdline_sip::Flow;
use holdline_sip::transaction::{Config, Effect, Transactions};
use holdline_sip::wire::{Message, Response, StatusCode};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations<R>(work: impl FnOnce() -> R) -> (u64, R) {
    let before = ALLOCATIONS.with(Cell::get);
    let result = work();
    (ALLOCATIONS.with(Cell::get) - before, result)
}

fn message(method: &str) -> Message {
    let text = format!(
        "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{method}\r\n\
         From: <sip:ann@example.org>;tag=a\r\nTo: <sip:bob@example.com>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\
         Content-Length: 0\r\n\r\n"
    );
    Message::parse(Bytes::from(text)).unwrap()
}

fn transmitted(table: &mut Transactions<()>) -> usize {
    let mut count = 0;
    while let Some(effect) = table.poll_effect() {
        count += usize::from(matches!(effect, Effect::Transmit { .. }));
    }
    count
}

#[test]
fn retransmissions_allocate_nothing() {
    let now = Duration::from_secs(1_700_000_000);
    let flow = Flow::udp(([192, 0, 2, 1], 5060).into());
    let mut table: Transactions<()> = Transactions::new(Config::default());
    for method in ["INVITE", "OPTIONS"] {
        table.handle_message(now, message(method), flow);
        let Some(Effect::Request { id, request, .. }) = table.poll_effect() else { panic!("a request") };
        let build = || Response::builder(StatusCode::BUSY_HERE, &request).to_tag("b").build();
        let (some, response) = allocations(build);
        assert!(some > 0, "the count works");
        table.respond(now, &id, response).unwrap();
        assert_eq!(transmitted(&mut table), 1);

        let again = message(method);
        let (count, sent) = allocations(|| {
            table.handle_message(now, again, flow);
            transmitted(&mut table)
        });
        assert_eq!((count, sent), (0, 1), "{method} from the peer");
    }
    // Timer G.
    let (count, sent) = allocations(|| {
        table.handle_timeout(now + Duration::from_millis(500));
        transmitted(&mut table)
    });
    assert_eq!((count, sent), (0, 1), "by timer");
}
