//! Typed rules against real shells: what runs is what was judged, word by word.
//!
//! A slice runs each time; `SSHEPHERD_DIFFERENTIAL=5000` runs as many commands as that.

use sshepherd_model::Request;
use sshepherd_policy::typed::{OperandSpec, OptionSpec, Order, Pattern, Program, ValueType};
use sshepherd_policy::{Action, Dialect, LimitTable, Rule, Spec, Verdict};

use crate::shells::{PROGRAMS, Shells};
use crate::site::{host, policy, rule};

/// Commands of the slice.
const SLICE: usize = 150;

/// SplitMix64 (Steele, Lea and Flood 2014): the same commands at every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
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
    fn written(&mut self, word: &str) -> String {
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
    fn command(&mut self) -> Vec<String> {
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
    Rule { id: program.to_owned(), spec: Some(spec.unwrap()), ..rule(Action::Allow, &[]) }
}

#[test]
fn what_a_typed_rule_takes_runs_word_by_word_in_every_shell() {
    let wanted = std::env::var("SSHEPHERD_DIFFERENTIAL").ok().and_then(|count| count.parse().ok());
    let wanted: usize = wanted.unwrap_or(SLICE);
    let rules = PROGRAMS.iter().map(|program| typed(program)).collect();
    let limits = LimitTable {
        base: sshepherd_policy::LimitPatch {
            deny_substrings: Some(Vec::new()),
            ..Default::default()
        },
        ..LimitTable::default()
    };
    let policy = policy(rules, limits, Dialect::default());
    let (shells, host, mut numbers) = (Shells::open(), host("web1", &[]), Numbers(2026));
    let (mut taken, mut executed) = (0, 0);
    while taken < wanted {
        let commands: Vec<Vec<String>> =
            (0..1 + numbers.below(3)).map(|_| numbers.command()).collect();
        let mut text = String::new();
        for argv in &commands {
            if !text.is_empty() {
                text.push_str(numbers.of(&[";", " && ", "; ", "&&"]));
            }
            let words: Vec<String> = argv.iter().map(|word| numbers.written(word)).collect();
            text.push_str(&words.join(numbers.of(&[" ", "  ", "\t"])));
        }
        let Ok(request) = Request::new(&text) else { continue };
        let wire = match policy.judge(&host, &request) {
            Verdict::Allow(permit) => permit.into_parts().wire,
            Verdict::Ask(_) | Verdict::Deny(_) => {
                panic!("{text:?}: {:?}", policy.explain(&host, &request).denial)
            }
        };
        taken += commands.len();
        let mut judged = commands;
        judged.sort();
        for (shell, (ran, _)) in shells.run(&wire) {
            assert_eq!(ran, judged, "{shell} ran something else for {text:?}, sent as {wire:?}");
            executed += ran.len();
        }
    }
    println!("{taken} commands, {executed} executions, 0 mismatches");
}
