//! The extension `io.modelcontextprotocol/tasks` (SEP-2663) over our own store: a call that takes long becomes a task, and
//! its id is the same that every other tool takes.
//!
//! rmcp sees to it that only clients that declared the extension in the request reach `tasks/*`. A task is announced only
//! after it is in the store, so that `tasks/get` finds it, by any server on the same state folder, after a restart too.

use std::time::Duration;

use rmcp::model::{
    CallToolResponse, CallToolResult, CancelTaskParams, CreateTaskResult, DetailedTask, ErrorData,
    GetTaskParams, GetTaskResult, JsonObject, TaskPayload, TaskStatus, UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, model};
use serde_json::Value;
use sshepherd_engine::audit::Timestamp;
use sshepherd_engine::store::{Lookup, Task};
use sshepherd_engine::{Engine, Finished, Refusal};
use sshepherd_model::{Outcome, Request, TaskId};

use super::ask;
use super::login::Carrying;
use super::server::Server;

/// How long a call is waited for before it is answered as a task: most commands end sooner, and save the client a poll.
const FIRST_WAIT: Duration = Duration::from_millis(1500);

/// Whether this call may be answered with a task: the revision and the client, in this very request, say so.
pub(super) fn wanted(context: &RequestContext<RoleServer>) -> bool {
    let declared = context.client_capabilities().is_some_and(|client| client.supports_tasks());
    declared && ask::stateless(context)
}

/// The task as the extension tells it.
fn told(task: &Task, now: u64) -> model::Task {
    let status = match task.outcome {
        None => TaskStatus::Working,
        Some(Outcome::Cancelled { .. }) => TaskStatus::Cancelled,
        Some(
            Outcome::Exited { .. }
            | Outcome::Signalled { .. }
            | Outcome::TimedOut { .. }
            | Outcome::NotStarted(_)
            | Outcome::NotSeenToRun(_)
            | Outcome::Denied { .. }
            | Outcome::Interrupted(_),
        ) => TaskStatus::Completed,
    };
    let updated = task.ended_at.or(task.started_at).unwrap_or(task.created_at);
    let stamp = |at| Timestamp::from_millis(at).to_string();
    let mut told =
        model::Task::new(task.id.to_string(), status, stamp(task.created_at), stamp(updated))
            .with_status_message(about(task, now))
            .with_poll_interval_ms(1000);
    // While it runs there is no end to count from, so no time to live.
    told.ttl_ms = task.expires_at().map(|at| at.saturating_sub(task.created_at));
    told
}

/// The task in words.
fn about(task: &Task, now: u64) -> String {
    let told =
        format!("{} on {} for {} s", task.status_word(), task.alias, task.elapsed_ms(now) / 1000);
    if Engine::is_group(task) {
        return told;
    }
    format!("{told}, {} bytes of output", task.output.bytes())
}

/// Why there is no such task.
fn absent(why: &str) -> ErrorData {
    ErrorData::invalid_params(why.to_owned(), None)
}

impl Server {
    /// Answers with the result when it comes soon, or with what the host asks; else with the task, and then a host that asks
    /// later is not answered.
    pub(super) async fn soon(
        &self,
        id: &TaskId,
        mut carrying: Carrying,
    ) -> Result<CallToolResponse, Refusal> {
        tokio::select! {
            biased;
            found = self.engine.wait(id) => if let Lookup::Found(finished) = found? {
                return Ok(self.whole(&finished).await.into());
            },
            form = carrying.asked(id) => return Ok(CallToolResponse::InputRequired(*form)),
            () = tokio::time::sleep(FIRST_WAIT) => {}
        }
        let gone = || Refusal::Store(sshepherd_engine::store::Error::Gone { id: id.clone() });
        let task = self.engine.task(id).await?.found().ok_or_else(gone)?;
        Ok(CreateTaskResult::new(told(&task, self.engine.now_of(&task.id))).into())
    }

    /// The result that the call itself would have had, on one host or on all of a tag.
    async fn whole(&self, finished: &Finished) -> CallToolResult {
        let task = &finished.task;
        match (self.engine.group(task).await, Request::new(&task.command).ok()) {
            (Some(fan_out), Some(request)) => {
                self.report_all(&request, fan_out, Some(&task.id)).await
            }
            (None, _) | (_, None) => self.report(finished).await,
        }
    }

    async fn stored(&self, id: &str) -> Result<Task, ErrorData> {
        let id: TaskId = id.parse().map_err(|_| absent("taskId: no such task"))?;
        match self.engine.task(&id).await {
            Ok(Lookup::Found(task)) => Ok(task),
            Ok(Lookup::Expired) => Err(absent("taskId: the result of this task has expired")),
            Ok(Lookup::Unknown) => Err(absent("taskId: no such task")),
            Err(refusal) => Err(ErrorData::internal_error(refusal.to_string(), None)),
        }
    }

    /// `tasks/get`: where it is, and the result once there is one.
    pub(super) async fn task_now(
        &self,
        request: GetTaskParams,
    ) -> Result<GetTaskResult, ErrorData> {
        let task = self.stored(&request.task_id).await?;
        let told = told(&task, self.engine.now_of(&task.id));
        let payload = match (told.status, task.outcome.clone()) {
            (TaskStatus::Cancelled, _) => TaskPayload::Cancelled,
            (_, Some(outcome)) => {
                let finished = Finished { task, outcome };
                TaskPayload::Completed { result: object(&self.whole(&finished).await) }
            }
            (_, None) => TaskPayload::Working,
        };
        Ok(GetTaskResult::new(DetailedTask::new(told, payload)))
    }

    /// `tasks/update`: no task of ours asks for anything.
    pub(super) async fn task_input(&self, request: UpdateTaskParams) -> Result<(), ErrorData> {
        self.stored(&request.task_id).await?;
        Err(ErrorData::invalid_params("this task waits for no input", None))
    }

    /// `tasks/cancel`: asked for at once; `tasks/get` tells what came of it.
    pub(super) async fn task_stop(
        &self,
        request: CancelTaskParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let task = self.stored(&request.task_id).await?;
        let (engine, origin) = (self.engine.clone(), Self::origin(context));
        self.tracker.spawn(async move {
            if let Err(refusal) = engine.cancel(&task.id, &origin).await {
                tracing::warn!(task = %task.id, %refusal, "a task could not be cancelled");
            }
        });
        Ok(())
    }
}

/// A result as the object that it is on the wire.
fn object(result: &CallToolResult) -> JsonObject {
    match serde_json::to_value(result) {
        Ok(Value::Object(object)) => object,
        // A struct always becomes an object.
        Ok(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_),
        )
        | Err(_) => JsonObject::new(),
    }
}
