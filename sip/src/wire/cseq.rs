//! The CSeq header: a number and a method.

use std::fmt;
use std::str::FromStr;

use super::error::{ErrorKind, ParseError};
use super::lex;
use super::method::Method;

/// The value of a CSeq header (RFC 3261 §20.16).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// The sequence number, less than 2^31.
    pub number: u32,
    /// The method of the request.
    pub method: Method,
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

impl FromStr for CSeq {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<CSeq, ParseError> {
        split(text).map(|(number, method)| CSeq { number, method: Method::from_token(method) })
    }
}

/// The number and the method's name.
pub(crate) fn split(text: &str) -> Result<(u32, &str), ParseError> {
    let fault = |what| ParseError::new(ErrorKind::Value, what, 0);
    let text = lex::trim(text);
    let end = text.bytes().position(|octet| !octet.is_ascii_digit()).unwrap_or(text.len());
    // RFC 3261 §8.1.1.5: less than 2^31.
    let number = lex::number(&text.as_bytes()[..end])
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| *number < 1 << 31)
        .ok_or(fault("CSeq number is none or too large"))?;
    let method = lex::trim(&text[end..]);
    if end + method.len() == text.len() || !lex::is_token(method.as_bytes()) {
        return Err(fault("Malformed CSeq method"));
    }
    Ok((number, method))
}
