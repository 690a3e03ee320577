//! Jump hosts in `servers.yml`: which ways there are, and which are refused with file and line.

use crate::folder::Folder;

/// `a: b` makes `a` a host behind `b`.
fn folder(ways: &[(&str, Option<&str>)]) -> Folder {
    let folder = Folder::sound();
    let mut text = "hosts:\n".to_owned();
    for (alias, jump) in ways {
        let jump = jump.map(|jump| format!(", jump: {jump}")).unwrap_or_default();
        text += &format!("  - {{alias: {alias}, host: {alias}.example, credentials: ops{jump}}}\n");
    }
    folder.write("servers.yml", &text);
    folder
}

#[test]
fn a_chain_of_three_is_a_way() {
    let folder = folder(&[("a", Some("b")), ("b", Some("c")), ("c", Some("d")), ("d", None)]);
    let inventory = folder.load().unwrap().inventory;
    let way = |alias: &str| -> Vec<String> {
        let host = inventory.host(&alias.parse().unwrap()).unwrap();
        inventory.way_to(host).iter().map(|hop| hop.alias.to_string()).collect()
    };
    assert_eq!(way("a"), ["b", "c", "d"]);
    assert_eq!(way("c"), ["d"]);
    assert!(way("d").is_empty());
}

#[test]
fn ways_that_lead_nowhere_are_errors() {
    for (ways, line, problem) in [
        (&[("a", Some("b"))][..], 2, "hosts[0].jump: no host is called b"),
        (&[("a", Some("a"))], 2, "hosts[0].jump: the way goes round: a by a"),
        (&[("a", Some("b")), ("b", Some("a"))], 3, "the way goes round: b by a by b"),
        (
            &[("x", None), ("a", Some("b")), ("b", Some("c")), ("c", Some("d")), ("d", Some("x"))],
            3,
            "more than 3 jump hosts: a by b by c by d by x",
        ),
        (&[("a", Some("'b c'"))], 2, "hosts[0].jump:"),
        (&[("a", Some("[b, c]"))], 2, "hosts[0].jump:"),
        (&[("a", Some("7"))], 2, "hosts[0].jump:"),
    ] {
        let problems = folder(ways).problems();
        let at = format!("servers.yml:{line} Error");
        assert!(
            problems.iter().any(|text| text.starts_with(&at) && text.contains(problem)),
            "{problem}: {problems:?}"
        );
    }
}

#[test]
fn a_jump_host_with_an_error_of_its_own_is_not_said_to_be_missing() {
    let folder = Folder::sound();
    folder.write(
        "servers.yml",
        "hosts:\n  - {alias: a, host: a.example, credentials: ops, jump: b}\n  - {alias: b, host: 'b c', credentials: ops}\n",
    );
    let problems = folder.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("hosts[1].host"), "{problems:?}");
}
