//! YAML as Ansible reads it: version 1.1, in which `no` is false and `022` is eighteen, and of a key that stands there twice the last
//! counts.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::{Kind, Node, TAGGED, deep};

/// What a key begins with that is no text: none of YAML's letters.
pub(crate) const NO_TEXT: char = '\0';
/// Most values, with those that aliases stand for.
const MAX_NODES: usize = 2_000_000;

/// What is wrong, and on which line.
type Wrong = (usize, String);

/// Reads a text as one document.
pub(crate) fn read(text: &str) -> Result<Node, Wrong> {
    if let Some(line) = deep(text) {
        return Err((line, "is nested too deeply".to_owned()));
    }
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event
            .map_err(|error| (error.marker().line(), format!("not YAML: {}", error.info())))?;
        reader.take(event, span.start.line())?;
    }
    Ok(reader.root.unwrap_or(Node { line: 1, kind: Kind::Null }))
}

/// A list or a mapping that is being read.
struct Begun {
    line: usize,
    anchor: usize,
    tagged: bool,
    /// How many values there were before it.
    before: usize,
    items: Vec<Node>,
    /// The entries of a mapping; `None` in a list.
    entries: Option<Vec<(String, Node)>>,
    /// A key whose value comes next.
    key: Option<(String, usize)>,
}

#[derive(Default)]
struct Reader {
    begun: Vec<Begun>,
    /// What an alias stands for, and how many values that is.
    anchors: BTreeMap<usize, (Node, usize)>,
    root: Option<Node>,
    nodes: usize,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Wrong> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err((line, "a second YAML document; write one only".to_owned()))
            }
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let (node, size) = known.ok_or((line, "an alias that holds itself".to_owned()))?;
                self.nodes += size;
                self.put(Node { line, ..node })
            }
            Event::Scalar(text, style, anchor, tag) => {
                let kind = scalar(&text, style, tag.as_deref());
                self.nodes += 1;
                let node = Node { line, kind };
                self.anchors.insert(anchor, (node.clone(), 1));
                self.put(node)
            }
            Event::SequenceStart(anchor, tag) => self.begin(line, anchor, tag.as_deref(), None),
            Event::MappingStart(anchor, tag) => {
                self.begin(line, anchor, tag.as_deref(), Some(Vec::new()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(
        &mut self,
        line: usize,
        anchor: usize,
        tag: Option<&Tag>,
        entries: Option<Vec<(String, Node)>>,
    ) -> Result<(), Wrong> {
        let tagged = tag.is_some_and(|tag| !tag.is_yaml_core_schema());
        self.nodes += 1;
        let before = self.nodes;
        self.begun.push(Begun {
            line,
            anchor,
            tagged,
            before,
            items: Vec::new(),
            entries,
            key: None,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Wrong> {
        let Some(begun) = self.begun.pop() else { return Ok(()) };
        let kind = match begun.entries {
            _ if begun.tagged => Kind::Other(TAGGED),
            Some(entries) => Kind::Map(entries),
            None => Kind::List(begun.items),
        };
        let node = Node { line: begun.line, kind };
        if begun.anchor > 0 {
            self.anchors.insert(begun.anchor, (node.clone(), self.nodes - begun.before + 1));
        }
        self.put(node)
    }

    /// Puts a value where it belongs.
    fn put(&mut self, mut node: Node) -> Result<(), Wrong> {
        if self.nodes > MAX_NODES {
            return Err((
                node.line,
                format!("more than {MAX_NODES} values, with those of aliases"),
            ));
        }
        let Some(begun) = self.begun.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        let Some(entries) = &mut begun.entries else {
            begun.items.push(node);
            return Ok(());
        };
        let Some((key, line)) = begun.key.take() else {
            begun.key = Some((key_of(&node), node.line));
            return Ok(());
        };
        // A value on the next line belongs to its key's line: that is where a person looks.
        node.line = line;
        match entries.iter_mut().find(|(name, _)| *name == key) {
            Some((_, value)) => *value = node,
            None => entries.push((key, node)),
        }
        Ok(())
    }
}

/// The text of a key; one that is no text begins with [`NO_TEXT`].
fn key_of(node: &Node) -> String {
    match &node.kind {
        Kind::Text(text) => text.clone(),
        Kind::Null => format!("{NO_TEXT}null"),
        Kind::Boolean(value) => format!("{NO_TEXT}{value}"),
        Kind::Integer(number) => format!("{NO_TEXT}{number}"),
        Kind::List(_) | Kind::Map(_) | Kind::Other(_) => format!("{NO_TEXT}{}", node.kind.name()),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Kind {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => Kind::Other(TAGGED),
        Some(tag) if tag.suffix == "str" => Kind::Text(text.to_owned()),
        None if style != ScalarStyle::Plain => Kind::Text(text.to_owned()),
        Some(_) | None => plain(text),
    }
}

/// A text without quotes, by the rules of YAML 1.1.
fn plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Kind::Boolean(true)
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Kind::Boolean(false)
        }
        _ => match number(text) {
            Some(Some(number)) => Kind::Integer(number),
            Some(None) => Kind::Other("a number"),
            None if is_fraction(text) => Kind::Other("a fraction"),
            None => Kind::Text(text.to_owned()),
        },
    }
}

/// A whole number, `None` within where it is too large.
fn number(text: &str) -> Option<Option<i64>> {
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (if text.starts_with('-') { -1 } else { 1 }, digits),
        None => (1, text),
    };
    let plain = digits.replace('_', "");
    let all = |allowed: &str| !plain.is_empty() && plain.chars().all(|it| allowed.contains(it));
    let based = |prefix: &str, base: u32| {
        let digits = plain.strip_prefix(prefix)?;
        let sound = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base));
        sound.then(|| i64::from_str_radix(digits, base).ok())
    };
    let found = if let Some(found) = based("0b", 2).or_else(|| based("0x", 16)) {
        found
    } else if digits.starts_with('0') && digits.len() > 1 {
        if !all("01234567") {
            return None;
        }
        i64::from_str_radix(&plain, 8).ok()
    } else if digits.starts_with(|first: char| first.is_ascii_digit()) && all("0123456789") {
        plain.parse().ok()
    } else {
        let (mut parts, mut sum) = (plain.split(':'), 0_i64);
        let first = parts.next().filter(|it| it.starts_with(|c| ('1'..='9').contains(&c)))?;
        let rest: Vec<&str> = parts.collect();
        let sound = |part: &&str| part.len() <= 2 && part.parse::<u8>().is_ok_and(|it| it < 60);
        if rest.is_empty()
            || !first.bytes().all(|it| it.is_ascii_digit())
            || !rest.iter().all(sound)
        {
            return None;
        }
        for part in std::iter::once(&first).chain(&rest) {
            sum = sum.checked_mul(60)?.checked_add(part.parse().ok()?)?;
        }
        Some(sum)
    };
    Some(found.and_then(|found| found.checked_mul(sign)))
}

fn is_fraction(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if [".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"].contains(&digits) {
        return true;
    }
    let Some((whole, rest)) = digits.split_once('.') else { return false };
    let (rest, exponent) = match rest.split_once(['e', 'E']) {
        Some((rest, exponent)) => (rest, Some(exponent)),
        None => (rest, None),
    };
    let digits = |text: &str| text.bytes().all(|it| it.is_ascii_digit() || it == b'_');
    let signed = |text: &str| {
        text.strip_prefix(['-', '+'])
            .is_some_and(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()))
    };
    let begins = |text: &str| text.starts_with(|it: char| it.is_ascii_digit());
    digits(whole)
        && digits(rest)
        && (begins(whole) || (whole.is_empty() && begins(rest)))
        && exponent.is_none_or(signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_what_they_do_in_yaml_1_1() {
        for (text, wanted) in [
            ("no", Kind::Boolean(false)),
            ("On", Kind::Boolean(true)),
            ("0022", Kind::Integer(18)),
            ("022", Kind::Integer(18)),
            ("08", Kind::Text("08".to_owned())),
            ("0x1F", Kind::Integer(31)),
            ("1_000", Kind::Integer(1000)),
            ("22:22", Kind::Integer(1342)),
            ("-5", Kind::Integer(-5)),
            ("3.10", Kind::Other("a fraction")),
            ("1.", Kind::Other("a fraction")),
            ("1e3", Kind::Text("1e3".to_owned())),
            ("10.0.0.1", Kind::Text("10.0.0.1".to_owned())),
            ("2026-01-02", Kind::Text("2026-01-02".to_owned())),
            ("2001:db8::1", Kind::Text("2001:db8::1".to_owned())),
            ("n", Kind::Text("n".to_owned())),
            ("", Kind::Null),
        ] {
            assert_eq!(format!("{:?}", plain(text)), format!("{wanted:?}"), "{text}");
        }
    }

    #[test]
    fn the_last_of_two_keys_counts_and_aliases_are_filled_in() {
        let node = read("a: &x {b: 1, b: 2}\nc: *x\na: 3\n1: y\n\"2\": z\n").unwrap();
        let keys: Vec<&str> = node.entries().unwrap().iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["a", "c", "\u{0}1", "2"]);
        let entries = node.entries().unwrap();
        assert_eq!(entries[0].1.as_integer(), Some(3));
        assert_eq!(entries[1].1.entries().unwrap()[0].1.as_integer(), Some(2));
    }

    #[test]
    fn aliases_of_aliases_are_bounded() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            let list = vec![before; 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        assert!(read(&text).unwrap_err().1.contains("more than 2000000 values"));
        assert_eq!(read("a: &x [*x]\n").unwrap_err().1, "an alias that holds itself");
    }
}
