//! A server whose configuration is read again without being asked over MCP: when that is, and what is in force then.

use serde_json::Value;

use crate::serving::{Gate, Serving};
use crate::site::Site;

const FEWER: &str = "  - {id: fewer, action: allow, commands: [\"true\"]}\n";
const NONE: &str = "  - {id: none, action: deny, commands: [\"*\"]}\n";
const AGAIN: &str = "the configuration was read again";
const WATCH: &str = "audit: {path: audit.jsonl}\nreload: {watch: true}\n";

/// The records of reloads.
fn reloads(site: &Site) -> Vec<Value> {
    let audit = std::fs::read_to_string(site.path("audit.jsonl")).unwrap();
    let records = audit.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|record| record["event"] == "reload").collect()
}

/// What the record must name for the policy as it is on the disk.
fn policy_hash(site: &Site) -> String {
    let told = std::process::Command::new("sha256sum").arg(site.path("policy.yml")).output();
    let told = String::from_utf8(told.unwrap().stdout).unwrap();
    told.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_hangup_reads_the_configuration_again_or_keeps_the_old_one() {
    let site = Site::new();
    site.write("sshepherd.yml", "audit: {path: audit.jsonl}\n");
    let mut serving = Serving::start(&site);
    site.rules(FEWER);
    serving.signal("-HUP");
    serving.hear(AGAIN);
    let records = reloads(&site);
    assert_eq!(records[0]["source"], "signal");
    site.write("policy.yml", "rules: 7\n");
    serving.signal("-HUP");
    let heard = serving.hear("the old one stays in force");
    assert!(heard.contains("policy.yml:1: error: rules: must be a list"), "{heard}");
}

#[test]
fn the_recorded_policy_hash_changes_exactly_with_the_policy() {
    let site = Site::new();
    site.write("sshepherd.yml", "audit: {path: audit.jsonl}\n");
    let mut serving = Serving::start(&site);
    let before = policy_hash(&site);
    let other = |site: &Site| site.hosts(&[crate::site::ALIAS, "box.three"]);
    let fewer = |site: &Site| site.rules(FEWER);
    let none = |site: &Site| site.rules(NONE);
    let changes: [&dyn Fn(&Site); 5] = [&other, &fewer, &other, &none, &fewer];
    let mut hashes = vec![before];
    for change in changes {
        change(&site);
        serving.signal("-HUP");
        serving.hear(AGAIN);
        hashes.push(policy_hash(&site));
    }
    let recorded: Vec<Value> =
        reloads(&site).iter().map(|record| record["policy_hash"].clone()).collect();
    assert_eq!(recorded, hashes[1..]);
    assert_eq!(recorded[1], recorded[2], "the same policy");
    assert_eq!(recorded[1], recorded[4], "the same policy again");
    assert_ne!(recorded[0], recorded[1]);
    assert_ne!(recorded[2], recorded[3]);
    assert_eq!(recorded[0], hashes[0], "another file has changed");
}

#[test]
fn a_broken_file_in_watch_mode_leaves_the_old_configuration_and_the_repaired_one_is_taken() {
    let site = Site::new();
    site.write("sshepherd.yml", WATCH);
    let mut serving = Serving::start(&site);
    let sound = policy_hash(&site);
    let plan = serde_json::json!({"name": "ssh_plan", "arguments": {"alias": crate::site::ALIAS, "command": crate::site::OK}});
    site.write("policy.yml", "rules: [\n");
    let heard = serving.hear("the old one stays in force");
    assert!(heard.contains("policy.yml:"), "{heard}");
    let records = reloads(&site);
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(
        (&records[0]["source"], &records[0]["outcome"], &records[0]["policy_hash"]),
        (&"watch".into(), &"refused".into(), &sound.into())
    );
    assert!(records[0]["reason"].as_str().unwrap().starts_with("1 errors: policy.yml:"));
    let told = serving.ask(2, "tools/call", &plan);
    assert!(told.contains(r#""allowed":true"#), "the old policy judges: {told}");
    site.rules(NONE);
    serving.hear(AGAIN);
    assert_eq!(reloads(&site)[1]["policy_hash"], policy_hash(&site));
    let told = serving.ask(3, "tools/call", &plan);
    assert!(told.contains(r#""allowed":false"#), "the new one does: {told}");
}

#[test]
fn an_edit_while_the_files_are_read_again_is_seen() {
    let site = Site::new();
    let gate = Gate::new(&site, 2, WATCH);
    let mut serving = Serving::start(&site);
    site.rules(FEWER);
    gate.began();
    // The policy has been read, and the reading waits for the helper.
    site.rules(NONE);
    gate.go();
    serving.hear(AGAIN);
    serving.hear(AGAIN);
    assert_eq!(reloads(&site)[1]["policy_hash"], policy_hash(&site));
}

#[test]
fn an_edit_while_a_hangup_reads_the_files_is_seen() {
    let site = Site::new();
    let gate = Gate::new(&site, 2, WATCH);
    let mut serving = Serving::start(&site);
    serving.signal("-HUP");
    gate.began();
    site.rules(NONE);
    gate.go();
    serving.hear(AGAIN);
    serving.hear(AGAIN);
    assert_eq!(reloads(&site)[1]["policy_hash"], policy_hash(&site));
}

#[test]
fn an_edit_while_the_server_starts_is_seen() {
    let site = Site::new();
    let gate = Gate::new(&site, 1, WATCH);
    let mut serving = Serving::spawn(Serving::command(&site));
    gate.began();
    site.rules(NONE);
    gate.go();
    serving.hear(AGAIN);
    assert_eq!(reloads(&site)[0]["policy_hash"], policy_hash(&site));
}

/// Also one of the same length and the same time of change.
#[test]
fn a_file_put_in_the_place_of_another_is_seen() {
    let site = Site::new();
    site.rules(FEWER);
    site.write("sshepherd.yml", WATCH);
    let policy = site.path("policy.yml");
    let text = std::fs::read_to_string(&policy).unwrap();
    site.write("other.yml", &text.replace("fewer", "lower"));
    let touched = std::process::Command::new("touch")
        .args(["-r".as_ref(), policy.as_os_str(), site.path("other.yml").as_os_str()])
        .status();
    assert!(touched.unwrap().success());
    let mut serving = Serving::start(&site);
    std::fs::rename(site.path("other.yml"), &policy).unwrap();
    serving.hear(AGAIN);
    assert_eq!(reloads(&site)[0]["policy_hash"], policy_hash(&site));
}

#[test]
fn a_hangup_while_the_server_starts_does_not_end_it_and_is_heard() {
    let site = Site::new();
    let gate = Gate::new(&site, 1, "audit: {path: audit.jsonl}\n");
    let mut serving = Serving::spawn(Serving::command(&site));
    gate.began();
    serving.signal("-HUP");
    site.rules(NONE);
    gate.go();
    serving.hear(AGAIN);
    assert_eq!(reloads(&site)[0]["policy_hash"], policy_hash(&site));
    serving.hello();
}

#[test]
fn hosts_that_come_and_go_in_servers_d_are_seen() {
    let site = Site::new();
    site.write("sshepherd.yml", WATCH);
    let mut serving = Serving::start(&site);
    let describe = serde_json::json!({"name": "ssh_list_hosts", "arguments": {}});
    std::fs::create_dir(site.path("servers.d")).unwrap();
    site.write("new.yml", "hosts:\n  - {alias: late, host: 127.0.0.1, credentials: test}\n");
    std::fs::rename(site.path("new.yml"), site.path("servers.d/new.yml")).unwrap();
    serving.hear(AGAIN);
    assert!(serving.ask(2, "tools/call", &describe).contains("late"));
    std::fs::remove_file(site.path("servers.d/new.yml")).unwrap();
    serving.hear(AGAIN);
    assert!(!serving.ask(3, "tools/call", &describe).contains("late"));
}

#[test]
fn a_program_that_fails_at_a_reading_leaves_its_earlier_hosts_in_force() {
    let site = Site::new();
    site.write("list", "hosts: [{alias: made, host: 127.0.0.1, credentials: test}]\n");
    let list = site.path("list");
    let servers = format!("hosts: []\ninventory: [{{command: [cat, {}]}}]\n", list.display());
    site.write("servers.yml", &servers);
    let mut serving = Serving::start(&site);
    let hosts = serde_json::json!({"name": "ssh_list_hosts", "arguments": {}});
    let reload = serde_json::json!({"name": "ssh_reload_config", "arguments": {}});
    assert!(serving.ask(2, "tools/call", &hosts).contains("made"));
    std::fs::remove_file(&list).unwrap();
    let told = serving.ask(3, "tools/call", &reload);
    assert!(told.contains("the program cat failed: exit status: 1"), "{told}");
    assert!(serving.ask(4, "tools/call", &hosts).contains("made"));
    serving.signal("-HUP");
    serving.hear("the old one stays in force");
    site.write("list", "hosts: [{alias: anew, host: 127.0.0.1, credentials: test}]\n");
    let told = serving.ask(5, "tools/call", &reload);
    assert!(!told.contains("failed"), "{told}");
    assert!(serving.ask(6, "tools/call", &hosts).contains("anew"));
}
