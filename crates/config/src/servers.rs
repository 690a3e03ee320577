//! `servers.yml`: the hosts.

use std::collections::{BTreeMap, BTreeSet};

use sshepherd_model::{Host, LoginShell, Tag};

use crate::document::{Document, Node, Section, Text};

/// What the file says.
#[derive(Default)]
pub(crate) struct Servers {
    /// The hosts without errors, in file order.
    pub(crate) hosts: Vec<Host>,
    /// Every credentials entry that any host names, for the check that needs both files.
    pub(crate) mentioned: Vec<Text>,
}

/// Reads `hosts:`; entries with errors are left out, their errors are in the document.
pub(crate) fn read(document: &Document, root: &Node) -> Servers {
    let Some(top) = Section::of(document, root, "") else { return Servers::default() };
    let mut hosts = Vec::new();
    let mut mentioned = Vec::new();
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    let mut ways = Ways::default();
    for (node, path) in top.list("hosts").unwrap_or_default() {
        let Some(section) = Section::of(document, node, &path) else { continue };
        if let Some(host) = host(document, section, &mut mentioned, &mut ways) {
            let alias = host.alias.to_string();
            if let Some(first) = lines.get(&alias) {
                document.error(
                    Some(node.line),
                    &format!("{path}.alias"),
                    format!("{alias} is already the alias of the host at line {first}"),
                );
                continue;
            }
            lines.insert(alias, node.line);
            hosts.push(host);
        }
    }
    top.finish();
    ways.check(document);
    if hosts.is_empty() {
        document.warn(None, "hosts", "no host is configured");
    }
    Servers { hosts, mentioned }
}

fn host(
    document: &Document,
    section: Section<'_>,
    mentioned: &mut Vec<Text>,
    ways: &mut Ways,
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
    let jump = section.text("jump");
    let jump_given_badly = jump.is_none() && section.has_value("jump");
    ways.add(alias.as_ref(), jump.as_ref());
    section.finish();
    // Each field is looked at before the first bad one ends the host, so that all problems are told.
    let alias = alias.and_then(|text| parsed(document, text));
    let address = address.filter(|address| {
        let sound = sound_address(&address.text);
        if !sound {
            let message = format!("{:?} is no host name and no IP address", address.text);
            document.error(Some(address.line), &address.field, message);
        }
        sound
    });
    let named = credentials.clone().and_then(|text| parsed(document, text));
    mentioned.extend(credentials);
    let jump = match jump {
        Some(text) => Some(parsed(document, text)?),
        None => None,
    };
    if port_given_badly || jump_given_badly {
        return None;
    }
    let (alias, address, named) = (alias?, address?, named?);
    Some(Host {
        alias,
        address: address.text,
        port: port.and_then(|port| u16::try_from(port).ok()).unwrap_or(22),
        credentials: named,
        tags,
        description,
        login_shell: login_shell?,
        jump,
    })
}

/// Most jump hosts on one way. More are hardly ever meant, and each adds its round trips to every connection.
const MAX_JUMPS: usize = 3;

/// Who is reached through whom.
#[derive(Default)]
struct Ways {
    /// Every alias of the file, also of hosts with errors.
    named: BTreeSet<String>,
    /// The jump host of each host that has one.
    jumps: BTreeMap<String, Text>,
}

impl Ways {
    fn add(&mut self, alias: Option<&Text>, jump: Option<&Text>) {
        let Some(alias) = alias.map(|alias| alias.text.trim().to_owned()) else { return };
        self.jumps.extend(jump.map(|jump| (alias.clone(), jump.clone())));
        self.named.insert(alias);
    }

    fn check(&self, document: &Document) {
        for (alias, jump) in &self.jumps {
            let error = |message: String| document.error(Some(jump.line), &jump.field, message);
            if !self.named.contains(jump.text.trim()) {
                error(format!("no host is called {}", jump.text));
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
                next = self.jumps.get(hop);
            }
        }
    }
}

fn login_shell(document: &Document, section: &Section<'_>) -> Option<LoginShell> {
    match section.text("login_shell") {
        None => Some(LoginShell::Posix),
        Some(text) => match text.text.as_str() {
            "posix" => Some(LoginShell::Posix),
            "other" => Some(LoginShell::Other),
            "none" => Some(LoginShell::None),
            other => {
                let message = format!("{other:?} is none of posix, other, none");
                document.error(Some(text.line), &text.field, message);
                None
            }
        },
    }
}

fn tags(document: &Document, texts: Vec<Text>) -> Vec<Tag> {
    texts.into_iter().filter_map(|text| parsed(document, text)).collect()
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

/// A DNS name or an IP address, and nothing that another program could take as an option or a shell character.
fn sound_address(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<std::net::IpAddr>().is_ok() {
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
