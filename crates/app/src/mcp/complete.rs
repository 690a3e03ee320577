//! Completion of aliases and tags while a person types.

use rmcp::model::{CompleteRequestParams, CompleteResult, CompletionInfo, Reference};
use sshepherd_model::Inventory;

/// What `inventory` offers for the argument being typed: names that begin with it first, then names that contain it.
pub(super) fn complete(inventory: &Inventory, request: &CompleteRequestParams) -> CompleteResult {
    let known = match &request.r#ref {
        Reference::Prompt(_) => true,
        Reference::Resource(template) => template.uri.starts_with("ssh://host/"),
        // Kinds of references that this library may learn of later have no names of ours.
        _ => false,
    };
    let names: Vec<String> = match request.argument.name.as_str() {
        "alias" if known => inventory.hosts().iter().map(|host| host.alias.to_string()).collect(),
        "tag" if known => inventory.tags().iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    let typed = request.argument.value.trim().to_ascii_lowercase();
    let mut found: Vec<(bool, String)> = names
        .into_iter()
        .filter(|name| name.to_ascii_lowercase().contains(&typed))
        .map(|name| (!name.to_ascii_lowercase().starts_with(&typed), name))
        .collect();
    // Stable: within each half the file's order is kept.
    found.sort_by_key(|(later, _)| *later);
    let total = u32::try_from(found.len()).ok();
    let has_more = found.len() > CompletionInfo::MAX_VALUES;
    let values = found.into_iter().take(CompletionInfo::MAX_VALUES).map(|(_, name)| name).collect();
    CompleteResult::new(
        CompletionInfo::with_pagination(values, total, has_more).unwrap_or_default(),
    )
}
