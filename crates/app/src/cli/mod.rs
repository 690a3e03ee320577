//! The command line: one file a command, each from arguments to an exit code.

mod approvals;
mod args;
mod audit;
mod check;
mod context;
mod demo;
mod exit;
mod fleet;
mod folded;
mod follow;
mod hosts;
mod import;
mod init;
mod limits;
mod many;
mod out;
mod output;
mod plan;
mod policy;
mod private;
mod progress;
mod recording;
mod reload;
mod replay;
mod run;
mod serve;
mod shells;
mod tasks;
mod terminal;
mod trust;
mod view;
mod watch;

#[cfg(test)]
pub(crate) use context::no_hosts;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use args::{Arguments, Command, Hosts, Import, Policy};
use exit::Exit;

/// Parses the arguments, runs the command and gives its exit code.
pub(crate) fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap prints help to stdout and complaints to stderr; a closed pipe is nobody's fault.
            let _ = error.print();
            let asked_for_help = !error.use_stderr();
            return if asked_for_help { Exit::Done.into() } else { Exit::Usage.into() };
        }
    };
    // The log first: what cannot be kept private is told there.
    log(&arguments.command);
    private::no_dumps();
    limits::many_files();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out::complain(&format!("the async runtime cannot start: {error}"));
            return Exit::Failed.into();
        }
    };
    let exit = runtime.block_on(async {
        // A file that may not grow is an error to be told, not the end of the process.
        let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
        dispatch(arguments).await
    });
    // A read of standard input cannot be interrupted; it must not hold the process.
    runtime.shutdown_background();
    exit.into()
}

async fn dispatch(arguments: Arguments) -> Exit {
    let global = arguments.global;
    match arguments.command {
        Command::Demo { serve } => demo::demo(serve).await,
        Command::Serve => serve::serve(&global).await,
        Command::Init => init::init(&global),
        Command::Hosts { on, what: None } => hosts::hosts(&global, on.as_deref()),
        Command::Hosts { what: Some(Hosts::Trust(what)), .. } => trust::trust(&global, what).await,
        Command::Plan(what) => plan::plan(&global, &what).await,
        Command::Run(what) => run::run(&global, what).await,
        Command::Approvals(what) => approvals::approvals(&global, what).await,
        Command::Import(Import::SshConfig { file, write, yes }) => {
            import::ssh_config(&global, file.as_deref(), write, yes)
        }
        Command::Import(Import::Ansible { path, write }) => import::ansible(&global, &path, write),
        Command::Audit(what) => audit::audit(&global, &what).await,
        Command::Tasks(what) => tasks::tasks(&global, what).await,
        Command::Shells(what) => shells::shells(&global, what).await,
        Command::Policy(Policy::Test { cases, host }) => {
            policy::test(&global, &cases, host.as_deref())
        }
        Command::Policy(Policy::Explain(what)) => policy::explain(&global, &what),
        Command::Policy(Policy::Lint) => policy::lint(&global),
        Command::Policy(Policy::Suggest { commands, host }) => {
            policy::suggest(&global, commands.as_deref(), host.as_deref())
        }
        Command::Policy(Policy::Packs { name }) => policy::packs(&global, name.as_deref()),
        Command::Check { connect } => check::check(&global, connect).await,
    }
}

/// Logs go to standard error: warnings, or what `SSHEPHERD_LOG` says. The server also tells when rmcp has trouble.
fn log(command: &Command) {
    let default = match command {
        Command::Serve => "warn,rmcp=error",
        Command::Demo { .. }
        | Command::Init
        | Command::Hosts { .. }
        | Command::Plan(_)
        | Command::Run(_)
        | Command::Tasks(_)
        | Command::Shells(_)
        | Command::Audit(_)
        | Command::Import(_)
        | Command::Approvals(_)
        | Command::Policy(_)
        | Command::Check { .. } => "error,rmcp=off",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("SSHEPHERD_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    // Below this level rmcp logs whole messages, and an answer of a person may be in one.
    let no_messages = filter_fn(|event| {
        !event.target().starts_with("rmcp") || *event.level() <= tracing::Level::INFO
    });
    let written =
        tracing_subscriber::fmt::layer().with_writer(|| progress::Beside).with_ansi(false);
    // Only fails when a subscriber is set already, which nobody else does.
    let _ = tracing_subscriber::registry().with(filter).with(no_messages).with(written).try_init();
}
