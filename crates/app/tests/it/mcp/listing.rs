//! The tool list: what every client puts into the model's context on every turn.

use super::client::{Client, ERAS, Era};
use crate::site::Site;

/// The budget for the whole list with its input and output schemas.
const BUDGET: usize = 14 * 1024;

async fn tools(site: &Site, era: Era) -> String {
    let client = Client::start(&site.serve(), era).await;
    serde_json::to_string(&client.running.peer().list_tools(None).await.unwrap().tools).unwrap()
}

#[tokio::test]
async fn the_tool_list_is_small_and_the_same_at_every_start_and_in_every_era() {
    let site = Site::new();
    let first = tools(&site, ERAS[0]).await;
    assert!(first.len() < BUDGET, "{} bytes", first.len());
    for era in ERAS {
        assert_eq!(tools(&site, era).await, first);
    }
    assert!(!first.contains("uint"), "clients warn about this number format");
    let list: serde_json::Value = serde_json::from_str(&first).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&list).unwrap());
}

/// The budget where the owner opens shells.
const WITH_SHELLS: usize = 19 * 1024;

#[tokio::test]
async fn tools_for_shells_are_offered_where_a_rule_opens_some() {
    let site = Site::new();
    assert!(!tools(&site, Era::Session).await.contains("ssh_open_shell"));
    site.rules("  - {id: shells, shells: ask}\n");
    let list = tools(&site, Era::Session).await;
    assert!(list.contains("ssh_open_shell") && list.len() < WITH_SHELLS, "{} bytes", list.len());
    site.rules("  - {id: shells, shells: deny}\n");
    assert!(!tools(&site, Era::Session).await.contains("ssh_open_shell"));
}

#[tokio::test]
async fn a_client_is_told_how_to_work_here() {
    let site = Site::new();
    let client = Client::start(&site.serve(), Era::Session).await;
    let info = client.running.peer_info().unwrap();
    let text = serde_json::to_value(&*info).unwrap().to_string();
    assert!(text.contains("ssh_list_hosts") && text.contains("sshepherd"), "{text}");
}
