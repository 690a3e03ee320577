//! Which hosts a text takes, and which texts are refused.

use super::*;
use crate::{CredentialName, LoginShell};
use proptest::prelude::*;

fn inventory() -> Inventory {
    let host = |alias: &str, tags: &[&str]| Host {
        alias: alias.parse().unwrap(),
        address: "127.0.0.1".to_owned(),
        port: 22,
        credentials: "x".parse::<CredentialName>().unwrap(),
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
        description: "".into(),
        login_shell: LoginShell::Posix,
        jump: None,
        connection: crate::ConnectionSettings::default(),
    };
    let hosts = vec![
        host("web01", &["web", "prod"]),
        host("web02", &["web", "prod"]),
        host("web03", &["web", "test"]),
        host("db-1", &["db", "prod"]),
        host("db-2", &["db", "test"]),
        host("build.eu", &[]),
    ];
    Inventory::new(hosts, Vec::new())
}

fn select(text: &str) -> Result<String, BadSelector> {
    let hosts = text.parse::<Selector>()?.select(&inventory())?;
    Ok(hosts.iter().map(|host| host.alias.as_str()).collect::<Vec<_>>().join(" "))
}

#[test]
fn tags_patterns_lists_ranges_and_signs_select() {
    for (text, wanted) in [
        ("@web", "web01 web02 web03"),
        ("@web and @prod", "web01 web02"),
        ("@web & !@prod", "web03"),
        ("@web minus web02", "web01 web03"),
        ("@web - web[01-02]", "web03"),
        ("@prod or @test and @db", "web01 web02 db-1 db-2"),
        ("(@prod or @test) and @db", "db-1 db-2"),
        ("web[01-02],db-1", "web01 web02 db-1"),
        ("db-*", "db-1 db-2"),
        ("web0?, build.eu", "web01 web02 web03 build.eu"),
        ("not (@web or @db)", "build.eu"),
        ("all minus @p*", "web03 db-2 build.eu"),
        ("* and @nothing", ""),
        ("none*", ""),
        ("web01 or web01", "web01"),
    ] {
        assert_eq!(select(text).as_deref(), Ok(wanted), "{text}");
    }
}

/// Found by an adversary: each of these selected the whole inventory, or nearly so.
#[test]
fn a_list_never_means_everything_but() {
    for (text, wanted) in [
        ("@web,!web02", "web01 web03"),
        ("web*,!web02", "web01 web03"),
        ("!web02,@web", "web01 web03"),
        ("@web or not web02", "web01 web03"),
        ("@web , ! web02, !web[03]", "web01"),
        ("@web,(!web02)", "web01 web03"),
        ("@web,((not web02))", "web01 web03"),
        ("@web or not (web02 or web03)", "web01"),
        ("@web,!web02 and !web03", "web01"),
        ("@web,(!web02 minus web03)", "web01"),
        ("(@web,!web02),db-1", "web01 web03 db-1"),
        ("@db or (@web or not @prod)", "web03 db-1 db-2"),
        ("@web,!web*", ""),
        ("@nothing,!web01", ""),
        ("web02,!web02", ""),
        // Wherever it stands, what is taken away stays away.
        ("@web,!@prod,@prod", "web03"),
        // Taking away everything but one leaves that one, where it was taken.
        ("@db,!!web01", ""),
        ("@web,not not web01", "web01"),
        ("@web,!(!web01)", "web01"),
        ("!!web01", "web01"),
        ("@web minus not web01", "web01"),
        // What says itself that everything is meant stays what it is.
        ("all,!web02", "web01 web03 db-1 db-2 build.eu"),
        ("*,!@web", "db-1 db-2 build.eu"),
        ("!@web", "db-1 db-2 build.eu"),
        ("not @web and not @db", "build.eu"),
        ("all minus (@web,!web02)", "web02 db-1 db-2 build.eu"),
    ] {
        assert_eq!(select(text).as_deref(), Ok(wanted), "{text}");
    }
    for (text, offset) in [
        ("!web01,!web02", 0),
        ("not web01 or not web02", 0),
        ("@db and (!web01,!web02)", 9),
        ("not (!web01 or !web02)", 5),
        ("@db,(not web01, (not web02 and not web03))", 5),
    ] {
        let error = text.parse::<Selector>().unwrap_err();
        assert!(error.to_string().contains("write `all minus`"), "{text}: {error}");
        let BadSelector::Grammar { offset: told, .. } = error else { panic!("{text}") };
        assert_eq!(told, offset, "{text}");
    }
}

#[test]
fn a_name_that_is_no_host_is_told_and_nothing_is_selected() {
    let Err(BadSelector::Unknown { missing }) = select("web[01-05] or db-1") else { panic!() };
    assert_eq!(missing, ["web04", "web05"]);
    assert_eq!(
        select("web[01-05]").unwrap_err().to_string(),
        "selector: no host is called web[04-05]"
    );
    // Also one that would be taken away again.
    assert!(select("@web minus web9").is_err());
}

#[test]
fn a_slip_is_told_with_its_place() {
    for (text, offset) in [
        ("", 0),
        ("@web and", 8),
        ("and @web", 0),
        ("@web @db", 5),
        ("(@web", 0),
        ("@web)", 4),
        ("@", 0),
        ("web[1-", 3),
        ("web[b]", 4),
        ("we/b", 0),
        ("not", 3),
        ("@web,,@db", 5),
    ] {
        let error = text.parse::<Selector>().unwrap_err();
        let BadSelector::Grammar { offset: told, .. } = error else { panic!("{text}") };
        assert_eq!(told, offset, "{text}");
    }
    let deep = format!("{}web01", "! ".repeat(100));
    assert!(deep.parse::<Selector>().is_err());
}

/// Found by an adversary: each of these took all of the stack, or gigabytes, or minutes.
#[test]
fn no_text_asks_for_more_than_there_is() {
    let many = |word: &str, times| vec![word; times].join(",");
    for (text, said) in [
        ("web[1-99999]*".to_owned(), "1000 tags and patterns"),
        (many("a*", 1001), "1000 tags and patterns"),
        (many("a[1-99999]", 1000), "100000 names"),
        (format!("a[{}]", many("1-99999", 2000)), "100000 names"),
        (format!("a{}", "[1]".repeat(5000)), "pairs of brackets"),
        (format!("{}web01{}", "(".repeat(5000), ")".repeat(5000)), "too many parentheses"),
        ("a[1-17]b[1-17]c[1-17]d[1-17]".to_owned(), "no host is called"),
        ("x".repeat(16_000), "no host can have this name"),
    ] {
        let told = select(&text).unwrap_err().to_string();
        assert!(told.contains(said) && told.len() < 700, "{told}");
    }
    assert_eq!(select(&many("web01", 2700)).as_deref(), Ok("web01"));
    assert_eq!(select(&vec!["@web"; 1000].join(" and ")).as_deref(), Ok("web01 web02 web03"));
    assert_eq!(select("web01,web01,web[01,01-02]").as_deref(), Ok("web01 web02"));
}

/// One member of a list, as somebody may write it.
fn written() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "@web",
        "@prod",
        "web01",
        "web0[1-2]",
        "db-*",
        "all",
        "@nothing",
    ]);
    word.prop_map(str::to_owned).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| format!("(not {one})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} minus {b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a},{b})")),
        ]
    })
}

fn written_list() -> impl Strategy<Value = String> {
    prop::collection::vec(written(), 1..4).prop_map(|members| members.join(","))
}

proptest! {
    #[test]
    fn no_text_panics_and_a_read_one_reads_again(text in "(@|web|db|\\*|\\?|and|or|not|minus|[ ,&!()\\[\\]0-9-]){0,12}") {
        if let Ok(selector) = text.parse::<Selector>() {
            prop_assert_eq!(selector.to_string().parse::<Selector>().unwrap().choice, selector.choice);
        }
    }

    /// Against sets: what and, or and not mean.
    #[test]
    fn signs_are_those_of_sets(a in 0..6_usize, b in 0..6_usize) {
        let atoms = ["@web", "@prod", "db-*", "web01", "all", "@nothing"];
        let set = |text: &str| -> BTreeSet<String> {
            select(text).unwrap().split_whitespace().map(str::to_owned).collect()
        };
        let (one, other) = (set(atoms[a]), set(atoms[b]));
        prop_assert_eq!(set(&format!("{} and {}", atoms[a], atoms[b])), &one & &other);
        prop_assert_eq!(set(&format!("{} or {}", atoms[a], atoms[b])), &one | &other);
        prop_assert_eq!(set(&format!("{} minus {}", atoms[a], atoms[b])), &one - &other);
        prop_assert_eq!(set(&format!("not {}", atoms[a])), &set("all") - &one);
    }

    /// Whatever a list is made of, and however the exclusion is spelt.
    #[test]
    fn adding_an_exclusion_never_adds_a_host(list in written_list(), away in written(), how in 0..6_usize) {
        let Ok(before) = select(&list) else { return Ok(()) };
        let added = [
            format!("{list},!{away}"),
            format!("!{away},{list}"),
            format!("{list} or not {away}"),
            format!("{list},(!{away})"),
            format!("({list}) or (not ({away}))"),
            format!("{list} , ! ( {away} )"),
        ];
        // One that is refused adds nothing either.
        let Ok(after) = select(&added[how]) else { return Ok(()) };
        let set = |text: &str| -> BTreeSet<String> {
            text.split_whitespace().map(str::to_owned).collect()
        };
        prop_assert!(set(&after).is_subset(&set(&before)), "{}: {} after {}", added[how], after, before);
        let Ok(taken) = select(&away) else { return Ok(()) };
        prop_assert!(set(&after).is_disjoint(&set(&taken)), "{}: {}", added[how], after);
    }

    #[test]
    fn patterns_fit_as_regular_expressions_do(pattern in "[ab*?]{0,6}", text in "[ab]{0,6}") {
        // `*` and `?` by the definition: nothing or one more, and any one.
        fn slow(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern.first(), text.first()) {
                (None, None) => true,
                (Some(b'*'), _) => slow(&pattern[1..], text) || (!text.is_empty() && slow(pattern, &text[1..])),
                (Some(p), Some(t)) => (*p == b'?' || p == t) && slow(&pattern[1..], &text[1..]),
                _ => false,
            }
        }
        prop_assert_eq!(fits(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()));
    }
}
