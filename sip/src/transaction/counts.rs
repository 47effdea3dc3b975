//! How many transactions live, and how often what happened.

/// Live transactions by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// INVITE server transactions.
    pub invite_server: usize,
    /// All other server transactions.
    pub non_invite_server: usize,
    /// INVITE client transactions.
    pub invite_client: usize,
    /// All other client transactions.
    pub non_invite_client: usize,
}

impl Counts {
    /// All live transactions.
    pub fn total(&self) -> usize {
        self.invite_server + self.non_invite_server + self.invite_client + self.non_invite_client
    }
}

/// Totals since the table was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Server transactions opened.
    pub server_opened: u64,
    /// Client transactions opened.
    pub client_opened: u64,
    /// Requests that came again and were answered or absorbed here.
    pub retransmissions_in: u64,
    /// Messages sent again, by timer or in answer to a retransmission.
    pub retransmissions_out: u64,
    /// Requests refused with 503 because the table was full.
    pub refused: u64,
    /// Responses that matched no transaction.
    pub stray_responses: u64,
    /// CANCELs that matched no INVITE.
    pub stray_cancels: u64,
    /// Messages a transaction had no use for in its state.
    pub ignored: u64,
    /// Transactions ended by a timer that stands for a failure (B, F, H, or no answer from the TU).
    pub timeouts: u64,
    /// Transport errors reported.
    pub transport_errors: u64,
}
