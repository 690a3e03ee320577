//! What `import ansible` writes, which the configuration reader takes.

use std::fs;
use std::process::Command;

#[test]
fn an_ansible_inventory_is_taken_over_and_loads() {
    let home = tempfile::tempdir().unwrap();
    let inventory = "[web]\nweb[01:03] ansible_ssh_common_args='-J bastion'\n[edge machines]\n[edge]\nbastion ansible_host=192.0.2.7 ansible_user=jump\n\
                     [prod:children]\nweb\n[web:vars]\nansible_user=www\nansible_ssh_private_key_file=~/.ssh/id_web\n[local]\nlocalhost ansible_connection=local\n\
                     [bad]\nx ansible_host='a\rb'\n";
    fs::write(home.path().join("hosts"), inventory).unwrap();
    fs::create_dir(home.path().join("group_vars")).unwrap();
    fs::write(home.path().join("group_vars/prod.yml"), "ansible_port: 2222\n").unwrap();
    let folder = home.path().join("config");
    let sshepherd = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sshepherd"));
        command.arg("--config").arg(&folder).args(words);
        command.env("HOME", home.path()).env("SSH_AUTH_SOCK", "/run/agent.sock").output().unwrap()
    };
    let file = home.path().join("hosts").display().to_string();
    let printed = sshepherd(&["import", "ansible", &file]);
    let text = String::from_utf8(printed.stdout).unwrap();
    for wanted in [
        "    tags: [\"prod\", \"web\"]\n    jump: \"bastion\"\n",
        "    port: 2222\n",
        "  - name: \"www\"\n    username: \"www\"\n    agent: true\n    interactive: true\n    # key_path: id_web ",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    let written = sshepherd(&["import", "ansible", "--write", &file]);
    let notes = String::from_utf8(written.stderr).unwrap();
    for note in [
        "localhost: is left out: ansible_connection=local is not SSH",
        "hosts:3: is no section; the line is passed over",
        "4 hosts; look them over",
    ] {
        assert!(notes.contains(note), "{note}\n{notes}");
    }
    assert!(!notes.contains('\r'), "{notes:?}");
    let hosts = sshepherd(&["--json", "hosts", "--on", "@prod and web[01-02]"]);
    let hosts: serde_json::Value = serde_json::from_slice(&hosts.stdout).unwrap();
    assert_eq!(hosts["hosts"].as_array().unwrap().len(), 2, "{hosts}");
    assert_eq!(sshepherd(&["import", "ansible", "--write", &file]).status.code(), Some(2));
    assert_eq!(sshepherd(&["import", "ansible", "/no/such"]).status.code(), Some(2));
}
