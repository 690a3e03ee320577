//! The hosts: `servers.yml`, and what else has the same form.

use std::collections::{BTreeMap, BTreeSet};

use sshepherd_model::{Alias, Host, LoginShell, Tag};

use crate::connection::{self, ConnectionTable};
use crate::document::{Document, Node, Section, Text};

/// What the files say.
#[derive(Default)]
pub(crate) struct Servers<'a> {
    /// The hosts without errors, in the order of the files.
    pub(crate) hosts: Vec<Host>,
    /// Every credentials entry that any host names, for the check that needs both files.
    pub(crate) mentioned: Vec<(&'a Document, Text)>,
    /// Where each host is whose connection a program makes, for the check that needs the policy.
    pub(crate) by_program: Vec<(&'a Document, Text)>,
}

/// A file, or what a program printed, that gives hosts.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) document: &'a Document,
    pub(crate) root: &'a Node,
    /// A program printed it.
    pub(crate) printed: bool,
}

/// Reads `hosts:` of `servers.yml`, the first, and of what else gives hosts; entries with errors are left out, their errors are in
/// their documents. With `whole`, all that gives hosts could be read, so a jump host that is not there is none.
pub(crate) fn read<'a>(sources: &[Given<'a>], whole: bool) -> Servers<'a> {
    let mut servers = Servers::default();
    let mut places: BTreeMap<String, (String, &Document, usize)> = BTreeMap::new();
    let mut ways = Ways::default();
    let table = sources.first().and_then(|first| {
        Some(ConnectionTable::read(&Section::of(first.document, first.root, "")?))
    });
    let table = table.unwrap_or_default();
    for (number, given) in sources.iter().enumerate() {
        let Given { document, root, printed } = *given;
        let Some(top) = Section::of(document, root, "") else { continue };
        for (node, path) in top.list("hosts").unwrap_or_default() {
            let Some(section) = Section::of(document, node, &path) else { continue };
            if printed {
                connection::refuse_programs(&section);
            }
            let Some(host) = host(document, section, &mut servers, &mut ways, &table) else {
                continue;
            };
            let alias = host.alias.to_string();
            // `Web1` beside `web1` would be taken for the other one sooner or later.
            let key = alias.to_ascii_lowercase();
            if let Some((taken, other, line)) = places.get(&key) {
                let place = if std::ptr::eq(*other, document) {
                    format!("line {line}")
                } else {
                    format!("{}:{line}", other.file.display())
                };
                let message = if *taken == alias {
                    format!("{alias} is already the alias of the host at {place}")
                } else {
                    format!(
                        "{alias} differs from {taken}, the alias of the host at {place}, only in case"
                    )
                };
                document.error(Some(node.line), &format!("{path}.alias"), message);
                continue;
            }
            places.insert(key, (alias, document, node.line));
            servers.hosts.push(host);
        }
        if number == 0 {
            // Read beforehand, for it says what else gives hosts.
            let _ = top.any("inventory");
            let _ = (top.any("defaults"), top.any("tags"));
            top.refuse_nothing(&["defaults", "tags"]);
        }
        top.finish();
    }
    ways.check(whole);
    if let Some(first) = sources.first().filter(|_| whole) {
        if servers.hosts.is_empty() {
            first.document.warn(None, "hosts", "no host is configured");
        }
        table.warn_of_unused(first.document, &servers.hosts);
    }
    servers
}

/// Keys of a host that, without a value, would leave it to another place what holds.
const NEVER_EMPTY: [&str; 8] = [
    "encoding",
    "jump",
    "keepalive",
    "legacy",
    "login_shell",
    "proxy_command",
    "proxy_command_trusted",
    "timeouts",
];

fn host<'a>(
    document: &'a Document,
    section: Section<'_>,
    servers: &mut Servers<'a>,
    ways: &mut Ways<'a>,
    table: &ConnectionTable,
) -> Option<Host> {
    let required = |key: &'static str| {
        let text = section.text(key);
        if text.is_none() && !section.has_value(key) {
            document.error(Some(section.line_of(key)), &section.path(key), "is required");
        }
        text
    };
    let alias = required("alias");
    let address = required("host");
    let credentials = required("credentials");
    let port = section.integer("port", 1..=65535);
    let port_given_badly = port.is_none() && section.has_value("port");
    let tags = tags(document, section.texts("tags").unwrap_or_default());
    let description = section.text("description").map(|text| text.text).unwrap_or_default();
    let login_shell = login_shell(document, &section);
    section.refuse_nothing(&NEVER_EMPTY);
    let jump = section.text("jump");
    let jump_given_badly = jump.is_none() && section.has_value("jump");
    ways.add(document, alias.as_ref(), jump.as_ref());
    let own = connection::of_host(&section);
    let place = section.line_of("proxy_command");
    let place =
        (document, Text { text: String::new(), line: place, field: section.path("proxy_command") });
    section.finish();
    // Each field is looked at before the first bad one ends the host, so that all problems are told.
    let alias = alias.and_then(|text| alias_of(document, text));
    let address = address.filter(|address| is_reached(document, address, jump.is_some()));
    let named = credentials.clone().and_then(|text| parsed(document, text));
    servers.mentioned.extend(credentials.map(|text| (document, text)));
    let jump = match jump {
        Some(text) => Some(parsed(document, text)?),
        None => None,
    };
    if port_given_badly || jump_given_badly {
        return None;
    }
    let (alias, address, named) = (alias?, address?, named?);
    let connection = table.of(own, &tags);
    if connection.proxy.is_some() {
        let (document, at) = place;
        servers.by_program.push((document, Text { text: alias.to_string(), ..at }));
    }
    Some(Host {
        alias,
        address: address.text,
        port: port.and_then(|port| u16::try_from(port).ok()).unwrap_or(22),
        credentials: named,
        tags,
        description: description.into(),
        login_shell: login_shell?,
        jump,
        connection,
    })
}

/// Whether an address is one; what is wrong with it is an error at its place.
fn is_reached(document: &Document, address: &Text, behind_jump: bool) -> bool {
    let sound = sound_address(&address.text);
    if !sound {
        let message = format!("{:?} is no host name and no IP address", address.text);
        document.error(Some(address.line), &address.field, message);
    } else if behind_jump && address.text.contains('%') {
        let message = "names an interface of this machine, but the jump host connects; leave out % and what follows";
        document.error(Some(address.line), &address.field, message);
    }
    sound
}

/// Most jump hosts on one way. More are hardly ever meant, and each adds its round trips to every connection.
const MAX_JUMPS: usize = 3;

/// Who is reached through whom.
#[derive(Default)]
struct Ways<'a> {
    /// Every alias of the files, also of hosts with errors.
    named: BTreeSet<String>,
    /// The jump host of each host that has one.
    jumps: BTreeMap<String, (&'a Document, Text)>,
}

impl<'a> Ways<'a> {
    fn add(&mut self, document: &'a Document, alias: Option<&Text>, jump: Option<&Text>) {
        let Some(alias) = alias.map(|alias| alias.text.trim().to_owned()) else { return };
        self.jumps.extend(jump.map(|jump| (alias.clone(), (document, jump.clone()))));
        self.named.insert(alias);
    }

    fn check(&self, whole: bool) {
        for (alias, (document, jump)) in &self.jumps {
            let error = |message: String| document.error(Some(jump.line), &jump.field, message);
            if !self.named.contains(jump.text.trim()) {
                if whole {
                    error(format!("no host is called {}", jump.text));
                }
                continue;
            }
            let mut way = vec![alias.as_str()];
            let mut next = Some(jump);
            while let Some(hop) = next {
                let hop = hop.text.trim();
                if way.contains(&hop) {
                    error(format!("the way goes round: {} by {hop}", way.join(" by ")));
                    break;
                }
                way.push(hop);
                if way.len() > MAX_JUMPS + 1 {
                    error(format!("more than {MAX_JUMPS} jump hosts: {}", way.join(" by ")));
                    break;
                }
                next = self.jumps.get(hop).map(|(_, jump)| jump);
            }
        }
    }
}

fn login_shell(document: &Document, section: &Section<'_>) -> Option<LoginShell> {
    match section.text("login_shell") {
        None => Some(LoginShell::Posix),
        Some(text) => match text.text.as_str() {
            "posix" => Some(LoginShell::Posix),
            "fish" => Some(LoginShell::Fish),
            "csh" => Some(LoginShell::Csh),
            "raw-words" => Some(LoginShell::RawWords),
            "other" => {
                let message =
                    "other is read as fish: write login_shell: fish, or csh for csh and tcsh";
                document.warn(Some(text.line), &text.field, message);
                Some(LoginShell::Fish)
            }
            "none" => {
                let message = "none is read as raw-words: write login_shell: raw-words";
                document.warn(Some(text.line), &text.field, message);
                Some(LoginShell::RawWords)
            }
            "powershell" => {
                let message =
                    "powershell is read as raw-words, for it is not tried with a real PowerShell";
                document.warn(Some(text.line), &text.field, message);
                Some(LoginShell::RawWords)
            }
            other => {
                let message = format!(
                    "{other:?} is none of posix, fish, csh, raw-words; sh, bash, dash, ash, ksh and zsh are posix, \
                     tcsh is csh, and anything else (cmd, RouterOS, IOS, Junos, a forced command) is raw-words"
                );
                document.error(Some(text.line), &text.field, message);
                None
            }
        },
    }
}

fn tags(document: &Document, texts: Vec<Text>) -> Vec<Tag> {
    texts.into_iter().filter_map(|text| parsed(document, text)).collect()
}

/// Words of the selector language; a host of such a name could not be selected, or something else would be.
const SELECTOR_WORDS: [&str; 5] = ["all", "and", "minus", "not", "or"];

/// An alias that means one host wherever it is written.
fn alias_of(document: &Document, text: Text) -> Option<Alias> {
    let name = text.text.trim();
    let problem = if SELECTOR_WORDS.iter().any(|word| name.eq_ignore_ascii_case(word)) {
        format!("{name:?} is a word of selectors; write another alias, such as host-{name}")
    } else if name.starts_with('-') {
        format!("{name:?} looks like an option; write another alias, such as host{name}")
    } else {
        return parsed(document, text);
    };
    document.error(Some(text.line), &text.field, problem);
    None
}

/// A name parsed by its own rule; what breaks it is an error at its place.
pub(crate) fn parsed<T: std::str::FromStr<Err = sshepherd_model::InvalidField>>(
    document: &Document,
    text: Text,
) -> Option<T> {
    match text.text.parse() {
        Ok(value) => Some(value),
        Err(invalid) => {
            document.error(Some(text.line), &text.field, invalid.problem);
            None
        }
    }
}

/// A DNS name or an IP address, a link-local one with its zone (`fe80::1%eth0`), and nothing that another program could take as an option or a shell character.
pub(crate) fn sound_address(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<std::net::IpAddr>().is_ok() || zone(bare).is_some() {
        return true;
    }
    let labels = text.strip_suffix('.').unwrap_or(text);
    !labels.is_empty()
        && labels.len() <= 253
        && labels.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

/// Longest name of an interface (`IFNAMSIZ` without its end).
const MAX_ZONE: usize = 15;

/// The interface of a link-local address, by name or by number.
fn zone(address: &str) -> Option<&str> {
    let (address, zone) = address.split_once('%')?;
    let address: std::net::Ipv6Addr = address.parse().ok()?;
    let sound = !zone.is_empty()
        && zone.len() <= MAX_ZONE
        && !zone.starts_with('-')
        && zone.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    (address.is_unicast_link_local() && sound).then_some(zone)
}
