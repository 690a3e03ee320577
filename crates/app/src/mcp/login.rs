//! What a host asks while logging in, taken to a person through the client: a form, where the owner lets it go this way.
//!
//! MCP forbids to ask for passwords in a form, and the way by a URL needs a web page that a server on stdio does not have. So
//! questions for passwords never go this way, hidden answers (codes of one time) only where the owner said so, and nothing at
//! all unless the owner said something. The answer goes from the client to the host and nowhere else.
//!
//! A client of an older revision is asked at any time. One of 2026-07-28 can only be asked in the answer to a call: the call
//! gives the form back while its task waits, and the client makes it again with what the person filled in.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestParams, ClientResult, ElicitRequest, ElicitRequestParams, InputRequest,
    InputRequests, InputRequiredResult, ServerRequest,
};
use rmcp::service::{Peer, RequestContext};
use serde_json::{Map, Value, json};
use sshepherd_engine::prompt::{Answers, Prompt, Prompter, Questions};
use sshepherd_model::{Alias, Secret, TaskId};
use tokio::sync::oneshot;

use super::ask;
use super::server::Server;

/// Which questions go through the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Through {
    /// Those whose answer may be seen while it is typed.
    Visible,
    /// Those with hidden answers as well.
    All,
}

/// What stands before a task's id in the state of a call that is to be made again.
const STATE: &str = "login of ";
/// Longest answer, in characters, that the form takes.
const MAX_ANSWER: usize = 1024;

/// The way from a host's questions to the client's person. Clones share everything.
#[derive(Clone)]
pub(super) struct Logins {
    inner: Arc<Inner>,
}

struct Inner {
    through: Option<Through>,
    /// The client of an `initialize` session.
    session: OnceLock<Peer<RoleServer>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: u64,
    /// Calls under way that can take a form to the person.
    carriers: HashMap<u64, Carrier>,
    /// Questions that a form is out for.
    open: HashMap<String, oneshot::Sender<Value>>,
}

struct Carrier {
    /// The hosts that it logs in to.
    way: Vec<Alias>,
    takes: oneshot::Sender<Form>,
}

/// A question on its way to the person.
struct Form {
    key: String,
    params: ElicitRequestParams,
}

impl Logins {
    /// Nothing goes through the client without `through`.
    pub(super) fn new(through: Option<Through>) -> Self {
        let inner = Inner { through, session: OnceLock::new(), state: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Whether anything may go through the client.
    pub(super) fn open_at_all(&self) -> bool {
        self.inner.through.is_some()
    }

    /// From now on the client of an `initialize` session can be asked.
    pub(super) fn session(&self, peer: Peer<RoleServer>) {
        // A connection has one session; a second call would be the same client.
        let _ = self.inner.session.set(peer);
    }

    /// Lets this call take a form for the hosts on `way`, where its client is of the newest revision and can show one.
    fn carrier(&self, context: &RequestContext<RoleServer>, way: Vec<Alias>) -> Carrying {
        if !(self.open_at_all() && ask::stateless(context) && ask::shows_forms(context)) {
            return Carrying::none();
        }
        let (takes, form) = oneshot::channel();
        let mut state = self.state();
        state.last += 1;
        let id = state.last;
        state.carriers.insert(id, Carrier { way, takes });
        drop(state);
        Carrying { held: Some(Held { logins: self.clone(), id, form }) }
    }

    /// Takes what a person filled in; an answer that nobody waits for any more is dropped.
    pub(super) fn take_answers(&self, request: &CallToolRequestParams) {
        for (key, result) in request.input_responses.iter().flatten() {
            let waiting = self.state().open.remove(key);
            if let Some(waiting) = waiting {
                let _ = waiting.send(result.clone());
            }
        }
    }

    async fn put(&self, questions: &Questions) -> Answers {
        let through = self.inner.through?;
        if !questions.prompts.iter().all(|prompt| may_go(prompt, through)) {
            tracing::info!(host = %questions.alias, "a question of the log-in may not go through the client");
            return None;
        }
        let params = form(questions)?;
        let result = match self.inner.session.get() {
            Some(peer) => in_session(peer, params).await?,
            None => self.by_carrier(&questions.alias, params).await?,
        };
        filled(result, questions.prompts.len())
    }

    /// Has a call that logs in to this host give the form back, and waits for the call that brings the answer.
    async fn by_carrier(&self, alias: &Alias, params: ElicitRequestParams) -> Option<Value> {
        let (answer, answered) = oneshot::channel();
        let key = {
            let mut state = self.state();
            let id = *state.carriers.iter().find(|(_, carrier)| carrier.way.contains(alias))?.0;
            let carrier = state.carriers.remove(&id)?;
            let key = format!("login-{id}");
            carrier.takes.send(Form { key: key.clone(), params }).ok()?;
            state.open.insert(key.clone(), answer);
            key
        };
        let _open = Open { logins: self.clone(), key };
        answered.await.ok()
    }

    /// A poisoned state is still a whole one: no operation on it can panic half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Prompter for Logins {
    fn ask(&self, questions: Questions) -> Pin<Box<dyn Future<Output = Answers> + Send + '_>> {
        Box::pin(async move { self.put(&questions).await })
    }
}

/// A question that a form is out for, until nobody waits for its answer any more.
struct Open {
    logins: Logins,
    key: String,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.logins.state().open.remove(&self.key);
    }
}

/// A call's place among those that can take a form, until it is dropped.
pub(super) struct Carrying {
    held: Option<Held>,
}

struct Held {
    logins: Logins,
    id: u64,
    form: oneshot::Receiver<Form>,
}

impl Carrying {
    /// No place: this call takes no form.
    pub(super) fn none() -> Self {
        Self { held: None }
    }

    /// Returns when there is a form to take to the person on behalf of `task`; never, where this call takes none.
    pub(super) async fn asked(&mut self, task: &TaskId) -> Box<InputRequiredResult> {
        let form = match &mut self.held {
            Some(held) => (&mut held.form).await.ok(),
            None => None,
        };
        let Some(Form { key, params }) = form else { return std::future::pending().await };
        let request = InputRequest::Elicitation(ElicitRequest::new(params));
        let requests = InputRequests::from([(key, request)]);
        let mut form = InputRequiredResult::from_input_requests(requests);
        form.request_state = Some(format!("{STATE}{task}"));
        Box::new(form)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.logins.state().carriers.remove(&self.id);
    }
}

impl Server {
    /// Lets this call take to the person what hosts ask on the way to `alias`.
    pub(super) fn carrier(&self, context: &RequestContext<RoleServer>, alias: &Alias) -> Carrying {
        self.logins.carrier(context, self.way(alias))
    }

    /// The hosts that a command on `alias` logs in to.
    pub(super) fn way(&self, alias: &Alias) -> Vec<Alias> {
        let config = self.engine.config();
        let hops = config
            .inventory
            .host(alias)
            .map(|host| config.inventory.way_to(host))
            .unwrap_or_default();
        hops.iter().map(|hop| hop.alias.clone()).chain([alias.clone()]).collect()
    }
}

/// The task that a call goes on with, whose form was out.
pub(super) fn task_of(request: &CallToolRequestParams) -> Option<TaskId> {
    request.request_state.as_deref()?.strip_prefix(STATE)?.parse().ok()
}

/// Asks the client of a session; the log-in's deadline ends the wait.
async fn in_session(peer: &Peer<RoleServer>, params: ElicitRequestParams) -> Option<Value> {
    peer.peer_info().and_then(|client| client.capabilities.elicitation.clone())?;
    let request = ServerRequest::ElicitRequest(ElicitRequest::new(params));
    let Ok(ClientResult::ElicitResult(result)) = peer.send_request(request).await else {
        return None;
    };
    serde_json::to_value(result).ok()
}

/// Whether a question may go through the client: never one for a password or a passphrase.
fn may_go(prompt: &Prompt, through: Through) -> bool {
    let text = prompt.text.to_lowercase();
    let secret = ["password", "passphrase"].iter().any(|word| text.contains(word));
    !secret && (prompt.echo || through == Through::All)
}

fn field(number: usize) -> String {
    format!("answer_{number}")
}

fn form(questions: &Questions) -> Option<ElicitRequestParams> {
    let Questions { alias, username, instructions, prompts } = questions;
    let mut message = format!(
        "The host {alias} asks {username} while logging in. The words are the host's; the answer goes there and not to the \
         model. Give it only what belongs to this host."
    );
    if !instructions.trim().is_empty() {
        message.push_str(&format!("\n{}", instructions.trim()));
    }
    let mut fields = Map::new();
    for (number, prompt) in (1..).zip(prompts) {
        message.push_str(&format!("\n{}", prompt.text.trim()));
        let title = prompt.text.trim();
        fields.insert(
            field(number),
            json!({"type": "string", "title": title, "maxLength": MAX_ANSWER}),
        );
    }
    let required: Vec<&String> = fields.keys().collect();
    serde_json::from_value(json!({
        "mode": "form",
        "message": message,
        "requestedSchema": {"type": "object", "required": required, "properties": fields},
    }))
    .ok()
}

/// What the person filled in; nothing unless every question has its answer.
fn filled(mut result: Value, wanted: usize) -> Answers {
    if result.get("action").and_then(Value::as_str) != Some("accept") {
        return None;
    }
    let content = result.get_mut("content")?.as_object_mut()?;
    (1..=wanted)
        .map(|number| match content.remove(&field(number)) {
            Some(Value::String(text)) => Some(Secret::new(text)),
            Some(_) | None => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_never_goes_through_and_a_hidden_code_only_where_the_owner_said_so() {
        for (text, echo, visible, all) in [
            ("Verification code: ", false, false, true),
            ("Passcode or option (1-3): ", true, true, true),
            ("Password: ", false, false, false),
            ("PASSWORD again: ", true, false, false),
            ("Passphrase: ", true, false, false),
        ] {
            let prompt = Prompt { text: text.to_owned().into(), echo };
            assert_eq!(may_go(&prompt, Through::Visible), visible, "{text}");
            assert_eq!(may_go(&prompt, Through::All), all, "{text}");
        }
    }

    #[test]
    fn every_question_needs_its_answer() {
        let count = |result: Value, wanted| filled(result, wanted).map(|answers| answers.len());
        let both = json!({"answer_1": "a", "answer_2": "b"});
        assert_eq!(count(json!({"action": "accept", "content": both}), 2), Some(2));
        for result in [
            json!({"action": "accept", "content": {"answer_1": "a"}}),
            json!({"action": "accept", "content": {"answer_1": "a", "answer_2": 2}}),
            json!({"action": "accept"}),
            json!({"action": "decline", "content": both}),
            json!({"action": "cancel"}),
            json!(null),
        ] {
            assert_eq!(count(result.clone(), 2), None, "{result}");
        }
    }
}
