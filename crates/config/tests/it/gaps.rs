//! Where an earlier reader let something slip: emptied fields, problems that hid each other, loose files.

use crate::folder::Folder;

fn told(problems: &[String], wanted: &str) {
    assert!(problems.iter().any(|line| line.starts_with(wanted)), "{wanted}: {problems:?}");
}

#[test]
fn a_host_with_an_empty_required_field_is_an_error_and_never_dropped() {
    let folder = Folder::sound();
    for field in ["alias", "host", "credentials"] {
        let mut text = "hosts:\n  - description: x\n".to_owned();
        for (name, value) in [("alias", "a"), ("host", "a.example"), ("credentials", "ops")] {
            let value = if name == field { "" } else { value };
            text.push_str(&format!("    {name}: {value}\n"));
        }
        folder.write("servers.yml", &text);
        assert!(folder.load().is_err(), "{field}");
    }
}

#[test]
fn seed_defect_13_an_allow_list_emptied_to_nothing_is_told() {
    let folder = Folder::sound();
    folder.write("policy.yml", "network:\n  allow_cidrs:\n  #  - 10.0.0.0/8\n");
    let told = match folder.load() {
        Ok(loaded) => loaded.warnings.iter().any(|it| it.field.starts_with("network")),
        Err(_) => true,
    };
    assert!(told);
}

#[test]
fn seed_defect_13_tags_emptied_to_nothing_are_told() {
    let folder = Folder::sound();
    folder.write("policy.yml", "rules:\n  - action: allow\n    tags:\n    commands: [uptime]\n");
    let told = match folder.load() {
        Ok(loaded) => loaded.warnings.iter().any(|it| it.field.starts_with("rules[0]")),
        Err(_) => true,
    };
    assert!(told);
}

#[test]
fn all_problems_of_one_host_are_told() {
    let folder = Folder::sound();
    folder.write(
        "servers.yml",
        "hosts:\n  - alias: web 1\n    host: -x\n    port: 0\n    credentials: nobody\n",
    );
    let problems = folder.problems();
    for (line, field) in [(2, "alias"), (3, "host"), (4, "port")] {
        told(&problems, &format!("servers.yml:{line} Error hosts[0].{field}:"));
    }
    told(&problems, "servers.yml:5 Unusable hosts[0].credentials:");
}

#[test]
fn a_known_hosts_file_that_others_may_write_is_refused() {
    let folder = Folder::sound();
    folder.write("known_hosts", "");
    folder.mode("known_hosts", 0o666);
    folder.write("policy.yml", "known_hosts_path: known_hosts\n");
    told(&folder.problems(), "policy.yml:1 Error known_hosts_path:");
}

#[test]
fn a_keys_folder_that_others_may_write_is_refused() {
    let folder = Folder::sound();
    folder.mode("keys", 0o777);
    told(&folder.problems(), "credentials.yml");
}

#[test]
fn a_comment_after_a_quoted_value_is_no_part_of_the_secret() {
    let folder = Folder::sound();
    folder.write("secrets/.env", "pw=\"right\" # the db\n");
    let found =
        sshepherd_config::secrets::look_up("pw", &folder.path("secrets"), &folder.variables);
    assert_eq!(found.unwrap().expose(), "right");
}

#[test]
fn an_empty_secret_is_none() {
    let folder = Folder::sound();
    folder.write("secrets/pw", "\n");
    let found =
        sshepherd_config::secrets::look_up("pw", &folder.path("secrets"), &folder.variables);
    assert!(found.is_err());
}

#[test]
fn a_refused_credentials_file_is_told_once() {
    let folder = Folder::sound();
    folder.mode("credentials.yml", 0o622);
    assert_eq!(folder.problems().len(), 1);
}

#[test]
fn two_rules_with_one_id_are_told() {
    let folder = Folder::sound();
    folder.write("policy.yml", "rules:\n  - {id: a, action: allow, commands: [uptime]}\n  - {id: a, action: deny, commands: [halt]}\n");
    let told = match folder.load() {
        Ok(loaded) => !loaded.warnings.is_empty(),
        Err(_) => true,
    };
    assert!(told);
}

#[test]
fn a_wrong_type_is_told_once() {
    let folder = Folder::sound();
    folder.write("servers.yml", "hosts:\n  - alias: 5\n    host: a\n    credentials: ops\n");
    let problems = folder.problems();
    assert_eq!(
        problems.iter().filter(|line| line.contains("hosts[0].alias")).count(),
        1,
        "{problems:?}"
    );
}
