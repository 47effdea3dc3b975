//! Why a verb of the transaction table refused; the table is unchanged whenever one of these is returned.

/// A refused verb: the caller asked for something the transaction's state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The transaction has ended, or is of another table.
    #[error("no such transaction")]
    NoSuchTransaction,
    /// A final response was sent or received already.
    #[error("the transaction already has its final response")]
    AlreadyAnswered,
    /// The table holds as many transactions as it may.
    #[error("too many transactions")]
    Full,
    /// A request needs our Via with a `branch` on top.
    #[error("the request has no branch in its top Via")]
    NoBranch,
    /// Another client transaction with this branch and method is alive.
    #[error("the branch is in use")]
    BranchInUse,
    /// RFC 3261 §17: an ACK is never a transaction; transmit it.
    #[error("an ACK has no transaction")]
    Ack,
    /// Only an INVITE can be cancelled (RFC 3261 §9.1).
    #[error("only an INVITE can be cancelled")]
    NotCancellable,
}
