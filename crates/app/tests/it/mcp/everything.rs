//! Every tool, resource, prompt and completion, in both eras.
#![expect(
    deprecated,
    reason = "clients of the older revisions subscribe to one resource at a time"
)]

use rmcp::model::{
    GetPromptRequestParams, ReadResourceRequestParams, SubscribeRequestParams, SubscriptionFilter,
    UnsubscribeRequestParams,
};
use serde_json::{Value, json};

use super::client::{Client, ERAS, Era, News};
use crate::site::{ALIAS, DENIED, LONG, OK, Site, TAG};

/// Most bytes of JSON in one tool answer, by default.
const BUDGET: usize = 8192;

#[tokio::test]
async fn every_tool_answers_in_both_eras() {
    let site = Site::new();
    for era in ERAS {
        let client = Client::start(&site.serve(), era).await;
        assert_eq!(client.good("ssh_ping", json!({})).await["status"], "pong");
        let hosts = client.good("ssh_list_hosts", json!({})).await;
        assert!(hosts["hosts"].as_array().unwrap().contains(&json!(ALIAS)), "{hosts}");
        let host = client.good("ssh_describe_host", json!({"alias": ALIAS})).await;
        assert_eq!((&host["alias"], &host["tags"]), (&json!(ALIAS), &json!([TAG])));
        assert!(host["policy_limits"]["max_seconds"].is_u64(), "{host}");

        let plan = client.good("ssh_plan", json!({"alias": ALIAS, "command": OK})).await;
        assert_eq!(plan["allowed"], true, "{plan}");
        let plan = client.good("ssh_plan", json!({"alias": ALIAS, "command": DENIED})).await;
        assert_eq!(plan["allowed"], false, "{plan}");
        assert!(plan["why"].is_string() && plan["hint"].is_string(), "{plan}");

        let run = client.good("ssh_run", json!({"alias": ALIAS, "command": OK})).await;
        assert_eq!((&run["exit_code"], &run["output"]), (&json!(0), &json!("hello\n")), "{run}");
        let denied = client.bad("ssh_run", json!({"alias": ALIAS, "command": DENIED})).await;
        assert_eq!((&denied["status"], &denied["reason"]), (&json!("denied"), &json!("policy")));
        assert!(denied["hint"].is_string() && denied.get("exit_code").is_none(), "{denied}");

        let fan_out = client.good("ssh_run_on_tag", json!({"tag": TAG, "command": OK})).await;
        let results = fan_out["results"].as_array().unwrap();
        assert_eq!(results[0]["alias"], ALIAS, "inventory order: {fan_out}");
        assert!(results.iter().all(|entry| entry["output"] == "hello\n"), "{fan_out}");
        let nobody = client.good("ssh_run_on_tag", json!({"tag": "nobody", "command": OK})).await;
        assert_eq!((&nobody["results"], nobody["note"].is_string()), (&json!([]), true));
        tasks(&client, &run).await;
        assert_eq!(client.good("ssh_reload_config", json!({})).await["status"], "reloaded");
    }
}

async fn tasks(client: &Client, run: &Value) {
    let id = &run["task_id"];
    let result = client.good("ssh_get_task_result", json!({"task_id": id})).await;
    assert_eq!((&result["output"], &result["status"]), (&json!("hello\n"), &json!("completed")));
    let output = client.good("ssh_get_task_output", json!({"task_id": id, "max_lines": "3"})).await;
    assert_eq!((&output["output_lines"], &output["total_lines"]), (&json!(["hello"]), &json!(1)));
    for tool in ["ssh_cancel", "ssh_cancel_async_task"] {
        let started =
            client.good("ssh_run_async", json!({"alias": ALIAS, "command": "sleep 30"})).await;
        assert_eq!(started["status"], "pending");
        let id = &started["task_id"];
        let status = client.good("ssh_get_task_status", json!({"task_id": id})).await;
        assert!(status["progress_percent"].as_u64().unwrap() < 100, "{status}");
        let early = client.bad("ssh_get_task_result", json!({"task_id": id})).await;
        assert!(early["task_status"].is_string(), "{early}");
        let stopped = client.good(tool, json!({"task_id": id})).await;
        assert_eq!(
            (&stopped["cancelled"], &stopped["status"]),
            (&json!(true), &json!("cancelled"))
        );
        // Seed defect 2: a cancelled task used to end up as failed.
        let result = client.good("ssh_get_task_result", json!({"task_id": id})).await;
        assert_eq!((&result["status"], &result["cancelled"]), (&json!("cancelled"), &json!(true)));
    }
}

#[tokio::test]
async fn a_bad_parameter_is_an_answer_that_names_the_field() {
    let site = Site::new();
    let client = Client::start(&site.serve(), Era::Stateless).await;
    for (tool, arguments, field) in [
        ("ssh_run", json!({"alias": ALIAS}), "command"),
        ("ssh_run", json!({"alias": "no spaces", "command": OK}), "alias"),
        ("ssh_run", json!({"alias": ALIAS, "command": "a\u{1b}b"}), "command"),
        ("ssh_run", json!({"alias": ALIAS, "command": OK, "env": 7}), "env"),
        ("ssh_run_on_tag", json!({"tag": "t/t", "command": OK}), "tag"),
        ("ssh_get_task_output", json!({"task_id": "x", "max_lines": 1001}), "max_lines"),
        ("ssh_get_task_status", json!({"task_id": "a b"}), "task_id"),
        ("ssh_describe_host", json!({"alias": "box.onee"}), "alias"),
    ] {
        let answer = client.bad(tool, arguments.clone()).await;
        assert_eq!(answer["field"], field, "{tool} {arguments}: {answer}");
        assert!(answer["hint"].is_string(), "{answer}");
    }
    let near = client.bad("ssh_run", json!({"alias": "box.onee", "command": OK})).await;
    assert!(near["near"].as_array().unwrap().contains(&json!(ALIAS)), "{near}");
}

/// Seed defect 5, as the model sees it: nothing is cut silently, and what is missing can be read.
#[tokio::test]
async fn a_long_output_stays_in_budget_and_can_be_read_whole() {
    let site = Site::new();
    let client = Client::start(&site.serve(), Era::Stateless).await;
    let run = client.good("ssh_run", json!({"alias": ALIAS, "command": LONG})).await;
    assert!(run.to_string().len() <= BUDGET, "{}", run.to_string().len());
    assert_eq!(run["truncated"], true);
    let id = &run["task_id"];
    let (mut cursor, mut bytes, mut missing) = (0, 0, 0);
    loop {
        let page =
            client.good("ssh_get_task_output", json!({"task_id": id, "cursor": cursor})).await;
        assert!(page.to_string().len() <= BUDGET, "{}", page.to_string().len());
        missing += page["missing_before"].as_u64().unwrap_or(0);
        let next = page["next_cursor"].as_u64().unwrap();
        bytes += next - cursor;
        cursor = next;
        if page["eof"] == true {
            assert_eq!(page["total_bytes"].as_u64().unwrap(), bytes);
            break;
        }
    }
    assert_eq!(missing, 0, "the output is under the limit of the task");
    let tail = client.good("ssh_get_task_output", json!({"task_id": id, "max_lines": 1000})).await;
    assert!(tail.to_string().len() <= BUDGET && tail["has_more"] == true, "{tail}");
}

#[tokio::test]
async fn resources_prompts_and_completion_work_in_both_eras() {
    let site = Site::new();
    for era in ERAS {
        let client = Client::start(&site.serve(), era).await;
        let peer = client.running.peer();
        let mut uris: Vec<String> = peer
            .list_all_resources()
            .await
            .unwrap()
            .into_iter()
            .map(|resource| resource.uri)
            .collect();
        assert_eq!(uris[0], "ssh://hosts");
        let templates = peer.list_all_resource_templates().await.unwrap();
        assert_eq!(templates.len(), 4);
        let task =
            templates.iter().position(|template| template.uri_template.contains("{task_id}"));
        assert_eq!(task, Some(3));
        uris.extend(
            templates
                .iter()
                .take(3)
                .map(|template| template.uri_template.replace("{alias}", ALIAS)),
        );
        for uri in &uris {
            let read = peer.read_resource(ReadResourceRequestParams::new(uri)).await.unwrap();
            let content = serde_json::to_value(&read.contents[0]).unwrap()["text"].clone();
            let text = content.as_str().unwrap();
            assert!(serde_json::from_str::<Value>(text).unwrap().is_object(), "{uri}: {text}");
            assert!(!text.contains("PRIVATE KEY"), "{uri}");
        }
        assert!(
            peer.read_resource(ReadResourceRequestParams::new("ssh://host/nobody")).await.is_err()
        );
        let prompts = peer.list_all_prompts().await.unwrap();
        assert_eq!(prompts.len(), 6);
        for prompt in prompts {
            let got =
                peer.get_prompt(GetPromptRequestParams::new(prompt.name.clone())).await.unwrap();
            assert_eq!(got.messages.len(), 1, "{}", prompt.name);
        }
        let values = peer
            .complete_resource_argument("ssh://host/{alias}", "alias", "OX.o", None)
            .await
            .unwrap()
            .values;
        assert_eq!(values, [ALIAS], "case does not matter, nor the place");
        let tags = peer.complete_prompt_simple("ssh_orchestrator_usage", "tag", "").await.unwrap();
        assert_eq!(tags, [TAG]);
    }
}

#[tokio::test]
async fn a_session_hears_of_tasks_and_of_changed_lists() {
    let site = Site::new();
    let mut client = Client::start(&site.serve(), Era::Session).await;
    client.good("ssh_run_async", json!({"alias": ALIAS, "command": OK})).await;
    for event in ["created", "completed"] {
        client.hear(|news| matches!(news, News::Log(data) if data["event"] == event)).await;
    }
    site.hosts(&[ALIAS, "box.two", "box.three"]);
    let reloaded = client.good("ssh_reload_config", json!({})).await;
    assert_eq!(reloaded["changes"], json!(["host box.three added"]), "{reloaded}");
    client.hear(|news| *news == News::ResourcesChanged).await;
}

#[tokio::test]
async fn a_listener_of_the_new_era_hears_of_changed_lists_and_of_tasks() {
    let site = Site::new();
    let mut client = Client::start(&site.serve(), Era::Stateless).await;
    let filter = SubscriptionFilter::builder().resources_list_changed().build();
    let mut subscription = client.running.peer().listen(filter).await.unwrap();
    client.good("ssh_reload_config", json!({})).await;
    let news = subscription.next().await.unwrap().unwrap();
    let method = serde_json::to_value(&news).unwrap()["method"].clone();
    assert_eq!(method, "notifications/resources/list_changed");
    client.good("ssh_run_async", json!({"alias": ALIAS, "command": OK})).await;
    let task = News::Custom("notifications/ssh/task".to_owned());
    client.hear(|news| *news == task).await;
    subscription.cancel().await.unwrap();
}

/// A task that a client listens to tells of its end, so that nobody needs to ask again and again.
async fn a_task_tells_of_itself(era: Era) {
    let site = Site::new();
    let mut client = Client::start(&site.serve(), era).await;
    let command = json!({"alias": ALIAS, "command": "sleep 2"});
    let id = client.good("ssh_run_async", command).await["task_id"].as_str().unwrap().to_owned();
    let uri = format!("ssh://task/{id}");
    let ended = |read: &Value| read["task"]["status"] == "completed";
    match era {
        Era::Session => {
            client.running.subscribe(SubscribeRequestParams::new(&uri)).await.unwrap();
            let unknown = SubscribeRequestParams::new("ssh://task/no:such:task");
            assert!(client.running.subscribe(unknown).await.is_err());
            while !ended(&read(&client, &uri).await) {
                client.hear(|news| *news == News::Updated(uri.clone())).await;
            }
            client.running.unsubscribe(UnsubscribeRequestParams::new(&uri)).await.unwrap();
        }
        Era::Stateless => {
            let filter =
                SubscriptionFilter::builder().resource_subscriptions([uri.clone()]).build();
            let mut subscription = client.running.peer().listen(filter).await.unwrap();
            while !ended(&read(&client, &uri).await) {
                let news = subscription.next().await.unwrap().unwrap();
                let news = serde_json::to_value(&news).unwrap();
                assert_eq!(news["method"], "notifications/resources/updated");
                assert_eq!(news["params"]["uri"], uri.as_str());
            }
            subscription.cancel().await.unwrap();
        }
    }
}

async fn read(client: &Client, uri: &str) -> Value {
    let read = client.running.read_resource(ReadResourceRequestParams::new(uri)).await.unwrap();
    let read = serde_json::to_value(&read).unwrap();
    serde_json::from_str(read["contents"][0]["text"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_task_is_a_resource_that_changes_in_both_eras() {
    for era in ERAS {
        a_task_tells_of_itself(era).await;
    }
}
