//! The seed's folder, unchanged, and the defects of its reader.

use std::time::Duration;

use sshepherd_config::{FolderFlags, Folders, KnownHosts};
use sshepherd_model::{AuthMethod, Request};
use sshepherd_policy::Verdict;

use crate::folder::{Folder, Variables};

/// The example folder of the repository with the key, the secret and the known_hosts file that it names.
fn example() -> Folder {
    let mut folder = Folder::new();
    folder.write("servers.yml", include_str!("../../../../examples/seed/servers.yml"));
    folder.write("credentials.yml", include_str!("../../../../examples/seed/credentials.yml"));
    folder.write("policy.yml", include_str!("../../../../examples/seed/policy.yml"));
    folder.write("keys/deploy_ed25519", "a key\n");
    folder.write("known_hosts", "");
    folder.write("secrets/dba_password", "from a file\n");
    folder.set("MCP_SSH_SECRET_DEPLOY_PASSPHRASE", "from the environment");
    folder
}

#[test]
fn a_seed_folder_loads_as_it_is() {
    let folder = example();
    let loaded = folder.load().unwrap();
    let warned: Vec<&str> = loaded.warnings.iter().map(|it| it.field.as_str()).collect();
    assert_eq!(warned, ["rules[0].aliases", "rules[0].tags"], "empty lists count as left out");
    let aliases: Vec<&str> =
        loaded.inventory.hosts().iter().map(|host| host.alias.as_str()).collect();
    assert_eq!(aliases, ["web-1", "web-2", "db.main"]);
    let db = loaded.inventory.host(&"db.main".parse().unwrap()).unwrap();
    assert_eq!((db.port, db.description.as_str()), (2222, "main database"));
    assert_eq!(loaded.known_hosts, KnownHosts::Explicit(folder.path("known_hosts")));
    let limits = loaded.policy.limits(db);
    assert_eq!(limits.max_time, Duration::from_secs(20), "alias over tag over limits");
    assert_eq!(limits.max_output_bytes, 131_072);
    assert_eq!(limits.result_ttl, Duration::from_secs(600));
    assert_eq!(limits.deny_substrings[..], ["rm -rf /", "mkfs ", "shutdown -h"]);
    let credential = loaded.inventory.credential(db).unwrap();
    match credential.methods.as_slice() {
        [AuthMethod::Password(password)] => assert_eq!(password.expose(), "from a file"),
        other => panic!("{other:?}"),
    }
    let web = loaded.inventory.host(&"web-1".parse().unwrap()).unwrap();
    match loaded.inventory.credential(web).unwrap().methods.as_slice() {
        [AuthMethod::Key { passphrase: Some(phrase), .. }] => {
            assert_eq!(phrase.expose(), "from the environment");
        }
        other => panic!("{other:?}"),
    }
    let verdict = |command: &str| loaded.policy.judge(web, &Request::new(command).unwrap());
    assert!(matches!(verdict("systemctl status nginx"), Verdict::Allow(_)));
    assert!(matches!(verdict("systemctl stop nginx"), Verdict::Deny(_)));
    for (address, admitted) in
        [("10.20.3.4", true), ("10.20.0.1", false), ("10.20.255.9", false), ("8.8.8.8", false)]
    {
        let judged = loaded.policy.network().judge(address.parse().unwrap());
        assert_eq!(judged.is_ok(), admitted, "{address}");
    }
}

#[test]
fn seed_defect_13_a_misspelt_network_is_an_error_and_never_an_empty_list() {
    let folder = Folder::sound();
    folder.write("policy.yml", "network:\n  allow_cidrs: [10.0.0.0/33]\n  block_ips: [10.0.0]\n");
    let problems = folder.problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("policy.yml:2 Error network.allow_cidrs[0]:"), "{problems:?}");
    assert!(problems[1].starts_with("policy.yml:3 Error network.block_ips[0]:"), "{problems:?}");
}

#[test]
fn seed_defect_13_a_single_tag_is_an_error_and_matches_nothing() {
    let folder = Folder::sound();
    folder.write("servers.yml", "hosts:\n  - {alias: a, host: a, credentials: ops, tags: web}\n");
    folder
        .write("policy.yml", "rules:\n  - action: allow\n    tags: web\n    commands: [uptime]\n");
    let problems = folder.problems();
    assert!(
        problems
            .iter()
            .any(|line| line.starts_with("servers.yml:2 Error hosts[0].tags: must be a list")),
        "{problems:?}"
    );
    assert!(
        problems
            .iter()
            .any(|line| line.starts_with("policy.yml:3 Error rules[0].tags: must be a list")),
        "{problems:?}"
    );
}

#[test]
fn seed_defect_13_unknown_keys_are_told_with_the_nearest_known_one() {
    let folder = Folder::sound();
    folder.write(
        "policy.yml",
        "limits:\n  max_second: 5\nrules:\n  - {action: allow, comands: [uptime]}\n",
    );
    let problems = folder.problems();
    assert!(
        problems.iter().any(|line| line.contains("policy.yml:2 Error")
            && line.contains("did you mean max_seconds?")),
        "{problems:?}"
    );
    assert!(problems.iter().any(|line| line.contains("did you mean commands?")), "{problems:?}");
}

#[test]
fn seed_defect_14_without_known_hosts_path_the_usual_files_are_read() {
    assert_eq!(Folder::sound().load().unwrap().known_hosts, KnownHosts::UserAndSystem);
}

#[test]
fn seed_defect_15_an_ordinary_variable_is_no_secret() {
    let mut folder = Folder::sound();
    folder.write(
        "credentials.yml",
        "entries:\n  - {name: ops, username: ops, password_secret: HOME}\n",
    );
    folder.set("HOME", "/root");
    let problems = folder.problems();
    assert!(problems.iter().any(|line| line.contains("secret HOME was not found")), "{problems:?}");
    folder.set("MCP_SSH_SECRET_HOME", "meant");
    let loaded = folder.load().unwrap();
    let host = &loaded.inventory.hosts()[0];
    match loaded.inventory.credential(host).unwrap().methods.as_slice() {
        [AuthMethod::Password(password)] => assert_eq!(password.expose(), "meant"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn secrets_are_looked_up_in_the_seeds_order() {
    let mut folder = Folder::sound();
    let entry = "entries:\n  - {name: ops, username: ops, password_secret: db_pw}\n";
    folder.write("credentials.yml", entry);
    let found = |folder: &Folder| {
        let loaded = folder.load().unwrap();
        let host = loaded.inventory.hosts()[0].clone();
        match loaded.inventory.credential(&host).unwrap().methods.as_slice() {
            [AuthMethod::Password(password)] => password.expose().to_owned(),
            other => panic!("{other:?}"),
        }
    };
    folder.write("secrets/db_pw", "file\n");
    assert_eq!(found(&folder), "file");
    folder.write("secrets/.env", "# a comment\nexport db_pw='dot env'\n");
    assert_eq!(found(&folder), "dot env");
    folder.set("MCP_SSH_SECRET_db_pw", "prefixed");
    assert_eq!(found(&folder), "prefixed");
    folder.set("db_pw", "bare");
    assert_eq!(found(&folder), "bare");
}

#[test]
fn folders_come_from_flags_then_our_variables_then_the_seeds() {
    let mut variables = Variables::default();
    for (name, value) in [
        ("MCP_SSH_CONFIG_DIR", "/seed/config"),
        ("MCP_SSH_KEYS_DIR", "/seed/keys"),
        ("SSHEPHERD_KEYS_DIR", "/ours/keys"),
        ("SSHEPHERD_STATE_DIR", "/ours/state"),
    ] {
        variables.0.insert(name.to_owned(), value.to_owned());
    }
    let folders = Folders::resolve(&FolderFlags::default(), &variables).unwrap();
    assert_eq!(folders.config.to_str(), Some("/seed/config"));
    assert_eq!(folders.keys.to_str(), Some("/ours/keys"));
    assert_eq!(folders.secrets.to_str(), Some("/seed/config/secrets"));
    let flags = FolderFlags { config: Some("/flag".into()), ..FolderFlags::default() };
    let folders = Folders::resolve(&flags, &variables).unwrap();
    assert_eq!(folders.keys.to_str(), Some("/flag/keys"), "a flag's keys are its own");
    assert_eq!(folders.state.to_str(), Some("/ours/state"));
    let flags = FolderFlags { config: Some("here".into()), ..FolderFlags::default() };
    let folders = Folders::resolve(&flags, &variables).unwrap();
    let here = std::env::current_dir().unwrap().join("here");
    assert_eq!((folders.keys, folders.config), (here.join("keys"), here), "never relative");
}
