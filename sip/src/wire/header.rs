//! Header names: known ones (compact forms included) as variants found by a hash made at compile time.

use std::fmt;
use std::hash::{Hash, Hasher};

/// How a header is named in a look-up: by [`HeaderName`], by reference to one, or by its text.
pub trait HeaderKey {
    /// Number of the known name or [`EXT`], and the text.
    #[doc(hidden)]
    fn key(&self) -> (u8, &str);
}

impl HeaderKey for HeaderName {
    fn key(&self) -> (u8, &str) {
        (self.id(), self.as_str())
    }
}

impl HeaderKey for str {
    fn key(&self) -> (u8, &str) {
        (find(self.as_bytes()), self)
    }
}

impl<K: HeaderKey + ?Sized> HeaderKey for &K {
    fn key(&self) -> (u8, &str) {
        (**self).key()
    }
}

/// Number of every name that is not known.
pub(crate) const EXT: u8 = u8::MAX;

macro_rules! header_names {
    ($($variant:ident $name:literal)*) => {
        /// The name of a header, independent of case and compact form.
        #[derive(Clone, Debug)]
        pub enum HeaderName {
            $(
                #[doc = $name]
                $variant,
            )*
            /// Any other name, in its spelling; equality is without case all the same.
            Ext(Box<str>),
        }

        /// The known names without the text of unknown ones.
        #[derive(Clone, Copy)]
        enum Known { $($variant),* }

        const NAMES: &[&str] = &[$($name),*];
        const VARIANTS: &[HeaderName] = &[$(HeaderName::$variant),*];

        impl HeaderName {
            pub(crate) const fn id(&self) -> u8 {
                match self {
                    $(HeaderName::$variant => Known::$variant as u8,)*
                    HeaderName::Ext(_) => EXT,
                }
            }
        }
    };
}

header_names! {
    Accept "Accept"
    AcceptContact "Accept-Contact"
    AcceptEncoding "Accept-Encoding"
    AcceptLanguage "Accept-Language"
    AlertInfo "Alert-Info"
    Allow "Allow"
    AllowEvents "Allow-Events"
    AuthenticationInfo "Authentication-Info"
    Authorization "Authorization"
    CallId "Call-ID"
    CallInfo "Call-Info"
    Contact "Contact"
    ContentDisposition "Content-Disposition"
    ContentEncoding "Content-Encoding"
    ContentLanguage "Content-Language"
    ContentLength "Content-Length"
    ContentType "Content-Type"
    CSeq "CSeq"
    Date "Date"
    Diversion "Diversion"
    ErrorInfo "Error-Info"
    Event "Event"
    Expires "Expires"
    From "From"
    HistoryInfo "History-Info"
    Identity "Identity"
    IdentityInfo "Identity-Info"
    InReplyTo "In-Reply-To"
    Join "Join"
    MaxForwards "Max-Forwards"
    MimeVersion "MIME-Version"
    MinExpires "Min-Expires"
    MinSe "Min-SE"
    Organization "Organization"
    PAssertedIdentity "P-Asserted-Identity"
    PPreferredIdentity "P-Preferred-Identity"
    Path "Path"
    Priority "Priority"
    Privacy "Privacy"
    ProxyAuthenticate "Proxy-Authenticate"
    ProxyAuthorization "Proxy-Authorization"
    ProxyRequire "Proxy-Require"
    RAck "RAck"
    Reason "Reason"
    RecordRoute "Record-Route"
    ReferTo "Refer-To"
    ReferredBy "Referred-By"
    RejectContact "Reject-Contact"
    Replaces "Replaces"
    ReplyTo "Reply-To"
    RequestDisposition "Request-Disposition"
    Require "Require"
    RetryAfter "Retry-After"
    Route "Route"
    RSeq "RSeq"
    Server "Server"
    ServiceRoute "Service-Route"
    SessionExpires "Session-Expires"
    SessionId "Session-ID"
    SipEtag "SIP-ETag"
    SipIfMatch "SIP-If-Match"
    Subject "Subject"
    SubscriptionState "Subscription-State"
    Supported "Supported"
    TargetDialog "Target-Dialog"
    Timestamp "Timestamp"
    To "To"
    Unsupported "Unsupported"
    UserAgent "User-Agent"
    UserToUser "User-to-User"
    Via "Via"
    Warning "Warning"
    WwwAuthenticate "WWW-Authenticate"
}

impl HeaderName {
    /// The long name in its usual spelling; an unknown name as it was given.
    pub fn as_str(&self) -> &str {
        match self {
            HeaderName::Ext(name) => name,
            known => NAMES[known.id() as usize],
        }
    }

    /// The name with this number, or the text where the number is [`EXT`].
    pub(crate) fn from_key(id: u8, text: &str) -> HeaderName {
        match VARIANTS.get(id as usize) {
            Some(known) => known.clone(),
            None => HeaderName::Ext(text.into()),
        }
    }
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &HeaderName) -> bool {
        self.id() == other.id() && (self.id() != EXT || self.as_str().eq_ignore_ascii_case(other.as_str()))
    }
}

impl Eq for HeaderName {}

impl Hash for HeaderName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
        if let HeaderName::Ext(name) = self {
            name.to_ascii_lowercase().hash(state);
        }
    }
}

impl From<&str> for HeaderName {
    fn from(name: &str) -> HeaderName {
        HeaderName::from_key(find(name.as_bytes()), name)
    }
}

impl From<&HeaderName> for HeaderName {
    fn from(name: &HeaderName) -> HeaderName {
        name.clone()
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The long name with this number, which must be a known one's.
pub(crate) fn known(id: u8) -> &'static str {
    NAMES[id as usize]
}

/// The number of a name in any case or in its compact form, [`EXT`] if it is not known.
pub(crate) fn find(name: &[u8]) -> u8 {
    match name {
        [] => EXT,
        [letter] => compact(letter.to_ascii_lowercase()),
        _ => {
            let mut slot = slot(name);
            loop {
                let id = TABLE[slot];
                if id == EXT {
                    return id;
                }
                // Nearly all senders write the usual spelling, and comparing that is quicker.
                let known = NAMES[id as usize].as_bytes();
                if known.len() == name.len() && (known == name || known.eq_ignore_ascii_case(name)) {
                    return id;
                }
                slot = (slot + 1) % SLOTS;
            }
        }
    }
}

/// The compact forms: RFC 3261 §7.3.3 and the registry's later ones.
fn compact(letter: u8) -> u8 {
    let name = match letter {
        b'a' => HeaderName::AcceptContact,
        b'b' => HeaderName::ReferredBy,
        b'c' => HeaderName::ContentType,
        b'd' => HeaderName::RequestDisposition,
        b'e' => HeaderName::ContentEncoding,
        b'f' => HeaderName::From,
        b'i' => HeaderName::CallId,
        b'j' => HeaderName::RejectContact,
        b'k' => HeaderName::Supported,
        b'l' => HeaderName::ContentLength,
        b'm' => HeaderName::Contact,
        b'n' => HeaderName::IdentityInfo,
        b'o' => HeaderName::Event,
        b'r' => HeaderName::ReferTo,
        b's' => HeaderName::Subject,
        b't' => HeaderName::To,
        b'u' => HeaderName::AllowEvents,
        b'v' => HeaderName::Via,
        b'x' => HeaderName::SessionExpires,
        b'y' => HeaderName::Identity,
        _ => return EXT,
    };
    name.id()
}

/// How many places the names are spread over.
const SLOTS: usize = 512;

/// Open addressing over the known names; sparse, so that a look-up compares about once.
const TABLE: [u8; SLOTS] = {
    let mut table = [EXT; SLOTS];
    let mut id = 0;
    while id < NAMES.len() {
        let mut at = slot(NAMES[id].as_bytes());
        while table[at] != EXT {
            at = (at + 1) % SLOTS;
        }
        table[at] = id as u8;
        id += 1;
    }
    table
};

/// Where a name's search starts: its length and four of its letters, case bit set.
const fn slot(name: &[u8]) -> usize {
    let first = (name[0] | 0x20) as usize;
    let second = (name[1] | 0x20) as usize;
    let middle = (name[name.len() / 2] | 0x20) as usize;
    let last = (name[name.len() - 1] | 0x20) as usize;
    ((name.len() * 67) ^ (first * 5) ^ (second * 31) ^ (middle * 11) ^ (last * 131)) % SLOTS
}
