//! What most commands need first: the folders, the configuration, an engine over it.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use sshepherd_config::{
    FolderFlags, Folders, KnownHosts, Loaded, ProcessEnvironment, Report, Settings, ShellBounds,
};
use sshepherd_engine::audit::{Checkpoints, Keeping, Sink};
pub(crate) use sshepherd_engine::chain;
use sshepherd_engine::policy::{Dialect, LimitTable, NetworkPolicy, Policy};
use sshepherd_engine::store::{DiskBounds, DiskStore, MemoryStore, ShellFolder};
use sshepherd_engine::{
    Adopt, Config, Engine, GateSettings, KnownHostsFiles, Origin, OwnScreen, Services,
    ShellSettings,
};
use sshepherd_model::{Alias, Host, InvalidField, Inventory, Problem, Request};

use super::args::{Global, Surroundings};
use super::exit::Exit;
use super::{out, progress};

/// Most hosts that all fan-outs together talk to at once, whatever the owner sets for one.
const TOGETHER: usize = 640;

/// Who asks, when a person does.
pub(crate) fn origin() -> Origin {
    Origin { face: "cli", client: None }
}

/// The folders that the arguments and the environment name.
pub(crate) fn folders(global: &Global) -> Result<Folders, Exit> {
    let flags = FolderFlags {
        config: global.config.clone(),
        keys: global.keys.clone(),
        secrets: global.secrets.clone(),
        state: global.state.clone(),
    };
    Folders::resolve(&flags, &ProcessEnvironment).map_err(|error| {
        out::complain(&error.to_string());
        Exit::Usage
    })
}

/// A usable configuration; problems go to standard error, and errors among them end the command.
pub(crate) fn load(global: &Global) -> Result<Loaded, Exit> {
    taken(sshepherd_config::load(&folders(global)?, &ProcessEnvironment))
}

/// The same for those who only judge: keys and secrets need not be there.
pub(crate) fn load_to_judge(global: &Global) -> Result<Loaded, Exit> {
    taken(sshepherd_config::load_to_judge(&folders(global)?, &ProcessEnvironment))
}

fn taken(loaded: Result<Loaded, Report>) -> Result<Loaded, Exit> {
    let loaded = loaded.map_err(|report| refuse(&report))?;
    told(&loaded.warnings);
    Ok(loaded)
}

/// Shows what is probably not meant, and what cannot be used.
pub(crate) fn told(warnings: &[Problem]) {
    for warning in warnings {
        out::say(&warning.to_string());
    }
}

fn refuse(report: &Report) -> Exit {
    out::say(report.to_string().trim_end());
    out::complain("the configuration cannot be used; `sshepherd check` shows it again");
    Exit::Usage
}

/// The engine's view of a configuration.
pub(crate) fn engine_config(loaded: Loaded) -> (Config, Settings) {
    let config = Config {
        inventory: loaded.inventory,
        policy: loaded.policy,
        policy_hash: loaded.policy_hash,
        known_hosts: match loaded.known_hosts {
            KnownHosts::Explicit(path) => KnownHostsFiles::Explicit(path),
            KnownHosts::UserAndSystem => KnownHostsFiles::UserAndSystem,
        },
        gate: GateSettings {
            per_minute: loaded.settings.limits.per_minute,
            concurrent: loaded.settings.limits.concurrent,
            breaker_failures: loaded.settings.limits.breaker_failures,
            breaker_open: Duration::from_secs(loaded.settings.limits.breaker_seconds),
        },
        screen: OwnScreen::default(),
        audit_commands: loaded.settings.audit.commands,
        shells: shell_settings(&loaded.settings.shells),
        typed_secrets: loaded.typed_secrets,
        warm: loaded.settings.warm.clone(),
        fan_out_parallel: loaded.settings.fan_out_parallel,
        // So that no fan-out ever takes all places.
        fan_out_total: (2 * loaded.settings.fan_out_parallel).min(TOGETHER),
        fan_out_behind_jump: loaded.settings.fan_out_behind_jump,
        unread: Vec::new(),
    };
    (config, loaded.settings)
}

fn shell_settings(bounds: &ShellBounds) -> ShellSettings {
    ShellSettings {
        open: bounds.open,
        scrollback_bytes: bounds.scrollback_bytes,
        recording_bytes: bounds.recording_bytes,
        keep: Duration::from_secs(bounds.keep_days * 86_400),
    }
}

/// Starts an engine whose tasks live as long as this process; an audit file that cannot be opened ends the command.
pub(crate) fn start(config: Config, settings: &Settings) -> Result<Engine, Exit> {
    let store = Arc::new(MemoryStore::default());
    Ok(Engine::start(
        config,
        Services { store, audit: audit(settings)?, orphans: Adopt::OnRequest },
    ))
}

/// Starts an engine on the state folder that all servers share; one that cannot be used ends the command.
pub(crate) async fn start_shared(
    global: &Global,
    config: Config,
    settings: &Settings,
    orphans: Adopt,
) -> Result<Engine, Exit> {
    let audit = audit(settings)?;
    let bounds = DiskBounds { key_seconds: settings.key_seconds, ..DiskBounds::default() };
    let opened = DiskStore::open(&folders(global)?.state, bounds).await;
    let store = Arc::new(opened.map_err(|error| {
        out::complain(&format!("{}\n  give another folder with --state", chain(&error)));
        Exit::Usage
    })?);
    let shells = ShellFolder::open(&folders(global)?.state).map_err(|error| {
        out::complain(&format!("{}\n  give another folder with --state", chain(&error)));
        Exit::Usage
    })?;
    let engine = Engine::start(config, Services { store, audit, orphans });
    engine.keep_shells_in(shells);
    Ok(engine)
}

/// The configuration, for its secrets alone; without a usable one nothing is known of them, which is said.
pub(crate) fn for_reading(global: &Global) -> (Config, Settings) {
    let loaded = folders(global)
        .ok()
        .and_then(|folders| sshepherd_config::load(&folders, &ProcessEnvironment).ok());
    loaded.map_or_else(
        || {
            out::complain("the configuration cannot be used, so its secrets are not known here and not redacted");
            no_hosts()
        },
        engine_config,
    )
}

/// A configuration without hosts, for those who only look at tasks.
pub(crate) fn no_hosts() -> (Config, Settings) {
    let config = Config {
        inventory: Inventory::new(Vec::new(), Vec::new()),
        policy: Policy::new(
            Vec::new(),
            LimitTable::default(),
            NetworkPolicy::default(),
            Dialect::default(),
        ),
        policy_hash: String::new(),
        known_hosts: KnownHostsFiles::UserAndSystem,
        gate: GateSettings::default(),
        screen: OwnScreen::default(),
        audit_commands: false,
        shells: ShellSettings::default(),
        typed_secrets: std::collections::BTreeMap::new(),
        warm: None,
        fan_out_parallel: 1,
        fan_out_total: 2,
        fan_out_behind_jump: 1,
        unread: Vec::new(),
    };
    (config, Settings::default())
}

fn audit(settings: &Settings) -> Result<Sink, Exit> {
    let audit = &settings.audit;
    let told = audit.checkpoint_file.is_some() || audit.checkpoint_syslog;
    let keeping = Keeping {
        path: audit.path.clone(),
        max_bytes: audit.max_bytes,
        sync: audit.sync,
        checkpoints: told.then(|| Checkpoints {
            file: audit.checkpoint_file.clone(),
            syslog: audit.checkpoint_syslog,
            every: audit.checkpoint_every,
        }),
    };
    // At a terminal, what a file keeps would only stand in a person's way.
    let kept = keeping.path.is_some() && std::io::stderr().is_terminal();
    let beside: Box<dyn Write + Send> =
        if kept { Box::new(std::io::sink()) } else { Box::new(progress::Beside) };
    Sink::open_beside(keeping, beside).map_err(|error| {
        out::complain(&chain(&error));
        Exit::Usage
    })
}

/// A field that breaks its rule ends the command.
pub(crate) fn invalid(problem: &InvalidField) -> Exit {
    out::complain(&problem.to_string());
    Exit::Usage
}

/// The host called `alias`.
pub(crate) fn host<'a>(config: &'a Config, alias: &Alias) -> Result<&'a Arc<Host>, Exit> {
    config.inventory.host(alias).ok_or_else(|| {
        out::complain(&format!("no host is called {alias}; `sshepherd hosts` lists them"));
        Exit::Usage
    })
}

/// The request that the words and options make. One word is a command's text; several are its words as they are.
pub(crate) fn request(words: &[String], around: &Surroundings) -> Result<Request, Exit> {
    let text = match words {
        [one] => one.clone(),
        several => {
            let quoted: Vec<String> =
                several.iter().map(|word| sshepherd_engine::policy::quote(word)).collect();
            quoted.join(" ")
        }
    };
    let mut request = Request::new(&text).map_err(|problem| invalid(&problem))?;
    request.cwd.clone_from(&around.cwd);
    for variable in &around.env {
        let Some((name, value)) = variable.split_once('=') else {
            out::complain(&format!("--env {variable}: write NAME=VALUE"));
            return Err(Exit::Usage);
        };
        request.env.push((name.to_owned(), value.to_owned()));
    }
    if around.stdin {
        request.stdin = Some(std::io::read_to_string(std::io::stdin()).map_err(|error| {
            out::complain(&format!("standard input cannot be read as text: {error}"));
            Exit::Usage
        })?);
    }
    Ok(request)
}
