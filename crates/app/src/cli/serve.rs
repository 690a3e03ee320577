//! `serve`: MCP over stdio.

use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use sshepherd_config::{Elicitation, Folders, ProcessEnvironment, Settings};
use sshepherd_engine::{Adopt, Config, Engine};
use sshepherd_model::{Problem, Severity};
use tokio_util::sync::CancellationToken;

use super::args::Global;
use super::context;
use super::exit::Exit;
use super::out;
use super::reload::Attention;
use crate::mcp;

/// Serves the configured hosts until input ends or a signal asks to stop.
pub(crate) async fn serve(global: &Global) -> Exit {
    match open(global).await {
        Ok(Open { engine, loader, answers, attention, watch }) => {
            let attending = attention.attend(engine.clone(), Arc::clone(&loader), watch);
            let attending = tokio::spawn(attending);
            let exit = talk(engine, loader, answers).await;
            attending.abort();
            exit
        }
        Err(exit) => exit,
    }
}

/// What a server is made of.
struct Open {
    engine: Engine,
    loader: mcp::Loader,
    answers: mcp::Settings,
    attention: Attention,
    /// Whether the files are watched.
    watch: bool,
}

async fn open(global: &Global) -> Result<Open, Exit> {
    let folders = context::folders(global)?;
    // Before the first reading, which may wait for a helper that asks its owner.
    let attention = Attention::begin(&folders.config);
    let (config, settings, start) = first(&folders);
    let engine = context::start_shared(global, config, &settings, Adopt::Unasked).await?;
    let prompts = match settings.elicitation {
        Elicitation::None => None,
        Elicitation::Visible => Some(mcp::Through::Visible),
        Elicitation::All => Some(mcp::Through::All),
    };
    let answers = mcp::Settings { answer_bytes: settings.answer_max_bytes, prompts };
    let watch = settings.reload_watch;
    Ok(Open { engine, loader: loader(folders, start), answers, attention, watch })
}

/// What a server started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    WithSettings,
    /// Its own settings could not be read, where its audit record is among them.
    WithoutSettings,
}

/// The first reading. A client shows a server that ends at once as dead, without a word of the reason: so one whose files have
/// errors starts, runs nothing, and answers with them until a reload succeeds.
fn first(folders: &Folders) -> (Config, Settings, Start) {
    let report = match sshepherd_config::load(folders, &ProcessEnvironment) {
        Ok(loaded) => {
            context::told(&loaded.warnings);
            let (config, settings) = context::engine_config(loaded);
            return (config, settings, Start::WithSettings);
        }
        Err(report) => report,
    };
    out::say(report.to_string().trim_end());
    out::complain(
        "the configuration cannot be used: nothing is run until it is corrected and reloaded",
    );
    let (none, defaults) = context::no_hosts();
    let errors = report.problems.iter().filter(|problem| problem.severity == Severity::Error);
    let config = Config { unread: errors.map(ToString::to_string).collect(), ..none };
    match report.settings {
        Some(settings) => (config, *settings, Start::WithSettings),
        None => (config, defaults, Start::WithoutSettings),
    }
}

/// What `ssh_reload_config` calls.
pub(crate) fn loader(folders: Folders, start: Start) -> mcp::Loader {
    Arc::new(move || match sshepherd_config::load(&folders, &ProcessEnvironment) {
        Ok(_) if start == Start::WithoutSettings => {
            let message = "had errors when this server started, so its settings (the audit record) are not in force; \
                           start the server anew";
            let problem = Problem {
                severity: Severity::Error,
                file: folders.config.join("sshepherd.yml"),
                line: None,
                field: String::new(),
                message: message.to_owned(),
            };
            mcp::Loaded { config: None, problems: vec![problem] }
        }
        Ok(mut loaded) => {
            let problems = std::mem::take(&mut loaded.warnings);
            mcp::Loaded { config: Some(context::engine_config(loaded).0), problems }
        }
        Err(report) => mcp::Loaded { config: None, problems: report.problems },
    })
}

/// Speaks until input ends, SIGINT or SIGTERM.
pub(crate) async fn talk(engine: Engine, loader: mcp::Loader, settings: mcp::Settings) -> Exit {
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    let signals = tokio::spawn(async move {
        terminated().await;
        signalled.cancel();
    });
    let unheard = tokio::spawn(hung_up(stop.clone()));
    let served =
        mcp::serve(engine, loader, settings, rmcp::transport::io::stdio_pipes(), stop).await;
    signals.abort();
    unheard.abort();
    match served {
        Ok(()) => Exit::Done,
        Err(problem) => {
            out::complain(&problem);
            Exit::Failed
        }
    }
}

/// How long the end of input may wait to be read once the client has gone: answers that nobody takes stand before it.
const UNREAD_END: Duration = Duration::from_secs(5);

/// Stops a conversation whose client has hung up, also where the end of input cannot be read for answers that it does not take.
async fn hung_up(stop: CancellationToken) {
    let (gone, heard) = tokio::sync::oneshot::channel();
    // Not one of the runtime's: nothing interrupts it.
    std::thread::spawn(move || {
        let input = std::io::stdin();
        let mut ends = [PollFd::new(&input, PollFlags::empty())];
        while matches!(poll(&mut ends, None), Err(rustix::io::Errno::INTR)) {}
        let _ = gone.send(());
    });
    if heard.await.is_ok() {
        tokio::time::sleep(UNREAD_END).await;
        stop.cancel();
    }
}

/// Returns when the process is asked to end.
pub(crate) async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
