//! Tools that run commands.

use std::convert::Infallible;
use std::sync::Arc;

use futures::FutureExt;
use rmcp::RoleServer;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, InputRequiredResult, JsonObject,
};
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use sshepherd_engine::store::{Error, Lookup};
use sshepherd_engine::{FanOut, Finished, Origin, Refusal, Ticket};
use sshepherd_model::{Alias, InvalidField, Request, Rollout, Targets, TaskId};
use tokio_util::sync::CancellationToken;

use crate::answer::{self, Failure, Folded, RunAnswer, StartedAnswer, TagAnswer};
use crate::mcp::args::{Args, OnHost, OnTag, ToStart};
use crate::mcp::login::Carrying;
use crate::mcp::notify::{CallNews, Progress, whole};
use crate::mcp::output;
use crate::mcp::reply::{IsError, done, failed, invalid, result};
use crate::mcp::rests::Rest;
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::{ask, native};

/// Most bytes that a task's id takes in an answer, with its name.
const MAX_ID: usize = 220;

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
            Ok(ran) => self.ran(ran).await,
            Err(why) => ask::unanswered(why, &request, |why| refused(&alias, &request, why)),
        }
    }

    #[tool(
        description = "Run a command on many hosts: of a tag, or of a selector such as @web and @prod, web[01-20], db* minus db3.",
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
        let parsed = args.targets().and_then(|targets| {
            let background = args.flag("background")?.unwrap_or(false);
            Ok((targets, (args.request()?, args.rollout()?), background))
        });
        let (targets, (request, rollout), background) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return invalid(error).into(),
        };
        if background || native::wanted(&context) {
            let origin = Self::origin(&context);
            let attempt =
                || self.engine.submit_group(&targets, (&request, &rollout), origin.clone()).boxed();
            return match self.with_yes(&context, attempt).await {
                Ok(ticket) if background => done(&started(&ticket, &request)).into(),
                Ok(ticket) => self.answered(&ticket.task_id, &context, Carrying::none()).await,
                Err(why) => ask::unanswered(why, &request, |why| refused_for_all(&request, why)),
            };
        }
        let (to, what, call) = (&targets, (&request, &rollout), &context);
        let attempt = || self.stoppable(call, |stop| self.run_all(to, what, call, stop)).boxed();
        match self.with_yes(&context, attempt).await {
            Ok(fan_out) => self.report_all(&request, fan_out, None).await.into(),
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
    let about_it = matches!(
        refusal,
        Refusal::Denied(_) | Refusal::ApprovalRequired(_) | Refusal::Unstored { .. }
    );
    if about_it {
        failed(&answer::could_not_start(alias, request, refusal))
    } else {
        failed(&Failure::from(refusal))
    }
}

/// The same about a call for many hosts.
fn refused_for_all(request: &Request, refusal: &Refusal) -> CallToolResult {
    if let Refusal::ApprovalRequired(asked) = refusal {
        failed(&answer::asked_for_all(request, asked))
    } else if let Refusal::GateDenied(denied) = refusal {
        failed(&answer::gate_denied(denied))
    } else {
        failed(&Failure::from(refusal))
    }
}

/// What came of waiting for a command on one host.
enum Ran {
    Over(Box<Finished>),
    /// Its host asks something first, and the client is to ask the person and call again.
    Asks(Box<InputRequiredResult>),
}

/// The answer to a cursor that no page has given.
pub(super) fn past_the_end(id: &TaskId, groups: usize) -> Failure {
    let problem = format!("is past the end: there are {groups} groups; begin without one");
    Failure::from(InvalidField::new("cursor", problem)).about(id)
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
        let carrying = self.carrier(context, alias);
        let attempt = || self.engine.submit_task(alias, request, None, origin.clone()).boxed();
        match self.with_yes(context, attempt).await {
            Ok(ticket) => self.answered(&ticket.task_id, context, carrying).await,
            Err(why) => ask::unanswered(why, request, |why| refused(alias, request, why)),
        }
    }

    /// Answers a call that was started as a task: with its result, with what its host asks or, when that takes long, with the
    /// task.
    async fn answered(
        &self,
        id: &TaskId,
        context: &RequestContext<RoleServer>,
        carrying: Carrying,
    ) -> CallToolResponse {
        let origin = Self::origin(context);
        let answer = tokio::select! {
            biased;
            answer = self.soon(id, carrying) => answer,
            // The client has given the call up before it knew of a task.
            () = self.given_up(context) => if self.closing.is_cancelled() {
                let hint = "it was not stopped; the next server goes on with it: ask for its status";
                Ok(failed(&Failure::new("this server is ending", hint).about(id)).into())
            } else {
                self.engine.cancel(id, &origin).await.map(|_| {
                    failed(&Failure::new("cancelled", "the command was stopped").about(id)).into()
                })
            }
        };
        answer.unwrap_or_else(|refusal| failed(&Failure::from(&refusal).about(id)).into())
    }

    async fn run_one(
        &self,
        alias: &Alias,
        request: &Request,
        context: &RequestContext<RoleServer>,
        stop: CancellationToken,
    ) -> Result<Ran, Refusal> {
        let origin = Self::origin(context);
        // Both before the task exists, so that nothing of it is missed.
        let carrying = self.carrier(context, alias);
        let progress = self.progress(context, alias);
        let ticket = self.engine.submit(alias, request, origin.clone()).await?;
        if let Some((progress, _)) = &progress {
            let whole = whole(ticket.limits.max_time.as_secs());
            progress.tell(0.0, whole, "accepted".to_owned()).await;
        }
        self.follow_one(&ticket.task_id, carrying, progress, (&stop, &origin)).await
    }

    /// What this call tells on the way, if its client wants to hear it, from now on.
    fn progress(
        &self,
        context: &RequestContext<RoleServer>,
        alias: &Alias,
    ) -> Option<(Progress, CallNews)> {
        let (events, touches) = (self.engine.events(), self.engine.touches());
        let news = CallNews { events, touches, way: self.way(alias) };
        Progress::wanted(context).map(|progress| (progress, news))
    }

    /// Waits for the end of a task, or for a question of its host that this call is to take to the person.
    async fn follow_one(
        &self,
        id: &TaskId,
        mut carrying: Carrying,
        progress: Option<(Progress, CallNews)>,
        (stop, origin): (&CancellationToken, &Origin),
    ) -> Result<Ran, Refusal> {
        let telling = async {
            if let Some((progress, news)) = progress {
                progress.follow(news, id).await;
            }
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            biased;
            finished = self.engine.wait_or_cancel(id, stop, origin) => finished.map(|finished| Ran::Over(Box::new(finished))),
            form = carrying.asked(id) => Ok(Ran::Asks(form)),
            never = telling => match never {},
        }
    }

    /// Goes on with a call that gave back what its host asked: hands the answers over and waits as before.
    pub(in crate::mcp) async fn gone_on(
        &self,
        id: &TaskId,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> CallToolResponse {
        let trouble = |refusal: &Refusal| failed(&Failure::from(refusal).about(id)).into();
        let gone = || Refusal::Store(Error::Gone { id: id.clone() });
        let found = self.engine.task(id).await.and_then(|task| task.found().ok_or_else(gone));
        let task = match found {
            Ok(task) => task,
            Err(refusal) => return trouble(&refusal),
        };
        // Before the answers: they may lead to the next question.
        let carrying = self.carrier(context, &task.alias);
        let progress = self.progress(context, &task.alias);
        self.logins.take_answers(request);
        if native::wanted(context) {
            return self.answered(id, context, carrying).await;
        }
        let origin = Self::origin(context);
        let followed = self.stoppable(context, |stop| async move {
            self.follow_one(id, carrying, progress, (&stop, &origin)).await
        });
        match followed.await {
            Ok(ran) => self.ran(ran).await,
            Err(refusal) => trouble(&refusal),
        }
    }

    async fn ran(&self, ran: Ran) -> CallToolResponse {
        match ran {
            Ran::Over(finished) => self.report(&finished).await.into(),
            Ran::Asks(form) => CallToolResponse::InputRequired(*form),
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
        targets: &Targets,
        what: (&Request, &Rollout),
        context: &RequestContext<RoleServer>,
        stop: CancellationToken,
    ) -> Result<FanOut, Refusal> {
        let origin = Self::origin(context);
        // Only the newest count matters, so a watch: a slow client never holds up the hosts.
        let (count, mut counted) = tokio::sync::watch::channel((0, 0));
        let work = self.engine.fan_out(targets, what, &origin, &stop, move |_, (done, total)| {
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
        request: &Request,
        fan_out: FanOut,
        id: Option<&TaskId>,
    ) -> CallToolResult {
        let (budget, config) = (self.settings.answer_bytes, self.engine.config());
        let entries = self.entries(request, &fan_out).await;
        let nothing_ran = !entries.is_empty() && entries.iter().all(RunAnswer::is_error);
        let error = if nothing_ran { IsError::Yes } else { IsError::No };
        // Room for the id.
        let room = budget.saturating_sub(MAX_ID);
        let folded = match answer::each(&fan_out.targets, entries, room) {
            Ok(answer) => return result(&answer, error),
            Err(folded) => Arc::new(folded),
        };
        let mut answer = folded.page(0, room);
        if answer.next_cursor.is_some()
            && let Some(id) = id.cloned().or_else(|| self.keep_rest(request, fan_out))
        {
            self.rests.keep_folded(&id, &config, &folded);
            answer.task_id = Some(id.to_string());
        }
        result(&answer, error)
    }

    /// Keeps what an answer had no room for; its name.
    fn keep_rest(&self, request: &Request, fan_out: FanOut) -> Option<TaskId> {
        let id = self.engine.fresh_id(&fan_out.targets.label()?, &request.hash()).ok()?;
        self.rests.keep(id.clone(), request, fan_out);
        Some(id)
    }

    /// More of a fan-out that was waited for: the groups from `from` on.
    pub(super) async fn report_rest(
        &self,
        id: &TaskId,
        rest: &Rest,
        from: usize,
    ) -> CallToolResult {
        let config = self.engine.config();
        let folded = match self.rests.folded(id, &config) {
            Some(folded) => folded,
            None => {
                let entries = self.entries(&rest.request, &rest.fan_out).await;
                let folded = Arc::new(Folded::of(&rest.fan_out.targets, &entries));
                self.rests.keep_folded(id, &config, &folded);
                folded
            }
        };
        if from > folded.len() {
            return failed(&past_the_end(id, folded.len()));
        }
        let room = self.settings.answer_bytes.saturating_sub(MAX_ID);
        let mut answer = folded.page(from, room);
        answer.task_id = Some(id.to_string());
        done(&answer)
    }

    /// One entry a host.
    pub(super) async fn entries(&self, request: &Request, fan_out: &FanOut) -> Vec<RunAnswer> {
        let budget = self.settings.answer_bytes;
        let (mut entries, mut wholes) =
            (Vec::with_capacity(fan_out.hosts.len()), output::Wholes::default());
        for host in &fan_out.hosts {
            entries.push(match &host.result {
                Ok(finished) => match self.entry(finished, budget, &mut wholes).await {
                    Ok(answer) => answer,
                    Err(refusal) => answer::could_not_start(&host.alias, request, &refusal),
                },
                Err(refusal) => answer::could_not_start(&host.alias, request, refusal),
            });
        }
        entries
    }

    async fn entry(
        &self,
        finished: &Finished,
        budget: usize,
        wholes: &mut output::Wholes,
    ) -> Result<RunAnswer, Refusal> {
        let answer = output::report(&self.engine, finished, budget).await?;
        let whole = wholes.of(&self.engine, finished, &answer).await?;
        Ok(RunAnswer { whole, ..answer })
    }
}
