//! `hosts`: lists the configured hosts.

use serde_json::json;
use sshepherd_model::Selector;

use super::args::Global;
use super::context;
use super::exit::Exit;
use super::out;
use crate::answer;

/// One line a host, in file order.
pub(crate) fn hosts(global: &Global, on: Option<&str>) -> Exit {
    let loaded = match context::load(global) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let selected = match on {
        None => Ok(loaded.inventory.hosts().to_vec()),
        Some(text) => {
            text.parse::<Selector>().and_then(|selector| selector.select(&loaded.inventory))
        }
    };
    let hosts = match selected {
        Ok(hosts) => hosts,
        Err(bad) => {
            out::complain(&bad.to_string());
            return Exit::Usage;
        }
    };
    if global.json {
        let hosts: Vec<_> = hosts
            .iter()
            .map(|host| {
                json!({
                    "alias": host.alias, "host": host.address, "port": host.port,
                    "credentials": host.credentials, "tags": host.tags, "description": host.description,
                    "jump": answer::jumps(&loaded.inventory, host),
                    "unusable": loaded.inventory.unusable(host),
                })
            })
            .collect();
        out::json(&json!({ "hosts": hosts }));
        return Exit::Done;
    }
    let width = hosts.iter().map(|host| host.alias.as_str().len()).max().unwrap_or(0);
    for host in &hosts {
        let tags: Vec<&str> = host.tags.iter().map(sshepherd_model::Tag::as_str).collect();
        let line = format!(
            "{:width$}  {}:{}  [{}]  {}",
            host.alias.as_str(),
            host.address,
            host.port,
            tags.join(", "),
            host.description
        );
        out::line(line.trim_end());
        if let Some(why) = loaded.inventory.unusable(host) {
            out::line(&format!("{:width$}  cannot be used: {why}", ""));
        }
    }
    Exit::Done
}
