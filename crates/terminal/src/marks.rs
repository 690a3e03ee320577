//! Where a shell says that a prompt, a command or its end is: OSC 133, with a word that only this session's shell was told.
//!
//! `ESC ] 133 ; KIND [; STATUS] ; sshepherd=NONCE`, ended by BEL or ESC \. Output that does not know the nonce cannot forge a
//! mark: what has another one, or none, stays in the bytes and means nothing here.

/// What a mark says about the place where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// `A`: a prompt begins.
    PromptStart,
    /// `B`: the prompt ends; what follows is typed.
    PromptEnd,
    /// `C`: a command's output begins.
    CommandStart,
    /// `D`: a command ended.
    CommandEnd {
        /// Its exit status, where the shell told it.
        status: Option<u8>,
    },
}

/// Bytes without this session's marks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marked {
    /// What came, without our marks.
    pub bytes: Vec<u8>,
    /// Each mark with the place in `bytes` before which it stood.
    pub marks: Vec<(usize, Mark)>,
}

/// Cuts this session's marks out of its bytes.
#[derive(Clone)]
pub struct Marks {
    /// `;sshepherd=NONCE`; none where the nonce could not be one.
    signature: Option<Vec<u8>>,
    held: Vec<u8>,
}

/// What bytes that begin with ESC are.
enum Found {
    /// A mark, this many bytes long.
    Mark(usize, Mark),
    /// Perhaps the beginning of one.
    Perhaps,
    Other,
}

const INTRODUCER: &[u8] = b"\x1b]133;";

impl std::fmt::Debug for Marks {
    /// Without the nonce.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Marks").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl Marks {
    /// Marks with this nonce: 1 to 64 letters and digits. With any other no mark is ever ours, so that a nonce that failed to be
    /// made is none that anyone can write.
    #[must_use]
    pub fn new(nonce: &str) -> Self {
        let usable = (1..=64).contains(&nonce.len())
            && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric());
        Self {
            signature: usable.then(|| format!(";sshepherd={nonce}").into_bytes()),
            held: Vec::new(),
        }
    }

    /// What was held and `bytes`, without our marks; what may be the beginning of one is held back.
    pub fn feed(&mut self, bytes: &[u8]) -> Marked {
        let mut input = std::mem::take(&mut self.held);
        input.extend_from_slice(bytes);
        let mut marked = Marked::default();
        let mut rest = input.as_slice();
        while let Some(at) = rest.iter().position(|byte| *byte == 0x1b) {
            let (before, sequence) = rest.split_at(at);
            marked.bytes.extend_from_slice(before);
            match self.find(sequence) {
                Found::Mark(length, mark) => {
                    marked.marks.push((marked.bytes.len(), mark));
                    rest = sequence.get(length..).unwrap_or_default();
                }
                Found::Perhaps => {
                    self.held = sequence.to_vec();
                    return marked;
                }
                Found::Other => {
                    marked.bytes.push(0x1b);
                    rest = sequence.get(1..).unwrap_or_default();
                }
            }
        }
        marked.bytes.extend_from_slice(rest);
        marked
    }

    /// The end: the bytes that were held back.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    fn find(&self, sequence: &[u8]) -> Found {
        let Some(signature) = &self.signature else { return Found::Other };
        match mark(sequence, signature) {
            Ok((rest, mark)) => Found::Mark(sequence.len() - rest.len(), mark),
            Err(End::Unfinished) => Found::Perhaps,
            Err(End::Different) => Found::Other,
        }
    }
}

/// Why no mark was read.
enum End {
    /// The bytes ended first.
    Unfinished,
    /// These are no mark of ours.
    Different,
}

fn mark<'a>(sequence: &'a [u8], signature: &[u8]) -> Result<(&'a [u8], Mark), End> {
    let rest = expect(sequence, INTRODUCER)?;
    let (kind, rest) = rest.split_first().ok_or(End::Unfinished)?;
    let (rest, mark) = match kind {
        b'A' => (rest, Mark::PromptStart),
        b'B' => (rest, Mark::PromptEnd),
        b'C' => (rest, Mark::CommandStart),
        b'D' => status(rest)?,
        _ => return Err(End::Different),
    };
    let rest = expect(rest, signature)?;
    match rest.split_first().ok_or(End::Unfinished)? {
        (0x07, rest) => Ok((rest, mark)),
        (0x1b, _) => Ok((expect(rest, b"\x1b\\")?, mark)),
        _ => Err(End::Different),
    }
}

/// An exit status after `D`, if there is one: `;` and up to three digits.
fn status(bytes: &[u8]) -> Result<(&[u8], Mark), End> {
    let after = expect(bytes, b";")?;
    let digits = after.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    match (digits, after.get(digits)) {
        (0, None) | (1..=3, None) => Err(End::Unfinished),
        (0, Some(_)) => Ok((bytes, Mark::CommandEnd { status: None })),
        _ => {
            let (digits, rest) = after.split_at(digits);
            let status = std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or(End::Different)?;
            Ok((rest, Mark::CommandEnd { status: Some(status) }))
        }
    }
}

fn expect<'a>(bytes: &'a [u8], wanted: &[u8]) -> Result<&'a [u8], End> {
    match bytes.strip_prefix(wanted) {
        Some(rest) => Ok(rest),
        None if wanted.starts_with(bytes) => Err(End::Unfinished),
        None => Err(End::Different),
    }
}
