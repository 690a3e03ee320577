//! `serve`: MCP over stdio.

use std::sync::Arc;

use sshepherd_config::{Elicitation, Folders, ProcessEnvironment};
use sshepherd_engine::{Adopt, Engine};
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
    let (config, settings) = context::engine_config(context::load(global)?);
    let engine = context::start_shared(global, config, &settings, Adopt::Unasked).await?;
    let prompts = match settings.elicitation {
        Elicitation::None => None,
        Elicitation::Visible => Some(mcp::Through::Visible),
        Elicitation::All => Some(mcp::Through::All),
    };
    let answers = mcp::Settings { answer_bytes: settings.answer_max_bytes, prompts };
    let watch = settings.reload_watch;
    Ok(Open { engine, loader: loader(folders), answers, attention, watch })
}

/// What `ssh_reload_config` calls.
pub(crate) fn loader(folders: Folders) -> mcp::Loader {
    Arc::new(move || match sshepherd_config::load(&folders, &ProcessEnvironment) {
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
    let served =
        mcp::serve(engine, loader, settings, rmcp::transport::io::stdio_pipes(), stop).await;
    signals.abort();
    match served {
        Ok(()) => Exit::Done,
        Err(problem) => {
            out::complain(&problem);
            Exit::Failed
        }
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
