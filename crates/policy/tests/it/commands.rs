//! Random commands that typed rules take, and the policy that takes them. The engine's tests read this file, too.

use sshepherd_policy::typed::{OperandSpec, OptionSpec, Order, Pattern, Program, ValueType};
use sshepherd_policy::{
    Action, Dialect, Grants, LimitPatch, LimitTable, NetworkPolicy, Policy, Position, Rule, Spec,
    Terms,
};

use super::shells::PROGRAMS;

/// SplitMix64 (Steele, Lea and Flood 2014): the same commands at every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    pub(crate) fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    /// A word of printable ASCII, the letters that shells care about among them, and of letters beyond it.
    fn word(&mut self) -> String {
        const LETTERS: &str = "aZ09_@%+:,./=-aZ09 \t$`\\\"'!*?[]{}()<>|&;#~^éßà日";
        let letters: Vec<char> = LETTERS.chars().collect();
        let length = 1 + self.below(12);
        let word: String = (0..length).map(|_| letters[self.below(letters.len())]).collect();
        // An operand does not look like an option.
        if word.starts_with('-') { format!("x{word}") } else { word }
    }

    /// A word as somebody may write it: in pieces, each bare or in quotes.
    pub(crate) fn written(&mut self, word: &str) -> String {
        let mut text = String::new();
        let letters: Vec<char> = word.chars().collect();
        let mut rest = letters.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + self.below(rest.len()));
            let piece: String = piece.iter().collect();
            rest = after;
            let bare = piece
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_@%+:,./=-".contains(&byte));
            let double = !piece.contains(['$', '`', '\\', '"', '!']);
            match (self.below(3), bare, double, piece.contains('\'')) {
                (0, true, _, _) => text.push_str(&piece),
                (1, _, true, _) | (_, _, true, true) => text.push_str(&format!("\"{piece}\"")),
                (_, _, _, false) => text.push_str(&format!("'{piece}'")),
                // A single quote beside a dollar sign: letter by letter.
                _ => {
                    for letter in piece.chars() {
                        text.push_str(&if letter == '\'' {
                            "\"'\"".to_owned()
                        } else {
                            format!("'{letter}'")
                        });
                    }
                }
            }
        }
        text
    }

    /// One command that the rule takes, as argv.
    pub(crate) fn command(&mut self) -> Vec<String> {
        let mut argv = vec![self.of(&PROGRAMS).to_owned()];
        for _ in 0..self.below(4) {
            let number = self.below(900) + 1;
            let value = self.word();
            match self.below(5) {
                0 => argv.push(format!("-n{number}")),
                1 => argv.extend(["--lines".to_owned(), number.to_string()]),
                2 => argv.push("-vq".to_owned()),
                3 => argv.push(format!("--value={value}")),
                _ => argv.extend(["-x".to_owned(), value]),
            }
        }
        for _ in 0..self.below(4) {
            argv.push(self.word());
        }
        argv
    }

    /// A list of commands as argvs, and as somebody may write it.
    pub(crate) fn list(&mut self) -> (Vec<Vec<String>>, String) {
        let commands: Vec<Vec<String>> = (0..1 + self.below(3)).map(|_| self.command()).collect();
        let mut text = String::new();
        for argv in &commands {
            if !text.is_empty() {
                text.push_str(self.of(&[";", " && ", "; ", "&&"]));
            }
            let words: Vec<String> = argv.iter().map(|word| self.written(word)).collect();
            text.push_str(&words.join(self.of(&[" ", "  ", "\t"])));
        }
        (commands, text)
    }
}

/// A policy of one typed rule for each recorder.
pub(crate) fn policy() -> Policy {
    let rules = PROGRAMS.iter().map(|program| typed(program)).collect();
    let base = LimitPatch { deny_substrings: Some(Vec::new()), ..LimitPatch::default() };
    let limits = LimitTable { base, ..LimitTable::default() };
    Policy::new(rules, limits, NetworkPolicy::default(), Dialect::default())
}

fn typed(program: &str) -> Rule {
    let option = |names: &[&str], value| OptionSpec {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        value,
        value_optional: false,
        required: false,
        repeatable: true,
    };
    let any = || ValueType::Matching(Pattern::new("(?s).+").unwrap());
    let spec = Spec::new(
        Program::new(program, Vec::new()).unwrap(),
        Vec::new(),
        vec![
            option(&["-n", "--lines"], Some(ValueType::Integer { min: 1, max: 900 })),
            option(&["-v"], None),
            option(&["-q"], None),
            option(&["-x", "--value"], Some(any())),
        ],
        vec![OperandSpec { value: any(), min: 0, max: 9 }],
        Order::Any,
    );
    Rule {
        id: program.to_owned(),
        why: None,
        position: Position::default(),
        action: Action::Allow,
        aliases: Vec::new(),
        tags: Vec::new(),
        commands: Vec::new(),
        spec: Some(spec.unwrap()),
        as_user: None,
        terms: Terms::default(),
        examples: Vec::new(),
        shell_unrestricted: false,
        grants: Grants::default(),
    }
}

/// How many commands are wanted: `SSHEPHERD_DIFFERENTIAL`, else a slice.
pub(crate) fn wanted(slice: usize) -> usize {
    let wanted = std::env::var("SSHEPHERD_DIFFERENTIAL").ok();
    wanted.and_then(|count| count.parse().ok()).unwrap_or(slice)
}
