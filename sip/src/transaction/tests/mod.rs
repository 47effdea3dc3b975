//! Tests of the parts of the transaction layer that only this crate sees; what users see is in `tests/transaction_layer`.

mod deadlines;
mod keys;
mod tables;

#[test]
fn a_transaction_is_a_small_value() {
    let server = size_of::<super::ServerTransaction>();
    let client = size_of::<super::ClientTransaction<u64>>();
    assert!(server <= 192 && client <= 192, "{server} and {client} bytes");
}
