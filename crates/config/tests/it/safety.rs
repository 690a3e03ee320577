//! Files that others may write or read are refused, and keys are reached without links.

use std::os::unix::fs::symlink;

use crate::folder::Folder;

#[test]
fn a_file_that_others_may_write_is_refused() {
    for name in ["servers.yml", "credentials.yml", "policy.yml"] {
        for mode in [0o620, 0o602] {
            let folder = Folder::sound();
            folder.mode(name, mode);
            let problems = folder.problems();
            assert!(
                problems
                    .iter()
                    .any(|line| line.starts_with(name) && line.contains("written by others")),
                "{name} {mode:o}: {problems:?}"
            );
        }
    }
}

#[test]
fn a_folder_that_others_may_write_is_refused() {
    let folder = Folder::sound();
    folder.mode(".", 0o777);
    assert!(folder.problems()[0].contains("its folder"));
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let folder = Folder::sound();
    folder.mode("keys/id", 0o640);
    assert!(folder.problems()[0].contains("chmod 600"));
}

#[test]
fn a_key_is_reached_without_links_and_inside_its_folder() {
    let folder = Folder::sound();
    folder.write("outside", "a key\n");
    symlink(folder.path("outside"), folder.path("keys/link")).unwrap();
    std::fs::create_dir(folder.path("keys/dir")).unwrap();
    let outside = folder.path("outside").display().to_string();
    for (path, wanted) in [
        ("link", "symbolic link"),
        ("../outside", "must not contain"),
        ("dir", "no regular file"),
        ("gone", "cannot be read"),
        (outside.as_str(), "outside the keys folder"),
    ] {
        let entry = format!("entries:\n  - {{name: ops, username: ops, key_path: {path}}}\n");
        folder.write("credentials.yml", &entry);
        let problems = folder.problems();
        assert!(problems[0].contains(wanted), "{path}: {problems:?}");
    }
}

#[test]
fn a_secret_never_stands_in_a_problem() {
    let mut folder = Folder::sound();
    folder.set("phrase", "canary-4711");
    folder.write(
        "credentials.yml",
        "entries:\n  - {name: ops, username: \"a b\", key_path: id, key_passphrase_secret: phrase, password: canary-4712}\n",
    );
    let problems = folder.problems().join("\n");
    assert!(!problems.contains("canary"), "{problems}");
    let loaded = {
        folder.write("credentials.yml", "entries:\n  - {name: ops, username: ops, key_path: id, key_passphrase_secret: phrase}\n");
        folder.load().unwrap()
    };
    assert!(!format!("{loaded:?}").contains("canary"));
}

#[test]
fn a_link_is_no_secrets_file() {
    let folder = Folder::sound();
    std::fs::write(folder.path("elsewhere"), "login=hunter2\n").unwrap();
    folder.mode("elsewhere", 0o600);
    symlink(folder.path("elsewhere"), folder.path("secrets/.env")).unwrap();
    folder.write(
        "credentials.yml",
        "entries:\n  - name: test\n    username: u\n    password_secret: login\n",
    );
    let problems = folder.problems();
    assert!(problems.iter().any(|line| line.contains("symbolic link")), "{problems:?}");
}

#[test]
fn an_audit_file_may_lie_in_the_home_folder() {
    let folder = Folder::sound();
    folder.write("sshepherd.yml", "audit:\n  path: ~/audit.jsonl\n");
    let path = folder.load().unwrap().settings.audit.path.unwrap();
    assert_eq!(path, std::env::home_dir().unwrap().join("audit.jsonl"));
}
