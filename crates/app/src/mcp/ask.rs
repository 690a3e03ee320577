//! Asking a person through the client: a form that the client shows, where it can, and where the owner lets the answer come
//! this way.
//!
//! Clients of 2026-07-28 get the form as the answer to their call and make the call again with what the person filled in;
//! older ones are asked while the call waits.

use std::time::Duration;

use futures::future::BoxFuture;
use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientResult, ElicitRequest,
    ElicitRequestParams, InputRequest, InputRequests, InputRequiredResult, ProtocolVersion,
    ServerRequest,
};
use rmcp::service::RequestContext;
use serde_json::{Value, json};
use sshepherd_engine::store::Settled;
use sshepherd_engine::{About, Asked, Channel, Refusal};
use sshepherd_model::{ApprovalId, Request};

use super::reply::failed;
use super::server::Server;
use crate::answer;

/// Why a call has no result of its own.
pub(super) enum Unanswered {
    /// Nothing was run, for this reason.
    Refusal(Refusal),
    /// The client is to ask the person and call again.
    Form(Box<InputRequiredResult>),
    /// The person said no.
    No(ApprovalId),
}

impl From<Refusal> for Unanswered {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

/// What came of asking.
enum Put {
    Yes,
    No,
    Form(Box<InputRequiredResult>),
    /// It cannot be asked here; somebody answers elsewhere, or nobody.
    Elsewhere,
}

impl Server {
    /// Makes an attempt; when a person must say yes first and can be asked through the client, asks and tries again.
    pub(super) async fn with_yes<'a, T>(
        &self,
        context: &RequestContext<RoleServer>,
        attempt: impl Fn() -> BoxFuture<'a, Result<T, Refusal>> + Send + Sync,
    ) -> Result<T, Unanswered> {
        let asked = match attempt().await {
            Err(Refusal::ApprovalRequired(asked)) => asked,
            other => return other.map_err(Unanswered::Refusal),
        };
        match self.put(&asked, context).await? {
            Put::Yes => attempt().await.map_err(Unanswered::Refusal),
            Put::No => Err(Unanswered::No(asked.id)),
            Put::Form(form) => Err(Unanswered::Form(form)),
            Put::Elsewhere => Err(Refusal::ApprovalRequired(asked).into()),
        }
    }

    async fn put(
        &self,
        asked: &Asked,
        context: &RequestContext<RoleServer>,
    ) -> Result<Put, Refusal> {
        let Some(form) = form(asked).filter(|_| shows_forms(context) && asked.in_band) else {
            return Ok(Put::Elsewhere);
        };
        if stateless(context) {
            let requests = InputRequests::from([(
                asked.id.to_string(),
                InputRequest::Elicitation(ElicitRequest::new(form)),
            )]);
            return Ok(Put::Form(Box::new(InputRequiredResult::from_input_requests(requests))));
        }
        let open = Duration::from_millis(asked.open_until.saturating_sub(answer::now_ms()));
        let request = ServerRequest::ElicitRequest(ElicitRequest::new(form));
        let told = tokio::select! {
            biased;
            () = context.ct.cancelled() => return Ok(Put::Elsewhere),
            () = self.closing.cancelled() => return Ok(Put::Elsewhere),
            told = tokio::time::timeout(open, context.peer.send_request(request)) => told,
        };
        let Ok(Ok(ClientResult::ElicitResult(result))) = told else { return Ok(Put::Elsewhere) };
        let result = serde_json::to_value(result).unwrap_or_default();
        self.settled(&asked.id, &result, context).await
    }

    /// Takes what a person filled in; a form that was put away unanswered leaves the question open.
    async fn settled(
        &self,
        id: &ApprovalId,
        result: &Value,
        context: &RequestContext<RoleServer>,
    ) -> Result<Put, Refusal> {
        let Some(yes) = yes(result) else { return Ok(Put::Elsewhere) };
        let origin = Self::origin(context);
        let name = origin.client.clone().unwrap_or_else(|| "an unnamed client".to_owned());
        let settled = self.engine.settle(id, yes, &Channel::Client { name }, &origin).await?;
        Ok(match settled {
            Settled::Done(_) if yes => Put::Yes,
            Settled::Done(_) => Put::No,
            // Answered elsewhere meanwhile: the next attempt finds out how.
            Settled::Late(_) | Settled::Unknown => Put::Yes,
        })
    }

    /// Takes the answers that a call of 2026-07-28 brings along. The id of one that a person said no to is answered.
    pub(super) async fn take_answers(
        &self,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Option<ApprovalId> {
        for (key, result) in request.input_responses.iter().flatten() {
            let Ok(id) = key.parse::<ApprovalId>() else { continue };
            match self.settled(&id, result, context).await {
                Ok(Put::No) => return Some(id),
                Ok(Put::Yes | Put::Form(_) | Put::Elsewhere) => {}
                Err(refusal) => tracing::warn!(%id, %refusal, "an answer was not taken"),
            }
        }
        None
    }
}

/// Whether the client says that it can show a form.
pub(super) fn shows_forms(context: &RequestContext<RoleServer>) -> bool {
    context.client_capabilities().is_some_and(|client| client.elicitation.is_some())
}

/// Whether the call is of a revision without sessions.
pub(super) fn stateless(context: &RequestContext<RoleServer>) -> bool {
    context
        .protocol_version()
        .is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

/// The answer of a call that a person said no to, before anything of it was looked at.
pub(super) fn said_no(id: &ApprovalId, request: &CallToolRequestParams) -> CallToolResult {
    let command = request.arguments.as_ref().and_then(|arguments| arguments.get("command"));
    let asked = command.and_then(Value::as_str).and_then(|text| Request::new(text).ok());
    match asked {
        Some(asked) => failed(&answer::refused_by_person(&asked, id)),
        None => {
            failed(&answer::Failure::new("a person said no", "ask the person what to do instead"))
        }
    }
}

/// The answer of a call without a result of its own; `refused` words a plain refusal.
pub(super) fn unanswered(
    why: Unanswered,
    request: &Request,
    refused: impl FnOnce(&Refusal) -> CallToolResult,
) -> CallToolResponse {
    match why {
        Unanswered::Refusal(refusal) => refused(&refusal).into(),
        Unanswered::Form(form) => CallToolResponse::InputRequired(*form),
        Unanswered::No(id) => failed(&answer::refused_by_person(request, &id)).into(),
    }
}

/// Yes, no, or `None` when the person has not answered.
fn yes(result: &Value) -> Option<bool> {
    match result.get("action").and_then(Value::as_str) {
        Some("accept") => Some(result.pointer("/content/approve") == Some(&Value::Bool(true))),
        Some("decline") => Some(false),
        Some(_) | None => None,
    }
}

fn form(asked: &Asked) -> Option<ElicitRequestParams> {
    serde_json::from_value(json!({
        "mode": "form",
        "message": message(&asked.about),
        "requestedSchema": {
            "type": "object",
            "properties": {
                "approve": {
                    "type": "boolean",
                    "title": "Run this command",
                    "description": "Only what is shown is run, and only on these hosts.",
                    "default": false,
                },
            },
            "required": ["approve"],
        },
    }))
    .ok()
}

/// Most hosts that a form names.
const NAMED: usize = 20;

/// What a person is asked.
fn message(about: &About) -> String {
    let mut text = String::new();
    for (label, line) in answer::asked(about, NAMED) {
        text.push_str(&match label {
            "on" => format!("Run on {line}:\n"),
            "run" => format!("  {line}\n"),
            _ => format!("{label} {line}\n"),
        });
    }
    if about.host_count > NAMED {
        text.push_str("`sshepherd approvals show` lists all hosts.\n");
    }
    text.push_str(&format!("A yes holds {}.", about.holds));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_ticked_box_is_a_yes() {
        for (result, told) in [
            (json!({ "action": "accept", "content": { "approve": true } }), Some(true)),
            (json!({ "action": "accept", "content": { "approve": "true" } }), Some(false)),
            (json!({ "action": "accept", "content": {} }), Some(false)),
            (json!({ "action": "accept" }), Some(false)),
            (json!({ "action": "decline" }), Some(false)),
            (json!({ "action": "cancel" }), None),
            (json!({}), None),
            (json!(true), None),
        ] {
            assert_eq!(yes(&result), told, "{result}");
        }
    }

    #[test]
    fn what_is_shown_hides_nothing() {
        let about = About {
            hosts: vec!["web1".parse().unwrap(), "web2".parse().unwrap()],
            host_count: 7,
            logins: vec!["ann@h1:22".to_owned(), "ann@h2:22".to_owned()],
            command: "echo a\nrm -rf /\u{202e}x\u{1b}[2K".to_owned(),
            stdin_bytes: Some(3),
            rules: vec![sshepherd_engine::Why { rule: "r".to_owned(), why: Some("so".to_owned()) }],
            holds: "once".to_owned(),
            ..About::default()
        };
        let shown = "Run on web1, web2 and 5 more:\nas ann@h1:22, web1\nas ann@h2:22, web2\n  \
                     echo a\\nrm -rf /\\u{202e}x\\u{1b}[2K\nstdin 3 bytes\nrule r: so\nA yes holds once.";
        assert_eq!(message(&about), shown);
    }
}
