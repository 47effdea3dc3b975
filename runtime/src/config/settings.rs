//! Where settings come from: a TOML file, then `HOLDLINE_` variables, then flags, each overriding the one before.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use ::config::{Config, Environment, File, FileFormat, Source, Value, ValueKind};

use super::error::{ConfigError, Origin};

/// What every environment variable of ours starts with.
const PREFIX: &str = "HOLDLINE_";

/// What the `config` crate calls the origin of a variable's value.
const ENVIRONMENT: &str = "the environment";

/// Variables of ours that are no settings.
const OTHER_VARIABLES: &[&str] = &["HOLDLINE_LOG", "HOLDLINE_CORPUS", "HOLDLINE_CONFIG"];

/// Where a configuration is read from; nothing is read before `load`.
///
/// ```
/// use holdline::config::{NodeConfig, Sources};
///
/// let sources = Sources::new()
///     .environment([("HOLDLINE_SIP".into(), "127.0.0.1:5070".into()), ("HOLDLINE_REPLICAS".into(), "2".into())])
///     .flag("sip", "127.0.0.1:5061");
/// let config = NodeConfig::load(&sources)?;
/// assert_eq!(config.sip.port(), 5061);
/// assert_eq!(config.replicas, 2);
/// # Ok::<(), holdline::config::ConfigError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    environment: HashMap<String, String>,
    flags: Vec<(&'static str, ValueKind)>,
}

impl Sources {
    /// No source: every setting has its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads this TOML file, the weakest source.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Takes the `HOLDLINE_` variables among these; usually `std::env::vars()`.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)));
        self
    }

    /// Sets one setting, over file and environment.
    #[must_use]
    pub fn flag(mut self, key: &'static str, value: impl Display) -> Self {
        self.flags.push((key, ValueKind::String(value.to_string())));
        self
    }

    /// [`flag`](Self::flag) for a flag that may not have been given.
    #[must_use]
    pub fn flag_option(self, key: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.flag(key, value),
            None => self,
        }
    }

    /// Sets a setting that is a list; an empty list sets nothing.
    #[must_use]
    pub fn flag_list(mut self, key: &'static str, values: &[String]) -> Self {
        if !values.is_empty() {
            self.flags.push((key, ValueKind::from(values.to_vec())));
        }
        self
    }
}

/// The merged settings of one program, still as they were written.
pub(super) struct Settings {
    values: ::config::Map<String, Value>,
    /// The file as it was named.
    file: Option<PathBuf>,
}

impl Settings {
    /// Merges the sources; `known` are the keys there are.
    pub(super) fn read(sources: &Sources, known: &[&'static str]) -> Result<Self, ConfigError> {
        let mut builder = Config::builder();
        if let Some(path) = &sources.file {
            // Read here: the file source would name the file by another path than the one that was given.
            let content = std::fs::read_to_string(path)
                .map_err(|error| ConfigError::File { path: path.clone(), why: error.to_string() })?;
            let file = File::from_str(&content, FileFormat::Toml);
            let table = file.collect().map_err(|error| file_error(path, &error))?;
            if let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) {
                return Err(unknown(key, path, known));
            }
            builder = builder.add_source(file);
        }
        builder = builder.add_source(
            Environment::with_prefix(PREFIX.trim_end_matches('_'))
                .prefix_separator("_")
                .ignore_empty(true)
                .source(Some(variables_of(&sources.environment, known))),
        );
        for (key, value) in &sources.flags {
            builder = builder
                .set_override(*key, Value::new(Some(&flag(key)), value.clone()))
                .expect("a setting's name is a plain path");
        }
        let values = builder
            .build()
            .and_then(|config| config.collect())
            .map_err(|error| file_error(sources.file.as_deref().unwrap_or("".as_ref()), &error))?;
        Ok(Self { values, file: sources.file.clone() })
    }

    /// One setting, parsed; `expected` says what would be right.
    pub(super) fn optional<T>(
        &self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        let text = value.clone().into_string().map_err(|_| self.invalid(key, value.to_string(), expected))?;
        match parse(text.trim()) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(self.invalid(key, text, expected)),
        }
    }

    /// One setting that is a list: an array, or in one text with commas.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, ConfigError> {
        let Some(value) = self.values.get(key) else { return Ok(Vec::new()) };
        let texts: Vec<String> = match &value.kind {
            ValueKind::Array(items) => items
                .iter()
                .map(|item| {
                    item.clone().into_string().map_err(|_| self.invalid(key, item.to_string(), expected))
                })
                .collect::<Result<_, _>>()?,
            _ => vec![
                value.clone().into_string().map_err(|_| self.invalid(key, value.to_string(), expected))?,
            ],
        };
        let items =
            texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|item| !item.is_empty());
        items.map(|item| parse(item).ok_or_else(|| self.invalid(key, item.to_owned(), expected))).collect()
    }

    /// The error for a value of this setting.
    pub(super) fn invalid(&self, key: &'static str, value: String, expected: &str) -> ConfigError {
        ConfigError::Invalid { key, value, origin: self.origin(key), expected: expected.to_owned() }
    }

    /// Where this setting was given.
    pub(super) fn origin(&self, key: &'static str) -> Origin {
        match (self.values.get(key).map(Value::origin), &self.file) {
            (Some(Some(ENVIRONMENT)), _) => Origin::Environment(variable(key)),
            (Some(Some(flag)), _) => Origin::Flag(flag.to_owned()),
            (Some(None), Some(file)) => Origin::File(file.display().to_string()),
            (Some(None), None) | (None, _) => Origin::Default,
        }
    }
}

/// The variable that sets `key`.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase())
}

/// The flag that sets `key`; a list's flag is given once for each of its items.
pub(super) fn flag(key: &str) -> String {
    let name = if key == "seeds" { "seed" } else { key };
    format!("--{}", name.replace('_', "-"))
}

/// The variables that set a setting. Another one with our prefix may be a slip of the pen and gets a warning.
fn variables_of(
    environment: &HashMap<String, String>,
    known: &[&'static str],
) -> ::config::Map<String, String> {
    let (ours, others): (Vec<_>, Vec<_>) =
        environment.iter().partition(|(name, _)| known.iter().any(|key| **name == variable(key)));
    for (name, _) in others.into_iter().filter(|(name, _)| !OTHER_VARIABLES.contains(&name.as_str())) {
        tracing::warn!("environment variable {name} is ignored: it names no setting of this program");
    }
    ours.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn unknown(key: &str, path: &Path, known: &[&'static str]) -> ConfigError {
    let nearest = known.iter().map(|name| (distance(key, name), *name)).min();
    let known = match nearest {
        Some((distance, name)) if distance <= 2 => format!("did you mean {name}?"),
        _ => format!("the settings are {}", known.join(", ")),
    };
    ConfigError::Unknown { key: key.to_owned(), origin: Origin::File(path.display().to_string()), known }
}

fn file_error(path: &Path, error: &::config::ConfigError) -> ConfigError {
    let why = match error {
        ::config::ConfigError::FileParse { cause, .. } => cause.to_string().trim_end().to_owned(),
        other => other.to_string(),
    };
    ConfigError::File { path: path.to_owned(), why }
}

/// Levenshtein's edit distance: insertions, deletions and substitutions from one word to the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.bytes().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (one, other, edits) in
            [("sip", "sip", 0), ("sipp", "sip", 1), ("seed", "seeds", 1), ("", "abc", 3), ("name", "zone", 3)]
        {
            assert_eq!(distance(one, other), edits, "{one} {other}");
        }
    }
}
