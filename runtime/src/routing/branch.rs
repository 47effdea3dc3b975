//! The branches of balancers: a node tells by them whether a request came by one.

use holdline_sip::wire::BRANCH_COOKIE;

/// What a balancer's branches start with behind the magic cookie; a node's start with another mark.
pub(crate) const BALANCER_MARK: &str = "lb";

/// Whether this branch looks like a balancer's. Anybody can write one that does: all he gains is a hop inside the cluster.
pub(crate) fn is_of_balancer(branch: &str) -> bool {
    branch.strip_prefix(BRANCH_COOKIE).is_some_and(|rest| rest.starts_with(BALANCER_MARK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_branch_with_the_mark_is_a_balancers() {
        assert!(is_of_balancer("z9hG4bKlb2abc"));
        assert!(!is_of_balancer("z9hG4bK2lbabc") && !is_of_balancer("lb2abc") && !is_of_balancer(""));
    }
}
