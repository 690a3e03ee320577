//! Requests that rmcp reads as those of an unknown method: the method is unknown, or what it is called with does not fit it.
#![expect(deprecated, reason = "logging is declared for the revisions that define it")]

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CancelTaskParams, CompleteRequestParams, CustomRequest, ErrorCode,
    GetPromptRequestParams, GetTaskParams, InitializeRequestParams, PaginatedRequestParams,
    ReadResourceRequestParams, SetLevelRequestParams, SubscribeRequestParams,
    SubscriptionsListenRequestParams, UnsubscribeRequestParams, UpdateTaskParams,
};
use serde_json::Value;

/// Most letters of a caller's words in an answer.
const MAX_WORDS: usize = 200;

/// What is wrong with such a request.
pub(super) fn told(request: &CustomRequest) -> ErrorData {
    let method: String = request.method.chars().take(MAX_WORDS).collect();
    match fits(request) {
        None => ErrorData::new(
            ErrorCode::METHOD_NOT_FOUND,
            format!("no method is called {method}"),
            None,
        ),
        Some(problem) => ErrorData::invalid_params(format!("{method}: {problem}"), None),
    }
}

/// Why the params of a known method do not fit it; `None` for an unknown one.
fn fits(request: &CustomRequest) -> Option<String> {
    fn read<T: serde::de::DeserializeOwned>(request: &CustomRequest) -> Option<serde_json::Error> {
        request.params_as::<T>().err()
    }
    let error = match request.method.as_str() {
        "tools/call" => match not_an_object(request.params.as_ref()) {
            Some(problem) => return Some(problem),
            None => read::<CallToolRequestParams>(request),
        },
        "initialize" => read::<InitializeRequestParams>(request),
        "completion/complete" => read::<CompleteRequestParams>(request),
        "logging/setLevel" => read::<SetLevelRequestParams>(request),
        "prompts/get" => read::<GetPromptRequestParams>(request),
        "prompts/list" | "resources/list" | "resources/templates/list" | "tools/list" => {
            read::<PaginatedRequestParams>(request)
        }
        "resources/read" => read::<ReadResourceRequestParams>(request),
        "resources/subscribe" => read::<SubscribeRequestParams>(request),
        "resources/unsubscribe" => read::<UnsubscribeRequestParams>(request),
        "subscriptions/listen" => read::<SubscriptionsListenRequestParams>(request),
        "tasks/get" => read::<GetTaskParams>(request),
        "tasks/update" => read::<UpdateTaskParams>(request),
        "tasks/cancel" => read::<CancelTaskParams>(request),
        "ping" | "server/discover" => None,
        _ => return None,
    };
    Some(match (error, &request.params) {
        (_, None) => "params is missing".to_owned(),
        (Some(error), Some(_)) => {
            let error: String = error.to_string().chars().take(MAX_WORDS).collect();
            format!("params does not fit: {error}")
        }
        (None, Some(_)) => "params does not fit".to_owned(),
    })
}

/// `arguments` as something else, often as the text of the object that it should be.
fn not_an_object(params: Option<&Value>) -> Option<String> {
    let arguments = params?.get("arguments")?;
    let what = match arguments {
        Value::Object(_) | Value::Null => return None,
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Number(_) => "a number",
        Value::Bool(_) => "true or false",
    };
    Some(format!("params.arguments must be a JSON object, not {what}; send the object itself"))
}
