//! An engine over one real sshd, under one or several aliases.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sshepherd_engine::audit::Sink;
use sshepherd_engine::policy::{
    Action, Dialect, Glob, Grants, Lasts, LimitPatch, LimitTable, NetworkPolicy, Policy, Position,
    Rule, Terms,
};
use sshepherd_engine::store::{Lookup, MemoryStore, Store, StreamFilter};
use sshepherd_engine::{
    Adopt, Config, Engine, Finished, GateSettings, KnownHostsFiles, Origin, OwnScreen, Services,
};
use sshepherd_model::{
    Alias, AuthMethod, ConnectionSettings, Credential, Host, Inventory, LoginShell, Request,
    Targets, TaskId,
};
use sshepherd_testkit::Sshd;
use tempfile::TempDir;

/// What a test may change about its site.
pub(crate) struct Plan {
    pub(crate) aliases: Vec<&'static str>,
    pub(crate) address: &'static str,
    pub(crate) limits: LimitPatch,
    pub(crate) network: NetworkPolicy,
    pub(crate) method: Option<AuthMethod>,
    pub(crate) port: Option<u16>,
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) jump: Option<Jump>,
    /// Making folders and reading files takes a person's yes, which lasts so long; no full shell then.
    pub(crate) ask: Option<Lasts>,
    /// All hosts are kept connected.
    pub(crate) warm: bool,
    /// How the hosts are reached.
    pub(crate) connection: ConnectionSettings,
}

/// A host that all others are behind.
pub(crate) struct Jump {
    host: Host,
    credential: Credential,
    line: String,
}

impl Jump {
    pub(crate) fn new(sshd: &Sshd, address: &str) -> Self {
        Self {
            host: Host {
                alias: "jump".parse().unwrap(),
                address: address.to_owned(),
                port: sshd.port(),
                credentials: "jump".parse().unwrap(),
                tags: Vec::new(),
                description: "".into(),
                login_shell: LoginShell::Posix,
                jump: None,
                connection: ConnectionSettings::default(),
            },
            credential: credential("jump", sshd, key(sshd)),
            line: sshd.host_key_line(&format!("[{address}]:{}", sshd.port())),
        }
    }
}

fn key(sshd: &Sshd) -> AuthMethod {
    AuthMethod::Key {
        path: sshd.user_key_path().to_path_buf(),
        certificate: None,
        passphrase: None,
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            aliases: vec!["box"],
            address: "127.0.0.1",
            limits: LimitPatch { max_seconds: Some(30), ..LimitPatch::default() },
            network: NetworkPolicy::default(),
            method: None,
            port: None,
            store: None,
            jump: None,
            ask: None,
            warm: false,
            connection: ConnectionSettings::default(),
        }
    }
}

pub(crate) struct Site {
    pub(crate) engine: Engine,
    pub(crate) folder: TempDir,
}

pub(crate) fn origin() -> Origin {
    Origin { face: "test", client: None }
}

fn rule(commands: &[&str], shell_unrestricted: bool) -> Rule {
    Rule {
        id: if shell_unrestricted { "open".to_owned() } else { "plain".to_owned() },
        why: None,
        position: Position::default(),
        action: Action::Allow,
        aliases: Vec::new(),
        tags: Vec::new(),
        commands: commands.iter().map(|text| Glob::new(text).unwrap()).collect(),
        spec: None,
        as_user: None,
        terms: Terms::default(),
        examples: Vec::new(),
        shell_unrestricted,
        grants: Grants { stdin: true, ..Grants::default() },
    }
}

fn credential(name: &str, sshd: &Sshd, method: AuthMethod) -> Credential {
    let (name, username) = (name.parse().unwrap(), sshd.user().to_owned());
    Credential { name, username, methods: vec![method], password_prompt: None }
}

fn asking(lasts: Lasts) -> Rule {
    let terms = Terms { lasts, ..Terms::default() };
    let rule = rule(&["mkdir *", "cat *"], false);
    Rule { id: "asking".to_owned(), action: Action::Ask, terms, ..rule }
}

impl Site {
    pub(crate) fn new(sshd: &Sshd) -> Self {
        Self::with(sshd, Plan::default())
    }

    /// Every command is allowed: plain ones by a rule, the rest by an unrestricted shell.
    pub(crate) fn with(sshd: &Sshd, plan: Plan) -> Self {
        Self::adopting(sshd, plan, Adopt::Unasked)
    }

    /// The same for a short visit: no task is taken over unasked.
    pub(crate) fn visitor(sshd: &Sshd, plan: Plan) -> Self {
        Self::adopting(sshd, plan, Adopt::OnRequest)
    }

    /// The configuration of such a site, whose files are in `folder`.
    pub(crate) fn config(sshd: &Sshd, plan: Plan, folder: &std::path::Path) -> Config {
        let known_hosts = folder.join("known_hosts");
        let port = plan.port.unwrap_or(sshd.port());
        let mut lines = sshd.host_key_line(&format!("[{}]:{port}", plan.address));
        lines += &plan.jump.iter().map(|jump| format!("\n{}", jump.line)).collect::<String>();
        std::fs::write(&known_hosts, lines).unwrap();
        let behind = plan.jump.as_ref().map(|jump| jump.host.alias.clone());
        let hosts = plan.aliases.iter().map(|alias| Host {
            alias: alias.parse().unwrap(),
            address: plan.address.to_owned(),
            port,
            credentials: "test".parse().unwrap(),
            tags: vec!["all".parse().unwrap()],
            description: "".into(),
            login_shell: LoginShell::Posix,
            jump: behind.clone(),
            connection: plan.connection.clone(),
        });
        let method = plan.method.unwrap_or_else(|| key(sshd));
        let credential = credential("test", sshd, method);
        let (jump, its_credential) = plan.jump.map(|jump| (jump.host, jump.credential)).unzip();
        let inventory = Inventory::new(
            hosts.chain(jump).collect(),
            std::iter::once(credential).chain(its_credential).collect(),
        );
        Config {
            inventory,
            policy: Policy::new(
                vec![
                    rule(&["echo *", "cat", "true", "uptime"], false),
                    plan.ask.map_or_else(|| rule(&["*"], true), asking),
                ],
                LimitTable { base: plan.limits, ..LimitTable::default() },
                plan.network,
                Dialect::default(),
            ),
            policy_hash: "test".to_owned(),
            known_hosts: KnownHostsFiles::Explicit(known_hosts),
            gate: GateSettings::default(),
            screen: OwnScreen::default(),
            audit_commands: false,
            shells: sshepherd_engine::ShellSettings::default(),
            typed_secrets: std::collections::BTreeMap::new(),
            warm: plan.warm.then(|| Targets::Tag("all".parse().unwrap())),
            fan_out_parallel: 16,
            fan_out_total: 32,
            fan_out_behind_jump: 32,
            unread: Vec::new(),
        }
    }

    fn adopting(sshd: &Sshd, mut plan: Plan, orphans: Adopt) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = plan.store.take();
        let config = Self::config(sshd, plan, folder.path());
        let audit =
            Sink::open_with(Some(folder.path().join("audit.jsonl")), Box::new(std::io::sink()));
        let services = Services {
            store: store.unwrap_or_else(|| Arc::new(MemoryStore::default())),
            audit: audit.unwrap(),
            orphans,
        };
        Self { engine: Engine::start(config, services), folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn start(&self, command: &str) -> TaskId {
        let request = Request::new(command).unwrap();
        self.engine.submit(&alias(), &request, origin()).await.unwrap().task_id
    }

    /// Starts a command that outlives the engine.
    pub(crate) async fn start_task(&self, command: &str) -> TaskId {
        let request = Request::new(command).unwrap();
        let ticket = self.engine.submit_task(&alias(), &request, None, origin()).await.unwrap();
        ticket.task_id
    }

    pub(crate) async fn end(&self, id: &TaskId) -> Finished {
        let waited = tokio::time::timeout(Duration::from_secs(60), self.engine.wait(id)).await;
        match waited.expect("the task did not end").unwrap() {
            Lookup::Found(finished) => finished,
            Lookup::Expired | Lookup::Unknown => panic!("{id} is not there"),
        }
    }

    pub(crate) async fn run(&self, command: &str) -> Finished {
        let id = self.start(command).await;
        self.end(&id).await
    }

    /// All of the kept output, both streams in order of arrival.
    pub(crate) async fn text(&self, id: &TaskId) -> String {
        let read = self.engine.page(id, 0, usize::MAX, StreamFilter::Both).await.unwrap();
        let Lookup::Found(page) = read else { panic!("{id} is not there") };
        let bytes: Vec<u8> = page.chunks.into_iter().flat_map(|chunk| chunk.bytes).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until the task has written a whole line and answers it.
    pub(crate) async fn first_line(&self, id: &TaskId) -> String {
        loop {
            let text = self.text(id).await;
            if let Some((line, _)) = text.split_once('\n') {
                return line.to_owned();
            }
            let followed = self.engine.follow(id, text.len() as u64, 4096, StreamFilter::Both);
            let page = tokio::time::timeout(Duration::from_secs(30), followed).await;
            let Lookup::Found(page) = page.expect("no line").unwrap() else { panic!("gone") };
            assert!(!page.end || !page.chunks.is_empty(), "ended without a line: {text:?}");
        }
    }
}

pub(crate) fn alias() -> Alias {
    "box".parse().unwrap()
}
