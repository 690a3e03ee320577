//! A client of either era that keeps what the server tells it unasked.
#![expect(deprecated, reason = "clients of the older revisions hear of tasks by logging")]

use std::process::Stdio;
use std::time::Duration;

use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, ClientInfo, ClientRequest,
    CustomNotification, ElicitRequestParams, ElicitResult, ElicitationAction,
    ElicitationCapability, ErrorData, LoggingMessageNotificationParam, ProgressNotificationParam,
    ProtocolVersion, ResourceUpdatedNotificationParam,
};
use rmcp::service::{
    NotificationContext, PeerRequestOptions, RequestContext, RequestHandle, RunningService,
};
use rmcp::transport::TokioChildProcess;
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt, RoleClient};
use serde_json::Value;
use tokio::sync::mpsc::{self, Receiver, Sender};

/// How a client opens the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// `initialize`, 2025-11-25.
    Session,
    /// `server/discover`, 2026-07-28.
    Stateless,
}

pub(crate) const ERAS: [Era; 2] = [Era::Session, Era::Stateless];

/// Something the server said unasked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum News {
    Progress { done: f64, message: String },
    Log(Value),
    Custom(String),
    ResourcesChanged,
    Updated(String),
    Asked(String),
}

/// What a person does with every form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Person {
    TicksTheBox,
    AcceptsWithoutTicking,
    Declines,
    PutsItAway,
    /// Fills the one field of a form in.
    Types(&'static str),
    /// Leaves the form where it is.
    Sits,
}

#[derive(Clone)]
pub(crate) struct Ear {
    news: Sender<News>,
    /// Who looks at forms; without one the client does not say that it can show them.
    person: Option<Person>,
}

impl ClientHandler for Ear {
    fn get_info(&self) -> ClientInfo {
        let mut info = ClientInfo::default();
        if self.person.is_some() {
            info.capabilities.elicitation = Some(ElicitationCapability::default());
        }
        info
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::FormElicitationParams { message, .. } = request else {
            return Ok(ElicitResult::new(ElicitationAction::Cancel));
        };
        let _ = self.news.send(News::Asked(message)).await;
        Ok(match self.person {
            Some(Person::TicksTheBox) => ElicitResult::new(ElicitationAction::Accept)
                .with_content(serde_json::json!({"approve": true})),
            Some(Person::AcceptsWithoutTicking) => ElicitResult::new(ElicitationAction::Accept)
                .with_content(serde_json::json!({"approve": false})),
            Some(Person::Types(words)) => ElicitResult::new(ElicitationAction::Accept)
                .with_content(serde_json::json!({"answer_1": words})),
            Some(Person::Sits) => std::future::pending().await,
            Some(Person::Declines) => ElicitResult::new(ElicitationAction::Decline),
            Some(Person::PutsItAway) | None => ElicitResult::new(ElicitationAction::Cancel),
        })
    }

    async fn on_progress(
        &self,
        told: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        let message = told.message.unwrap_or_default();
        let _ = self.news.send(News::Progress { done: told.progress, message }).await;
    }

    async fn on_logging_message(
        &self,
        told: LoggingMessageNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        let _ = self.news.send(News::Log(told.data)).await;
    }

    async fn on_resource_list_changed(&self, _: NotificationContext<RoleClient>) {
        let _ = self.news.send(News::ResourcesChanged).await;
    }

    async fn on_resource_updated(
        &self,
        told: ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        let _ = self.news.send(News::Updated(told.uri)).await;
    }

    async fn on_custom_notification(
        &self,
        told: CustomNotification,
        _: NotificationContext<RoleClient>,
    ) {
        let _ = self.news.send(News::Custom(told.method)).await;
    }
}

/// A server process and the conversation with it.
pub(crate) struct Client {
    pub(crate) running: RunningService<RoleClient, Ear>,
    news: Receiver<News>,
}

/// Longest wait for anything: far above what a healthy run takes, so that a hang fails by name.
const PATIENCE: Duration = Duration::from_secs(30);

impl Client {
    pub(crate) async fn start(serve: &[String], era: Era) -> Self {
        Self::start_for(serve, era, None).await
    }

    pub(crate) async fn start_for(serve: &[String], era: Era, person: Option<Person>) -> Self {
        Self::start_logged(serve, era, person, Stdio::null()).await
    }

    /// The same with the server's standard error, on which it logs everything it can.
    pub(crate) async fn start_logged(
        serve: &[String],
        era: Era,
        person: Option<Person>,
        log: Stdio,
    ) -> Self {
        let mut command = tokio::process::Command::new(&serve[0]);
        command.args(&serve[1..]).env("SSHEPHERD_LOG", "trace");
        let (process, _) = TokioChildProcess::builder(command).stderr(log).spawn().unwrap();
        let (sender, receiver) = mpsc::channel(1000);
        let lifecycle = match era {
            Era::Session => ClientLifecycleMode::Initialize,
            Era::Stateless => ClientLifecycleMode::Discover {
                preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            },
        };
        let running =
            Ear { news: sender, person }.serve_with_lifecycle(process, lifecycle).await.unwrap();
        Self { running, news: receiver }
    }

    /// Calls a tool; the text and the typed answer must be the same.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> (Value, bool) {
        let params = params(tool, arguments);
        let result = self.running.call_tool(params).await.unwrap();
        read(tool, result)
    }

    /// The same for a call that should go well.
    pub(crate) async fn good(&self, tool: &str, arguments: Value) -> Value {
        let (answer, is_error) = self.call(tool, arguments).await;
        assert!(!is_error, "{tool}: {answer}");
        answer
    }

    /// The same for a call whose answer is a failure.
    pub(crate) async fn bad(&self, tool: &str, arguments: Value) -> Value {
        let (answer, is_error) = self.call(tool, arguments).await;
        assert!(is_error, "{tool}: {answer}");
        answer
    }

    /// Starts a call that goes on meanwhile. rmcp gives every request a progress token.
    pub(crate) async fn begin(&self, tool: &str, arguments: Value) -> RequestHandle<RoleClient> {
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params(tool, arguments)));
        self.running
            .send_cancellable_request(request, PeerRequestOptions::no_options())
            .await
            .unwrap()
    }

    /// Waits for news that `wanted` picks.
    pub(crate) async fn hear(&mut self, wanted: impl Fn(&News) -> bool) -> News {
        let mut heard = Vec::new();
        let waiting = async {
            loop {
                match self.news.recv().await {
                    Some(news) if wanted(&news) => return Some(news),
                    Some(news) => heard.push(news),
                    None => return None,
                }
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(Some(news)) => news,
            Ok(None) | Err(_) => panic!("not heard; but {heard:?}"),
        }
    }
}

pub(crate) fn params(tool: &str, arguments: Value) -> CallToolRequestParams {
    CallToolRequestParams::new(tool.to_owned())
        .with_arguments(arguments.as_object().unwrap().clone())
}

fn read(tool: &str, result: CallToolResult) -> (Value, bool) {
    let answer = result.structured_content.clone().unwrap_or_else(|| panic!("{tool}: {result:?}"));
    let text = serde_json::to_value(&result.content[0]).unwrap()["text"].clone();
    let parsed: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    assert_eq!(parsed, answer, "{tool}: text and typed answer differ");
    (answer, result.is_error == Some(true))
}
