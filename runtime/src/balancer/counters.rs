//! What the balancer has done since it started, counted by all its lanes together.

use std::sync::atomic::{AtomicU64, Ordering};

use super::effect::Dropped;

macro_rules! counters {
    ($($name:ident: $doc:literal,)*) => {
        /// Totals since the start.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $(#[doc = $doc] pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: AtomicU64,)*
        }

        impl Counters {
            pub(super) fn read(&self) -> Stats {
                Stats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }

        impl std::fmt::Display for Stats {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let fields = [$((stringify!($name), self.$name)),*];
                for (at, (name, count)) in fields.into_iter().enumerate() {
                    write!(f, "{}{name}={count}", if at == 0 { "" } else { " " })?;
                }
                Ok(())
            }
        }
    };
}

counters! {
    received: "Datagrams that came in, keep-alives left out.",
    to_nodes: "Requests sent to nodes.",
    transmitted: "Responses, and requests leaving the cluster, sent.",
    resolved: "Messages for which a host name was looked up.",
    refused: "Times a node's machine said that nobody listens there.",
    retried: "Requests sent to a second node because the first refused.",
    unsent: "Messages lost because the kernel would not take them, or a look-up failed or was one too many.",
    malformed: "Datagrams that could not be answered.",
    not_ours: "Responses that answer no request of ours.",
    no_way_back: "Responses whose next Via names no address.",
    acks_of_ours: "ACKs for our own responses, absorbed.",
    acks_unroutable: "ACKs that found no node.",
    loops: "Messages that would have come straight back.",
}

impl Counters {
    pub(super) fn dropped(&self, why: Dropped) {
        bump(match why {
            Dropped::Malformed => &self.malformed,
            Dropped::NotOurs => &self.not_ours,
            Dropped::NoWayBack => &self.no_way_back,
            Dropped::AckOfOurs => &self.acks_of_ours,
            Dropped::AckUnroutable => &self.acks_unroutable,
            Dropped::Loop => &self.loops,
        });
    }
}

pub(super) fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_drop_is_counted_under_its_own_name() {
        let counters = Counters::default();
        let all = [
            Dropped::Malformed,
            Dropped::NotOurs,
            Dropped::NoWayBack,
            Dropped::AckOfOurs,
            Dropped::AckUnroutable,
            Dropped::Loop,
        ];
        for (times, why) in (1..).zip(all) {
            (0..times).for_each(|_| counters.dropped(why));
        }
        let text = counters.read().to_string();
        assert!(
            text.ends_with(
                "unsent=0 malformed=1 not_ours=2 no_way_back=3 acks_of_ours=4 acks_unroutable=5 loops=6"
            ),
            "{text}"
        );
    }
}
