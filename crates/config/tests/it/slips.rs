//! A slip never widens what is allowed: a key that is misspelt, a value that is missing, a list of which nothing is left.

use crate::folder::Folder;

fn told(problems: &[String], wanted: &str) {
    assert!(problems.iter().any(|line| line.starts_with(wanted)), "{wanted}: {problems:?}");
}

/// Each of these would let more through than its owner meant, if it loaded.
const REFUSED: [(&str, &str); 44] = [
    (
        "rules: [{action: allow, alias: [db], commands: [id]}]",
        "rules[0].alias: unknown key; did you mean aliases?",
    ),
    (
        "rules: [{action: allow, tag: [db], commands: [id]}]",
        "rules[0].tag: unknown key; did you mean tags?",
    ),
    ("rules: [{action: deny, command: [id], commands: [halt]}]", "rules[0].command: unknown key"),
    (
        "rules: [{action: allow, hosts: [db], commands: [id]}]",
        "rules[0].hosts: unknown key; known here: ",
    ),
    ("rules: [{action: allow, commands: [id], tags: }]", "rules[0].tags: must be a list"),
    ("rules: [{action: deny, commands: [id], why: }]", "rules[0].why: has no value"),
    ("rules: [{action: allow, commands: [id], tags: [null]}]", "rules[0].tags[0]: must be text"),
    (
        "rules: [{action: allow, commands: [id], aliases: [\"\"]}]",
        "rules[0].aliases[0]: bad pattern",
    ),
    ("rules: [{action: deny, commands: [\" \"]}]", "rules[0].commands[0]: bad pattern"),
    ("rules: [{action: allow, commands: [id], cwd: []}]", "rules[0].cwd: is an empty list"),
    ("rules: [{action: ask, commands: [id], tags: []}]", "rules[0].tags: is an empty list"),
    (
        "rules: [{id: i, why: w, action: allow, program: id, match: [id], tags: []}]",
        "rules[0].tags: is an empty list",
    ),
    ("rule: [{action: deny, commands: [id]}]", "rule: unknown key; did you mean rules?"),
    ("netwrok: {allow_ips: [10.0.0.1]}", "netwrok: unknown key; did you mean network?"),
    ("network:", "network: has no value"),
    ("network: {allow_cidr: [10.0.0.0/8]}", "network.allow_cidr: unknown key; did you mean"),
    ("network: {allow: [10.0.0.0/8]}", "network.allow: unknown key"),
    ("network: {allow_cidrs: }", "network.allow_cidrs: must be a list"),
    ("network: {allow_cidrs: [null]}", "network.allow_cidrs[0]: must be text"),
    ("network: {allow_cidrs: [ten.0.0.0/8]}", "network.allow_cidrs[0]:"),
    ("network: {block_ips: [\"\"]}", "network.block_ips[0]:"),
    (
        "network: {allow_cidrs: [\"::ffff:10.0.0.0/8\"]}",
        "network.allow_cidrs[0]: \"::ffff:10.0.0.0/8\" is a network of IPv6 addresses that names an IPv4 address; write 10.0.0.0/8",
    ),
    ("network: {block_cidrs: [\"::ffff:10.0.0.0/90\"]}", "network.block_cidrs[0]:"),
    (
        "network: {allow_cidrs: [10.1.2.3/8]}",
        "network.allow_cidrs[0]: \"10.1.2.3/8\" names an address in a network; write 10.0.0.0/8 for the network",
    ),
    ("network: {allow_cidrs: [10.1.2.3/0]}", "network.allow_cidrs[0]:"),
    ("network: {allow_cidrs: [\"::ffff:10.1.2.3/104\"]}", "network.allow_cidrs[0]:"),
    ("network: {allow_cidrs: [\"fe80::1/10\"]}", "network.allow_cidrs[0]:"),
    (
        "network: {block_cidrs: [10.1.2.3/8]}",
        "network.block_cidrs[0]: \"10.1.2.3/8\" names an address in a network; write 10.0.0.0/8 for the network",
    ),
    (
        "rules: [{action: allow, commands: [id], approval: {out_of_band: true}}]",
        "rules[0].approval: nobody would be asked; write action: ask",
    ),
    ("rules: [{action: deny, commands: [id], approval: {for: once}}]", "rules[0].approval: nobody"),
    (
        "rules: [{id: s, why: w, shells: allow, approval: {for: once}}]",
        "rules[0].approval: nobody would be asked; write shells: ask",
    ),
    (
        "rules: [{action: deny, aliases: [\"@web\"], commands: [id]}]",
        "rules[0].aliases[0]: \"@web\": no name begins with @; for the hosts with a tag write tags: [web]",
    ),
    (
        "rules: [{action: deny, aliases: [\"!web1\"], commands: [id]}]",
        "rules[0].aliases[0]: \"!web1\"",
    ),
    (
        "rules: [{action: deny, aliases: [\"web1,web2\"], commands: [id]}]",
        "rules[0].aliases[0]: \"web1,web2\": is one name; write [web1, web2]",
    ),
    ("rules: [{action: deny, tags: [\"!web\"], commands: [id]}]", "rules[0].tags[0]: \"!web\""),
    ("rules: [{action: deny, tags: [\"web:\"], commands: [id]}]", "rules[0].tags[0]: \"web:\""),
    ("rules: [{id: s, why: w, shells: deny, tags: [\"@web\"]}]", "rules[0].tags[0]: \"@web\""),
    ("include: [{pack: read-only, aliases: [\"@web\"]}]", "include[0].aliases[0]: \"@web\""),
    ("limits: {max_second: 5}", "limits.max_second: unknown key; did you mean max_seconds?"),
    ("limits: {max_seconds: }", "limits.max_seconds: has no value"),
    ("limits: {deny_substrings: [\"\"]}", "limits.deny_substrings[0]: is empty"),
    (
        "overrides: {alias: {web1: {max_seconds: 5}}}",
        "overrides.alias: unknown key; did you mean aliases?",
    ),
    ("overrides: {aliases: {web1: }}", "overrides.aliases.web1: has no value"),
    ("pipes: {filter: false}", "pipes.filter: unknown key; did you mean filters?"),
];

#[test]
fn what_would_widen_the_policy_by_a_slip_is_refused() {
    let folder = Folder::sound();
    for (policy, wanted) in REFUSED {
        folder.write("policy.yml", policy);
        let problems = folder.problems();
        told(&problems, &format!("policy.yml:1 Error {wanted}"));
        let errors = problems.iter().filter(|line| line.contains(" Error ")).count();
        assert_eq!(errors, 1, "told once: {problems:?}");
    }
}

/// Takes each key of a policy that uses them all and misspells it in each way a hand does.
#[test]
fn no_misspelt_key_of_a_policy_is_passed_over() {
    const POLICY: &str = "limits:\n  max_seconds: 9\n  deny_substrings: [x]\nnetwork:\n  allow_ips: [10.0.0.1]\n  \
        allow_cidrs: [10.0.0.0/8]\n  block_ips: [10.0.0.2]\n  block_cidrs: [10.9.0.0/16]\nrules:\n  - action: deny\n    \
        aliases: [web1]\n    tags: [web]\n    commands: [id]\noverrides:\n  aliases:\n    web1:\n      max_output_bytes: 2048\n  \
        tags:\n    web:\n      max_seconds: 5\npipes:\n  filters: false\nredirections:\n  harmless: false\n";
    let folder = Folder::sound();
    folder.write("policy.yml", POLICY);
    folder.load().unwrap();
    let key = |line: &str| {
        let (before, _) = line.split_once(':')?;
        Some(before.trim_start_matches([' ', '-']).to_owned())
    };
    let mut tried = 0;
    for (number, line) in POLICY.lines().enumerate() {
        let Some(key) = key(line).filter(|key| !["web1", "web"].contains(&key.as_str())) else {
            continue;
        };
        let letters: Vec<char> = key.chars().collect();
        let of = |letters: &[char]| letters.iter().collect::<String>();
        let doubled = format!("{}{key}", letters[0]);
        let (shorter, later) = (of(&letters[..letters.len() - 1]), of(&letters[1..]));
        for wrong in [shorter, later, doubled, key.to_uppercase()] {
            let mut lines: Vec<String> = POLICY.lines().map(str::to_owned).collect();
            lines[number] = line.replacen(&format!("{key}:"), &format!("{wrong}:"), 1);
            folder.write("policy.yml", &lines.join("\n"));
            assert!(folder.load().is_err(), "{wrong} for {key} loads");
            tried += 1;
        }
    }
    assert_eq!(tried, 4 * 22);
}

#[test]
fn the_seeds_empty_lists_count_as_absent_with_a_warning() {
    let folder = Folder::sound();
    folder.write(
        "policy.yml",
        "network: {allow_ips: [], allow_cidrs: [], block_ips: [], block_cidrs: []}\nrules:\n  \
         - {action: allow, aliases: [], tags: [], commands: [uptime]}\n  - {action: deny, commands: []}\n",
    );
    let warnings = folder.warnings();
    for field in ["allow_ips", "allow_cidrs", "block_ips", "block_cidrs"] {
        told(
            &warnings,
            &format!(
                "policy.yml:1 Warning network.{field}: is an empty list, which counts as left out: "
            ),
        );
    }
    told(
        &warnings,
        "policy.yml:3 Warning rules[0].aliases: is an empty list, which counts as left out: ",
    );
    told(
        &warnings,
        "policy.yml:3 Warning rules[0].tags: is an empty list, which counts as left out: ",
    );
    told(&warnings, "policy.yml:4 Warning rules[1].commands: ");
}

#[test]
fn an_allow_list_of_every_address_and_a_deny_rule_that_denies_nothing_say_so() {
    let folder = Folder::sound();
    folder.write(
        "policy.yml",
        "network: {allow_cidrs: [0.0.0.0/0, \"::/0\", \"::ffff:0.0.0.0/96\"], block_cidrs: [0.0.0.0/0]}\nrules:\n  \
         - {action: deny, aliases: [web1]}\n",
    );
    let warnings = folder.warnings();
    for (place, family) in ["IPv4", "IPv6", "IPv4"].into_iter().enumerate() {
        let told = warnings.iter().any(|line| {
            line.starts_with(&format!("policy.yml:1 Warning network.allow_cidrs[{place}]: "))
                && line.ends_with(&format!(" allows every {family} address"))
        });
        assert!(told, "{warnings:?}");
    }
    assert!(!warnings.iter().any(|line| line.contains("block_cidrs")), "{warnings:?}");
    told(&warnings, "policy.yml:3 Warning rules[0].commands: this deny rule denies nothing");
}

#[test]
fn an_alias_means_one_host_wherever_it_is_written() {
    let folder = Folder::sound();
    for alias in ["all", "ALL", "not", "and", "or", "Minus", "-x", "-"] {
        folder.write(
            "servers.yml",
            &format!("hosts:\n  - {{alias: \"{alias}\", host: a, credentials: ops}}\n"),
        );
        told(&folder.problems(), &format!("servers.yml:2 Error hosts[0].alias: \"{alias}\" "));
    }
    folder.write(
        "servers.yml",
        "hosts:\n  - {alias: web1, host: a, credentials: ops}\n  - {alias: Web1, host: b, credentials: ops}\n",
    );
    told(
        &folder.problems(),
        "servers.yml:3 Error hosts[1].alias: Web1 differs from web1, the alias of the host at line 2, only in case",
    );
    folder.write("servers.yml", "hosts:\n  - {alias: all-1, host: a, credentials: ops}\n");
    folder.load().unwrap();
}

/// Without its tag a deny rule for the tag would miss the host; without its jump host it is reached another way.
#[test]
fn a_misspelt_key_of_a_host_or_a_log_in_is_refused_and_a_strange_one_is_a_warning() {
    let folder = Folder::sound();
    for (key, near) in [
        ("tag: [db]", "tags"),
        ("jmp: web1", "jump"),
        ("login_shel: fish", "login_shell"),
        ("prot: 2222", "port"),
    ] {
        folder.write(
            "servers.yml",
            &format!("hosts:\n  - {{alias: web1, host: a, credentials: ops, {key}}}\n"),
        );
        let name = key.split(':').next().unwrap();
        told(
            &folder.problems(),
            &format!("servers.yml:2 Error hosts[0].{name}: unknown key; did you mean {near}?"),
        );
    }
    for key in [
        "jump",
        "login_shell",
        "proxy_command",
        "proxy_command_trusted",
        "timeouts",
        "keepalive",
        "legacy",
        "encoding",
    ] {
        folder.write(
            "servers.yml",
            &format!("hosts:\n  - {{alias: web1, host: a, credentials: ops, {key}: }}\n"),
        );
        told(&folder.problems(), &format!("servers.yml:2 Error hosts[0].{key}: has no value"));
    }
    for key in ["tags", "defaults"] {
        folder.write(
            "servers.yml",
            &format!("{key}:\nhosts:\n  - {{alias: web1, host: a, credentials: ops}}\n"),
        );
        told(&folder.problems(), &format!("servers.yml:1 Error {key}: has no value"));
    }
    folder.write("servers.yml", "hosts:\n  - {alias: web1, host: a, credentials: ops, rack: 7}\n");
    told(
        &folder.warnings(),
        "servers.yml:2 Warning hosts[0].rack: unknown key, ignored; known here: ",
    );
}

#[test]
fn what_is_known_is_listed_once() {
    let folder = Folder::sound();
    folder.write(
        "servers.yml",
        "hosts:\n  - {alias: web1, host: a, credentials: ops, rack: 7, proxy_command: [x]}\n",
    );
    let warnings = folder.warnings();
    let list = warnings.iter().find_map(|told| told.split_once("known here: ")).unwrap().1;
    let names: Vec<_> = list.split(", ").collect();
    let once: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(once.len(), names.len(), "{list}");
}

/// Debian's umask of 002 gives such files; a group with others in it could add a host key.
#[test]
fn known_hosts_that_the_owners_own_group_may_write_is_a_warning_and_any_other_group_an_error() {
    use std::os::unix::fs::{MetadataExt, chown};
    let folder = Folder::sound();
    folder.write("known_hosts", "");
    folder.write("policy.yml", "known_hosts_path: known_hosts\n");
    let ours = std::fs::metadata(folder.path("known_hosts")).unwrap();
    let user = nix::unistd::User::from_uid(ours.uid().into()).unwrap().unwrap();
    let own = nix::unistd::Group::from_gid(user.gid).unwrap().unwrap();
    chown(folder.path("known_hosts"), None, Some(user.gid.as_raw())).unwrap();
    folder.mode("known_hosts", 0o664);
    if own.name == user.name && own.mem.iter().all(|member| *member == user.name) {
        told(&folder.warnings(), "policy.yml:1 Warning known_hosts_path:");
    } else {
        told(&folder.problems(), "policy.yml:1 Error known_hosts_path:");
    }
    folder.mode("known_hosts", 0o666);
    told(&folder.problems(), "policy.yml:1 Error known_hosts_path:");
    // Only root gives files to strange groups.
    if chown(folder.path("known_hosts"), None, Some(1)).is_ok() {
        folder.mode("known_hosts", 0o664);
        told(&folder.problems(), "policy.yml:1 Error known_hosts_path:");
    }
}
