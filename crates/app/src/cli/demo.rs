//! `demo`: the whole product at work on fake hosts inside this process. Nothing is executed on this machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use sshepherd_config::{Folders, ProcessEnvironment};
use sshepherd_engine::audit::Sink;
use sshepherd_engine::store::{Lookup, MemoryStore, StreamFilter};
use sshepherd_engine::{Adopt, CancelAnswer, Engine, Refusal, Services};
use sshepherd_fakehost::{FakeFleet, FakeHostSpec};
use sshepherd_model::{Alias, Outcome, Request, Rollout, Stopped, Tag};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::context::{self, chain, origin};
use super::exit::Exit;
use super::{out, serve};
use crate::mcp;

/// The fake hosts: name, tags, description.
const HOSTS: [(&str, &str, &str); 3] = [
    ("web1", "web, prod", "front end"),
    ("web2", "web, prod", "front end"),
    ("db1", "db, prod", "database"),
];

/// What went wrong in the demo.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the demo's files cannot be written")]
    Files(#[from] std::io::Error),
    #[error("the fake hosts cannot be started")]
    Fleet(#[from] sshepherd_fakehost::Error),
    #[error("the demo's configuration cannot be read")]
    Config(#[from] sshepherd_config::Report),
    #[error("the demo's audit record cannot be opened")]
    Audit(#[from] sshepherd_engine::audit::Error),
    #[error("the demo's own words are wrong")]
    Field(#[from] sshepherd_model::InvalidField),
    #[error("a step of the demo was refused")]
    Refused(#[from] Refusal),
    #[error("the output of a task cannot be read")]
    Output(#[from] sshepherd_engine::store::Error),
    #[error("{0} did not go as it should")]
    Step(&'static str),
}

/// Shows the product, or with `serve` keeps the fake hosts up for an MCP client.
pub(crate) async fn demo(serve: bool) -> Exit {
    let shown = async {
        let site = Site::start().await?;
        if serve { Ok(site.serve().await) } else { site.show().await.map(|()| Exit::Done) }
    };
    shown.await.unwrap_or_else(|error: Error| {
        out::complain(&chain(&error));
        Exit::Failed
    })
}

/// The fake hosts and a configuration folder for them, which goes with this value.
struct Site {
    fleet: FakeFleet,
    folders: Folders,
    engine: Engine,
    _folder: TempDir,
}

impl Site {
    async fn start() -> Result<Self, Error> {
        let specs = HOSTS.map(|(name, _, _)| FakeHostSpec::new(name)).to_vec();
        let fleet = FakeFleet::start(specs).await?;
        let folder = tempfile::tempdir()?;
        let folders = write(folder.path(), &fleet)?;
        let loaded = sshepherd_config::load(&folders, &ProcessEnvironment)?;
        let (config, _) = context::engine_config(loaded);
        // The demo's own audit records would drown what it shows; they go to its folder.
        let audit =
            Sink::open_with(Some(folder.path().join("audit.jsonl")), Box::new(std::io::sink()))?;
        let engine = Engine::start(
            config,
            Services { store: Arc::new(MemoryStore::default()), audit, orphans: Adopt::OnRequest },
        );
        Ok(Self { fleet, folders, engine, _folder: folder })
    }

    async fn serve(self) -> Exit {
        out::say(
            "fake hosts web1, web2 (tag web) and db1 (tag db) are up; speaking MCP on stdin and stdout",
        );
        let exit = serve::talk(
            self.engine,
            serve::loader(self.folders, serve::Start::WithSettings),
            mcp::Settings::default(),
        )
        .await;
        self.fleet.stop().await;
        exit
    }

    async fn show(self) -> Result<(), Error> {
        out::line(
            "Three fake SSH hosts run inside this process; they execute nothing on this machine.",
        );
        for host in self.fleet.hosts() {
            let address = host.address().map(|address| address.to_string()).unwrap_or_default();
            out::line(&format!("  {}  {address}", host.name()));
        }
        self.allowed().await?;
        self.denied().await?;
        self.fan_out().await?;
        self.watched().await?;
        self.cancelled().await?;
        clients();
        self.engine.shutdown().await;
        self.fleet.stop().await;
        Ok(())
    }

    async fn allowed(&self) -> Result<(), Error> {
        title("1. An allowed command", "run web1 'uptime; df -h | head -n 2'");
        let request = Request::new("uptime; df -h | head -n 2")?;
        let ticket = self.engine.submit(&alias("web1")?, &request, origin()).await?;
        self.copy(&ticket.task_id).await
    }

    async fn denied(&self) -> Result<(), Error> {
        for command in
            ["uptime; rm -rf /var/lib/app", "uptime $(cat /etc/shadow)", "systemctl stop nginx"]
        {
            out::line(&format!("$ run web1 '{command}'"));
            match self.engine.submit(&alias("web1")?, &Request::new(command)?, origin()).await {
                Err(Refusal::Denied(denial)) => {
                    out::line(&format!("denied: {}", denial.message));
                    out::line(&format!("hint:   {}", denial.hint));
                }
                Err(other) => return Err(other.into()),
                Ok(_) => return Err(Error::Step("a command that must be denied")),
            }
        }
        Ok(())
    }

    async fn fan_out(&self) -> Result<(), Error> {
        title("3. One command on every host of a tag", "run --tag prod uptime");
        let tag: Tag = "prod".parse()?;
        let stop = CancellationToken::new();
        let request = Request::new("uptime")?;
        let fan_out = self
            .engine
            .fan_out(&tag.into(), (&request, &Rollout::default()), &origin(), &stop, |_, _| {})
            .await?;
        for report in fan_out.hosts {
            let finished = report.result?;
            let lines = self.engine.tail_lines(&finished.task.id, 1, 4096).await?;
            for line in lines.found().map(|tail| tail.lines).unwrap_or_default() {
                out::line(&format!("{}: {}", report.alias, String::from_utf8_lossy(&line)));
            }
        }
        Ok(())
    }

    async fn watched(&self) -> Result<(), Error> {
        title("4. A task watched while it runs", "ssh_run_async db1 'backup --verbose'");
        let request = Request::new("backup --verbose")?;
        let ticket = self.engine.submit(&alias("db1")?, &request, origin()).await?;
        out::line(&format!("task {}", ticket.task_id));
        self.copy(&ticket.task_id).await?;
        let Lookup::Found(finished) = self.engine.wait(&ticket.task_id).await? else {
            return Err(Error::Step("the task"));
        };
        out::line(&format!("{}: {}", finished.task.status, said(&finished.outcome)));
        Ok(())
    }

    async fn cancelled(&self) -> Result<(), Error> {
        title("5. A cancel", "ssh_run_async web2 'sleep 60', then ssh_cancel");
        let request = Request::new("sleep 60")?;
        let mut hints = self.engine.events();
        let ticket = self.engine.submit(&alias("web2")?, &request, origin()).await?;
        // The first progress report (after a second) says that it runs.
        while let Ok(event) = hints.recv().await {
            if let sshepherd_engine::TaskEventKind::Progress { phase: "running", .. } = event.kind {
                break;
            }
        }
        match self.engine.cancel(&ticket.task_id, &origin()).await? {
            CancelAnswer::Stopped(finished) => {
                out::line(&format!("{}: {}", finished.task.status, said(&finished.outcome)));
                Ok(())
            }
            CancelAnswer::Stopping { .. }
            | CancelAnswer::AlreadyEnded(_)
            | CancelAnswer::Expired
            | CancelAnswer::Unknown => Err(Error::Step("the cancel")),
        }
    }

    /// Copies a task's output as it comes.
    async fn copy(&self, id: &sshepherd_model::TaskId) -> Result<(), Error> {
        let mut cursor = 0;
        loop {
            let Lookup::Found(page) =
                self.engine.follow(id, cursor, 4096, StreamFilter::Both).await?
            else {
                return Ok(());
            };
            for chunk in &page.chunks {
                out::bytes(&chunk.bytes);
            }
            if page.end || page.next == cursor {
                return Ok(());
            }
            cursor = page.next;
        }
    }
}

fn alias(name: &str) -> Result<Alias, Error> {
    Ok(name.parse()?)
}

fn title(what: &str, command: &str) {
    out::line(&format!("\n{what}\n$ {command}"));
}

fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Exited { status } => format!("exit status {status}"),
        Outcome::Cancelled { stopped: Stopped::Confirmed } => {
            "confirmed: its process was seen gone".to_owned()
        }
        Outcome::Cancelled { stopped: Stopped::Unconfirmed | Stopped::Left(_) } => {
            "unconfirmed".to_owned()
        }
        Outcome::Signalled { .. }
        | Outcome::TimedOut { .. }
        | Outcome::NotStarted(_)
        | Outcome::NotSeenToRun(_)
        | Outcome::Denied { .. }
        | Outcome::Interrupted(_) => format!("{outcome:?}"),
    }
}

/// Writes a configuration folder for the fake hosts, as an owner would.
fn write(root: &Path, fleet: &FakeFleet) -> Result<Folders, Error> {
    let folders = Folders {
        config: root.to_path_buf(),
        keys: root.join("keys"),
        secrets: root.join("secrets"),
        state: root.join("state"),
    };
    for folder in [&folders.keys, &folders.secrets, &folders.state] {
        fs::create_dir(folder)?;
    }
    private(&folders.keys.join("demo"), &fleet.client_key_text()?)?;
    private(&root.join("known_hosts"), &fleet.known_hosts())?;
    private(&root.join("policy.yml"), include_str!("demo/policy.yml"))?;
    private(
        &root.join("credentials.yml"),
        "entries:\n  - {name: demo, username: demo, key_path: demo}\n",
    )?;
    let mut servers = "hosts:\n".to_owned();
    for ((name, tags, description), host) in HOSTS.iter().zip(fleet.hosts()) {
        let Some(address) = host.address() else { continue };
        servers.push_str(&format!(
            "  - {{alias: {name}, host: {}, port: {}, credentials: demo, tags: [{tags}], description: {description}}}\n",
            address.ip(),
            address.port()
        ));
    }
    private(&root.join("servers.yml"), &servers)?;
    Ok(folders)
}

/// Writes a file that only its owner can read.
fn private(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

/// How to connect a client to these fake hosts.
fn clients() {
    let program = std::env::current_exe()
        .map_or_else(|_| "sshepherd".to_owned(), |path| path.display().to_string());
    out::line("\nConnect a client to these fake hosts:");
    out::line(&format!("  Claude Code   claude mcp add sshepherd-demo -- {program} demo --serve"));
    out::line(&format!(
        "  Cursor        ~/.cursor/mcp.json   {{\"mcpServers\": {{\"sshepherd-demo\": {{\"command\": \"{program}\", \"args\": [\"demo\", \"--serve\"]}}}}}}"
    ));
    out::line(&format!(
        "  VS Code       .vscode/mcp.json     {{\"servers\": {{\"sshepherd-demo\": {{\"type\": \"stdio\", \"command\": \"{program}\", \"args\": [\"demo\", \"--serve\"]}}}}}}"
    ));
    out::line("For your own hosts: sshepherd init, then `serve` in place of `demo --serve`.");
}
