//! The files that an import writes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sshepherd_config::account;
use sshepherd_config::hops::Candidate;
use sshepherd_config::ssh_config::{KeepAlive, SshHost};

/// `servers.yml`: the hosts under the names that they have.
pub(super) const SERVERS: &str = "servers.yml";
/// Entries that the imported file does not have under these names.
pub(super) const MADE: &str = "servers.d/imported.yml";
/// The log-ins.
pub(super) const CREDENTIALS: &str = "credentials.yml";

/// Longest time-out that the reader takes, longest pause between two questions, and most that may go unanswered.
const MAX_TIMEOUT: u64 = 600;
const MAX_KEEPALIVE: u64 = 3600;
const MAX_MISSED: u64 = 1000;

/// The texts of the files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Texts {
    pub(super) servers: String,
    /// Empty where there is nothing for it.
    pub(super) made: String,
    pub(super) credentials: String,
}

impl Texts {
    /// With what was not taken over as comments at the top, for whoever looks the files over later.
    pub(super) fn of(hosts: &[Candidate], notes: &[String]) -> Self {
        let logins = Logins::of(hosts);
        let mut servers = String::new();
        for note in notes {
            let _ = writeln!(servers, "# {}", plain(note));
        }
        list(&mut servers, "hosts", &entries(hosts.iter().filter(|host| !host.made), &logins));
        let made = entries(hosts.iter().filter(|host| host.made), &logins);
        let mut text = String::new();
        if !made.is_empty() {
            text.push_str(
                "# jump hosts and renamed hosts: these names are not in the imported file\n",
            );
            list(&mut text, "hosts", &made);
        }
        let mut credentials = String::new();
        list(&mut credentials, "entries", &logins.entries());
        Self { servers, made: text, credentials }
    }

    /// The files that there are, by name.
    pub(super) fn files(&self) -> Vec<(&'static str, &str)> {
        let files =
            [(SERVERS, &self.servers), (MADE, &self.made), (CREDENTIALS, &self.credentials)];
        files
            .into_iter()
            .map(|(name, text)| (name, text.as_str()))
            .filter(|(_, text)| !text.is_empty())
            .collect()
    }
}

fn list(text: &mut String, key: &str, entries: &str) {
    let empty = if entries.is_empty() { " []" } else { "" };
    let _ = write!(text, "{key}:{empty}\n{entries}");
}

fn entries<'a>(hosts: impl Iterator<Item = &'a Candidate>, logins: &Logins) -> String {
    let mut text = String::new();
    for Candidate { reached, tags, .. } in hosts {
        let _ = write!(
            text,
            "  - alias: {}\n    host: {}\n    credentials: {}\n",
            scalar(&reached.alias),
            scalar(&reached.host),
            scalar(logins.name(reached))
        );
        if let Some(port) = reached.port {
            let _ = writeln!(text, "    port: {port}");
        }
        if !tags.is_empty() {
            let tags: Vec<String> = tags.iter().map(|tag| scalar(tag)).collect();
            let _ = writeln!(text, "    tags: [{}]", tags.join(", "));
        }
        if let Some(shell) = reached.login_shell {
            let _ = writeln!(text, "    login_shell: {shell}");
        }
        if let Some(jump) = &reached.jump {
            let _ = writeln!(text, "    jump: {}", scalar(jump));
        }
        if let Some(words) = &reached.proxy_command {
            let words: Vec<String> = words.iter().map(|word| scalar(word)).collect();
            let _ = writeln!(text, "    proxy_command: [{}]", words.join(", "));
        }
        if let Some(seconds) = reached.connect_seconds {
            let _ = writeln!(text, "    timeouts: {{connect: {}}}", seconds.min(MAX_TIMEOUT));
        }
        if let Some(KeepAlive { seconds, count }) = reached.keep_alive {
            let _ = match seconds {
                0 => Ok(()),
                _ => writeln!(
                    text,
                    "    keepalive: {{seconds: {}, count: {}}}",
                    seconds.min(MAX_KEEPALIVE),
                    count.clamp(1, MAX_MISSED)
                ),
            };
        }
    }
    text
}

/// What makes two log-ins the same.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Login {
    user: String,
    keys: Vec<String>,
    agent: Option<String>,
}

impl Login {
    fn of(host: &SshHost) -> Self {
        let user = host.user.clone().or_else(account::name).unwrap_or_default();
        Self { user, keys: host.identities.clone(), agent: host.agent_socket.clone() }
    }
}

/// The log-ins of all hosts, each with a name of its own.
pub(super) struct Logins {
    names: BTreeMap<Login, String>,
    /// In the order of the hosts.
    order: Vec<Login>,
}

impl Logins {
    pub(super) fn of(hosts: &[Candidate]) -> Self {
        let mut logins = Self { names: BTreeMap::new(), order: Vec::new() };
        let mut used: BTreeMap<String, usize> = BTreeMap::new();
        for host in hosts {
            let login = Login::of(&host.reached);
            if logins.names.contains_key(&login) {
                continue;
            }
            let plain = plain_name(&login.user);
            let name = loop {
                let count = used.entry(plain.clone()).and_modify(|count| *count += 1).or_insert(1);
                let name = if *count == 1 { plain.clone() } else { format!("{plain}-{count}") };
                if *count == 1 || !used.contains_key(&name) {
                    break name;
                }
            };
            used.entry(name.clone()).or_insert(1);
            logins.names.insert(login, name);
            logins.order.push(Login::of(&host.reached));
        }
        logins
    }

    /// The name of a host's log-in.
    pub(super) fn name(&self, host: &SshHost) -> &str {
        self.names.get(&Login::of(host)).map_or("", String::as_str)
    }

    /// The names in the order of the file.
    pub(super) fn order(&self) -> Vec<&str> {
        self.order.iter().filter_map(|login| self.names.get(login)).map(String::as_str).collect()
    }

    fn entries(&self) -> String {
        let mut text = String::new();
        for login in &self.order {
            let Some(name) = self.names.get(login) else { continue };
            let _ = writeln!(
                text,
                "  - name: {}\n    username: {}\n    agent: true",
                scalar(name),
                scalar(&login.user)
            );
            // The file of a public key means that key of the agent.
            let (mut public, private): (Vec<&String>, Vec<&String>) =
                login.keys.iter().partition(|key| key.ends_with(".pub"));
            public.truncate(1);
            for key in public {
                let _ = writeln!(text, "    agent_key: {}", scalar(key));
            }
            if let Some(socket) = &login.agent {
                let _ = writeln!(text, "    agent_socket: {}", scalar(socket));
            }
            // As ssh does in the end, which also makes the entry one that can be used where there is no agent.
            text.push_str("    interactive: true\n");
            for key in private {
                let key = plain(key);
                let file = key.rsplit('/').next().unwrap_or_default();
                let _ = writeln!(
                    text,
                    "    # key_path: {file}    # after: cp {key} into the keys folder, chmod 600"
                );
            }
        }
        text
    }
}

/// A user's name as one of an entry.
fn plain_name(user: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let name: String =
        user.chars().map(|letter| if fits(letter) { letter } else { '-' }).take(80).collect();
    if name.is_empty() { "me".to_owned() } else { name }
}

/// A text in YAML.
fn scalar(text: &str) -> String {
    let mut written = String::from("\"");
    for letter in text.chars() {
        match letter {
            '\\' | '"' => written.extend(['\\', letter]),
            letter if letter.is_control() => {
                let _ = write!(written, "\\u{:04x}", u32::from(letter));
            }
            letter => written.push(letter),
        }
    }
    written.push('"');
    written
}

/// A text for a comment or a terminal, which it must neither end nor steer.
pub(super) fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}
