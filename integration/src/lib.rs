//! What more than one process or more than one core needs: the process harness, a scripted SIP peer, SIPp.

pub mod harness;
pub mod sim;
