//! Tools about tasks: every task of this server, however it was started.

use rmcp::RoleServer;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, JsonObject};
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use sshepherd_engine::store::{Error, Lookup, Page, TailLines, Task};
use sshepherd_engine::{CancelAnswer, Finished, Refusal};
use sshepherd_model::TaskId;

use crate::answer::{
    self, CancelledAnswer, Failure, OutputAnswer, RunAnswer, StatusAnswer, encoded,
};
use crate::mcp::args::{Args, OfOutput, OnTask, Part};
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
                done(&answer::status(&task, &self.engine.config(), answer::now_ms()))
            }
            Ok(Lookup::Expired) => failed(&expired(&id)),
            Ok(Lookup::Unknown) => failed(&unknown(&id)),
            Err(refusal) => failed(&Failure::from(&refusal).about(&id)),
        }
    }

    #[tool(
        description = "The result of a task that has ended.",
        input_schema = schema::input::<OnTask>(),
        output_schema = schema::output::<RunAnswer>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn ssh_get_task_result(
        &self,
        Parameters(args): Parameters<JsonObject>,
    ) -> CallToolResult {
        let id: TaskId = match Args::new(args).need("task_id") {
            Ok(id) => id,
            Err(error) => return invalid(error),
        };
        match self.result_of(&id).await {
            Ok(Ok(answer)) => done(&answer),
            Ok(Err(failure)) => failed(&failure),
            Err(refusal) => failed(&Failure::from(&refusal).about(&id)),
        }
    }

    #[tool(
        description = "Output of a task, while it runs too: the last lines, or a page from cursor on.",
        input_schema = schema::input::<OfOutput>(),
        output_schema = schema::output::<OutputAnswer>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn ssh_get_task_output(
        &self,
        Parameters(args): Parameters<JsonObject>,
    ) -> CallToolResult {
        let args = Args::new(args);
        let parsed = args
            .need::<TaskId>("task_id")
            .and_then(|id| Ok((id, args.part()?, args.max_bytes(self.settings.answer_bytes)?)));
        let (id, part, max_bytes) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return invalid(error),
        };
        match self.output_of(&id, &part, max_bytes).await {
            Ok(Ok(answer)) => done(&answer),
            Ok(Err(failure)) => failed(&failure),
            Err(refusal) => failed(&Failure::from(&refusal).about(&id)),
        }
    }

    #[tool(
        description = "Stop a task and its remote command.",
        input_schema = schema::input::<OnTask>(),
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

fn unknown(id: &TaskId) -> Failure {
    Failure::new(
        "no task has this id",
        "use the task_id that ssh_run, ssh_run_on_tag or ssh_run_async gave; tasks end with the server that ran them",
    )
    .about(id)
}

fn expired(id: &TaskId) -> Failure {
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
        Ok(Ok(answer))
    }

    /// Reads with ever less room until the answer fits, because JSON escapes make text longer.
    async fn output_of(
        &self,
        id: &TaskId,
        part: &Part,
        max_bytes: usize,
    ) -> Result<Result<OutputAnswer, Failure>, Refusal> {
        let budget = self.settings.answer_bytes;
        let mut room = max_bytes.min(budget.saturating_sub(output::FIXED).max(output::MIN_ROOM));
        loop {
            let answer = match self.read_part(id, part, room).await? {
                Ok(answer) => answer,
                Err(failure) => return Ok(Err(failure)),
            };
            let size = encoded(&answer);
            if size <= budget || room <= 1 {
                return Ok(Ok(answer));
            }
            room = (room.saturating_mul(budget) / size).saturating_sub(16).min(room - 1).max(1);
        }
    }

    async fn read_part(
        &self,
        id: &TaskId,
        part: &Part,
        room: usize,
    ) -> Result<Result<OutputAnswer, Failure>, Refusal> {
        let task = match self.engine.task(id).await? {
            Lookup::Found(task) => task,
            Lookup::Expired => return Ok(Err(expired(id))),
            Lookup::Unknown => return Ok(Err(unknown(id))),
        };
        let filled = match part {
            Part::Tail { lines } => {
                self.engine.tail_lines(id, *lines, room).await?.map(|tail| last_lines(&task, &tail))
            }
            Part::From { cursor } => {
                let read = self
                    .engine
                    .page(id, *cursor, room, sshepherd_engine::store::StreamFilter::Both)
                    .await;
                match read {
                    Ok(found) => found.map(|page| one_page(&task, &page)),
                    Err(error @ Error::BeyondEnd { .. }) => {
                        let mut failure = Failure::new(
                            error.to_string(),
                            "use 0, or the cursor that an earlier answer gave",
                        )
                        .about(id);
                        failure.field = Some("cursor".to_owned());
                        return Ok(Err(failure));
                    }
                    Err(error) => return Err(Refusal::Store(error)),
                }
            }
        };
        Ok(match filled {
            Lookup::Found(answer) => Ok(answer),
            Lookup::Expired => Err(expired(id)),
            Lookup::Unknown => Err(unknown(id)),
        })
    }

    async fn stop(&self, args: JsonObject, context: &RequestContext<RoleServer>) -> CallToolResult {
        let id: TaskId = match Args::new(args).need("task_id") {
            Ok(id) => id,
            Err(error) => return invalid(error),
        };
        match self.engine.cancel(&id, &Self::origin(context)).await {
            Ok(CancelAnswer::Unknown) => failed(&unknown(&id)),
            Ok(CancelAnswer::Expired) => failed(&expired(&id)),
            Ok(CancelAnswer::Stopped(finished)) => done(&answer::stopped(&finished)),
            Ok(CancelAnswer::AlreadyEnded(finished)) => done(&CancelledAnswer {
                task_id: Some(id.to_string()),
                cancelled: Some(false),
                message: Some(format!("the task had ended before: {}", finished.task.status)),
                status: Some(finished.task.status.to_string()),
                ..CancelledAnswer::default()
            }),
            Ok(CancelAnswer::Stopping) => done(&CancelledAnswer {
                task_id: Some(id.to_string()),
                cancelled: Some(false),
                message: Some(
                    "the task was asked to stop and has not ended yet; ask for its status"
                        .to_owned(),
                ),
                status: Some("running".to_owned()),
                ..CancelledAnswer::default()
            }),
            Err(refusal) => failed(&Failure::from(&refusal).about(&id)),
        }
    }
}

fn last_lines(task: &Task, tail: &TailLines) -> OutputAnswer {
    OutputAnswer {
        task_id: Some(task.id.to_string()),
        status: Some(task.status.to_string()),
        output_lines: Some(tail.lines.iter().map(|line| answer::lossy(line)).collect()),
        total_lines: Some(tail.total_lines),
        has_more: Some(tail.has_more),
        first_line_cut: tail.first_cut.then_some(true),
        total_bytes: Some(task.output.bytes()),
        missing_bytes: (task.output.missing > 0).then_some(task.output.missing),
        ..OutputAnswer::default()
    }
}

fn one_page(task: &Task, page: &Page) -> OutputAnswer {
    let bytes: Vec<u8> = page.chunks.iter().flat_map(|chunk| chunk.bytes.iter().copied()).collect();
    let text = answer::lossy(&bytes);
    let lines = text.strip_suffix('\n').unwrap_or(&text);
    let lines: Vec<String> =
        if text.is_empty() { Vec::new() } else { lines.split('\n').map(str::to_owned).collect() };
    OutputAnswer {
        task_id: Some(task.id.to_string()),
        status: Some(task.status.to_string()),
        output_lines: Some(lines),
        total_lines: Some(task.output.lines),
        // A running task may always write more.
        has_more: Some(!page.end),
        first_line_cut: None,
        cursor: Some(page.next),
        missing_bytes: (page.missing_before > 0).then_some(page.missing_before),
        total_bytes: Some(page.total),
        end: Some(page.end),
    }
}
