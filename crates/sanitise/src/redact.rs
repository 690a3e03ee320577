//! Finds secrets in text: those that are loaded here, in the forms that programs print them in, and well-known tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use regex::Regex;

use crate::clean::{Cleaner, Out};
use crate::shapes::SHAPES;

/// Shortest secret that is looked for, in bytes: a shorter one would cut ordinary words.
pub const MIN_SECRET: usize = 4;

/// Shortest piece of a secret in base64 that is looked for, in characters.
const MIN_ENCODED: usize = 8;

/// How often each kind was redacted.
pub type Redacted = BTreeMap<&'static str, u64>;

/// The kind of a loaded secret.
pub const LOADED: &str = "secret";

/// Finds secrets. `Debug` shows none.
#[derive(Clone)]
pub struct Redactor {
    /// The forms of the loaded secrets, the longest first.
    forms: Vec<String>,
    loaded: Vec<Regex>,
    shapes: Vec<Shape>,
}

/// A known shape. The expressions are slow beside looking for a text that each of them needs.
#[derive(Clone)]
struct Shape {
    name: &'static str,
    texts: Vec<&'static str>,
    loose: Option<Regex>,
    regex: Regex,
}

impl Shape {
    fn new(
        (name, hints, shape): &(&'static str, &'static [&'static str], &'static str),
    ) -> Option<Self> {
        let loose = hints.iter().find_map(|hint| hint.strip_prefix('?'));
        Some(Self {
            name,
            texts: hints.iter().copied().filter(|hint| !hint.starts_with('?')).collect(),
            loose: loose.map(|hint| Regex::new(&format!("(?i-u:{hint})"))).transpose().ok()?,
            regex: Regex::new(shape).ok()?,
        })
    }

    fn may_be_in(&self, text: &str) -> bool {
        self.texts.iter().any(|hint| text.contains(hint))
            || self.loose.as_ref().is_some_and(|loose| loose.is_match(text))
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor(…)")
    }
}

impl Redactor {
    /// Looks for these secrets, but for those shorter than [`MIN_SECRET`], and for the known shapes.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms: BTreeSet<String> = BTreeSet::new();
        for secret in secrets.into_iter().filter(|secret| secret.len() >= MIN_SECRET) {
            forms.extend(written(secret));
        }
        // The longest first: an alternation takes the first that fits.
        let mut forms: Vec<String> = forms.into_iter().collect();
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        let loaded = forms.chunks(BATCH).flat_map(any_of).collect();
        // The shapes are constants, and a test compiles each.
        let shapes = SHAPES.iter().filter_map(Shape::new).collect();
        Self { forms, loaded, shapes }
    }

    /// Where secrets stand in a text, in order and apart from each other.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<(Range<usize>, &'static str)> {
        let mut found: Vec<(Range<usize>, &'static str)> = Vec::new();
        for loaded in &self.loaded {
            found.extend(loaded.find_iter(text).map(|hit| (hit.range(), LOADED)));
        }
        for shape in self.shapes.iter().filter(|shape| shape.may_be_in(text)) {
            for hit in shape.regex.captures_iter(text) {
                let part = hit.name("secret").or_else(|| hit.get(0));
                found.extend(part.map(|part| (part.range(), shape.name)));
            }
        }
        found.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        let mut apart: Vec<(Range<usize>, &'static str)> = Vec::with_capacity(found.len());
        for (range, kind) in found {
            match apart.last_mut() {
                Some((last, _)) if range.start < last.end => last.end = last.end.max(range.end),
                Some(_) | None => apart.push((range, kind)),
            }
        }
        apart
    }

    /// Where the end of a text begins that may become a loaded secret when more comes; the length of the text when none does.
    #[must_use]
    pub fn begins(&self, text: &str) -> usize {
        let longest = |form: &String| {
            let mut ends = form.char_indices().map(|(at, _)| at).filter(|at| *at > 0).rev();
            ends.find(|end| form.get(..*end).is_some_and(|start| text.ends_with(start)))
        };
        text.len() - self.forms.iter().filter_map(longest).max().unwrap_or(0)
    }

    /// The text with every secret replaced, and how many there were.
    #[must_use]
    pub fn redact(&self, text: &str) -> (String, Redacted) {
        let (mut shown, mut counts, mut from) =
            (String::with_capacity(text.len()), Redacted::new(), 0);
        for (range, kind) in self.find(text) {
            shown.push_str(text.get(from..range.start).unwrap_or_default());
            shown.push_str(&marker(kind));
            *counts.entry(kind).or_default() += 1;
            from = range.end;
        }
        shown.push_str(text.get(from..).unwrap_or_default());
        (shown, counts)
    }
}

/// Forms that are looked for together: a few thousand letters make a small automaton.
const BATCH: usize = 256;

/// One expression for some forms; one each, should that be too large.
fn any_of(forms: &[String]) -> Vec<Regex> {
    let pattern: Vec<String> = forms.iter().map(|form| regex::escape(form)).collect();
    let build = |pattern: &str| regex::RegexBuilder::new(pattern).size_limit(1 << 28).build();
    match build(&pattern.join("|")) {
        Ok(all) => vec![all],
        Err(_) => pattern.iter().filter_map(|form| build(form).ok()).collect(),
    }
}

/// What stands in a secret's place.
pub(crate) fn marker(kind: &str) -> String {
    format!("[redacted: {kind}]")
}

/// The forms that programs print a secret in.
fn written(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    // As it stands in text that was cleaned.
    let (mut clean, mut cleaner) = (String::new(), Cleaner::default());
    let mut out = |_, out| {
        if let Out::Show(character) = out {
            clean.push(character);
        }
    };
    cleaner.push(secret.as_bytes(), &mut out);
    cleaner.finish(&mut out);
    forms.push(clean);
    let percent = |upper: bool, keep: &[u8]| {
        secret.bytes().fold(String::new(), |mut text, byte| {
            if byte.is_ascii_alphanumeric() || keep.contains(&byte) {
                text.push(char::from(byte));
            } else if upper {
                text.push_str(&format!("%{byte:02X}"));
            } else {
                text.push_str(&format!("%{byte:02x}"));
            }
            text
        })
    };
    forms.extend([percent(true, b"-._~"), percent(false, b"-._~"), percent(true, b"-._~!*'()")]);
    forms.push(percent(true, b"-._~ ").replace(' ', "+"));
    forms.push(secret.replace('\\', "\\\\").replace('"', "\\\""));
    forms.push(secret.replace('\'', "'\\''"));
    forms.push(secret.replace('\'', "'\"'\"'"));
    forms.push(secret.bytes().map(|byte| format!("{byte:02x}")).collect());
    forms.push(secret.bytes().map(|byte| format!("{byte:02X}")).collect());
    forms.push(
        secret
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;"),
    );
    // In base64 a text looks different by where it begins within three bytes; the letters at both ends depend on its
    // neighbours.
    for before in 0..3_usize {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret.as_bytes());
        let whole = bytes.len() / 3 * 4 + [0, 1, 2].get(bytes.len() % 3).copied().unwrap_or(0);
        let skip = [0, 2, 3].get(before).copied().unwrap_or(0);
        for encoded in [BASE64.encode(&bytes), BASE64URL_NOPAD.encode(&bytes)] {
            let part = encoded.get(skip..whole).unwrap_or_default();
            if part.len() >= MIN_ENCODED {
                forms.push(part.to_owned());
            }
        }
    }
    forms.retain(|form| form.len() >= MIN_SECRET);
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_compiles_and_takes_what_it_is_for() {
        assert_eq!(Redactor::new([]).shapes.len(), SHAPES.len());
        let a = |n: usize| "a".repeat(n);
        for (kind, text) in [
            (
                "private-key",
                "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\nxyz=\n-----END OPENSSH PRIVATE KEY-----"
                    .to_owned(),
            ),
            ("private-key", "-----BEGIN PRIVATE KEY-----\nabc\nno end".to_owned()),
            ("private-key", "abcd\nxyz=\n-----END RSA PRIVATE KEY-----".to_owned()),
            ("aws-access-key", "AKIAIOSFODNN7EXAMPLE".to_owned()),
            (
                "aws-secret-key",
                "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            ),
            ("github-token", format!("ghp_{}", a(36))),
            ("github-token", format!("github_pat_{}", a(30))),
            ("gitlab-token", format!("glpat-{}", a(20))),
            ("slack-token", "xoxb-123456789012-abcdef".to_owned()),
            ("slack-webhook", format!("https://hooks.slack.com/services/T0/B0/{}", a(24))),
            ("stripe-key", format!("sk_live_{}", a(24))),
            ("google-key", format!("AIza{}", a(35))),
            ("google-oauth", format!("ya29.{}", a(30))),
            ("anthropic-key", format!("sk-ant-api03-{}", a(30))),
            ("openai-key", format!("sk-proj-{}", a(40))),
            ("npm-token", format!("npm_{}", a(36))),
            ("pypi-token", format!("pypi-{}", a(40))),
            ("jwt", format!("eyJ{}.eyJ{}.{}", a(10), a(10), a(10))),
            ("azure-key", format!("AccountKey={}==", a(86))),
            ("digitalocean-token", format!("dop_v1_{}", a(64))),
            ("sendgrid-key", format!("SG.{}.{}", a(22), a(43))),
            ("twilio-key", format!("SK{}", a(32))),
            ("vault-token", format!("hvs.{}", a(24))),
            ("age-key", format!("AGE-SECRET-KEY-1{}", "Q".repeat(58))),
            ("huggingface-token", format!("hf_{}", a(34))),
            ("password-hash", "$6$saltsalt$abcdefghijklmnopqrstuvwxyz".to_owned()),
        ] {
            let (shown, counts) = Redactor::new([]).redact(&format!("x {text} y"));
            assert_eq!(counts.keys().collect::<Vec<_>>(), [&kind], "{text}: {shown}");
            assert!(shown.starts_with("x [redacted: "), "{shown}");
            // A key without its end may go on to the end of the text.
            assert!(shown.ends_with("] y") || text.ends_with("no end"), "{shown}");
        }
        for (text, shown) in [
            ("postgres://app:hunter2@db/x", "postgres://app:[redacted: url-password]@db/x"),
            (
                "Authorization: Bearer abcdefgh123",
                "Authorization: Bearer [redacted: authorization]",
            ),
        ] {
            assert_eq!(Redactor::new([]).redact(text).0, shown);
        }
    }

    #[test]
    fn ordinary_text_stays() {
        for text in [
            "drwxr-xr-x 2 root root 4096 Nov 20 10:00 sk-learn",
            "commit 3f786850e387550fdab836ed7e6dc881de23001b",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE user@host",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "https://example.org/a:b@c http://host:8080/x user@host:path",
            "the price is $6 or $5$ more",
            "AKIA is a prefix; gh_pages; xox-box; npm_config_registry=https://x",
        ] {
            assert_eq!(Redactor::new([]).redact(text), (text.to_owned(), Redacted::new()));
        }
    }

    #[test]
    fn a_loaded_secret_is_found_in_every_form() {
        let secret = "p@ss w\"or'd&1\\";
        let redactor = Redactor::new([secret, "abc"]);
        assert_eq!(format!("{redactor:?}"), "Redactor(…)");
        let encoded = |before: &str, after: &str| {
            BASE64.encode(format!("{before}{secret}{after}").as_bytes())
        };
        for text in [
            secret.to_owned(),
            "p%40ss%20w%22or%27d%261%5C".to_owned(),
            "p%40ss%20w%22or%27d%261%5c".to_owned(),
            "p%40ss+w%22or%27d%261%5C".to_owned(),
            "p@ss w\\\"or'd&1\\\\".to_owned(),
            "p@ss w\"or'\\''d&1\\".to_owned(),
            "p@ss w&quot;or'd&amp;1\\".to_owned(),
            "70407373207722 6f72".replace(' ', "") + "276426315c",
        ] {
            let (shown, counts) = redactor.redact(&format!("<{text}>"));
            assert_eq!(
                (shown.as_str(), counts.get(LOADED)),
                ("<[redacted: secret]>", Some(&1)),
                "{text}"
            );
        }
        for text in [
            encoded("", ""),
            encoded("user:", ""),
            encoded("ab", "cd"),
            encoded("a", "xyz"),
            encoded("abc", "d"),
        ] {
            let (shown, counts) = redactor.redact(&text);
            assert_eq!(counts.get(LOADED), Some(&1), "{text}: {shown}");
            assert!(shown.len() < "[redacted: secret]".len() + 12, "{text}: {shown}");
        }
        assert_eq!(
            redactor.redact("abc"),
            ("abc".to_owned(), Redacted::new()),
            "too short to look for"
        );
    }
}
