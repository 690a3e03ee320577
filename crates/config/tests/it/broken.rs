//! A folder where nearly everything is wrong: all of it is told at once, each with its line and field.

use crate::folder::Folder;

const SERVERS: &str = "hosts:
  - alias: web 1
    host: web1.example
    credentials: ops
  - alias: web2
    host: \"-oProxyCommand=x\"
    credentials: ops
  - alias: web3
    host: web3.example
    port: 70000
    credentials: ops
  - alias: db
    host: db.example
    credentials: nobody
    descripton: main
  - alias: db
    host: db2.example
    credentials: ops
  - host: x.example
    credentials: ops
  - alias: odd
    host: odd.example
    credentials: ops
    login_shell: bash
  - alias: fine
    host: fine.example
    credentials: ops
";

const CREDENTIALS: &str = "entries:
  - name: ops
    username: ops
    key_path: ../id
  - name: ops
    username: ops
  - name: old
    username: old
    password_secret: gone
";

const POLICY: &str = "limits:
  max_seconds: soon
network:
  block_cidrs: [10.0.0.0/99]
rules:
  - action: permit
    commands: [uptime]
  - action: allow
    commands: [\"web[0-9\"]
  - action: deny
    aliases: [nobody]
    commands: [halt]
";

const EXPECTED: [&str; 18] = [
    "servers.yml:2 Error hosts[0].alias:",
    "servers.yml:6 Error hosts[1].host:",
    "servers.yml:10 Error hosts[2].port:",
    "servers.yml:14 Unusable hosts[3].credentials: no entry",
    "servers.yml:15 Error hosts[3].descripton: unknown key; did you mean description?",
    "servers.yml:16 Error hosts[4].alias: db is already the alias of the host at line 12",
    "servers.yml:19 Error hosts[5].alias: is required",
    "servers.yml:24 Error hosts[6].login_shell:",
    "credentials.yml:4 Unusable entries[0].key_path:",
    "credentials.yml:5 Unusable entries[1].name: ops is defined twice",
    "credentials.yml:9 Warning entries[2].password_secret:",
    "policy.yml:2 Error limits.max_seconds: must be a whole number, not text",
    "policy.yml:4 Error network.block_cidrs[0]:",
    "policy.yml:6 Error rules[0].action:",
    "policy.yml:9 Error rules[1].commands[0]: bad pattern",
    "policy.yml:11 Warning rules[2].aliases[0]: no host has the alias nobody",
    "sshepherd.yml:1 Error fan_out.parallel: must be between 1 and 512",
    "sshepherd.yml:2 Error audit: must be a mapping",
];

#[test]
fn every_problem_of_every_file_is_told_at_once() {
    let folder = Folder::new();
    folder.write("servers.yml", SERVERS);
    folder.write("credentials.yml", CREDENTIALS);
    folder.write("policy.yml", POLICY);
    folder.write("sshepherd.yml", "fan_out: {parallel: 0}\naudit: on\n");
    let problems = folder.problems();
    for wanted in EXPECTED {
        assert!(
            problems.iter().any(|line| line.starts_with(wanted)),
            "{wanted}\nis not among\n{}",
            problems.join("\n")
        );
    }
}

#[test]
fn what_is_no_yaml_is_told_with_its_line() {
    let folder = Folder::sound();
    folder.write("policy.yml", "rules:\n  - action: allow\n  commands: [\n");
    let problems = folder.problems();
    assert!(problems[0].starts_with("policy.yml:"), "{problems:?}");
    assert!(problems[0].contains("not YAML"), "{problems:?}");
}

#[test]
fn a_missing_file_is_told_for_what_it_means() {
    let folder = Folder::new();
    let problems = folder.problems();
    assert!(problems.iter().any(|line| line.contains("sshepherd init")), "{problems:?}");
    let folder = Folder::sound();
    std::fs::remove_file(folder.path("policy.yml")).unwrap();
    let warnings = folder.warnings();
    assert!(warnings.iter().any(|line| line.contains("every command is denied")), "{warnings:?}");
}
