//! Which trace a message belongs to (W3C Trace Context, version 00), and what is told of the work on it.

use std::fmt;
use std::time::Instant;

/// A `traceparent`, as far as it says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace: u128,
    parent: u64,
    flags: u8,
}

impl TraceParent {
    /// Reads the header's value. A later version is read as far as version 00 goes, as the standard wants.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '-');
        let version = hex(parts.next()?, 2)?;
        let trace = hex(parts.next()?, 32)?;
        let parent = u64::try_from(hex(parts.next()?, 16)?).ok()?;
        let rest = parts.next()?;
        let (flags, more) = rest.split_at_checked(2)?;
        let flags = u8::try_from(hex(flags, 2)?).ok()?;
        let has_end =
            if version == 0 { more.is_empty() } else { more.is_empty() || more.starts_with('-') };
        let is_valid = version != 0xff && trace != 0 && parent != 0 && has_end;
        is_valid.then_some(Self { trace, parent, flags })
    }

    /// The trace's id.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The header's value.
    pub fn header(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace, self.parent, self.flags)
    }
}

/// Where a piece of our work stands in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    id: u128,
    span: u64,
    parent: Option<u64>,
    is_remote: bool,
    flags: u8,
}

impl Trace {
    /// Joins the trace of whoever asked.
    pub const fn joined(told: TraceParent, span: u64) -> Self {
        let TraceParent { trace, parent, flags } = told;
        Self { id: trace, span: drawn(span), parent: Some(parent), is_remote: true, flags }
    }

    /// Begins a trace, of which spans are kept.
    pub const fn begun(id: u128, span: u64) -> Self {
        let id = if id == 0 { 1 } else { id };
        Self { id, span: drawn(span), parent: None, is_remote: false, flags: SAMPLED }
    }

    /// A part of this work.
    #[must_use]
    pub const fn within(self, span: u64) -> Self {
        Self { span: drawn(span), parent: Some(self.span), is_remote: false, ..self }
    }

    /// The trace's id.
    pub const fn id(&self) -> u128 {
        self.id
    }

    /// The work's own id.
    pub const fn span(&self) -> u64 {
        self.span
    }

    /// The id of what it is a part of, and whether that is somebody else's.
    pub const fn parent(&self) -> Option<(u64, bool)> {
        match self.parent {
            Some(parent) => Some((parent, self.is_remote)),
            None => None,
        }
    }

    /// Whether spans of the trace are kept, as whoever began it wants.
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// What others are told, whose work is a part of this.
    pub const fn told(&self) -> TraceParent {
        TraceParent { trace: self.id, parent: self.span, flags: self.flags }
    }
}

/// The flag of a trace whose spans are kept.
const SAMPLED: u8 = 1;

/// Zero is no span, and nobody draws it twice.
const fn drawn(span: u64) -> u64 {
    if span == 0 { 1 } else { span }
}

/// What a span says: words of ours, numbers, and names that are configured or made by us. Never text of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A word of ours.
    Word(&'static str),
    /// A configured name, or an id of ours.
    Name(Box<str>),
    /// A number.
    Number(u64),
}

/// Whose work a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Somebody asked us.
    Server,
    /// We asked somebody.
    Client,
    /// Our own.
    Internal,
}

/// A piece of work that is over.
#[derive(Clone, Debug)]
pub struct Span {
    /// Where it stands.
    pub at: Trace,
    /// Whose it is.
    pub role: Role,
    /// What it is called: a method, a configured path, a word.
    pub name: String,
    /// When it began.
    pub begun: Instant,
    /// When it was over.
    pub ended: Instant,
    /// What it says.
    pub said: Vec<(&'static str, Said)>,
    /// Whether it failed.
    pub failed: bool,
}

/// Takes spans, without waiting.
pub trait Spans: fmt::Debug + Send + Sync {
    /// Takes one.
    fn record(&self, span: Span);
}

/// `length` hexadecimal digits, in lower case.
fn hex(text: &str, length: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_hex = text.len() == length && text.bytes().all(is_digit);
    is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::{Trace, TraceParent};

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_parent_is_read_strictly() {
        let check = |text: &str, expected: Option<&str>| {
            let read = TraceParent::parse(text).map(|trace| trace.header());
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        check(VALID, Some(VALID));
        check("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", Some(VALID));
        check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some(VALID));
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-€1",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn work_of_ours_stays_in_the_trace() {
        let told = TraceParent::parse(VALID).unwrap();
        assert_eq!(told.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        let work = Trace::joined(told, 0xab);
        assert_eq!(work.told().header(), "00-0af7651916cd43dd8448eb211c80319c-00000000000000ab-01");
        assert_eq!(work.parent(), Some((0xb7ad_6b71_6920_3331, true)));
        let part = work.within(0xcd);
        assert_eq!(part.told().header(), "00-0af7651916cd43dd8448eb211c80319c-00000000000000cd-01");
        assert_eq!(part.parent(), Some((0xab, false)));
        assert!(part.is_sampled());
        let quiet = VALID.replace("-01", "-00");
        let quiet = Trace::joined(TraceParent::parse(&quiet).unwrap(), 7).within(8);
        assert!(!quiet.is_sampled() && quiet.told().header().ends_with("-00"));
        // What is drawn as zero is no id.
        for work in [Trace::begun(0, 0), work.within(0)] {
            assert_eq!(TraceParent::parse(&work.told().header()), Some(work.told()));
        }
        assert_eq!(Trace::begun(5, 6).parent(), None);
    }
}
