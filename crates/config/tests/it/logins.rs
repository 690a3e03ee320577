//! Ways to log in and where their secrets come from, at the edges.

use std::path::PathBuf;

use sshepherd_config::secrets::{Missing, look_up};
use sshepherd_model::AuthMethod;

use crate::folder::Folder;

fn entry(folder: &Folder, fields: &str) {
    let text = format!("entries:\n  - {{name: ops, {fields}}}\n");
    folder.write("credentials.yml", &text);
}

fn methods(folder: &Folder) -> Vec<AuthMethod> {
    let loaded = folder.load().unwrap();
    let host = loaded.inventory.hosts().first().unwrap().clone();
    loaded.inventory.credential(&host).unwrap().methods.clone()
}

#[test]
fn methods_are_tried_key_then_agent_then_password() {
    let mut folder = Folder::sound();
    folder.set("SSH_AUTH_SOCK", "/run/agent.sock");
    folder.set("db_pw", "from the environment");
    entry(&folder, "password_secret: db_pw, agent: true, key_path: id, username: ops");
    match methods(&folder).as_slice() {
        [
            AuthMethod::Key { path, certificate: None, passphrase: None },
            AuthMethod::Agent { socket, only: None },
            AuthMethod::Password(_),
        ] => {
            assert_eq!(*path, folder.path("keys/id"));
            assert_eq!(*socket, PathBuf::from("/run/agent.sock"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_certificate_is_named_inside_the_keys_folder_and_may_be_read_by_all() {
    let folder = Folder::sound();
    folder.write("keys/c.pub", "a certificate\n");
    folder.mode("keys/c.pub", 0o644);
    entry(&folder, "username: ops, key_path: id, certificate_path: c.pub");
    match methods(&folder).as_slice() {
        [AuthMethod::Key { certificate: Some(certificate), .. }] => {
            assert_eq!(*certificate, folder.path("keys/c.pub"));
        }
        other => panic!("{other:?}"),
    }
    folder.mode("keys/c.pub", 0o646);
    assert!(folder.problems()[0].contains("can be written by others"));
    for (fields, problem) in [
        ("key_path: id, certificate_path: ../c.pub", "must not contain .."),
        ("key_path: id, certificate_path: missing", "cannot be read"),
        ("password: x, certificate_path: c.pub", "certificate_path without key_path"),
    ] {
        entry(&folder, &format!("username: ops, {fields}"));
        let problems = folder.problems();
        assert!(problems.iter().any(|line| line.contains(problem)), "{problem}: {problems:?}");
    }
}

#[test]
fn a_person_who_answers_is_the_last_method() {
    let folder = Folder::sound();
    entry(&folder, "username: ops, interactive: true, password: x");
    let methods = methods(&folder);
    assert!(matches!(methods.as_slice(), [AuthMethod::Password(_), AuthMethod::Interactive]));
}

#[test]
fn an_agent_without_its_socket_is_an_error() {
    let folder = Folder::sound();
    entry(&folder, "username: ops, agent: true");
    assert!(folder.problems().iter().any(|line| line.contains("SSH_AUTH_SOCK is not set")));
}

#[test]
fn an_entry_without_any_method_is_an_error() {
    let folder = Folder::sound();
    entry(&folder, "username: ops");
    let problems = folder.problems();
    assert!(problems.iter().any(|line| line.contains("no way to log in")), "{problems:?}");
}

#[test]
fn a_plain_password_works_and_is_warned_of() {
    let folder = Folder::sound();
    entry(&folder, "username: ops, password: canary");
    let warnings = folder.warnings();
    assert!(
        warnings[0].starts_with("credentials.yml:2 Warning entries[0].password:"),
        "{warnings:?}"
    );
    assert!(!warnings.join("\n").contains("canary"));
}

#[test]
fn a_login_name_is_any_text_that_can_be_seen() {
    let folder = Folder::sound();
    for good in [
        "ops",
        "ops:web1",
        "root:x",
        "EXAMPLE\\\\user",
        "user@realm",
        "host$",
        "sp ace",
        "\u{fc}n\u{ef}",
        "-oProxyCommand=x",
        "a;b",
        "$(id)",
        "a|b",
        "a/b",
        "1000",
    ] {
        entry(&folder, &format!("username: \"{good}\", key_path: id"));
        assert!(folder.load().unwrap().warnings.is_empty(), "{good:?}");
    }
    let long = "a".repeat(257);
    for bad in ["", " a", "a ", "a\\nb", "a\\0", "a\\u202eb", "a\\u200bb", "a\\x7f", long.as_str()]
    {
        entry(&folder, &format!("username: \"{bad}\", key_path: id"));
        let problems = folder.problems();
        assert!(
            problems.iter().any(|line| line.contains("entries[0].username:")),
            "{bad:?}: {problems:?}"
        );
    }
}

#[test]
fn an_absolute_key_path_inside_the_keys_folder_is_taken() {
    let folder = Folder::sound();
    entry(&folder, &format!("username: ops, key_path: {}", folder.path("keys/id").display()));
    assert!(matches!(methods(&folder).as_slice(), [AuthMethod::Key { .. }]));
}

#[test]
fn seed_defect_15_every_ordinary_variable_is_passed_over() {
    let mut folder = Folder::sound();
    for name in ["PATH", "HOME", "USER", "SHELL", "PWD", "LANG", "TERM", "LC_ALL", "XDG_DATA_HOME"]
    {
        folder.set(name, "not a secret");
        let found = look_up(name, &folder.path("secrets"), &folder.variables);
        assert_eq!(found.unwrap_err(), Missing::NotFound { name: name.to_owned() });
    }
    folder.set("SSHEPHERD_SECRET_PATH", "meant");
    let found = look_up("PATH", &folder.path("secrets"), &folder.variables).unwrap();
    assert_eq!(found.expose(), "meant");
}

#[test]
fn our_prefix_comes_before_the_seeds() {
    let mut folder = Folder::sound();
    folder.set("MCP_SSH_SECRET_pw", "theirs");
    folder.set("SSHEPHERD_SECRET_pw", "ours");
    let found = look_up("pw", &folder.path("secrets"), &folder.variables).unwrap();
    assert_eq!(found.expose(), "ours");
}

#[test]
fn a_secret_name_can_reach_no_other_file() {
    let folder = Folder::sound();
    let long = "a".repeat(101);
    for bad in ["", "../keys/id", ".env", "a/b", "a b", "a=b", long.as_str()] {
        let found = look_up(bad, &folder.path("secrets"), &folder.variables);
        assert!(matches!(found, Err(Missing::BadName(_))), "{bad:?}");
    }
}

#[test]
fn a_secret_file_that_is_a_link_or_writable_by_others_is_refused() {
    let folder = Folder::sound();
    folder.write("outside", "canary");
    std::os::unix::fs::symlink(folder.path("outside"), folder.path("secrets/link")).unwrap();
    folder.write("secrets/open", "canary");
    folder.mode("secrets/open", 0o622);
    for name in ["link", "open"] {
        let found = look_up(name, &folder.path("secrets"), &folder.variables).unwrap_err();
        assert!(matches!(found, Missing::Refused { .. }), "{name}: {found:?}");
        assert!(!found.to_string().contains("canary"));
    }
}

#[test]
fn newlines_at_the_end_and_a_mark_at_the_beginning_are_no_part_of_a_secret() {
    let folder = Folder::sound();
    for (text, wanted) in [
        ("a", "a"),
        ("a\n", "a"),
        ("a\r\n", "a"),
        ("a\n\n", "a"),
        (" a ", " a "),
        ("\u{feff}a\n", "a"),
        ("a # b\n", "a # b"),
    ] {
        folder.write("secrets/pw", text);
        let found = look_up("pw", &folder.path("secrets"), &folder.variables).unwrap();
        assert_eq!(found.expose(), wanted, "{text:?}");
    }
    folder.write("secrets/pw", "\u{feff}\n");
    let empty = look_up("pw", &folder.path("secrets"), &folder.variables);
    assert!(matches!(empty, Err(Missing::Refused { .. })), "{empty:?}");
}

#[test]
fn a_line_of_dotenv_may_have_a_comment_and_the_file_a_mark() {
    let folder = Folder::sound();
    for (line, wanted) in [
        ("pw=a", "a"),
        ("\u{feff}pw=a", "a"),
        ("pw=a # comment", "a"),
        ("pw=a\t# comment", "a"),
        ("pw=a#b", "a#b"),
        ("pw=#a", "#a"),
        ("pw=a#b # c # d", "a#b"),
        ("pw=\"a # b\" # c", "a # b"),
        ("pw='a # b'", "a # b"),
        ("# pw=no\npw=a", "a"),
        ("export pw = a # x\r", "a"),
    ] {
        folder.write("secrets/.env", &format!("{line}\n"));
        let found = look_up("pw", &folder.path("secrets"), &folder.variables).unwrap();
        assert_eq!(found.expose(), wanted, "{line:?}");
    }
    folder.write("secrets/.env", "pw= # nothing\n");
    let nothing = look_up("pw", &folder.path("secrets"), &folder.variables);
    assert!(matches!(nothing, Err(Missing::NotFound { .. })), "{nothing:?}");
}

#[test]
fn a_helper_prints_a_secret_and_is_asked_once() {
    let folder = Folder::sound();
    let ran = folder.path("ran");
    let helper =
        format!("[/bin/sh, -c, 'echo x >>{}; echo \"from  a helper\"; exit 0']", ran.display());
    folder.write("sshepherd.yml", &format!("secrets: {{db_pw: {{command: {helper}}}}}\n"));
    entry(
        &folder,
        "username: ops, password_secret: db_pw, key_path: id, key_passphrase_secret: db_pw",
    );
    match methods(&folder).as_slice() {
        [AuthMethod::Key { passphrase: Some(one), .. }, AuthMethod::Password(two)] => {
            assert_eq!((one.expose(), two.expose()), ("from  a helper", "from  a helper"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "x\n", "once");
    sshepherd_config::load_to_judge(&folder.folders(), &folder.variables).unwrap();
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "x\n", "whoever only judges asks nobody");
}

#[test]
fn a_helper_that_fails_is_named_and_what_it_said_is_not() {
    let folder = Folder::sound();
    entry(&folder, "username: ops, password_secret: db_pw");
    for (command, problem) in [
        (
            "[/bin/sh, -c, 'echo canary; echo canary >&2; exit 3']",
            "its helper /bin/sh failed: exit status: 3",
        ),
        ("[/bin/sh, -c, 'true']", "printed nothing"),
        ("[/bin/sh, -c, 'head -c 70000 /dev/zero']", "printed more than 65536 bytes"),
        ("[/no/such/helper]", "its helper /no/such/helper cannot be run"),
        ("[./helper]", "must be a list whose first word is a program on PATH or an absolute path"),
        ("[]", "must be a list whose first word is"),
    ] {
        folder.write("sshepherd.yml", &format!("secrets: {{db_pw: {{command: {command}}}}}\n"));
        let problems = folder.problems().join("\n");
        assert!(problems.contains(problem), "{command}: {problems}");
        assert!(!problems.contains("canary"), "{problems}");
    }
}
