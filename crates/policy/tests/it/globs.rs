//! Patterns against a second, naive matcher, and in linear time.

use proptest::prelude::*;
use sshepherd_policy::Glob;

/// The meaning of a pattern, written for clarity only.
fn naive(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
        Some(('?', rest)) => text.split_first().is_some_and(|(_, after)| naive(rest, after)),
        Some(('[', rest)) => {
            let negated = rest.first() == Some(&'!');
            let rest = if negated { &rest[1..] } else { rest };
            // A ] that comes first is a member.
            let end = 1 + rest.iter().skip(1).position(|letter| *letter == ']').unwrap();
            let Some((first, after)) = text.split_first() else { return false };
            member(&rest[..end], *first) != negated && naive(&rest[end + 1..], after)
        }
        Some((letter, rest)) => {
            text.split_first().is_some_and(|(first, after)| first == letter && naive(rest, after))
        }
    }
}

fn member(set: &[char], letter: char) -> bool {
    let mut set = set;
    while let Some((from, rest)) = set.split_first() {
        if rest.len() >= 2 && rest[0] == '-' {
            if (*from..=rest[1]).contains(&letter) {
                return true;
            }
            set = &rest[2..];
        } else {
            if *from == letter {
                return true;
            }
            set = rest;
        }
    }
    false
}

proptest! {
    #[test]
    fn a_pattern_means_what_the_naive_matcher_says(
        pattern in "([ab/ .*?-]|\\[[ab]\\]|\\[!ab\\]|\\[a-c\\]|\\[\\]a\\]){1,8}", text in "[abc/ .\\]-]{0,8}"
    ) {
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        let glob = Glob::new(&pattern).unwrap();
        prop_assert_eq!(glob.matches(&text), naive(&letters(&pattern), &letters(&text)));
    }

    #[test]
    fn an_escaped_text_matches_itself_only(text in "[ -~]{1,20}", other in "[ -~]{1,20}") {
        let glob = Glob::new(&Glob::escape(&text)).unwrap();
        prop_assert!(glob.matches(&text));
        prop_assert_eq!(glob.matches(&other), text == other);
    }

    #[test]
    fn any_text_is_a_pattern_or_an_error(text in any::<String>()) {
        let _ = Glob::new(&text);
    }
}

#[test]
fn many_stars_take_no_exponential_time() {
    let glob = Glob::new(&"*a".repeat(40)).unwrap();
    assert!(!glob.matches(&"ab".repeat(2000)));
    assert!(glob.matches(&"a".repeat(2000)));
}
