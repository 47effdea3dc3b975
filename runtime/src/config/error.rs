//! What is wrong with a configuration: the key, the value, where it came from and what would be right.

use std::fmt;
use std::path::PathBuf;

/// Why a configuration was refused. One sentence each, fit to be the last thing a program prints.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value that is not of its setting's form or range.
    Invalid {
        /// The setting.
        key: &'static str,
        /// The value as it was given.
        value: String,
        /// Where it was given.
        origin: Origin,
        /// What would be right.
        expected: String,
    },
    /// A setting that this configuration cannot do without.
    Missing {
        /// The setting.
        key: &'static str,
        /// Why it is needed and what would be right.
        expected: &'static str,
    },
    /// A key in the file that is no setting.
    Unknown {
        /// The key as it was written.
        key: String,
        /// The file.
        origin: Origin,
        /// The setting whose name comes nearest, or all of them.
        known: String,
    },
    /// A file that cannot be read or is no TOML.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// An address that others could reach, and no cluster key.
    NotLoopback {
        /// The setting.
        key: &'static str,
        /// The address.
        value: String,
        /// Where it was given.
        origin: Origin,
    },
}

/// Where a setting's value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The command-line flag of this name.
    Flag(String),
    /// The environment variable of this name.
    Environment(String),
    /// The file of this name.
    File(String),
    /// Nobody set it.
    Default,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { key, value, origin, expected } => {
                write!(f, "{key} = {value:?} ({origin}) is not valid: {expected}")
            }
            Self::Missing { key, expected } => {
                let flag = super::settings::flag(key);
                let variable = super::settings::variable(key);
                write!(f, "{key} is missing ({flag}, {variable} or {key} in the file): {expected}")
            }
            Self::Unknown { key, origin, known } => write!(f, "{key} ({origin}) is no setting: {known}"),
            Self::File { path, why } => {
                write!(f, "cannot read the configuration file {}: {why}", path.display())
            }
            Self::NotLoopback { key, value, origin } => write!(
                f,
                "{key} = {value:?} ({origin}) is not a loopback address, and without a cluster key every address must be \
                 one: give a cluster_key_file (32 random bytes, the same on every node), or stay on 127.0.0.1"
            ),
        }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Default => f.write_str("the default"),
        }
    }
}
