//! Tools about tasks: every task of every server on this state folder, however it was started.

use rmcp::RoleServer;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, JsonObject};
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use sshepherd_engine::store::{Lookup, Task};
use sshepherd_engine::{CancelAnswer, Engine, Finished, Refusal};
use sshepherd_model::{Alias, TaskId};

use crate::answer::{self, CancelledAnswer, Failure, RunAnswer, StatusAnswer, TaskListAnswer};
use crate::mcp::args::{Args, OfList, OnTask, ToCancel, ToResult};
use crate::mcp::output;
use crate::mcp::reply::{done, failed, invalid};
use crate::mcp::schema;
use crate::mcp::server::Server;

#[tool_router(router = tasks_router, vis = "pub(in crate::mcp)")]
impl Server {
    #[tool(
        description = "Where a task is in its life.",
        input_schema = schema::input::<OnTask>(),
        output_schema = schema::output::<StatusAnswer>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn ssh_get_task_status(
        &self,
        Parameters(args): Parameters<JsonObject>,
    ) -> CallToolResult {
        let id: TaskId = match Args::new(args).need("task_id") {
            Ok(id) => id,
            Err(error) => return invalid(error),
        };
        match self.engine.task(&id).await {
            Ok(Lookup::Found(task)) => {
                let now = self.engine.now_of(&task.id);
                let status = answer::status(&task, &self.engine, now);
                match self.engine.roster(&task).await {
                    Ok(Some(roster)) => done(&answer::with_hosts(status, &roster)),
                    Ok(None) => done(&status),
                    Err(refusal) => failed(&Failure::from(&refusal).about(&id)),
                }
            }
            Ok(Lookup::Expired) => failed(&expired(&id)),
            Ok(Lookup::Unknown) => failed(&unknown(&id)),
            Err(refusal) => failed(&Failure::from(&refusal).about(&id)),
        }
    }

    #[tool(
        description = "The result of a task that has ended; of a fan-out, so far.",
        input_schema = schema::input::<ToResult>(),
        output_schema = schema::output::<RunAnswer>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn ssh_get_task_result(
        &self,
        Parameters(args): Parameters<JsonObject>,
    ) -> CallToolResult {
        let args = Args::new(args);
        let parsed = args.need::<TaskId>("task_id").and_then(|id| Ok((id, args.number("cursor")?)));
        let (id, from) = match parsed {
            Ok((id, cursor)) => (id, usize::try_from(cursor.unwrap_or(0)).unwrap_or(usize::MAX)),
            Err(error) => return invalid(error),
        };
        if let Some(rest) = self.rests.get(&id) {
            return self.report_rest(&id, &rest, from).await;
        }
        match self.engine.task(&id).await {
            Ok(Lookup::Found(task)) if Engine::is_group(&task) => {
                return self.hosts_so_far(&task, from).await;
            }
            Ok(_) | Err(_) => {}
        }
        match self.result_of(&id).await {
            Ok(Ok(answer)) => done(&answer),
            Ok(Err(failure)) => failed(&failure),
            Err(refusal) => failed(&Failure::from(&refusal).about(&id)),
        }
    }

    #[tool(
        description = "Tasks of every server on this machine, newest first.",
        input_schema = schema::input::<OfList>(),
        output_schema = schema::output::<TaskListAnswer>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn ssh_list_tasks(&self, Parameters(args): Parameters<JsonObject>) -> CallToolResult {
        let query = match Args::new(args).list() {
            Ok(query) => query,
            Err(error) => return invalid(error),
        };
        match self.engine.tasks(query).await {
            Ok(page) => {
                let now = |id: &TaskId| self.engine.now_of(id);
                done(&answer::task_list(&page, now, self.settings.answer_bytes))
            }
            Err(refusal) => failed(&Failure::from(&refusal)),
        }
    }

    #[tool(
        description = "Stop a task and its remote command.",
        input_schema = schema::input::<ToCancel>(),
        output_schema = schema::output::<CancelledAnswer>(),
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = true, open_world_hint = true)
    )]
    async fn ssh_cancel(
        &self,
        Parameters(args): Parameters<JsonObject>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        self.stop(args, &context).await
    }

    #[tool(
        description = "Same as ssh_cancel.",
        input_schema = schema::input::<OnTask>(),
        output_schema = schema::output::<CancelledAnswer>(),
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = true, open_world_hint = true)
    )]
    async fn ssh_cancel_async_task(
        &self,
        Parameters(args): Parameters<JsonObject>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        self.stop(args, &context).await
    }
}

pub(super) fn unknown(id: &TaskId) -> Failure {
    Failure::new("no task has this id", "ssh_list_tasks shows every task that is kept").about(id)
}

pub(super) fn expired(id: &TaskId) -> Failure {
    Failure::new(
        "the result of this task has expired",
        "results are kept for keepAlive seconds after the end; the command did run, so think before running it again",
    )
    .about(id)
}

fn unfinished(task: &Task) -> Failure {
    let mut failure = Failure::new(
        format!("the task is {} and has no result yet", task.status),
        "ask ssh_get_task_status until it has ended; ssh_get_task_output shows its output so far",
    )
    .about(&task.id);
    failure.task_status = Some(task.status.to_string());
    failure
}

impl Server {
    async fn result_of(&self, id: &TaskId) -> Result<Result<RunAnswer, Failure>, Refusal> {
        let task = match self.engine.task(id).await? {
            Lookup::Found(task) => task,
            Lookup::Expired => return Ok(Err(expired(id))),
            Lookup::Unknown => return Ok(Err(unknown(id))),
        };
        let Some(outcome) = task.outcome.clone() else {
            return Ok(Err(unfinished(&task)));
        };
        let max_seconds = task.limits.max_time.as_secs();
        let finished = Finished { task, outcome };
        let mut answer =
            output::report(&self.engine, &finished, self.settings.answer_bytes.saturating_sub(24))
                .await?;
        answer.max_seconds = Some(max_seconds);
        if let Lookup::Expired = self.engine.task(id).await? {
            return Ok(Err(expired(id)));
        }
        Ok(Ok(answer))
    }

    async fn stop(&self, args: JsonObject, context: &RequestContext<RoleServer>) -> CallToolResult {
        let args = Args::new(args);
        let host = || args.text("alias")?.map(|alias| alias.parse::<Alias>()).transpose();
        let parsed = args.need::<TaskId>("task_id").and_then(|id| Ok((id, host()?)));
        let (id, host) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return invalid(error),
        };
        if let Some(alias) = host {
            return self.stop_host(&id, &alias, context).await;
        }
        match self.engine.cancel(&id, &Self::origin(context)).await {
            Ok(answer) => cancelled(&id, &answer),
            Err(refusal) => failed(&Failure::from(&refusal).about(&id)),
        }
    }
}

/// What came of a cancel.
pub(super) fn cancelled(id: &TaskId, answer: &CancelAnswer) -> CallToolResult {
    match (answer::cancelled(id, answer), answer) {
        (Some(answer), _) => done(&answer),
        (None, CancelAnswer::Expired) => failed(&expired(id)),
        (None, _) => failed(&unknown(id)),
    }
}
