//! `policy.yml`: what may run where.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::{IpNet, Ipv4Net};
use sshepherd_model::Inventory;
use sshepherd_policy::{
    Action, Dialect, Enforcement, LimitPatch, LimitTable, NetworkPolicy, Policy, Rule,
};

use crate::document::{Document, EmptyList, Node, Section, Text};
use crate::{packs, rules};

/// What the file says.
pub(crate) struct PolicyFile {
    pub(crate) policy: Policy,
    pub(crate) known_hosts: Option<PathBuf>,
    /// The packs that it includes, each once.
    pub(crate) packs: Vec<&'static str>,
}

/// Reads the file; parts with errors are left out, their errors are in the document.
pub(crate) fn read(
    document: &Document,
    root: &Node,
    inventory: &Inventory,
    folder: &Path,
) -> Option<PolicyFile> {
    let top = Section::of(document, root, "")?;
    let known_hosts =
        top.text("known_hosts_path").and_then(|text| known_hosts(document, &text, folder));
    let reader = Reader { document, inventory };
    let mut limits = LimitTable::default();
    if let Some(section) = top.section("limits") {
        limits.base = reader.limits(section);
    }
    let network = top.section("network").map(|section| reader.network(section)).unwrap_or_default();
    let hosts = rules::Reader { document, inventory: Some(inventory) };
    let mut rules: Vec<Rule> = packs::included(&hosts, &top);
    let own = top.list("rules").unwrap_or_default();
    let (about_shells, own): (Vec<_>, Vec<_>) =
        own.into_iter().partition(|(node, _)| rules::Reader::is_about_shells(node));
    rules.extend(own.into_iter().filter_map(|(node, path)| hosts.rule(node, &path)));
    let shells: Vec<_> =
        about_shells.into_iter().filter_map(|(node, path)| hosts.shell_rule(node, &path)).collect();
    if limits.base.deny_substrings.is_none() && !rules.iter().any(by_patterns) {
        limits.base.deny_substrings = Some(Vec::new());
    }
    let named: Vec<&Rule> = rules.iter().chain(shells.iter().map(|shell| &shell.rule)).collect();
    for (place, rule) in named.iter().enumerate() {
        if let Some(first) = named.iter().take(place).find(|other| other.id == rule.id) {
            let message =
                format!("{} is also the id of the rule at line {}", rule.id, first.position.line);
            document.warn(Some(rule.position.line), "rules", message);
        }
    }
    if let Some(section) = top.section("overrides") {
        reader.overrides(section, &mut limits);
    }
    let mut dialect = Dialect::default();
    if let Some(section) = top.section("pipes") {
        dialect.filters = section.boolean("filters").unwrap_or(true);
        section.finish_strictly();
    }
    if let Some(section) = top.section("redirections") {
        dialect.harmless_redirections = section.boolean("harmless").unwrap_or(true);
        section.finish_strictly();
    }
    let enforcement = enforcement(&top);
    let packs = packs::names(&top);
    top.finish_with(|_| EmptyList::Value);
    let policy = Policy::new(rules, limits, network, dialect)
        .with_enforcement(enforcement)
        .with_shells(shells);
    Some(PolicyFile { policy, known_hosts, packs })
}

/// The seed's denied texts stand against patterns that admit more than they seem to. A typed rule admits what it says, and
/// a list that also cuts `systemctl status ssh nginx` would only surprise.
fn by_patterns(rule: &Rule) -> bool {
    rule.action != Action::Deny && rule.spec.is_none()
}

fn enforcement(top: &Section<'_>) -> Enforcement {
    let Some(text) = top.text("enforcement") else { return Enforcement::Enforce };
    match text.text.as_str() {
        "enforce" => Enforcement::Enforce,
        "audit" => {
            let message = "the policy only watches: every command that can be sent runs, and what would be denied is recorded";
            top.document.warn(Some(text.line), &text.field, message);
            Enforcement::Audit
        }
        other => {
            let message = format!("{other:?} is neither enforce nor audit");
            top.document.error(Some(text.line), &text.field, message);
            Enforcement::Enforce
        }
    }
}

fn known_hosts(document: &Document, text: &Text, folder: &Path) -> Option<PathBuf> {
    let path = match crate::files::named(&text.text, folder) {
        Ok(path) => path,
        Err(problem) => {
            document.error(Some(text.line), &text.field, problem);
            return None;
        }
    };
    if !path.is_file() {
        let message = format!("{} does not exist or is no file", path.display());
        document.error(Some(text.line), &text.field, message);
        return None;
    }
    let data = std::fs::metadata(&path).ok()?;
    if crate::files::private_group_writes(&data) {
        let message = format!(
            "{} can be written by its owner's own group; run chmod g-w on it, in case somebody joins that group",
            path.display()
        );
        document.warn(Some(text.line), &text.field, message);
    } else if let Err(problem) = crate::files::owned(&data) {
        let message = format!("{} {problem}", path.display());
        document.error(Some(text.line), &text.field, message);
        return None;
    }
    Some(path)
}

/// A network that says what it means; else what is wrong with it, and what to write.
fn network_of(text: &str) -> Result<IpNet, String> {
    /// Bits before the IPv4 address in an IPv6 address that holds one.
    const MAPPED: u8 = 96;
    let net: IpNet = text.parse().map_err(|_| "is not a network such as 10.0.0.0/8".to_owned())?;
    let net = match net.addr() {
        IpAddr::V6(address) => match (address.to_ipv4_mapped(), net.prefix_len()) {
            (None, _) => net,
            (Some(address), length) => {
                let bits = length.checked_sub(MAPPED);
                // Shorter ones hold far more than IPv4; most likely the length is that of the IPv4 network.
                let meant = Ipv4Net::new(address, bits.unwrap_or(length)).map(|net| net.trunc());
                let meant = meant.map_or_else(|_| address.to_string(), |net| net.to_string());
                let bits = bits.ok_or_else(|| {
                    format!(
                        "is a network of IPv6 addresses that names an IPv4 address; write {meant}"
                    )
                })?;
                Ipv4Net::new(address, bits).map_err(|error| error.to_string())?.into()
            }
        },
        IpAddr::V4(_) => net,
    };
    if net.addr() == net.network() {
        return Ok(net);
    }
    let (address, network) = (net.addr(), net.trunc());
    Err(format!(
        "names an address in a network; write {network} for the network, {address} for the address"
    ))
}

struct Reader<'a> {
    document: &'a Document,
    inventory: &'a Inventory,
}

impl Reader<'_> {
    fn limits(&self, section: Section<'_>) -> LimitPatch {
        let patch = LimitPatch {
            max_seconds: section.integer("max_seconds", 1..=86_400),
            max_output_bytes: section.integer("max_output_bytes", 1024..=1 << 30),
            task_result_ttl: section.integer("task_result_ttl", 1..=604_800),
            task_progress_interval: section.integer("task_progress_interval", 1..=3600),
            host_key_auto_add: section.boolean("host_key_auto_add"),
            require_known_host: section.boolean("require_known_host"),
            max_per_minute: section.integer("max_per_minute", 1..=100_000),
            max_concurrent: section.integer("max_concurrent", 1..=10_000),
            max_shells: section.integer("max_shells", 0..=1000),
            shell_idle_seconds: section.integer("shell_idle_seconds", 1..=604_800),
            shell_max_seconds: section.integer("shell_max_seconds", 1..=2_592_000),
            shell_max_input_bytes: section.integer("shell_max_input_bytes", 1..=1 << 40),
            shell_max_output_bytes: section.integer("shell_max_output_bytes", 1024..=1 << 40),
            deny_substrings: section
                .texts("deny_substrings")
                .map(|texts| texts.into_iter().filter_map(|text| self.denied_text(text)).collect()),
        };
        if patch.host_key_auto_add == Some(true) {
            self.deprecated(&section, "host_key_auto_add");
        }
        if patch.require_known_host == Some(false) {
            self.deprecated(&section, "require_known_host");
        }
        // An empty list of denied texts takes the seed's own away: that is how it is said.
        section.finish_with(|_| EmptyList::Value);
        patch
    }

    fn denied_text(&self, text: Text) -> Option<String> {
        if text.text.is_empty() {
            let message = "is empty; leave it out, or write the text to deny";
            self.document.error(Some(text.line), &text.field, message);
            return None;
        }
        Some(text.text)
    }

    fn deprecated(&self, section: &Section<'_>, key: &str) {
        self.document.warn(
            Some(section.line_of(key)),
            &section.path(key),
            "has no effect any more: an unknown host key is always refused",
        );
    }

    fn network(&self, section: Section<'_>) -> NetworkPolicy {
        let list = |key: &'static str| {
            let texts = section.texts(key).unwrap_or_default();
            texts.iter().filter_map(|text| self.net(text, key)).collect::<Vec<_>>()
        };
        let allow = [list("allow_ips"), list("allow_cidrs")].concat();
        let block = [list("block_ips"), list("block_cidrs")].concat();
        if section.boolean("require_known_host") == Some(false) {
            self.deprecated(&section, "require_known_host");
        }
        // The seed's own example files carry empty lists that mean "no list"; an allow list is in force once it names
        // something. One with a wrong entry is an error, so that it never comes to mean every address.
        section.finish_with(|key| {
            EmptyList::CountsAsAbsent(if key.starts_with("allow") {
                "every address that is not blocked is allowed, unless the other allow list names some"
            } else {
                "it blocks nothing"
            })
        });
        NetworkPolicy::new(Some(allow).filter(|allow| !allow.is_empty()), block)
    }

    fn net(&self, text: &Text, key: &str) -> Option<IpNet> {
        let trimmed = text.text.trim();
        let single = key.ends_with("_ips");
        let parsed = if single || !trimmed.contains('/') {
            let wanted = if single { "an IP address" } else { "a network such as 10.0.0.0/8" };
            let address = trimmed.parse::<IpAddr>();
            address.map(|ip| IpNet::from(ip.to_canonical())).map_err(|_| format!("is not {wanted}"))
        } else {
            network_of(trimmed)
        };
        match parsed {
            Ok(net) => {
                if net.prefix_len() == 0 && key.starts_with("allow") {
                    let family = if net.addr().is_ipv4() { "IPv4" } else { "IPv6" };
                    let message = format!("{trimmed:?} allows every {family} address");
                    self.document.warn(Some(text.line), &text.field, message);
                }
                Some(net)
            }
            Err(problem) => {
                let message = format!("{trimmed:?} {problem}");
                self.document.error(Some(text.line), &text.field, message);
                None
            }
        }
    }

    fn overrides(&self, section: Section<'_>, limits: &mut LimitTable) {
        if let Some(aliases) = section.section("aliases") {
            for (name, patch) in aliases.named_sections() {
                let line = patch.line;
                let field = aliases.path(name);
                match name.parse() {
                    Ok(alias) => {
                        if self.inventory.host(&alias).is_none() {
                            self.document.warn(
                                Some(line),
                                &field,
                                format!("no host has the alias {name}"),
                            );
                        }
                        limits.aliases.insert(alias, self.limits(patch));
                    }
                    Err(invalid) => self.document.error(Some(line), &field, invalid.problem),
                }
            }
        }
        if let Some(tags) = section.section("tags") {
            for (name, patch) in tags.named_sections() {
                let line = patch.line;
                let field = tags.path(name);
                match name.parse() {
                    Ok(tag) => {
                        if self.inventory.tagged(&tag).next().is_none() {
                            self.document.warn(
                                Some(line),
                                &field,
                                format!("no host has the tag {name}"),
                            );
                        }
                        limits.tags.insert(tag, self.limits(patch));
                    }
                    Err(invalid) => self.document.error(Some(line), &field, invalid.problem),
                }
            }
        }
        section.finish_strictly();
    }
}
