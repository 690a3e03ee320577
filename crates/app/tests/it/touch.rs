//! A security key in the agent: the person is told to touch it, on the command line and over MCP, before anything is signed.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use serde_json::json;
use sshepherd_testkit::SecurityKey;

use crate::mcp::client::{Client, ERAS, Era, News};
use crate::site::{ALIAS, OK, Site};

const TOLD: &str = "waiting for touch: the log-in to box.one needs a touch of your security key";

/// A site that is logged in to with the key, and the words that serve it with the key's agent.
fn site(key: &SecurityKey) -> (Site, Vec<String>) {
    let site = Site::new();
    site.server().authorize(key.public_line());
    let user = site.server().user();
    let login = format!("entries:\n  - {{name: test, username: {user}, agent: true}}\n");
    site.write("credentials.yml", &login);
    let agent = format!("SSH_AUTH_SOCK={}", key.socket().display());
    let serve = ["env".to_owned(), agent].into_iter().chain(site.serve()).collect();
    (site, serve)
}

#[test]
fn the_command_line_says_that_the_key_waits() {
    let key = SecurityKey::start();
    let (site, _) = site(&key);
    let serve = site.serve();
    let mut child = Command::new(&serve[0])
        .args(&serve[2..])
        .args(["run", ALIAS, OK])
        .env("SSH_AUTH_SOCK", key.socket())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let told = lines.find(|line| line.as_ref().unwrap().contains("waiting for touch"));
    assert_eq!(told.unwrap().unwrap(), TOLD);
    key.touch();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello\n");
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn a_call_that_waits_for_the_key_says_so_in_both_eras() {
    for era in ERAS {
        let key = SecurityKey::start();
        let (_site, serve) = site(&key);
        let mut client = Client::start(&serve, era).await;
        let call = client.begin("ssh_run", json!({"alias": ALIAS, "command": OK})).await;
        // Progress in both; a client with a session hears it as a log message as well, in no order to the other.
        let (mut progress, mut log) = (false, era == Era::Stateless);
        while !(progress && log) {
            let told = |news: &News| match news {
                News::Progress { message, .. } => message == TOLD,
                News::Log(log) => log["event"] == "touch",
                News::Custom(_) | News::ResourcesChanged | News::Updated(_) | News::Asked(_) => {
                    false
                }
            };
            if let News::Log(told) = client.hear(told).await {
                let message = &told["data"]["message"];
                assert_eq!((&told["alias"], message), (&json!(ALIAS), &json!(TOLD)));
                log = true;
            } else {
                progress = true;
            }
        }
        key.touch();
        let answer = format!("{:?}", call.await_response().await.unwrap());
        assert!(answer.contains("hello"), "{era:?}: {answer}");
    }
}
