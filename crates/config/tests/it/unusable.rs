//! What cannot be used disables the hosts that need it, and nothing else.

use std::path::PathBuf;

use sshepherd_model::{AgentKey, AuthMethod, Inventory};

use crate::folder::Folder;

const HOSTS: &str = "hosts:
  - {alias: good, host: good.example, credentials: ops}
  - {alias: other, host: other.example, credentials: x}
  - {alias: behind, host: behind.example, credentials: ops, jump: other}
";

fn with(entry: &str) -> Folder {
    let folder = Folder::sound();
    folder.write("servers.yml", HOSTS);
    let text = format!("entries:\n  - {{name: ops, username: ops, key_path: id}}\n{entry}");
    folder.write("credentials.yml", &text);
    folder
}

fn why(inventory: &Inventory, alias: &str) -> Option<String> {
    inventory.unusable(inventory.host(&alias.parse().unwrap()).unwrap())
}

#[test]
fn one_unusable_entry_leaves_the_other_hosts() {
    for (entry, wanted) in [
        ("  - {name: x, username: u, agent: true}", "SSH_AUTH_SOCK is not set"),
        ("  - {name: x, username: u, agent_socket: run/agent}", "must be an absolute path"),
        ("  - {name: x, username: u, agent_socket: $NO_SUCH}", "the variable NO_SUCH is not set"),
        ("  - {name: x, username: u, key_path: gone}", "cannot be read"),
        ("  - {name: x, username: u, key_path: open}", "can be read by others"),
        (
            "  - {name: x, username: u, key_path: id, key_passphrase_secret: none}",
            "secret none was not found",
        ),
        ("  - {name: x, username: u, key_path: id, certificate_path: gone}", "cannot be read"),
        ("  - {name: x, username: u, password_secret: none}", "secret none was not found"),
        (
            "  - {name: x, username: u, agent: true, password_secret: none}",
            "password_secret: secret none",
        ),
        (
            "  - {name: x, username: u, password: p, password_prompt: '('}",
            "no pattern for a prompt",
        ),
        ("  - {name: x, username: u, password: p, password_prompt: '.*'}", "matches everything"),
        ("  - {name: x, username: u, agent_key: 'SHA256:short'}", "is no fingerprint"),
        ("  - {name: x, username: u, agent: false, agent_key: id}", "want agent: true"),
        ("  - {name: x, username: \" u\", key_path: id}", "is no login name"),
        ("  - {name: x, key_path: id}", "username is required"),
        ("  - {name: x, username: u}", "no way to log in"),
        ("  - {name: x, username: u, key_path: [id]}", "must be text"),
        (
            "  - {name: x, username: u, key_path: id}\n  - {name: x, username: v, key_path: id}",
            "defined twice",
        ),
        ("", "no entry of credentials.yml is called x"),
    ] {
        let folder = with(entry);
        folder.write("keys/open", "a key\n");
        folder.mode("keys/open", 0o644);
        let loaded = folder.load().unwrap_or_else(|report| panic!("{entry}: {report}"));
        let inventory = &loaded.inventory;
        assert_eq!(why(inventory, "good"), None, "{entry}");
        let told = why(inventory, "other").unwrap();
        assert!(told.starts_with("credentials x: ") && told.contains(wanted), "{entry}: {told}");
        assert_eq!(why(inventory, "behind"), Some(format!("jump host other: {told}")));
        let host = inventory.host(&"other".parse().unwrap()).unwrap();
        assert!(inventory.credential(host).is_none(), "{entry}: nothing of it is used");
        let problems = folder.problems().join("\n");
        assert!(problems.contains("Unusable") && problems.contains(wanted), "{entry}: {problems}");
    }
}

#[test]
fn a_file_of_log_ins_that_cannot_be_read_disables_all_hosts() {
    for (text, mode, wanted) in [
        ("entries: [", 0o600, "credentials.yml not YAML"),
        ("entries: []\n", 0o622, "can be written by others"),
    ] {
        let folder = with("");
        folder.write("credentials.yml", text);
        folder.mode("credentials.yml", mode);
        let loaded = folder.load().unwrap();
        for alias in ["good", "other", "behind"] {
            let told = why(&loaded.inventory, alias).unwrap();
            assert!(told.contains(wanted), "{alias}: {told}");
        }
    }
}

#[test]
fn a_method_that_cannot_be_used_leaves_the_others() {
    let folder = with("  - {name: x, username: u, key_path: gone, agent: true, password: p}");
    let loaded = folder.load().unwrap();
    assert_eq!(why(&loaded.inventory, "other"), None);
    let host = loaded.inventory.host(&"other".parse().unwrap()).unwrap();
    match loaded.inventory.credential(host).unwrap().methods.as_slice() {
        [
            AuthMethod::Unusable { name: one, .. },
            AuthMethod::Unusable { name: two, .. },
            AuthMethod::Password(_),
        ] => {
            assert_eq!((one.as_str(), two.as_str()), ("key_path", "agent"));
        }
        other => panic!("{other:?}"),
    }
    let warnings = folder.warnings().join("\n");
    assert!(warnings.contains("the other methods of this entry are used"), "{warnings}");
}

#[test]
fn one_key_of_an_agent_is_named_by_its_fingerprint_or_its_file() {
    let print = format!("SHA256:{}", "a".repeat(43));
    let mut folder = with("");
    folder.set("SSH_AUTH_SOCK", "/run/agent.sock");
    folder.set("OTHER", "/run/other.sock");
    folder.write("keys/id.pub", "a public key\n");
    folder.mode("keys/id.pub", 0o644);
    let file = AgentKey::PublicFile(folder.path("keys/id.pub"));
    for (fields, socket, only) in [
        ("agent: true".to_owned(), "/run/agent.sock", None),
        (
            format!("agent_key: '{print}'"),
            "/run/agent.sock",
            Some(AgentKey::Fingerprint(print.clone())),
        ),
        (
            format!("agent_key: '{print}='"),
            "/run/agent.sock",
            Some(AgentKey::Fingerprint(print.clone())),
        ),
        ("agent_key: id.pub".to_owned(), "/run/agent.sock", Some(file)),
        ("agent_socket: /run/1password/agent.sock".to_owned(), "/run/1password/agent.sock", None),
        ("agent_socket: $OTHER".to_owned(), "/run/other.sock", None),
    ] {
        let text = format!("entries:\n  - {{name: ops, username: ops, {fields}}}\n");
        folder.write("credentials.yml", &text);
        folder.write(
            "servers.yml",
            "hosts:\n  - {alias: web1, host: web1.example, credentials: ops}\n",
        );
        let loaded = folder.load().unwrap();
        let host = loaded.inventory.hosts().first().unwrap().clone();
        match loaded.inventory.credential(&host).map(|entry| entry.methods.as_slice()) {
            Some([AuthMethod::Agent { socket: found, only: key }]) => {
                assert_eq!((found, key), (&PathBuf::from(socket), &only), "{fields}");
            }
            other => panic!("{fields}: {other:?}"),
        }
    }
}

#[test]
fn fields_that_the_seed_leaves_empty_are_absent() {
    let folder = Folder::sound();
    let text = "entries:\n  - {name: ops, username: ops, key_path: id, key_passphrase_secret: \"\", password_secret: \"\"}\n";
    folder.write("credentials.yml", text);
    assert!(folder.load().unwrap().warnings.is_empty());
    folder.write(
        "credentials.yml",
        "entries:\n  - {name: ops, username: ops, key_path: /app/keys/id}\n",
    );
    let loaded = folder.load().unwrap();
    let host = loaded.inventory.hosts().first().unwrap().clone();
    match loaded.inventory.credential(&host).unwrap().methods.as_slice() {
        [AuthMethod::Key { path, .. }] => assert_eq!(*path, folder.path("keys/id")),
        other => panic!("{other:?}"),
    }
}
