//! Answers as MCP results: the typed object, and the same object as compact JSON text.
//!
//! Some clients show the model only the text and some only `structuredContent`, so each stands alone; clients of the
//! seed parse the text as JSON.

use rmcp::model::{CallToolResult, ContentBlock};
use serde::Serialize;
use sshepherd_model::InvalidField;

use crate::answer::Failure;

/// An answer.
pub(super) fn done<T: Serialize>(answer: &T) -> CallToolResult {
    result(answer, IsError::No)
}

/// An answer that a client should show as a failed call.
pub(super) fn failed<T: Serialize>(answer: &T) -> CallToolResult {
    result(answer, IsError::Yes)
}

/// A parameter that breaks its rule: an answer that the model can act on, not a protocol error, which clients hide.
pub(super) fn invalid(invalid: InvalidField) -> CallToolResult {
    failed(&Failure::from(invalid))
}

/// Whether a client should show the call as failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IsError {
    /// It went as it should, whatever the command's exit status.
    No,
    /// Nothing came of it, or nobody knows what.
    Yes,
}

/// An answer of either kind.
pub(super) fn result<T: Serialize>(answer: &T, is_error: IsError) -> CallToolResult {
    // The text keeps the order in which the type tells its fields, the most telling first.
    let written =
        serde_json::to_value(answer).and_then(|value| Ok((value, serde_json::to_string(answer)?)));
    let (value, text) = match written {
        Ok(written) => written,
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            return CallToolResult::error(vec![ContentBlock::text(
                "the answer could not be written as JSON",
            )]);
        }
    };
    let mut result = match is_error {
        IsError::No => CallToolResult::success(vec![ContentBlock::text(text)]),
        IsError::Yes => CallToolResult::error(vec![ContentBlock::text(text)]),
    };
    result.structured_content = Some(value);
    result
}
