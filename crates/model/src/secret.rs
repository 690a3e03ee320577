//! Values that are wiped when dropped and never print.

use std::fmt;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

/// A password or passphrase. `Debug` shows nothing; there is no `Display` and no serialisation.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes ownership of the text, and leaves no copy of it.
    #[must_use]
    pub fn new(text: String) -> Self {
        // A text with room to spare would be moved when it is cut to its length, and its old place not wiped.
        let text = Zeroizing::new(text);
        Self(SecretString::new(Box::from(text.as_str())))
    }

    /// The text, for the one place that hands it to the SSH library.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret(…) Some(Secret(…))");
        assert_eq!(secret.expose(), "hunter2");
    }
}
