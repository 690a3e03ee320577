//! Bytes of another encoding than UTF-8 as characters, each with the place of its first byte.

use std::fmt;

use encoding_rs::{Decoder, Encoding};

/// Room for what one byte can bring out: a few characters at most, where it shows that those before it are none.
const ROOM: usize = 32;

/// Reads bytes one at a time.
pub(crate) struct Foreign {
    encoding: &'static Encoding,
    decoder: Decoder,
    /// Bytes that begin a character.
    begun: usize,
}

impl Clone for Foreign {
    /// At a place where no character is begun; nobody copies one elsewhere.
    fn clone(&self) -> Self {
        Self::new(self.encoding)
    }
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Foreign").field(&self.encoding.name()).finish()
    }
}

impl Foreign {
    pub(crate) fn new(encoding: &'static Encoding) -> Self {
        Self { encoding, decoder: encoding.new_decoder_without_bom_handling(), begun: 0 }
    }

    /// Reads one byte; what it completes, each character with the number of bytes since the first of those it came from.
    pub(crate) fn push(&mut self, byte: u8) -> Vec<(usize, char)> {
        let mut room = [0; ROOM];
        let (_, _, written, _) = self.decoder.decode_to_utf8(&[byte], &mut room, false);
        self.begun += 1;
        if written == 0 {
            return Vec::new();
        }
        let back = std::mem::take(&mut self.begun) - 1;
        let text = std::str::from_utf8(room.get(..written).unwrap_or_default()).unwrap_or_default();
        let characters = text.chars().count();
        // An ASCII byte that ends no character is one itself, after what it shows to be none.
        let itself = |place: usize, character: char| {
            place + 1 == characters && characters > 1 && character == char::from(byte)
        };
        text.chars()
            .enumerate()
            .map(|(place, character)| (if itself(place, character) { 0 } else { back }, character))
            .collect()
    }

    /// Bytes of a character that never came to its end.
    pub(crate) fn unfinished(&self) -> usize {
        self.begun
    }
}
