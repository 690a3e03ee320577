//! What a client may read: the hosts, and what may be done on each. Never a credential, only its name.
//!
//! A resource is read by a client's own choice, so it is whole: the byte budget of tool answers does not apply.

use rmcp::ErrorData;
use rmcp::model::{
    ListResourceTemplatesResult, ListResourcesResult, ReadResourceResult, Resource,
    ResourceContents, ResourceTemplate,
};
use serde_json::{Value, json};
use sshepherd_engine::sanitise::View;
use sshepherd_engine::store::Lookup;
use sshepherd_engine::{Config, Engine, Refusal};
use sshepherd_model::{Alias, Host, TaskId};

use crate::answer::{self, PolicyLimits};

/// Hosts in one page of the list.
const PAGE: usize = 100;
const JSON: &str = "application/json";

/// Every host as a resource, in pages; the cursor is the number of hosts before the page.
pub(super) fn list(
    config: &Config,
    cursor: Option<&str>,
) -> Result<ListResourcesResult, ErrorData> {
    let start: usize = match cursor {
        None => 0,
        Some(text) => text.parse().map_err(|_| {
            ErrorData::invalid_params("cursor: is not one that this server gave", None)
        })?,
    };
    let hosts = config.inventory.hosts();
    let mut resources = Vec::new();
    if start == 0 {
        resources.push(
            Resource::new("ssh://hosts", "hosts")
                .with_title("All hosts")
                .with_description("Every configured host with its address and tags")
                .with_mime_type(JSON),
        );
    }
    resources.extend(hosts.iter().skip(start).take(PAGE).map(|host| {
        Resource::new(format!("ssh://host/{}", host.alias), host.alias.to_string())
            .with_description(host.description.clone())
            .with_mime_type(JSON)
    }));
    let next = start.saturating_add(PAGE);
    let mut result = ListResourcesResult::with_all_items(resources);
    result.next_cursor = (next < hosts.len()).then(|| next.to_string());
    Ok(result)
}

/// What can be read of each host.
pub(super) fn templates() -> ListResourceTemplatesResult {
    let template = |uri: &str, name: &str, description: &str| {
        ResourceTemplate::new(uri, name).with_description(description).with_mime_type(JSON)
    };
    ListResourceTemplatesResult::with_all_items(vec![
        template("ssh://host/{alias}", "host", "One host: address, tags, limits"),
        template("ssh://host/{alias}/tags", "host-tags", "The tags of one host"),
        template(
            "ssh://host/{alias}/capabilities",
            "host-capabilities",
            "What may be done on one host: limits and a sample of what the policy allows",
        ),
        template(
            "ssh://task/{task_id}",
            "task",
            "One task: status and its last lines; subscribe to it",
        ),
    ])
}

/// The content of one resource.
pub(super) fn read(config: &Config, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let content = if uri == "ssh://hosts" {
        let hosts: Vec<Value> = config.inventory.hosts().iter().map(|host| brief(host)).collect();
        json!({"count": hosts.len(), "hosts": hosts})
    } else {
        of_host(config, uri)?
    };
    let contents = ResourceContents::text(content.to_string(), uri).with_mime_type(JSON);
    Ok(ReadResourceResult::new(vec![contents]))
}

/// Lines of output shown with a task.
const LAST_LINES: usize = 20;
/// Most bytes of them.
const LAST_BYTES: usize = 4096;

/// One task as it stands, with its last lines.
pub(super) async fn task(
    engine: &Engine,
    id: &TaskId,
    uri: &str,
) -> Result<ReadResourceResult, ErrorData> {
    let missing =
        |what: &'static str| ErrorData::resource_not_found(what, Some(json!({"uri": uri})));
    let failed = |refusal: Refusal| ErrorData::internal_error(refusal.to_string(), None);
    let task = match engine.task(id).await.map_err(failed)? {
        Lookup::Found(task) => task,
        Lookup::Expired => return Err(missing("the result of this task has expired")),
        Lookup::Unknown => return Err(missing("no task has this id")),
    };
    let status = answer::status(&task, engine, engine.now_of(&task.id));
    let contents = |content: Value| {
        let contents = ResourceContents::text(content.to_string(), uri).with_mime_type(JSON);
        Ok(ReadResourceResult::new(vec![contents]))
    };
    if let Some(roster) = engine.roster(&task).await.map_err(failed)? {
        return contents(json!({"task": answer::with_hosts(status, &roster)}));
    }
    let tail = engine.tail_lines(id, LAST_LINES, LAST_BYTES).await.map_err(failed)?;
    let view = match tail.found() {
        Some(tail) => engine.view_tail(id, &tail, answer::more(&task)).await,
        None => Ok(View::default()),
    };
    let view = view.map_err(|error| failed(Refusal::Store(error)))?;
    let cleaned = view.note();
    let mut content = json!({"task": status, "output_lines": answer::shown_lines(view)});
    if let (Some(cleaned), Value::Object(fields)) = (cleaned, &mut content) {
        fields.insert("cleaned".to_owned(), json!(cleaned));
    }
    contents(content)
}

fn of_host(config: &Config, uri: &str) -> Result<Value, ErrorData> {
    let missing = || {
        let data = json!({"uri": uri});
        ErrorData::resource_not_found("no such resource; ssh://hosts lists every host", Some(data))
    };
    let path = uri.strip_prefix("ssh://host/").ok_or_else(missing)?;
    let (alias, rest) =
        path.split_once('/').map_or((path, None), |(alias, rest)| (alias, Some(rest)));
    let alias: Alias = alias.parse().map_err(|_| missing())?;
    let host = config.inventory.host(&alias).ok_or_else(missing)?;
    match rest {
        None => {
            let mut value = brief(host);
            if let Value::Object(fields) = &mut value {
                let limits = PolicyLimits::from(&config.policy.limits(host));
                let hops = answer::jumps(&config.inventory, host);
                if !hops.is_empty() {
                    fields.insert("jump".to_owned(), json!(hops));
                }
                fields.insert("credentials".to_owned(), json!(host.credentials.to_string()));
                fields.insert("policy_limits".to_owned(), json!(limits));
            }
            Ok(value)
        }
        Some("tags") => Ok(json!({"alias": host.alias.to_string(), "tags": tags(host)})),
        Some("capabilities") => Ok(answer::capabilities(config, host)),
        Some(_) => Err(missing()),
    }
}

fn brief(host: &Host) -> Value {
    json!({
        "alias": host.alias.to_string(),
        "host": host.address,
        "port": host.port,
        "tags": tags(host),
        "description": host.description,
    })
}

fn tags(host: &Host) -> Vec<String> {
    host.tags.iter().map(ToString::to_string).collect()
}
