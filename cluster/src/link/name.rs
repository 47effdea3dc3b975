//! The name of one process of a node: `<id>#<boot>`.

use std::fmt;
use std::str::FromStr;

use crate::id::NodeId;

/// Names a process: a link to a node's former process must never be taken for one to its present one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessName {
    /// The node.
    pub id: NodeId,
    /// Start of the process, milliseconds since the UNIX epoch.
    pub boot: u64,
}

impl fmt::Display for ProcessName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.id, self.boot)
    }
}

/// The text is not `<id>#<boot>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a process name (<id>#<boot>)")]
pub struct BadProcessName;

impl FromStr for ProcessName {
    type Err = BadProcessName;

    fn from_str(text: &str) -> Result<Self, BadProcessName> {
        let (id, boot) = text.split_once('#').ok_or(BadProcessName)?;
        Ok(Self {
            id: id.parse().map_err(|_| BadProcessName)?,
            boot: boot.parse().map_err(|_| BadProcessName)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_reads_back() {
        let name = ProcessName { id: "n1".parse().unwrap(), boot: 1_700_000_000_123 };
        assert_eq!(name.to_string(), "n1#1700000000123");
        assert_eq!(name.to_string().parse(), Ok(name));
        for bad in ["", "n1", "#5", "n1#", "n1#x", "n 1#5", "n1#5#6"] {
            assert_eq!(bad.parse::<ProcessName>(), Err(BadProcessName), "{bad}");
        }
    }
}
