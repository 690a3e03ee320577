//! One thing that cannot be used disables its hosts, never the server; a configuration that cannot be used at all is answered.

use std::process::{Command, Output};

use serde_json::{Value, json};
use sshepherd_testkit::Sshd;

use crate::mcp::client::{Client, Era};
use crate::serving::Serving;
use crate::site::{ALIAS, OK, Site};

/// Two hosts on one server: the second logs in with what is wrong.
fn site(wrong: &str) -> Site {
    let site = Site::new();
    let port = site.server().port();
    let host = |alias: &str, login: &str| {
        format!(
            "  - {{alias: {alias}, host: 127.0.0.1, port: {port}, credentials: {login}, tags: [all]}}\n"
        )
    };
    site.write("servers.yml", &format!("hosts:\n{}{}", host(ALIAS, "test"), host("other", "x")));
    let user = site.server().user();
    let good = format!("entries:\n  - {{name: test, username: {user}, key_path: id}}\n");
    site.write("credentials.yml", &format!("{good}  - {{name: x, username: {user}, {wrong}}}\n"));
    site
}

const WRONG: [(&str, &str); 4] = [
    ("agent: true", "SSH_AUTH_SOCK is not set"),
    ("agent_socket: /nonexistent/agent", "no ssh-agent is at /nonexistent/agent"),
    ("key_path: gone", "gone cannot be read"),
    ("password_secret: nosuch", "secret nosuch was not found"),
];

fn run(site: &Site, words: &[&str]) -> Output {
    let serve = site.serve();
    let mut command = Command::new(&serve[0]);
    command.args(&serve[2..]).args(words).env_remove("SSH_AUTH_SOCK").output().unwrap()
}

fn told(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

#[tokio::test]
async fn an_unusable_credential_disables_its_host_and_is_told() {
    for (wrong, why) in WRONG {
        let site = site(wrong);
        let mut serve =
            vec!["/usr/bin/env".to_owned(), "-u".to_owned(), "SSH_AUTH_SOCK".to_owned()];
        serve.extend(site.serve());
        let client = Client::start(&serve, Era::Session).await;
        let list = client.good("ssh_list_hosts", json!({})).await;
        assert_eq!(list["hosts"], json!([ALIAS, "other"]), "{wrong}");
        let unusable = list["unusable"].as_array().unwrap();
        assert_eq!((unusable.len(), &unusable[0]["alias"]), (1, &json!("other")), "{list}");
        let contains = |value: &Value| value.as_str().is_some_and(|text| text.contains(why));
        assert!(contains(&unusable[0]["why"]), "{wrong}: {list}");
        let described = client.good("ssh_describe_host", json!({"alias": "other"})).await;
        assert!(contains(&described["unusable"]), "{described}");
        let good = client.good("ssh_describe_host", json!({"alias": ALIAS})).await;
        assert_eq!(good.get("unusable"), None, "{good}");
        let ran = client.good("ssh_run", json!({"alias": ALIAS, "command": OK})).await;
        assert_eq!(ran["exit_code"], 0, "{ran}");
        let refused = client.bad("ssh_run", json!({"alias": "other", "command": OK})).await;
        assert_eq!(refused["status"], "could_not_connect", "{refused}");
        assert!(refused.to_string().contains(why), "{refused}");
        let planned = client.good("ssh_plan", json!({"alias": "other", "command": OK})).await;
        assert!(planned["allowed"] == json!(true) && contains(&planned["hint"]), "{planned}");
        // What is repaired is picked up, whatever was counted meanwhile.
        for _ in 0..6 {
            client.bad("ssh_run", json!({"alias": "other", "command": OK})).await;
        }
        let user = site.server().user();
        let entry = |name: &str| format!("  - {{name: {name}, username: {user}, key_path: id}}\n");
        site.write("credentials.yml", &format!("entries:\n{}{}", entry("test"), entry("x")));
        let reloaded = client.good("ssh_reload_config", json!({})).await;
        if !wrong.contains("nonexistent") {
            assert!(reloaded.to_string().contains("host other can be used again"), "{reloaded}");
        }
        let ran = client.good("ssh_run", json!({"alias": "other", "command": OK})).await;
        assert_eq!(ran["exit_code"], 0, "{ran}");
    }
}

#[test]
fn the_command_line_uses_the_rest_and_tells_what_it_cannot() {
    let site = site("key_path: gone");
    let good = run(&site, &["run", ALIAS, OK]);
    assert_eq!(good.status.code(), Some(0), "{}", told(&good));
    let other = run(&site, &["run", "other", OK]);
    assert_eq!(other.status.code(), Some(4), "{}", told(&other));
    assert!(told(&other).contains("other was not contacted: credentials x"), "{}", told(&other));
    let hosts = run(&site, &["hosts"]);
    assert_eq!(hosts.status.code(), Some(0));
    assert!(told(&hosts).contains("cannot be used: credentials x: key_path:"), "{}", told(&hosts));
    let check = run(&site, &["check"]);
    assert_eq!(check.status.code(), Some(1), "it loads, but not all of it can be used");
    assert!(told(&check).contains("host other cannot be used"), "{}", told(&check));
    assert!(told(&check).contains("but for 1 host"), "{}", told(&check));
    let json = run(&site, &["--json", "check"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&json["ok"], &json["problems"][0]["severity"]),
        (&json!(false), &json!("unusable"))
    );
}

#[tokio::test]
async fn a_configuration_with_errors_is_answered_and_nothing_runs_until_it_is_reloaded() {
    for (name, text, why) in [
        ("policy.yml", "rules: 7\n", "policy.yml:1: error: rules: must be a list"),
        ("servers.yml", "hosts: [\n", "servers.yml:"),
    ] {
        let site = Site::new();
        let right = std::fs::read_to_string(site.path(name)).unwrap();
        site.write(name, text);
        let client = Client::start(&site.serve(), Era::Session).await;
        client.good("ssh_ping", json!({})).await;
        for (tool, arguments) in [
            ("ssh_list_hosts", json!({})),
            ("ssh_run", json!({"alias": ALIAS, "command": OK})),
            ("ssh_run_on_tag", json!({"tag": "all", "command": OK})),
            ("ssh_plan", json!({"alias": ALIAS, "command": OK})),
            ("ssh_get_task_output", json!({"task_id": "x"})),
        ] {
            let answer = client.bad(tool, arguments).await;
            assert!(answer["error"].as_str().unwrap().contains(why), "{tool}: {answer}");
        }
        let still = client.bad("ssh_reload_config", json!({})).await;
        assert!(still["errors"].to_string().contains(why), "{still}");
        site.write(name, &right);
        client.good("ssh_reload_config", json!({})).await;
        let ran = client.good("ssh_run", json!({"alias": ALIAS, "command": OK})).await;
        assert_eq!(ran["exit_code"], 0, "{ran}");
    }
}

/// Where its own settings were unknown at the start, an audit record would be missing: the server must be started anew.
#[tokio::test]
async fn a_server_that_started_without_its_settings_takes_no_configuration() {
    let site = Site::new();
    site.write("sshepherd.yml", "audit: on\n");
    let client = Client::start(&site.serve(), Era::Session).await;
    site.write("sshepherd.yml", "audit: {path: audit.jsonl}\n");
    let answer = client.bad("ssh_reload_config", json!({})).await;
    assert!(answer["errors"].to_string().contains("start the server anew"), "{answer}");
    client.bad("ssh_run", json!({"alias": ALIAS, "command": OK})).await;
}

/// A reload that a client asks for ends no pause; the owner's signal does.
#[test]
fn a_pause_of_refused_keys_is_ended_by_the_owner_alone() {
    let site = Site::over(Sshd::start());
    site.server().authorize_nobody();
    let mut serving = Serving::start(&site);
    let mut id = 10;
    let mut call = |serving: &mut Serving, tool: &str, arguments: Value| {
        id += 1;
        serving.ask(id, "tools/call", &json!({"name": tool, "arguments": arguments}))
    };
    let ran = json!({"alias": ALIAS, "command": OK});
    for _ in 0..3 {
        let answer = call(&mut serving, "ssh_run", ran.clone());
        assert!(answer.contains("refused key"), "{answer}");
    }
    call(&mut serving, "ssh_reload_config", json!({}));
    let answer = call(&mut serving, "ssh_run", ran.clone());
    assert!(answer.contains("3 times in a row"), "{answer}");
    serving.signal("-HUP");
    serving.hear("the configuration was read again");
    let answer = call(&mut serving, "ssh_run", ran);
    assert!(answer.contains("refused key") && !answer.contains("in a row"), "{answer}");
}
