//! Tools that run commands.

use futures::FutureExt;
use rmcp::RoleServer;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResponse, CallToolResult, JsonObject};
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use sshepherd_engine::store::Lookup;
use sshepherd_engine::{FanOut, Finished, Refusal, Ticket};
use sshepherd_model::{Alias, Request, Tag};
use tokio_util::sync::CancellationToken;

use crate::answer::{self, Failure, RunAnswer, StartedAnswer, TagAnswer};
use crate::mcp::args::{Args, OnHost, OnTag, ToStart};
use crate::mcp::notify::{Progress, whole};
use crate::mcp::output::{self, FIXED, MIN_ROOM};
use crate::mcp::reply::{IsError, done, failed, invalid, result};
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::{ask, native};

#[tool_router(router = run_router, vis = "pub(in crate::mcp)")]
impl Server {
    #[tool(
        description = "Run a command on a host and wait for its end. Cancelling the call ends the remote command.",
        input_schema = schema::input::<OnHost>(),
        output_schema = schema::output::<RunAnswer>(),
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false, open_world_hint = true)
    )]
    async fn ssh_run(
        &self,
        Parameters(args): Parameters<JsonObject>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResponse {
        let (alias, request) = match on_host(args) {
            Ok(parsed) => parsed,
            Err(error) => return invalid(error).into(),
        };
        if native::wanted(&context) {
            return self.as_task(&alias, &request, &context).await;
        }
        let (to, what, call) = (&alias, &request, &context);
        let attempt = || self.stoppable(call, |stop| self.run_one(to, what, call, stop)).boxed();
        match self.with_yes(&context, attempt).await {
            Ok(finished) => self.report(&finished).await.into(),
            Err(why) => ask::unanswered(why, &request, |why| refused(&alias, &request, why)),
        }
    }

    #[tool(
        description = "Run a command on every host of a tag at once.",
        input_schema = schema::input::<OnTag>(),
        output_schema = schema::output::<TagAnswer>(),
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false, open_world_hint = true)
    )]
    async fn ssh_run_on_tag(
        &self,
        Parameters(args): Parameters<JsonObject>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResponse {
        let args = Args::new(args);
        let parsed = args.need::<Tag>("tag").and_then(|tag| Ok((tag, args.request()?)));
        let (tag, request) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return invalid(error).into(),
        };
        if native::wanted(&context) {
            let origin = Self::origin(&context);
            let attempt = || self.engine.submit_group(&tag, &request, origin.clone()).boxed();
            return match self.with_yes(&context, attempt).await {
                Ok(ticket) => self.answered(&ticket, &context).await,
                Err(why) => ask::unanswered(why, &request, |why| refused_for_all(&request, why)),
            };
        }
        let (to, what, call) = (&tag, &request, &context);
        let attempt = || self.stoppable(call, |stop| self.run_all(to, what, call, stop)).boxed();
        match self.with_yes(&context, attempt).await {
            Ok(fan_out) => self.report_all(&tag, &request, &fan_out).await.into(),
            Err(why) => ask::unanswered(why, &request, |why| refused_for_all(&request, why)),
        }
    }

    #[tool(
        description = "Start a command and return its task_id at once.",
        input_schema = schema::input::<ToStart>(),
        output_schema = schema::output::<StartedAnswer>(),
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false, open_world_hint = true)
    )]
    async fn ssh_run_async(
        &self,
        Parameters(args): Parameters<JsonObject>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResponse {
        let args = Args::new(args);
        let parsed = args.key().and_then(|key| Ok((args.need("alias")?, args.request()?, key)));
        let (alias, request, key) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return invalid(error).into(),
        };
        // Heard from before the task exists, so that its first event is not missed.
        let events = self.engine.events();
        let origin = Self::origin(&context);
        let attempt =
            || self.engine.submit_task(&alias, &request, key.clone(), origin.clone()).boxed();
        match self.with_yes(&context, attempt).await {
            Ok(ticket) if ticket.known => done(&self.known(&ticket, &request).await).into(),
            Ok(ticket) => {
                let follower = self.listeners.clone().follow(events, ticket.task_id.clone());
                let closing = self.closing.clone();
                self.tracker.spawn(async move {
                    let _ = closing.run_until_cancelled(follower).await;
                });
                done(&started(&ticket, &request)).into()
            }
            Err(why) => ask::unanswered(why, &request, |why| refused(&alias, &request, why)),
        }
    }
}

fn started(ticket: &Ticket, request: &Request) -> StartedAnswer {
    StartedAnswer {
        task_id: Some(ticket.task_id.to_string()),
        status: Some("pending".to_owned()),
        keep_alive: Some(ticket.limits.result_ttl.as_secs()),
        poll_frequency: Some(ticket.limits.progress_interval.as_secs().max(1)),
        alias: Some(ticket.alias.to_string()),
        command: Some(answer::echo(request)),
        hash: Some(ticket.hash.to_string()),
        ..StartedAnswer::default()
    }
}

fn on_host(args: JsonObject) -> Result<(Alias, Request), sshepherd_model::InvalidField> {
    let args = Args::new(args);
    Ok((args.need("alias")?, args.request()?))
}

/// A denial is an answer about the command; everything else is about the call.
fn refused(alias: &Alias, request: &Request, refusal: &Refusal) -> CallToolResult {
    if matches!(refusal, Refusal::Denied(_) | Refusal::ApprovalRequired(_)) {
        failed(&answer::could_not_start(alias, request, refusal))
    } else {
        failed(&Failure::from(refusal))
    }
}

/// The same about a call for many hosts.
fn refused_for_all(request: &Request, refusal: &Refusal) -> CallToolResult {
    if let Refusal::ApprovalRequired(asked) = refusal {
        failed(&answer::asked_for_all(request, asked))
    } else {
        failed(&Failure::from(refusal))
    }
}

impl Server {
    /// A task that was there already: where it is now.
    async fn known(&self, ticket: &Ticket, request: &Request) -> StartedAnswer {
        let task = self.engine.task(&ticket.task_id).await.ok().and_then(Lookup::found);
        StartedAnswer {
            status: task.map(|task| task.status.to_string()),
            existing: Some(true),
            ..started(ticket, request)
        }
    }

    /// Runs a command that outlives this call, and answers with its result or, when that takes long, with its task.
    async fn as_task(
        &self,
        alias: &Alias,
        request: &Request,
        context: &RequestContext<RoleServer>,
    ) -> CallToolResponse {
        let origin = Self::origin(context);
        let attempt = || self.engine.submit_task(alias, request, None, origin.clone()).boxed();
        match self.with_yes(context, attempt).await {
            Ok(ticket) => self.answered(&ticket, context).await,
            Err(why) => ask::unanswered(why, request, |why| refused(alias, request, why)),
        }
    }

    /// Answers a call that was started as a task: with its result or, when that takes long, with the task.
    async fn answered(
        &self,
        ticket: &Ticket,
        context: &RequestContext<RoleServer>,
    ) -> CallToolResponse {
        let origin = Self::origin(context);
        let answer = tokio::select! {
            biased;
            answer = self.soon(ticket) => answer,
            // The client has given the call up before it knew of a task.
            () = context.ct.cancelled() => {
                self.engine.cancel(&ticket.task_id, &origin).await.map(|_| {
                    failed(&Failure::new("cancelled", "the command was stopped").about(&ticket.task_id)).into()
                })
            }
        };
        answer.unwrap_or_else(|refusal| {
            failed(&Failure::from(&refusal).about(&ticket.task_id)).into()
        })
    }

    async fn run_one(
        &self,
        alias: &Alias,
        request: &Request,
        context: &RequestContext<RoleServer>,
        stop: CancellationToken,
    ) -> Result<Finished, Refusal> {
        let origin = Self::origin(context);
        let progress = Progress::wanted(context).map(|progress| (progress, self.engine.events()));
        let ticket = self.engine.submit(alias, request, origin.clone()).await?;
        let ended = self.engine.wait_or_cancel(&ticket.task_id, &stop, &origin);
        let Some((progress, events)) = progress else {
            return ended.await;
        };
        progress.tell(0.0, whole(ticket.limits.max_time.as_secs()), "accepted".to_owned()).await;
        let telling = progress.follow(events, &ticket.task_id);
        tokio::pin!(ended, telling);
        tokio::select! {
            biased;
            finished = &mut ended => finished,
            () = &mut telling => ended.await,
        }
    }

    pub(in crate::mcp) async fn report(&self, finished: &Finished) -> CallToolResult {
        match output::report(&self.engine, finished, self.settings.answer_bytes).await {
            Ok(answer) => {
                let is_error = if answer.is_error() { IsError::Yes } else { IsError::No };
                result(&answer, is_error)
            }
            Err(refusal) => failed(&Failure::from(&refusal).about(&finished.task.id)),
        }
    }

    async fn run_all(
        &self,
        tag: &Tag,
        request: &Request,
        context: &RequestContext<RoleServer>,
        stop: CancellationToken,
    ) -> Result<FanOut, Refusal> {
        let origin = Self::origin(context);
        // Only the newest count matters, so a watch: a slow client never holds up the hosts.
        let (count, mut counted) = tokio::sync::watch::channel((0, 0));
        let work = self.engine.fan_out(tag, request, &origin, &stop, move |done, total| {
            count.send_replace((done, total));
        });
        let Some(progress) = Progress::wanted(context) else {
            return work.await;
        };
        let telling = async {
            while counted.changed().await.is_ok() {
                let (done, total) = *counted.borrow_and_update();
                let message = format!("{done} of {total} hosts have answered");
                progress.tell(whole(done as u64), whole(total as u64), message).await;
            }
        };
        let (fan_out, ()) = tokio::join!(work, telling);
        fan_out
    }

    pub(in crate::mcp) async fn report_all(
        &self,
        tag: &Tag,
        request: &Request,
        fan_out: &FanOut,
    ) -> CallToolResult {
        let budget = self.settings.answer_bytes;
        // Every host gets the same share; what one does not use is not worth another round.
        let share =
            (budget.saturating_sub(FIXED) / fan_out.hosts.len().max(1)).max(FIXED + MIN_ROOM);
        let mut entries = Vec::with_capacity(fan_out.hosts.len());
        for host in &fan_out.hosts {
            entries.push(match &host.result {
                Ok(finished) => match output::report(&self.engine, finished, share).await {
                    Ok(answer) => answer,
                    Err(refusal) => answer::could_not_start(&host.alias, request, &refusal),
                },
                Err(refusal) => answer::could_not_start(&host.alias, request, refusal),
            });
        }
        let nothing_ran = !entries.is_empty() && entries.iter().all(RunAnswer::is_error);
        let answer = answer::tagged(tag, entries, budget);
        result(&answer, if nothing_ran { IsError::Yes } else { IsError::No })
    }
}
