//! `tasks`: every task in the state folder, whether or not a server runs.

use sshepherd_config::ProcessEnvironment;
use sshepherd_engine::store::{
    Heard, ListCursor, ListQuery, Lookup, State, StreamFilter, Task, Wish,
};
use sshepherd_engine::{Adopt, CancelAnswer, Engine, Finished, Refusal};
use sshepherd_model::{Outcome, Stopped, Stream, TaskId};

use super::args::{Global, Listed, Tasks, Wanted};
use super::context::{self, origin};
use super::exit::Exit;
use super::many::Sight;
use super::output::{self, Copied, Form, Until};
use super::{fleet, out, run, terminal};
use crate::answer;

/// Does what the arguments say.
pub(crate) async fn tasks(global: &Global, what: Tasks) -> Exit {
    let engine = match &what {
        // A server that is gone cannot stop its tasks: this process does, and for that it must know the hosts.
        Tasks::Cancel { .. } => context::load(global).map(context::engine_config),
        // Output is shown without the secrets that the configuration knows.
        Tasks::Output(_) | Tasks::Result { .. } => Ok(context::for_reading(global)),
        // Who wanted it is audited where the owner says.
        Tasks::Pause { .. } | Tasks::Resume { .. } => {
            context::load_to_judge(global).map(context::engine_config)
        }
        Tasks::List(_) | Tasks::Status { .. } => Ok(context::no_hosts()),
    };
    let engine = match engine {
        Ok((config, settings)) => {
            context::start_shared(global, config, &settings, Adopt::OnRequest).await
        }
        Err(exit) => return exit,
    };
    let engine = match engine {
        Ok(engine) => engine,
        Err(exit) => return exit,
    };
    terminal::attend(&engine);
    let done = match what {
        Tasks::List(listed) => list(global, &engine, listed).await,
        Tasks::Status { id } => status(global, &engine, &id).await,
        Tasks::Output(wanted) => shown(global, &engine, wanted).await,
        Tasks::Result { id, raw, per_host } => {
            result(global, &engine, &id, (form(raw), per_host)).await
        }
        Tasks::Cancel { id, host: None } => cancel(global, &engine, &id).await,
        Tasks::Cancel { id, host: Some(host) } => {
            fleet::cancel_host(global, &engine, &id, &host).await
        }
        Tasks::Pause { id } => fleet::pause(global, &engine, &id, Wish::Pause).await,
        Tasks::Resume { id } => fleet::pause(global, &engine, &id, Wish::Resume).await,
    };
    engine.shutdown().await;
    done.unwrap_or_else(|exit| exit)
}

pub(super) fn failed(refusal: &Refusal) -> Exit {
    out::complain(&context::chain(refusal));
    Exit::Failed
}

pub(super) fn absent(id: &str, lookup: &str) -> Exit {
    out::complain(&format!("{id}: {lookup}; `sshepherd tasks list` shows what is kept"));
    Exit::Usage
}

/// The task that `id` names: whole, or by a beginning that no other task has.
pub(super) async fn named(engine: &Engine, id: &str) -> Result<Task, Exit> {
    if let Ok(whole) = id.parse::<TaskId>() {
        match engine.task(&whole).await.map_err(|refusal| failed(&refusal))? {
            Lookup::Found(task) => return Ok(task),
            Lookup::Expired => return Err(absent(id, "its result has expired")),
            Lookup::Unknown => {}
        }
    }
    let mut matches = Vec::new();
    let mut after: Option<ListCursor> = None;
    loop {
        let query = ListQuery { after, ..ListQuery::default() };
        let page = engine.tasks(query).await.map_err(|refusal| failed(&refusal))?;
        matches.extend(page.tasks.into_iter().filter(|task| task.id.as_str().starts_with(id)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    match matches.len() {
        0 => Err(absent(id, "no task has this id")),
        1 => matches.pop().ok_or(Exit::Usage),
        _ => {
            out::complain(&format!("{id}: several tasks begin like this:"));
            for task in matches.iter().take(10) {
                out::say(&format!("  {}", task.id));
            }
            Err(Exit::Usage)
        }
    }
}

/// The task that `id` names. One that its server accepted and left behind is brought to its hosts first: a person who asks about it
/// wants it there.
async fn asked_about(global: &Global, engine: &Engine, id: &str) -> Result<Task, Exit> {
    let task = named(engine, id).await?;
    if !Engine::may_be_left_behind(&task) {
        return Ok(task);
    }
    match engine.config().inventory.hosts().is_empty() {
        false => taken_up(engine, &task).await,
        true => {
            let folders = context::folders(global)?;
            // A status is no place to complain of the configuration.
            if let Ok(loaded) = sshepherd_config::load(&folders, &ProcessEnvironment) {
                let (config, settings) = context::engine_config(loaded);
                let engine =
                    context::start_shared(global, config, &settings, Adopt::OnRequest).await?;
                taken_up(&engine, &task).await;
                engine.shutdown().await;
            }
        }
    }
    named(engine, task.id.as_str()).await
}

async fn taken_up(engine: &Engine, task: &Task) {
    if let Err(refusal) = engine.take_up(task).await {
        out::complain(&context::chain(&refusal));
    }
}

async fn list(global: &Global, engine: &Engine, listed: Listed) -> Result<Exit, Exit> {
    let mut states = Vec::new();
    for name in &listed.status {
        let Some(state) = State::ALL.into_iter().find(|state| state.as_str() == name) else {
            let names: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
            out::complain(&format!("--status {name}: must be one of {}", names.join(", ")));
            return Err(Exit::Usage);
        };
        states.push(state);
    }
    let alias = listed.host.map(|alias| alias.parse()).transpose();
    let alias = alias.map_err(|problem| context::invalid(&problem))?;
    let query = ListQuery { states, alias, after: None, limit: listed.limit };
    let page = engine.tasks(query).await.map_err(|refusal| failed(&refusal))?;
    let now = answer::now_ms();
    if global.json {
        out::json(&answer::task_list(&page, |_| now, usize::MAX / 2));
        return Ok(Exit::Done);
    }
    if page.tasks.is_empty() {
        out::say("no tasks");
        return Ok(Exit::Done);
    }
    let id = page.tasks.iter().map(|task| task.id.as_str().len()).max().unwrap_or(0);
    out::line(&format!(
        "{:id$}  {:11}  {:>8}  {:>8}  {:>10}  COMMAND",
        "ID", "STATUS", "AGE", "ELAPSED", "BYTES"
    ));
    for task in &page.tasks {
        out::line(&format!(
            "{:id$}  {:11}  {:>8}  {:>8}  {:>10}  {}",
            task.id.as_str(),
            task.status_word(),
            span(now.saturating_sub(task.created_at)),
            span(task.elapsed_ms(now)),
            task.output.bytes(),
            plain(&task.command),
        ));
    }
    if page.next.is_some() {
        out::say("there are more; --limit shows them");
    }
    Ok(Exit::Done)
}

/// A command on one line, without control characters.
fn plain(command: &str) -> String {
    let escaped: String = command.chars().flat_map(char::escape_default).take(200).collect();
    answer::shorten(&escaped, 60)
}

/// A time span in its largest unit.
pub(super) fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min", ms / 60_000),
        3_600_000..86_400_000 => format!("{} h", ms / 3_600_000),
        86_400_000.. => format!("{} d", ms / 86_400_000),
    }
}

async fn status(global: &Global, engine: &Engine, id: &str) -> Result<Exit, Exit> {
    let task = asked_about(global, engine, id).await?;
    let roster = engine.roster(&task).await.map_err(|refusal| failed(&refusal))?;
    let answer = answer::status(&task, engine, answer::now_ms());
    let answer = match &roster {
        Some(roster) => answer::with_hosts(answer, roster),
        None => answer,
    };
    if global.json {
        out::json(&answer);
        return Ok(Exit::Done);
    }
    let now = answer::now_ms();
    out::line(&format!("id        {}", task.id));
    out::line(&format!("host      {}", task.alias));
    out::line(&format!("command   {}", plain(&task.command)));
    out::line(&format!("status    {}", task.status_word()));
    if let Some(detail) = &answer.detail {
        out::line(&format!("detail    {}", plain(detail)));
    }
    out::line(&format!("elapsed   {}", span(task.elapsed_ms(now))));
    match &answer.hosts {
        Some(hosts) => fleet::counts(hosts, answer.failed_hosts.as_deref()),
        None => out::line(&format!(
            "output    {} bytes, {} lines",
            task.output.bytes(),
            task.output.lines
        )),
    }
    if let Some(durability) = task.durability {
        out::line(&format!("runs as   {}", durability.as_str()));
    }
    if let Some(outcome) = task.outcome.clone() {
        let safe = if outcome.safe_to_resend() { "yes" } else { "no" };
        out::line(&format!("safe to send again: {safe}"));
        run::tell(&task.alias.clone(), &Finished { task, outcome });
    }
    Ok(Exit::Done)
}

async fn shown(global: &Global, engine: &Engine, wanted: Wanted) -> Result<Exit, Exit> {
    let task = asked_about(global, engine, &wanted.id).await?;
    if Engine::is_group(&task) {
        return fleet::shown(global, engine, task, &wanted).await;
    }
    let filter = match wanted.stream.as_str() {
        "stdout" => StreamFilter::Stdout,
        "stderr" => StreamFilter::Stderr,
        _ => StreamFilter::Both,
    };
    if global.json {
        return document(engine, &task.id, filter, &wanted).await;
    }
    if let Some(lines) = wanted.tail {
        let tail = engine.tail_lines(&task.id, lines, usize::MAX / 4).await;
        match tail.map_err(|refusal| failed(&refusal))? {
            Lookup::Found(tail) => {
                if wanted.raw {
                    for line in &tail.lines {
                        out::bytes(line);
                        out::bytes(b"\n");
                    }
                } else {
                    let view = engine.view_tail(&task.id, &tail, answer::more(&task)).await;
                    let view = view.map_err(|error| failed(&Refusal::Store(error)))?;
                    answer::shown_lines(view).iter().for_each(|line| out::line(line));
                }
            }
            Lookup::Expired | Lookup::Unknown => {
                return Err(absent(&wanted.id, "its result has expired"));
            }
        }
        return Ok(Exit::Done);
    }
    let until = if wanted.follow { Until::End } else { Until::Now };
    let told = tokio::spawn(tell_of_orphans(engine.clone(), task.id.clone()));
    let (from, form) = (wanted.cursor, form(wanted.raw));
    let exit = copy(engine, &task.id, from, filter, until, form).await;
    told.abort();
    exit
}

/// The output as one JSON document; with `--follow` when the task has ended.
async fn document(
    engine: &Engine,
    id: &TaskId,
    filter: StreamFilter,
    wanted: &Wanted,
) -> Result<Exit, Exit> {
    let gone = || absent(id.as_str(), "its result has expired");
    if wanted.follow {
        let _ = engine.wait(id).await.map_err(|refusal| failed(&refusal))?;
    }
    let task =
        engine.task(id).await.map_err(|refusal| failed(&refusal))?.found().ok_or_else(gone)?;
    let page = engine.page(id, wanted.cursor, usize::MAX / 4, filter).await.map_err(|error| {
        out::complain(&error.to_string());
        Exit::Usage
    })?;
    let page = page.found().ok_or_else(gone)?;
    let config = engine.config();
    let context = async |stream| {
        engine.context(id, page.from, stream).await.map_err(|error| failed(&Refusal::Store(error)))
    };
    let encoding = engine.encoding_of(id).await;
    let before_out = context(StreamFilter::Stdout).await?;
    let before_err = context(StreamFilter::Stderr).await?;
    let text = |stream| {
        let before = match stream {
            Stream::Stdout => &before_out,
            Stream::Stderr => &before_err,
        };
        let chunks = page.chunks.iter().filter(|chunk| chunk.stream == stream);
        let bytes: Vec<u8> = chunks.flat_map(|chunk| chunk.bytes.iter().copied()).collect();
        let text = match wanted.raw {
            true => String::from_utf8_lossy(&bytes).into_owned(),
            false => config
                .screen()
                .of(encoding)
                .view_of(before, &bytes, &[], answer::more(&task))
                .text(),
        };
        let lines = text.lines().count();
        let skip = wanted.tail.map_or(0, |tail| lines.saturating_sub(tail));
        text.split_inclusive('\n').skip(skip).collect::<String>()
    };
    out::json(&serde_json::json!({
        "task_id": id.to_string(),
        "status": task.status.as_str(),
        "stdout": text(Stream::Stdout),
        "stderr": text(Stream::Stderr),
        "missing_before": page.missing_before,
        "next_cursor": page.next,
        "total_bytes": page.total,
        "eof": page.end,
    }));
    Ok(match task.outcome.filter(|_| wanted.follow) {
        Some(outcome) => run::exit_of(&outcome),
        None => Exit::Done,
    })
}

/// Says so when a server is gone that may have run what is being followed.
async fn tell_of_orphans(engine: Engine, id: TaskId) {
    let mut hints = engine.hints();
    loop {
        match hints.next().await {
            Heard::Orphans => out::complain(&format!(
                "a server is gone; another one goes on with its tasks. If none runs: sshepherd serve, or sshepherd tasks cancel {id}"
            )),
            Heard::Closed => return,
            Heard::Hint(_) | Heard::Lagged(_) => {}
        }
    }
}

/// Copies output, and with `--follow` goes on to the end and exits as `run` would have.
async fn copy(
    engine: &Engine,
    id: &TaskId,
    from: u64,
    filter: StreamFilter,
    until: Until,
    form: Form,
) -> Result<Exit, Exit> {
    let gone = || absent(id.as_str(), "its result has expired");
    match output::copy(engine, id, from, filter, until, form).await {
        Copied::Whole => {}
        Copied::Gone => return Err(gone()),
        Copied::Failed => return Err(Exit::Usage),
    }
    if until == Until::Now {
        return Ok(Exit::Done);
    }
    match engine.wait(id).await.map_err(|refusal| failed(&refusal))? {
        Lookup::Found(finished) => {
            run::tell(&finished.task.alias.clone(), &finished);
            Ok(run::exit_of(&finished.outcome))
        }
        Lookup::Expired | Lookup::Unknown => Err(gone()),
    }
}

pub(super) fn form(raw: bool) -> Form {
    if raw { Form::Raw } else { Form::Clean }
}

async fn result(
    global: &Global,
    engine: &Engine,
    id: &str,
    (form, per_host): (Form, bool),
) -> Result<Exit, Exit> {
    let task = asked_about(global, engine, id).await?;
    if Engine::is_group(&task) {
        if form == Form::Raw {
            out::complain(
                "--raw is for tasks of one host; `sshepherd tasks output --raw` prints each host's output as it came",
            );
            return Err(Exit::Usage);
        }
        return fleet::result(Sight::of(global.json, per_host), engine, &task).await;
    }
    let Some(outcome) = task.outcome.clone() else {
        out::complain(&format!(
            "{} is {} and has no result yet; `sshepherd tasks output --follow` waits for it",
            task.id, task.status
        ));
        return Err(Exit::Usage);
    };
    let finished = Finished { task, outcome };
    if global.json {
        out::json(&run::whole(engine, &finished).await);
    } else {
        copy(engine, &finished.task.id, 0, StreamFilter::Both, Until::Now, form).await?;
        run::tell(&finished.task.alias.clone(), &finished);
    }
    Ok(run::exit_of(&finished.outcome))
}

async fn cancel(global: &Global, engine: &Engine, id: &str) -> Result<Exit, Exit> {
    let task = named(engine, id).await?;
    let answer = engine.cancel(&task.id, &origin()).await.map_err(|refusal| failed(&refusal))?;
    cancelled(global, &task.id, &answer)
}

/// Says what came of a cancel.
pub(super) fn cancelled(global: &Global, id: &TaskId, answer: &CancelAnswer) -> Result<Exit, Exit> {
    let (text, exit) = match answer {
        CancelAnswer::Stopped(finished) => match &finished.outcome {
            Outcome::Cancelled { stopped: Stopped::Unconfirmed } => (
                "cancelled, unconfirmed: the end of its command was not seen, it may still run"
                    .to_owned(),
                Exit::Failed,
            ),
            Outcome::Cancelled { stopped: Stopped::Left(survivors) } => (
                format!("cancelled, unconfirmed: {survivors} may be its own and still run there"),
                Exit::Failed,
            ),
            Outcome::Cancelled { stopped: Stopped::Confirmed }
            | Outcome::Exited { .. }
            | Outcome::Signalled { .. }
            | Outcome::TimedOut { .. }
            | Outcome::NotStarted(_)
            | Outcome::NotSeenToRun(_)
            | Outcome::Denied { .. }
            | Outcome::Interrupted(_) => {
                ("cancelled, confirmed: its command was seen gone".to_owned(), Exit::Done)
            }
        },
        CancelAnswer::AlreadyEnded(finished) => {
            (format!("it had ended before: {}", finished.task.status), Exit::Done)
        }
        CancelAnswer::Stopping { state, detail } => (
            match detail {
                Some(why) => format!("asked to stop, and still {state}: {why}"),
                None => {
                    format!("asked to stop, and still {state}; `sshepherd tasks status` tells more")
                }
            },
            Exit::Failed,
        ),
        CancelAnswer::Expired | CancelAnswer::Unknown => {
            return Err(absent(id.as_str(), "its result has expired"));
        }
    };
    if global.json {
        out::json(&answer::cancelled(id, answer));
        return Ok(exit);
    }
    out::say(&format!("{}: {text}", id));
    Ok(exit)
}
