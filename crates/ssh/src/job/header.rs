//! How a script answers: one line on each stream behind a random mark, after whatever start-up files print.

use bytes::Bytes;

/// Most bytes of noise that are searched for the line.
const MAX_NOISE: usize = 64 * 1024;

/// Longest line; the longest field is a path.
const MAX_LINE: usize = 8 * 1024;

/// Looks for the line `sshepherd-NONCE WORDS` in one stream.
#[derive(Debug)]
pub(super) struct Header {
    needle: Vec<u8>,
    held: Vec<u8>,
    /// Where the words begin, once the mark is there.
    found: Option<usize>,
    line: Option<String>,
}

/// What a piece came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// Nothing yet.
    More,
    /// The line was complete before, or is now: what follows it.
    After(Bytes),
    /// No script prints so much before it.
    Noise,
}

impl Header {
    pub(super) fn new(nonce: &str) -> Self {
        let needle = format!("sshepherd-{nonce} ").into_bytes();
        Self { needle, held: Vec::new(), found: None, line: None }
    }

    /// The words of the line.
    pub(super) fn line(&self) -> Option<&str> {
        self.line.as_deref()
    }

    pub(super) fn feed(&mut self, piece: Bytes) -> Fed {
        if self.line.is_some() {
            return Fed::After(piece);
        }
        // Where the mark may begin that was not there before this piece.
        let new = self.held.len().saturating_sub(self.needle.len());
        self.held.extend_from_slice(&piece);
        if self.found.is_none() {
            let unseen = self.held.get(new..).unwrap_or_default();
            let found = unseen.windows(self.needle.len()).position(|text| text == self.needle);
            self.found = found.map(|start| new + start + self.needle.len());
        }
        let words = self.found;
        let rest = words.and_then(|start| self.held.get(start..)).unwrap_or_default();
        if let Some(length) = rest.iter().position(|byte| *byte == b'\n') {
            let line = rest.get(..length).unwrap_or_default();
            let after = Bytes::copy_from_slice(rest.get(length + 1..).unwrap_or_default());
            self.line = Some(String::from_utf8_lossy(line).into_owned());
            self.held = Vec::new();
            return Fed::After(after);
        }
        let most = if words.is_some() { MAX_NOISE + MAX_LINE } else { MAX_NOISE };
        if self.held.len() > most { Fed::Noise } else { Fed::More }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found_in_any_chunking_and_what_follows_is_kept() {
        let whole = b"motd sshepherd-\nsshepherd-ab job 1 2 3 /a b\nrest\n";
        for piece in 1..=whole.len() {
            let (mut header, mut after) = (Header::new("ab"), Vec::new());
            for bytes in whole.chunks(piece) {
                match header.feed(Bytes::from_static(bytes)) {
                    Fed::After(bytes) => after.extend_from_slice(&bytes),
                    Fed::More => {}
                    Fed::Noise => panic!("no noise"),
                }
            }
            assert_eq!((header.line(), after.as_slice()), (Some("job 1 2 3 /a b"), &b"rest\n"[..]));
        }
    }

    #[test]
    fn output_without_the_line_is_given_up() {
        let mut header = Header::new("ab");
        assert_eq!(header.feed(Bytes::from(vec![b'x'; MAX_NOISE])), Fed::More);
        assert_eq!(header.feed(Bytes::from_static(b"x")), Fed::Noise);
        let mut header = Header::new("ab");
        header.feed(Bytes::from_static(b"sshepherd-ab "));
        assert_eq!(header.feed(Bytes::from(vec![b'x'; MAX_NOISE + MAX_LINE])), Fed::Noise);
    }
}
