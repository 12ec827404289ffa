//! Which trace a message belongs to (W3C Trace Context, version 00).

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

    /// The same trace with a span of ours, `span`, as the parent of what we ask others.
    #[must_use]
    pub const fn within(self, span: u64) -> Self {
        // Zero is no span, and nobody draws it twice.
        Self { parent: if span == 0 { 1 } else { span }, ..self }
    }

    /// The header's value.
    pub fn header(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace, self.parent, self.flags)
    }
}

/// `length` hexadecimal digits, in lower case.
fn hex(text: &str, length: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_hex = text.len() == length && text.bytes().all(is_digit);
    is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::TraceParent;

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
    fn a_span_of_ours_stays_in_the_trace() {
        let trace = TraceParent::parse(VALID).unwrap();
        assert_eq!(trace.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        let ours = "00-0af7651916cd43dd8448eb211c80319c-00000000000000ab-01";
        assert_eq!(trace.within(0xab).header(), ours);
        assert!(TraceParent::parse(&trace.within(0).header()).is_some());
    }
}
