//! Rules about interactive shells in `policy.yml`: each error with its line, and what they say when they are sound.

use sshepherd_policy::Action;

use crate::folder::Folder;

/// A folder whose third line of `policy.yml` is this rule.
fn folder(rule: &str) -> Folder {
    let mut folder = Folder::sound();
    folder.set("ops_sudo", "canary-typed");
    folder.write("policy.yml", &format!("# rules\nrules:\n  - {rule}\n"));
    folder
}

/// The one problem of a rule.
fn problem(rule: &str) -> String {
    let problems = folder(rule).problems();
    let errors: Vec<String> =
        problems.iter().filter(|line| line.contains(" Error ")).cloned().collect();
    assert_eq!(errors.len(), 1, "{rule}: {problems:?}");
    assert!(!problems.join("\n").contains("canary"), "{problems:?}");
    errors.concat()
}

#[test]
fn every_error_of_a_rule_has_its_line_and_field() {
    for (rule, field, message) in [
        ("{shells: perhaps}", "shells", "\"perhaps\" is neither allow, ask nor deny"),
        ("{shells: true}", "shells", "must be text; put it in quotes, not true or false"),
        (
            "{shells: allow, action: allow}",
            "action",
            "goes with commands; for shells, `shells` itself says",
        ),
        (
            "{shells: allow, persistant: true}",
            "persistant",
            "unknown key; did you mean persistent?",
        ),
        ("{shells: allow, shell: unrestricted}", "shell", "unknown key; did you mean shells?"),
        ("{shells: allow, cwd: [\"/srv\"]}", "cwd", "unknown key"),
        ("{shells: allow, stdin: true}", "stdin", "unknown key"),
        ("{shells: allow, tags: []}", "tags", "is an empty list"),
        (
            "{shells: allow, commands: [top], program: top}",
            "commands",
            "either program or commands",
        ),
        ("{shells: deny, commands: [top]}", "commands", "`shells: deny` closes every shell"),
        ("{shells: deny, program: top}", "program", "`shells: deny` closes every shell"),
        ("{shells: allow, as: deploy}", "as", "goes with program or commands only"),
        ("{shells: allow, commands: [top], as: \"a b\"}", "as", "is no name of an account"),
        ("{shells: allow, persistent: 1}", "persistent", "must be true or false"),
        ("{shells: allow, secrets: ops_sudo}", "secrets", "must be a list"),
        ("{shells: allow, secrets: [ops_sudo]}", "secrets[0]", "must be a mapping"),
        ("{shells: allow, secrets: [{name: ops_sudo}]}", "secrets[0]", "wants `name`"),
        ("{shells: allow, secrets: [{prompt: x}]}", "secrets[0]", "wants `name`"),
    ] {
        let told = problem(rule);
        let start = format!("policy.yml:3 Error rules[0].{field}: ");
        assert!(told.starts_with(&start) && told.contains(message), "{rule}: {told}");
    }
}

#[test]
fn a_list_that_was_emptied_never_means_everything() {
    for list in ["aliases:", "tags:", "commands:", "env:", "secrets:", "commands: []"] {
        let problems = folder(&format!("{{shells: allow, {list} }}")).problems();
        assert!(problems.iter().any(|line| line.contains(" Error ")), "{list}: {problems:?}");
    }
}

#[test]
fn a_secret_that_may_be_typed_is_checked_as_strictly() {
    for (secret, field, message) in [
        ("name: ops_sudo, prompt: \".*\", program: sudo", "prompt", "matches an empty line"),
        ("name: ops_sudo, prompt: \"\", program: sudo", "prompt", "matches an empty line"),
        ("name: ops_sudo, prompt: \"^(x|)$\", program: sudo", "prompt", "matches an empty line"),
        ("name: ops_sudo, prompt: \"(\", program: sudo", "prompt", "unclosed group"),
        ("name: ops_sudo, prompt: 'a{1000}{1000}', program: sudo", "prompt", "size limit"),
        (
            "name: ops_sudo, prompt: x, program: \"/bin/sudo\"",
            "program",
            "is no plain name of a program",
        ),
        ("name: ops_sudo, prompt: x, program: \"\"", "program", "is no plain name of a program"),
        ("name: ops_sudo, prompt: x, program: sudo, user: a", "user", "unknown key"),
    ] {
        let told = problem(&format!("{{shells: allow, secrets: [{{{secret}}}]}}"));
        let start = format!("policy.yml:3 Error rules[0].secrets[0].{field}: ");
        assert!(told.starts_with(&start) && told.contains(message), "{secret}: {told}");
    }
}

#[test]
fn a_secret_without_a_value_is_told_with_its_rule_and_disables_nothing_else() {
    let rule = "{shells: ask, secrets: [{name: gone, prompt: x, program: sudo}]}";
    let told = folder(rule).problems().concat();
    assert!(told.contains("policy.yml:3 Unusable secrets: secret gone was not found"), "{told}");
    assert!(folder(rule).load().unwrap().typed_secrets.is_empty());
    let folder = folder("{shells: ask, secrets: [{name: gone, prompt: x, program: sudo}]}");
    let judged = sshepherd_config::load_to_judge(&folder.folders(), &folder.variables).unwrap();
    assert!(judged.typed_secrets.is_empty(), "whoever only judges needs none");
}

#[test]
fn every_secret_that_is_typed_into_a_shell_is_warned_of() {
    for program in ["", ", program: sudo"] {
        let secret = format!("{{name: ops_sudo, prompt: \"x: $\"{program}}}");
        for rule in ["shells: allow", "shells: ask", "shells: allow, commands: [\"top\"]"] {
            let folder = folder(&format!("{{{rule}, secrets: [{secret}]}}"));
            let warnings = folder.warnings();
            let start =
                "policy.yml:3 Warning rules[0].secrets[0]: whoever may type in this shell can get";
            let typed: Vec<_> = warnings.iter().filter(|line| line.starts_with(start)).collect();
            assert!(typed.len() == 1 && typed[0].contains("`as: root`"), "{warnings:?}");
        }
    }
}

#[test]
fn a_sound_rule_says_what_it_grants() {
    let folder = folder(
        "{id: lab, why: agents work here, shells: ask, aliases: [\"web*\"], tags: [web], persistent: true, env: [LANG], \
         recording: false, audit_input: true, approval: {by: [anna], for: 10m}, \
         secrets: [{name: ops_sudo, prompt: \"^pw: $\", program: sudo}]}\n  - {shells: allow, commands: [\"top\"], as: root}",
    );
    assert_eq!(folder.warnings().len(), 1, "of the secret alone");
    let loaded = folder.load().unwrap();
    let [lab, top] = loaded.policy.shells() else { panic!("{:?}", loaded.policy.shells()) };
    assert_eq!((lab.rule.id.as_str(), lab.rule.action), ("lab", Action::Ask));
    assert_eq!((lab.rule.position.line, top.rule.position.line), (3, 4));
    assert!(lab.grant.persistent && !lab.grant.recording && lab.grant.audit_input);
    assert!(!top.grant.persistent && top.grant.recording && !top.grant.audit_input);
    assert_eq!(top.rule.as_user.as_deref(), Some("root"));
    assert_eq!(lab.rule.terms.by, ["anna"]);
    let typed = loaded.typed_secrets.get("ops_sudo").unwrap();
    assert_eq!(typed.expose(), "canary-typed");
    assert!(loaded.policy.rules().is_empty(), "it says nothing about single commands");
    assert!(!format!("{loaded:?}").contains("canary"));
}

#[test]
fn a_host_that_is_not_there_is_warned_of() {
    let folder = folder("{shells: allow, aliases: [web2], tags: [lab]}");
    let warnings = folder.warnings();
    assert!(
        warnings.iter().any(|line| line.contains("no host has the alias web2"))
            && warnings.iter().any(|line| line.contains("no host has the tag lab")),
        "{warnings:?}"
    );
}

#[test]
fn limits_of_shells_have_ranges_and_are_overridden() {
    let folder = Folder::sound();
    folder.write(
        "policy.yml",
        "limits: {max_shells: 3, shell_idle_seconds: 60}\n\
         overrides: {aliases: {web1: {max_shells: 1}}, tags: {web: {shell_max_seconds: 600, max_shells: 9}}}\n\
         rules:\n  - {shells: allow}\n",
    );
    let loaded = folder.load().unwrap();
    let shells = loaded.policy.limits(loaded.inventory.hosts().first().unwrap()).shells;
    assert_eq!(shells.open, 1, "the alias beats its tag, and the tag beats the base");
    assert_eq!((shells.idle.as_secs(), shells.lifetime.as_secs()), (60, 600));
    assert_eq!((shells.input_bytes, shells.output_bytes), (16 << 20, 4 << 30), "the defaults");
    for (field, high) in [("max_shells", 1000), ("shell_idle_seconds", 604_800)] {
        folder.write("policy.yml", &format!("limits:\n  {field}: {}\nrules: []\n", high + 1));
        let problems = folder.problems();
        let start = format!("policy.yml:2 Error limits.{field}: must be between");
        assert!(problems.iter().any(|line| line.starts_with(&start)), "{problems:?}");
    }
}
