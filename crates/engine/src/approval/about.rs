//! What a person is shown: all that a yes is bound to, but for what is secret.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sshepherd_model::{Alias, Host, Request, Rollout};
use sshepherd_policy::{Decision, Judged, Lasts, PermitParts, Question};
use sshepherd_store::Approval;

use crate::config::Config;
use crate::pipeline::Origin;

/// Characters of standard input that are shown from its beginning, and from its end.
const HEAD: usize = 1024;
const TAIL: usize = 512;

/// What a person is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct About {
    /// The hosts, by name.
    pub hosts: Vec<Alias>,
    /// How many there are.
    pub host_count: usize,
    /// Log-in, address and way of each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logins: Vec<String>,
    /// The exact text that would be sent; of a fan-out, to the first host.
    pub command: String,
    /// Other texts that would be sent to some of the hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// Accounts that parts of it run as on the host, through sudo.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub run_as: Vec<String>,
    /// The text goes to a full shell as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw_shell: bool,
    /// Working folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Names of the variables that are set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Bytes of standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin_bytes: Option<usize>,
    /// Standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<StdinShown>,
    /// How it goes over its hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutShown>,
    /// The rules that ask, and the owner's reasons.
    pub rules: Vec<Why>,
    /// Who asks, as the client names itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// How long a yes holds, in words.
    pub holds: String,
}

/// Another text for some hosts of a fan-out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// The exact text that would be sent.
    pub command: String,
    /// To these hosts.
    pub hosts: Vec<Alias>,
}

/// Standard input as it is shown. Secrets that this server knows are taken out; the digest is of the whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StdinShown {
    /// SHA-256 in hex, to compare with that of a file.
    pub sha256: String,
    /// Its beginning.
    pub head: String,
    /// Characters between beginning and end that are not shown.
    pub left_out: usize,
    /// Its end.
    pub tail: String,
}

/// How a fan-out goes over its hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutShown {
    /// All hosts that were selected, also those that need no yes.
    pub hosts: usize,
    /// The one that goes alone first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Alias>,
    /// Hosts of a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// Failures that end it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<String>,
    /// Seconds after which nothing more starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<u64>,
    /// Runs on each host of a batch after it: the exact text, to the first host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
}

/// A rule that asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// Its id.
    pub rule: String,
    /// The owner's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl About {
    /// Of one thing on one host, or of the same on many.
    pub(crate) fn of<P: Judged>(
        config: &Config,
        questions: &[&Question<P>],
        origin: &Origin,
    ) -> Self {
        let parts: Vec<&PermitParts> = questions.iter().map(|question| question.parts()).collect();
        let mut about = Self {
            hosts: parts.iter().map(|parts| parts.host.alias.clone()).collect(),
            host_count: parts.len(),
            logins: parts.iter().map(|parts| login(config, &parts.host)).collect(),
            client: origin.client.clone(),
            ..Self::default()
        };
        let lasts = questions.first().map(|question| question.terms().lasts);
        about = about.holding(lasts.unwrap_or(Lasts::Once));
        for parts in &parts {
            about.decided(config, &parts.decisions);
        }
        let Some(first) = parts.first() else { return about };
        about.command.clone_from(&first.shown);
        about.variants = variants(&parts);
        about.raw_shell = first.raw_shell;
        about.surrounded(config, first.cwd.as_deref(), &first.env, first.stdin.as_deref());
        about
    }

    /// With what was asked for in place of what would be sent.
    pub(crate) fn asked(mut self, config: &Config, request: &Request) -> Self {
        self.command = request.command().to_owned();
        self.variants.clear();
        self.surrounded(config, request.cwd.as_deref(), &request.env, request.stdin.as_deref());
        self
    }

    fn surrounded(
        &mut self,
        config: &Config,
        cwd: Option<&str>,
        env: &[(String, String)],
        stdin: Option<&str>,
    ) {
        self.cwd = cwd.map(str::to_owned);
        self.env = env.iter().map(|(name, _)| name.clone()).collect();
        self.stdin_bytes = stdin.map(str::len);
        self.stdin = stdin.map(|text| StdinShown::of(config, text));
    }

    /// With how long a yes holds.
    pub(crate) fn holding(mut self, lasts: Lasts) -> Self {
        self.holds = match lasts {
            Lasts::Minutes(minutes) => format!("for {minutes} minutes"),
            Lasts::Task => "for this task".to_owned(),
            Lasts::Once => "once".to_owned(),
        };
        self
    }

    /// With how it goes over its hosts, and with what else it asks for.
    pub(crate) fn over(
        mut self,
        hosts: &[Arc<Host>],
        rollout: &Rollout,
        gate: Option<String>,
    ) -> Self {
        self.rollout = Some(RolloutShown {
            hosts: hosts.len(),
            canary: rollout.canary.then(|| hosts.first().map(|host| host.alias.clone())).flatten(),
            batch: rollout.batch.map(|share| share.to_string()),
            stop_after: rollout.stop_after.map(|share| share.to_string()),
            deadline_seconds: rollout.deadline.map(|time| time.as_secs()),
            gate,
        });
        self
    }

    /// Takes up who lets parts of a command through.
    pub(crate) fn decided(&mut self, config: &Config, decisions: &[Decision]) {
        for decision in decisions {
            let Decision::Rule(rule) = decision else { continue };
            let why = Why { rule: rule.id.clone(), why: rule.why.clone() };
            if !self.rules.contains(&why) {
                self.rules.push(why);
            }
            let full = config.policy.rules().iter().find(|full| full.id == rule.id);
            if let Some(user) = full.and_then(|full| full.as_user.clone())
                && !self.run_as.contains(&user)
            {
                self.run_as.push(user);
            }
        }
    }

    pub(crate) fn read(approval: &Approval) -> Option<Self> {
        serde_json::from_str(&approval.about).ok()
    }
}

/// Texts that differ from the first host's.
fn variants(parts: &[&PermitParts]) -> Vec<Variant> {
    let mut variants: Vec<Variant> = Vec::new();
    let first = parts.first().map(|parts| parts.shown.as_str());
    for parts in parts.iter().filter(|parts| Some(parts.shown.as_str()) != first) {
        let alias = parts.host.alias.clone();
        match variants.iter_mut().find(|variant| variant.command == parts.shown) {
            Some(variant) => variant.hosts.push(alias),
            None => {
                variants.push(Variant { command: parts.shown.clone(), hosts: vec![alias] });
            }
        }
    }
    variants
}

/// Who logs in where, and over which jump hosts.
fn login(config: &Config, host: &Host) -> String {
    let credential = config.inventory.credential(host);
    let user = credential.map_or("?", |credential| credential.username.as_str());
    let mut text = format!("{user}@{}:{}", host.address, host.port);
    if let Some(proxy) = &host.connection.proxy {
        let program = match &proxy.program {
            Ok(path) => path.display().to_string(),
            Err(_) => "a program that cannot be run".to_owned(),
        };
        text.push_str(&format!(" through {program} {}", proxy.arguments.join(" ")));
    }
    let hops = config.inventory.way_to(host);
    if !hops.is_empty() {
        let hops: Vec<&str> = hops.iter().rev().map(|hop| hop.alias.as_str()).collect();
        text.push_str(&format!(" via {}", hops.join(", ")));
    }
    text
}

impl StdinShown {
    fn of(config: &Config, text: &str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        // Before it is cut: a half of a secret would not be known.
        let text = config.screen().redacted(text);
        let length = text.chars().count();
        let (head, left_out, tail) = if length <= HEAD + TAIL {
            (text, 0, String::new())
        } else {
            let left_out = length - HEAD - TAIL;
            let head = text.chars().take(HEAD).collect();
            (head, left_out, text.chars().skip(HEAD + left_out).collect())
        };
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { sha256, head, left_out, tail }
    }
}
