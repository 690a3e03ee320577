//! The six prompts: what a model should know before it starts, and after something went wrong.

use rmcp::ErrorData;
use rmcp::model::{
    GetPromptResult, JsonObject, ListPromptsResult, Prompt, PromptArgument, PromptMessage, Role,
};
use serde_json::Value;

/// A prompt: name, what it is for, its optional arguments, its text.
struct Entry {
    name: &'static str,
    description: &'static str,
    arguments: &'static [(&'static str, &'static str)],
    text: &'static str,
}

const ALIAS: (&str, &str) = ("alias", "The host in question");
const COMMAND: (&str, &str) = ("command", "The command in question");

const PROMPTS: [Entry; 6] = [
    Entry {
        name: "ssh_orchestrator_usage",
        description: "How to work with these tools",
        arguments: &[],
        text: include_str!("prompts/usage.txt"),
    },
    Entry {
        name: "ssh_policy_denied_guidance",
        description: "What to do when the policy denies a command",
        arguments: &[ALIAS, COMMAND],
        text: include_str!("prompts/policy_denied.txt"),
    },
    Entry {
        name: "ssh_network_denied_guidance",
        description: "What to do when the network policy refuses a host's address",
        arguments: &[ALIAS],
        text: include_str!("prompts/network_denied.txt"),
    },
    Entry {
        name: "ssh_missing_host_guidance",
        description: "What to do when no host has an alias or tag",
        arguments: &[ALIAS],
        text: include_str!("prompts/missing_host.txt"),
    },
    Entry {
        name: "ssh_missing_credentials_guidance",
        description: "What to do when logging in fails",
        arguments: &[ALIAS],
        text: include_str!("prompts/missing_credentials.txt"),
    },
    Entry {
        name: "ssh_config_change_workflow",
        description: "How to propose, make and check a change of the configuration",
        arguments: &[],
        text: include_str!("prompts/config_change.txt"),
    },
];

/// Every prompt.
pub(super) fn list() -> ListPromptsResult {
    let prompts = PROMPTS.iter().map(|entry| {
        let arguments: Vec<PromptArgument> = entry
            .arguments
            .iter()
            .map(|(name, description)| {
                PromptArgument::new(*name).with_description(*description).with_required(false)
            })
            .collect();
        Prompt::new(
            entry.name,
            Some(entry.description),
            (!arguments.is_empty()).then_some(arguments),
        )
    });
    ListPromptsResult::with_all_items(prompts.collect())
}

/// The text of one prompt, preceded by what the caller said it is about.
pub(super) fn get(name: &str, given: Option<&JsonObject>) -> Result<GetPromptResult, ErrorData> {
    let entry = PROMPTS.iter().find(|entry| entry.name == name).ok_or_else(|| {
        ErrorData::invalid_params(
            format!("name: no prompt is called {name:?}; prompts/list has all"),
            None,
        )
    })?;
    let mut text = String::new();
    for (argument, _) in entry.arguments {
        if let Some(Value::String(value)) = given.and_then(|given| given.get(*argument)) {
            text.push_str(&format!("{argument}: {value}\n"));
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(entry.text.trim_end());
    let message = PromptMessage::new_text(Role::User, text);
    Ok(GetPromptResult::new(vec![message]).with_description(entry.description))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prompt_has_a_text_and_unknown_names_are_told() {
        for entry in &PROMPTS {
            assert_eq!(get(entry.name, None).unwrap().messages.len(), 1);
        }
        assert!(get("nonsense", None).unwrap_err().message.contains("prompts/list"));
    }

    #[test]
    fn arguments_stand_before_the_text() {
        let given = serde_json::json!({"alias": "web-1"});
        let result = get("ssh_missing_host_guidance", given.as_object()).unwrap();
        let text =
            serde_json::to_value(&result.messages[0]).unwrap()["content"]["text"].to_string();
        assert!(text.starts_with("\"alias: web-1\\n"), "{text}");
    }
}
