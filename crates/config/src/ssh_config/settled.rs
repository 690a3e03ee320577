//! What the settings of a host mean for an entry of ours.

use std::path::Path;

use super::proxy::{self, Proxy};
use crate::account;

/// A keyword in small letters and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) keyword: String,
    pub(super) value: String,
}

/// One host as `ssh` would reach it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SshHost {
    /// Its name in the file.
    pub alias: String,
    /// `HostName`, or the alias.
    pub host: String,
    /// `Port`.
    pub port: Option<u16>,
    /// `User`.
    pub user: Option<String>,
    /// `IdentityFile`, with `~` and tokens filled in; the file of a public key means that key of the agent.
    pub identities: Vec<String>,
    /// `IdentityAgent`, where it is a socket.
    pub agent_socket: Option<String>,
    /// The jump hosts on the way, as `ProxyJump` has them.
    pub jump: Option<String>,
    /// `ProxyCommand`, as words of `proxy_command:`.
    pub proxy_command: Option<Vec<String>>,
    /// `ConnectTimeout`, in seconds.
    pub connect_seconds: Option<u64>,
    /// `ServerAliveInterval` and `ServerAliveCountMax`.
    pub keep_alive: Option<KeepAlive>,
    /// The `login_shell` that it needs, other than a POSIX one.
    pub login_shell: Option<&'static str>,
    /// What cannot be taken over.
    pub left_out: Vec<String>,
}

/// How often a silent host is asked whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// After how many seconds of silence.
    pub seconds: u64,
    /// How many questions without an answer end the connection.
    pub count: u64,
}

/// What tokens stand for.
pub(crate) struct Facts<'a> {
    pub(crate) alias: &'a str,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) user: &'a str,
    pub(crate) home: &'a Path,
}

impl Facts<'_> {
    /// A text with its tokens filled in; `None` for one with a token that is not known here.
    pub(crate) fn filled(&self, text: &str) -> Option<String> {
        let mut filled = String::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                filled.push(letter);
                continue;
            }
            match letters.next()? {
                '%' => filled.push('%'),
                'd' => filled.push_str(&self.home.display().to_string()),
                'h' => filled.push_str(self.host),
                'n' => filled.push_str(self.alias),
                'p' => filled.push_str(&self.port.to_string()),
                'r' => filled.push_str(self.user),
                'u' => filled.push_str(&account::name()?),
                'i' => filled.push_str(&account::id().to_string()),
                _ => return None,
            }
        }
        Some(filled)
    }
}

/// Longest value that is repeated in a note.
const MAX_SHOWN: usize = 100;

/// Keywords that are looked at here; every other one is left out and said to be.
const KNOWN: [&str; 11] = [
    "hostname",
    "port",
    "user",
    "identityfile",
    "identityagent",
    "identitiesonly",
    "proxyjump",
    "proxycommand",
    "connecttimeout",
    "serveraliveinterval",
    "serveralivecountmax",
];

/// The host that these settings make: of each keyword the first counts.
pub(super) fn settled(alias: &str, settings: &[&Setting], home: &Path) -> SshHost {
    let first =
        |wanted: &str| settings.iter().find(|it| it.keyword == wanted).map(|it| it.value.clone());
    // OpenSSH compares names as they are written, and makes the address small.
    let host = first("hostname").map_or_else(|| alias.to_owned(), |host| named(&host, alias));
    let mut settled = SshHost {
        alias: alias.to_owned(),
        host: host.to_ascii_lowercase(),
        port: first("port").and_then(|port| port.parse().ok()),
        user: first("user"),
        left_out: others(settings),
        ..SshHost::default()
    };
    let user = settled.user.clone().or_else(account::name).unwrap_or_default();
    let facts = Facts {
        alias,
        host: &settled.host.clone(),
        port: settled.port.unwrap_or(22),
        user: &user,
        home,
    };
    keys(&mut settled, settings, &facts);
    let (jump, command) = way(settings);
    settled.jump = jump
        .map(|it| before_comment(&it.value))
        .filter(|it| real(it))
        .map(|it| facts.filled(&it).unwrap_or(it));
    if let Some(command) = command.filter(|it| real(&it.value)) {
        hop(&mut settled, &command.value, &facts);
    }
    patience(&mut settled, first);
    settled
}

/// What a `ProxyCommand` does: it jumps, or it is a program of its own.
pub(crate) fn hop(host: &mut SshHost, command: &str, facts: &Facts<'_>) {
    match proxy::read(command, facts) {
        Proxy::Jump { chain, left_out } => {
            host.jump = Some(chain);
            let left = left_out.into_iter().map(|left| format!("of proxycommand {left}"));
            host.left_out.extend(left);
        }
        Proxy::Program(words) => host.proxy_command = Some(words),
        Proxy::Unclear(why) => host.left_out.push(format!("proxycommand {command} ({why})")),
    }
}

/// The keys and the agent that holds them.
fn keys(host: &mut SshHost, settings: &[&Setting], facts: &Facts<'_>) {
    for it in settings.iter().filter(|it| it.keyword == "identityfile" && real(&it.value)) {
        match path(&it.value, facts) {
            Some(file) if !host.identities.contains(&file) => host.identities.push(file),
            Some(_) => {}
            None => host.left_out.push(format!("identityfile {}", shown(&it.value))),
        }
    }
    let Some(agent) = settings.iter().find(|it| it.keyword == "identityagent") else { return };
    if agent.value == "SSH_AUTH_SOCK" {
        return;
    }
    let variable = agent.value.strip_prefix('$').filter(|name| !name.starts_with('{'));
    let socket = match variable {
        Some(name) => std::env::var(name).ok(),
        None => path(&agent.value, facts),
    };
    match socket.filter(|socket| real(socket) && socket.starts_with('/')) {
        Some(socket) => host.agent_socket = Some(socket),
        None => host.left_out.push(format!("identityagent {}", shown(&agent.value))),
    }
}

/// How long is waited for the host.
fn patience(host: &mut SshHost, first: impl Fn(&str) -> Option<String>) {
    let number = |keyword: &str| first(keyword).and_then(|value| seconds(&value));
    host.connect_seconds = number("connecttimeout").filter(|seconds| *seconds > 0);
    host.keep_alive = number("serveraliveinterval")
        .filter(|seconds| *seconds > 0)
        .map(|seconds| KeepAlive { seconds, count: number("serveralivecountmax").unwrap_or(3) });
}

/// A time as OpenSSH writes it: `90`, `1m30s`.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let (mut sum, mut digits) = (0_u64, String::new());
    for letter in text.chars() {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        let unit = match letter.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        sum = sum.checked_add(digits.parse::<u64>().ok()?.checked_mul(unit)?)?;
        digits.clear();
    }
    let rest = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    sum.checked_add(rest)
}

/// Settings of other keywords, each once.
fn others(settings: &[&Setting]) -> Vec<String> {
    let mut left: Vec<String> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for it in settings {
        let keyword = it.keyword.as_str();
        let several = keyword.ends_with("forward")
            || keyword.ends_with("env")
            || keyword == "certificatefile";
        if KNOWN.contains(&keyword) || (!several && seen.contains(&keyword)) {
            continue;
        }
        seen.push(keyword);
        let text = format!("{keyword} {}", shown(&it.value));
        if real(&it.value) && !left.contains(&text) {
            left.push(text);
        }
    }
    left
}

fn shown(value: &str) -> String {
    let mut shown: String = value.chars().take(MAX_SHOWN).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    shown
}

fn real(value: &str) -> bool {
    !value.eq_ignore_ascii_case("none")
}

fn named(host: &str, alias: &str) -> String {
    host.replace("%%", "\0").replace("%h", alias).replace('\0', "%")
}

/// A file as `ssh` finds it: variables, tokens and `~` filled in.
fn path(text: &str, facts: &Facts<'_>) -> Option<String> {
    let mut path = facts.filled(text)?;
    while let Some((before, rest)) = path.split_once("${") {
        let (name, after) = rest.split_once('}')?;
        let value = std::env::var(name).ok().filter(|value| !value.contains("${"))?;
        path = format!("{before}{value}{after}");
    }
    Some(at_home(&path, facts.home))
}

pub(crate) fn at_home(path: &str, home: &Path) -> String {
    match path.strip_prefix("~/") {
        Some(rest) => home.join(rest).display().to_string(),
        None => path.to_owned(),
    }
}

/// The `ProxyJump` and the `ProxyCommand` in force. Whichever comes first puts the other out of force, `ProxyCommand none` too;
/// a bare `ProxyJump none` only later ones of its kind (as OpenSSH 9.2 does).
fn way<'a>(settings: &[&'a Setting]) -> (Option<&'a Setting>, Option<&'a Setting>) {
    let (mut jump, mut command): (Option<&Setting>, Option<&Setting>) = (None, None);
    for it in settings {
        match it.keyword.as_str() {
            "proxyjump" if jump.is_none() && command.is_none() => jump = Some(it),
            "proxycommand"
                if command.is_none()
                    && jump.is_none_or(|jump| jump.value.eq_ignore_ascii_case("none")) =>
            {
                command = Some(it);
            }
            _ => {}
        }
    }
    (jump, command)
}

/// OpenSSH cuts a comment off a `ProxyJump`.
fn before_comment(text: &str) -> String {
    text.split('#').next().unwrap_or_default().trim().to_owned()
}
