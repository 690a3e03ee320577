//! Types, ranges and defaults of single fields.

use sshepherd_config::Elicitation;
use sshepherd_model::LoginShell;

use crate::folder::Folder;

fn told(problems: &[String], wanted: &str) {
    assert!(problems.iter().any(|line| line.starts_with(wanted)), "{wanted}: {problems:?}");
}

#[test]
fn every_limit_has_a_range_and_its_ends_are_inside() {
    for (field, low, high) in [
        ("max_seconds", 1_u64, 86_400_u64),
        ("max_output_bytes", 1024, 1_073_741_824),
        ("task_result_ttl", 1, 604_800),
        ("task_progress_interval", 1, 3600),
    ] {
        let folder = Folder::sound();
        for good in [low, high] {
            folder.write("policy.yml", &format!("limits:\n  {field}: {good}\n"));
            folder.load().unwrap();
        }
        for bad in [low.saturating_sub(1), high + 1] {
            folder.write("policy.yml", &format!("limits:\n  {field}: {bad}\n"));
            told(
                &folder.problems(),
                &format!("policy.yml:2 Error limits.{field}: must be between"),
            );
        }
        folder.write("policy.yml", &format!("limits:\n  {field}: -1\n"));
        told(&folder.problems(), &format!("policy.yml:2 Error limits.{field}:"));
    }
}

#[test]
fn our_settings_have_ranges_and_defaults() {
    let folder = Folder::sound();
    let settings = folder.load().unwrap().settings;
    assert_eq!(settings.audit.path, None);
    assert_eq!((settings.fan_out_parallel, settings.answer_max_bytes), (64, 8192));
    folder.write(
        "sshepherd.yml",
        "audit: {path: audit.jsonl}\nfan_out: {parallel: 512, behind_jump: 5}\nanswers: {max_bytes: 1048576}\n",
    );
    let settings = folder.load().unwrap().settings;
    assert_eq!(settings.audit.path, Some(folder.path("audit.jsonl")));
    assert_eq!((settings.fan_out_parallel, settings.answer_max_bytes), (512, 1_048_576));
    assert_eq!(settings.fan_out_behind_jump, 5);
    folder.write("sshepherd.yml", "fan_out: {parallel: 513}\nanswers: {max_bytes: 2047}\n");
    let problems = folder.problems();
    told(&problems, "sshepherd.yml:1 Error fan_out.parallel:");
    told(&problems, "sshepherd.yml:2 Error answers.max_bytes:");
}

#[test]
fn questions_go_through_the_client_only_where_the_owner_says_so() {
    let folder = Folder::sound();
    assert_eq!(folder.load().unwrap().settings.elicitation, Elicitation::None);
    for (text, wanted) in
        [("none", Elicitation::None), ("visible", Elicitation::Visible), ("all", Elicitation::All)]
    {
        folder.write("sshepherd.yml", &format!("prompts: {{elicitation: {text}}}\n"));
        assert_eq!(folder.load().unwrap().settings.elicitation, wanted);
    }
    folder.write("sshepherd.yml", "prompts: {elicitation: everything}\n");
    told(&folder.problems(), "sshepherd.yml:1 Error prompts.elicitation: \"everything\" is not");
}

#[test]
fn a_host_has_the_seeds_defaults_and_a_dialect() {
    let folder = Folder::sound();
    let loaded = folder.load().unwrap();
    let host = &loaded.inventory.hosts()[0];
    assert_eq!((host.port, host.description.as_str()), (22, ""));
    for (text, wanted) in [
        ("posix", LoginShell::Posix),
        ("fish", LoginShell::Fish),
        ("csh", LoginShell::Csh),
        ("raw-words", LoginShell::RawWords),
    ] {
        let line =
            format!("hosts:\n  - {{alias: a, host: a, credentials: ops, login_shell: {text}}}\n");
        folder.write("servers.yml", &line);
        assert_eq!(folder.load().unwrap().inventory.hosts()[0].login_shell, wanted);
        assert!(folder.warnings().is_empty(), "{:?}", folder.warnings());
    }
}

/// The names of before, and PowerShell, of which no real one was tried.
#[test]
fn a_login_shell_that_is_read_as_another_is_a_warning_that_names_the_one_to_write() {
    let folder = Folder::sound();
    for (text, wanted, named) in [
        ("other", LoginShell::Fish, "login_shell: fish"),
        ("none", LoginShell::RawWords, "login_shell: raw-words"),
        ("powershell", LoginShell::RawWords, "raw-words"),
    ] {
        let line =
            format!("hosts:\n  - {{alias: a, host: a, credentials: ops, login_shell: {text}}}\n");
        folder.write("servers.yml", &line);
        assert_eq!(folder.load().unwrap().inventory.hosts()[0].login_shell, wanted);
        let warnings = folder.warnings();
        told(&warnings, &format!("servers.yml:2 Warning hosts[0].login_shell: {text}"));
        assert!(warnings.iter().any(|line| line.contains(named)), "{named}: {warnings:?}");
    }
    for text in ["tcsh", "cmd", "bash", "Posix", "''", "[fish]"] {
        let line =
            format!("hosts:\n  - {{alias: a, host: a, credentials: ops, login_shell: {text}}}\n");
        folder.write("servers.yml", &line);
        told(&folder.problems(), "servers.yml:2 Error hosts[0].login_shell:");
    }
}

#[test]
fn an_address_is_a_name_or_an_ip_and_nothing_else() {
    let folder = Folder::sound();
    for (address, good) in [
        ("web.example.com", true),
        ("10.0.0.1", true),
        ("fe80::1", true),
        ("a", true),
        ("-a", false),
        ("user@host", false),
        ("a b", false),
        ("a;b", false),
        ("$(id)", false),
        ("a/b", false),
        ("a..b", false),
        ("", false),
        ("host:22", false),
        ("ssh://a", false),
    ] {
        let text = format!("hosts:\n  - {{alias: a, host: \"{address}\", credentials: ops}}\n");
        folder.write("servers.yml", &text);
        assert_eq!(folder.load().is_ok(), good, "{address:?}");
    }
}

#[test]
fn seed_switches_that_weaken_host_keys_are_warned_of() {
    let folder = Folder::sound();
    folder.write(
        "policy.yml",
        "limits:\n  host_key_auto_add: true\n  require_known_host: false\nnetwork:\n  require_known_host: false\n",
    );
    let warnings = folder.warnings();
    told(&warnings, "policy.yml:2 Warning limits.host_key_auto_add:");
    told(&warnings, "policy.yml:3 Warning limits.require_known_host:");
    told(&warnings, "policy.yml:5 Warning network.require_known_host:");
}

#[test]
fn rules_and_overrides_for_what_is_not_there_are_warned_of() {
    let folder = Folder::sound();
    folder.write(
        "policy.yml",
        "rules:\n  - action: allow\n    tags: [wbe]\n    commands: []\noverrides:\n  aliases:\n    web9: {max_seconds: 5}\n  tags:\n    dbs: {max_seconds: 5}\n",
    );
    let warnings = folder.warnings();
    told(&warnings, "policy.yml:2 Warning rules[0].commands:");
    told(&warnings, "policy.yml:3 Warning rules[0].tags[0]:");
    told(&warnings, "policy.yml:7 Warning overrides.aliases.web9:");
    told(&warnings, "policy.yml:9 Warning overrides.tags.dbs:");
}

#[test]
fn our_rule_fields_are_read() {
    let folder = Folder::sound();
    folder.write(
        "policy.yml",
        "rules:\n  - {action: allow, commands: [\"*\"], id: shell, why: asked for, shell: unrestricted, cwd: [/srv/*], env: [LANG], stdin: true}\n  - {action: deny, commands: [halt]}\npipes: {filters: false}\nredirections: {harmless: false}\n",
    );
    let loaded = folder.load().unwrap();
    let [first, second] = loaded.policy.rules() else { panic!("two rules") };
    assert_eq!((first.id.as_str(), second.id.as_str()), ("shell", "rules[1]"));
    assert!(first.shell_unrestricted && first.grants.stdin);
    assert_eq!((first.grants.cwd.len(), first.grants.env.len()), (1, 1));
    assert_eq!((second.position.line, second.grants.stdin), (3, false));
    folder.write("policy.yml", "rules:\n  - {action: allow, commands: [a], shell: yes please}\n");
    told(&folder.problems(), "policy.yml:2 Error rules[0].shell:");
}

#[test]
fn the_policy_hash_is_of_the_files_bytes() {
    let folder = Folder::sound();
    folder.write("policy.yml", "rules: []\n");
    // printf 'rules: []\n' | sha256sum
    let first = folder.load().unwrap().policy_hash;
    assert_eq!(first.len(), 64);
    folder.write("policy.yml", "rules: [] \n");
    assert_ne!(folder.load().unwrap().policy_hash, first);
}

#[test]
fn a_file_over_10_mb_is_refused() {
    let folder = Folder::sound();
    folder.write("policy.yml", &"# padding\n".repeat(1_048_577));
    told(&folder.problems(), "policy.yml Error : has 10485770 bytes");
}

#[test]
fn a_key_that_is_given_twice_is_an_error() {
    let folder = Folder::sound();
    folder.write("policy.yml", "rules:\n  - {action: deny, commands: [uptime]}\nrules:\n  - {action: allow, commands: [uptime]}\n");
    let problems = folder.problems();
    assert!(problems[0].contains("not YAML"), "{problems:?}");
}

#[test]
fn a_blocked_network_in_mapped_form_blocks() {
    let folder = Folder::sound();
    folder.write("policy.yml", "network:\n  block_cidrs: [\"::ffff:10.0.0.0/104\"]\n");
    let loaded = folder.load().unwrap();
    assert!(loaded.policy.network().judge("10.1.2.3".parse().unwrap()).is_err());
    assert!(loaded.policy.network().judge("11.1.2.3".parse().unwrap()).is_ok());
}

/// Rules with a slip, and where each is told; WHOLE stands for one that is right.
const SLIPS: [(&str, &str); 37] = [
    ("WHOLE, subcommand: status", "rules[0].subcommand: unknown key; did you mean subcommands?"),
    ("WHOLE, subcommands: []", "rules[0].subcommands: is an empty list"),
    ("WHOLE, tag: [x]", "rules[0].tag: unknown key; did you mean tags?"),
    ("WHOLE, tags: []", "rules[0].tags: is an empty list"),
    ("WHOLE, as: ", "rules[0].as: has no value"),
    (
        "WHOLE, option_first: true",
        "rules[0].option_first: unknown key; did you mean options_first?",
    ),
    (
        "WHOLE, options: [{names: -n, value: unit, required: }]",
        "rules[0].options[0].required: has no value",
    ),
    (
        "WHOLE, options: [{names: -n, value: unit, requird: true}]",
        "rules[0].options[0].requird: unknown key",
    ),
    ("id: a, why: b, action: allow, program: df, match: []", "rules[0].match: is an empty list"),
    ("WHOLE, operands: [{value: {path_under: /}}]", "is every path; write `value: path`"),
    ("action: allow, program: df", "rules[0].id: is required with program"),
    ("id: a, why: b, action: allow, program: df", "rules[0].match: is required with program"),
    ("WHOLE, option: []", "rules[0].option: unknown key; did you mean options?"),
    ("WHOLE, commands: [df]", "rules[0].commands: a rule has either program or commands"),
    ("WHOLE, shell: unrestricted", "rules[0].shell: goes with commands only"),
    ("WHOLE, flags: -h", "rules[0].flags: must be a list"),
    ("WHOLE, flags: [h]", "rules[0].program: \"h\" is no option name"),
    ("WHOLE, flags: [-h, -h]", "rules[0].program: two options are called -h"),
    (
        "WHOLE, options: [{names: -n, vale: unit}]",
        "rules[0].options[0].vale: unknown key; did you mean value?",
    ),
    (
        "WHOLE, options: [{names: -n, value: units}]",
        "rules[0].options[0].value: \"units\" is no type of value",
    ),
    (
        "WHOLE, options: [{names: -n, value: {integer: 5}}]",
        "rules[0].options[0].value.integer: must be text",
    ),
    ("WHOLE, options: [{names: -n, value: {integer: 9..5}}]", "\"9..5\" is no range"),
    (
        "WHOLE, options: [{names: -n, value: {integer: 1..5, regex: x}}]",
        "must be one type of value",
    ),
    ("WHOLE, options: [{names: -n, value: {}}]", "must be one type of value"),
    (
        "WHOLE, operands: [{value: {regex: '('}}]",
        "rules[0].operands[0].value.regex: bad regular expression",
    ),
    ("WHOLE, operands: [{value: {path_under: var}}]", "\"var\" is no absolute path"),
    (
        "WHOLE, operands: [{value: path, count: 3..1}]",
        "rules[0].program: operands: at least 3 and at most 1",
    ),
    (
        "WHOLE, operands: [{value: path, count: many}]",
        "rules[0].operands[0].count: must be a number or a range",
    ),
    ("WHOLE, operands: [{}]", "rules[0].operands[0].value: is required"),
    ("WHOLE, as: 'root; id'", "rules[0].as: \"root; id\" is no name of an account"),
    ("action: allow, commands: [df], flags: [-h]", "rules[0].flags: needs program beside it"),
    (
        "id: a, why: b, action: allow, program: df, match: [df -h]",
        "\"df -h\" should match the rule and does not: df: the option -h is not taken",
    ),
    ("WHOLE, not_match: [df]", "\"df\" should not match the rule, but does"),
    (
        "id: a, why: b, action: allow, program: ./df, match: [df]",
        "neither a plain name nor an absolute path",
    ),
    (
        "action: ask, commands: [df], approval: {for: ever}",
        "rules[0].approval.for: \"ever\" is neither once, task nor",
    ),
    (
        "action: ask, commands: [df], approval: {out_of_bnad: true}",
        "rules[0].approval.out_of_bnad: unknown key; did you mean out_of_band?",
    ),
    ("action: permit, commands: [df]", "\"permit\" is neither allow, ask nor deny"),
];

/// A typed rule whose text has a slip is an error, never a rule that means something else.
#[test]
fn a_slip_in_a_typed_rule_is_an_error_at_its_place() {
    let whole = "id: a, why: b, action: allow, program: df, match: [df]";
    for (rule, problem) in SLIPS {
        let rule = rule.replace("WHOLE", whole);
        let folder = Folder::sound();
        folder.write("policy.yml", &format!("rules:\n  - {{{rule}}}\n"));
        let problems = folder.problems().join("\n");
        assert!(problems.contains(problem), "{rule}:\n{problems}");
    }
    let folder = Folder::sound();
    folder.write("policy.yml", "include: [{pack: logs, tag: [x]}]\n");
    assert!(folder.problems()[0].contains("include[0].tag: unknown key; did you mean tags?"));
    folder.write("policy.yml", "include: [log]\n");
    assert!(folder.problems()[0].contains("no pack is called \"log\"; there are docker-read,"));
}

#[test]
fn hosts_to_keep_connected_are_a_selector_of_hosts_there_are() {
    let folder = Folder::sound();
    assert!(folder.load().unwrap().settings.warm.is_none());
    folder.write("sshepherd.yml", "warm: {on: \"all minus nobody\"}\n");
    told(&folder.problems(), "sshepherd.yml Error warm.on: selector: no host is called nobody");
    folder.write("sshepherd.yml", "warm: {on: \"@ and\"}\n");
    told(&folder.problems(), "sshepherd.yml:1 Error warm.on: selector: ");
    folder.write("sshepherd.yml", "warm: {on: all}\n");
    let loaded = folder.load().unwrap();
    let warm = loaded.settings.warm.unwrap().select(&loaded.inventory).unwrap();
    assert_eq!(warm.len(), loaded.inventory.hosts().len());
}
