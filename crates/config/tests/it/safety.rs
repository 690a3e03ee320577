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
fn a_relative_key_stays_inside_its_folder() {
    let folder = Folder::sound();
    folder.write("outside", "a key\n");
    symlink(folder.path("outside"), folder.path("keys/link")).unwrap();
    symlink(folder.path("."), folder.path("keys/up")).unwrap();
    std::fs::create_dir(folder.path("keys/dir")).unwrap();
    for (path, wanted) in [
        ("link", "symbolic link that leads out of the keys folder"),
        ("up/outside", "symbolic link that leads out of the keys folder"),
        ("../outside", "must not contain"),
        ("./id", "must not contain"),
        ("dir", "no regular file"),
        ("gone", "cannot be read"),
    ] {
        let problems = with_key(&folder, path).problems();
        assert!(problems[0].contains(wanted), "{path}: {problems:?}");
    }
}

/// As a mounted secret of Kubernetes: `id` leads to `..data/id`, and `..data` to a folder with the time in its name.
#[test]
fn links_within_the_keys_folder_are_followed() {
    let folder = Folder::sound();
    std::fs::remove_file(folder.path("keys/id")).unwrap();
    std::fs::create_dir(folder.path("keys/..2026_11_30")).unwrap();
    folder.write("keys/..2026_11_30/id", "a key\n");
    symlink("..2026_11_30", folder.path("keys/..data")).unwrap();
    symlink("..data/id", folder.path("keys/id")).unwrap();
    assert!(folder.load().unwrap().warnings.is_empty());
    // Its folder is writable by all and sticky.
    folder.mode("keys", 0o1777);
    assert!(folder.load().unwrap().warnings.is_empty());
    folder.mode("keys", 0o777);
    assert!(folder.problems()[0].contains("the keys folder"));
}

#[test]
fn an_absolute_key_is_taken_as_ssh_takes_it() {
    let folder = Folder::sound();
    folder.write("outside", "a key\n");
    symlink(folder.path("outside"), folder.path("link")).unwrap();
    symlink(folder.path("outside"), folder.path("keys/link")).unwrap();
    for name in ["outside", "link", "keys/link", "keys/../outside"] {
        let path = folder.path(name).display().to_string();
        assert!(with_key(&folder, &path).load().unwrap().warnings.is_empty(), "{name}");
    }
    let path = folder.path("outside").display().to_string();
    for (mode, wanted) in [(0o640, "chmod 600"), (0o620, "written by others")] {
        folder.mode("outside", mode);
        let problems = with_key(&folder, &path).problems();
        assert!(problems[0].contains(wanted), "{mode:o}: {problems:?}");
    }
}

fn with_key<'a>(folder: &'a Folder, path: &str) -> &'a Folder {
    let entry = format!("entries:\n  - {{name: ops, username: ops, key_path: {path}}}\n");
    folder.write("credentials.yml", &entry);
    folder
}

#[test]
fn a_secret_never_stands_in_a_problem() {
    let mut folder = Folder::sound();
    folder.set("phrase", "canary-4711");
    folder.write(
        "credentials.yml",
        "entries:\n  - {name: ops, username: \" a\", key_path: id, key_passphrase_secret: phrase, password: canary-4712}\n",
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
