//! One rule of `policy.yml`: by patterns as in the seed, or typed; checked against its own examples.

use std::time::Duration;

use sshepherd_model::Inventory;
use sshepherd_policy::{
    Action, Glob, Grants, Lasts, Position, Rule, SimpleCommand, Terms, recognise, steering, sudo,
};

use crate::document::{Document, EmptyList, Node, Section, Text};
use crate::typed;

/// Most seconds that a question stays open: a day.
const MAX_OPEN: u64 = 86_400;
/// Most minutes that a yes holds: a day.
const MAX_MINUTES: u32 = 1440;

/// Reads rules of one file. Without an inventory, which hosts there are does not matter.
pub(crate) struct Reader<'a> {
    pub(crate) document: &'a Document,
    pub(crate) inventory: Option<&'a Inventory>,
}

impl Reader<'_> {
    /// A rule; `None` when it has errors that leave nothing to judge by.
    pub(crate) fn rule(&self, node: &Node, path: &str) -> Option<Rule> {
        let section = Section::of(self.document, node, path)?;
        let before = self.document.errors();
        let action = self.action(&section);
        let aliases = self.globs(section.texts("aliases"));
        let tags = self.globs(section.texts("tags"));
        self.hosts_exist(&aliases, &tags);
        let commands = self.globs(section.texts("commands"));
        let typed = section.has_value("program");
        let spec = typed::spec(&section);
        self.one_kind(&section, typed, &commands, action);
        let only = |globs: Vec<(Glob, Text)>| globs.into_iter().map(|(glob, _)| glob).collect();
        let rule = Rule {
            id: section.text("id").map_or_else(|| path.to_owned(), |text| text.text),
            why: section.text("why").map(|text| text.text),
            position: Position { file: self.document.name(), line: section.line },
            action: action.unwrap_or(Action::Deny),
            aliases: only(aliases),
            tags: only(tags),
            commands: only(commands),
            spec,
            as_user: self.as_user(&section),
            terms: self.terms(&section, action),
            examples: section
                .texts("match")
                .unwrap_or_default()
                .into_iter()
                .map(|text| text.text)
                .collect(),
            shell_unrestricted: self.unrestricted(&section),
            grants: Grants {
                cwd: only(self.globs(section.texts("cwd"))),
                env: only(self.variables(&section)),
                stdin: section.boolean("stdin").unwrap_or(false),
            },
        };
        self.examples(&section, &rule, typed, before);
        if typed || rule.action == Action::Ask {
            section.finish_strictly();
        } else {
            section.finish_with(empty_list_of_the_seed);
        }
        // A typed rule whose specification has an error must not turn into one that matches something else.
        (action.is_some() && (rule.spec.is_some() || !typed)).then_some(rule)
    }

    fn action(&self, section: &Section<'_>) -> Option<Action> {
        let Some(text) = section.text("action") else {
            self.document.error(
                Some(section.line),
                &section.path("action"),
                "is required: allow, ask or deny",
            );
            return None;
        };
        match text.text.as_str() {
            "allow" => Some(Action::Allow),
            "ask" => Some(Action::Ask),
            "deny" => Some(Action::Deny),
            other => {
                let message = format!("{other:?} is neither allow, ask nor deny");
                self.document.error(Some(text.line), &text.field, message);
                None
            }
        }
    }

    /// A rule is by patterns or typed, and a typed one says what it is for.
    fn one_kind(
        &self,
        section: &Section<'_>,
        typed: bool,
        commands: &[(Glob, Text)],
        action: Option<Action>,
    ) {
        if !typed {
            if commands.is_empty() {
                let message = match action {
                    Some(Action::Deny) => {
                        "this deny rule denies nothing: it has neither program nor commands; to deny everything write \
                         commands: [\"*\"]"
                    }
                    _ => "the rule has neither program nor commands, so it matches nothing",
                };
                self.document.warn(Some(section.line), &section.path("commands"), message);
            }
            return;
        }
        if section.has_value("commands") {
            let message = "a rule has either program or commands; write two rules";
            self.document.error(
                Some(section.line_of("commands")),
                &section.path("commands"),
                message,
            );
        }
        if section.has_value("shell") {
            let message = "goes with commands only: a full shell is not one program";
            self.document.error(Some(section.line_of("shell")), &section.path("shell"), message);
        }
        for key in ["id", "why", "match"] {
            if !section.has_value(key) {
                let message = match key {
                    "match" => "is required with program: a list of commands that the rule is for",
                    _ => "is required with program",
                };
                self.document.error(Some(section.line), &section.path(key), message);
            }
        }
    }

    fn unrestricted(&self, section: &Section<'_>) -> bool {
        match section.text("shell") {
            Some(text) if text.text != "unrestricted" => {
                let message = format!("{:?} is not unrestricted, the only value", text.text);
                self.document.error(Some(text.line), &text.field, message);
                false
            }
            shell => shell.is_some(),
        }
    }

    pub(crate) fn as_user(&self, section: &Section<'_>) -> Option<String> {
        let text = section.text("as")?;
        if section.has_value("shell") {
            let message = "goes with single commands only, not with a full shell";
            self.document.error(Some(text.line), &text.field, message);
        }
        if sudo::is_account(&text.text) {
            return Some(text.text);
        }
        let message = format!("{:?} is no name of an account", text.text);
        self.document.error(Some(text.line), &text.field, message);
        None
    }

    pub(crate) fn terms(&self, section: &Section<'_>, action: Option<Action>) -> Terms {
        let mut terms = Terms::default();
        let Some(approval) = section.section("approval") else { return terms };
        if action.is_some_and(|action| action != Action::Ask) {
            let key = if section.has_value("shells") { "shells" } else { "action" };
            let message = format!("nobody would be asked; write {key}: ask, or leave approval out");
            self.document.error(Some(approval.line), &section.path("approval"), message);
        }
        if let Some(by) = approval.texts("by") {
            terms.by = by.into_iter().map(|text| text.text).collect();
        }
        if let Some(text) = approval.text("for") {
            match lasts(&text.text) {
                Some(lasts) => terms.lasts = lasts,
                None => {
                    let message = format!(
                        "{:?} is neither once, task nor a number of minutes such as 10m",
                        text.text
                    );
                    self.document.error(Some(text.line), &text.field, message);
                }
            }
        }
        if let Some(out_of_band) = approval.boolean("out_of_band") {
            terms.out_of_band = out_of_band;
        }
        if let Some(seconds) = approval.integer("expires", 10..=MAX_OPEN) {
            terms.expires = Duration::from_secs(seconds);
        }
        approval.finish_strictly();
        terms
    }

    pub(crate) fn globs(&self, texts: Option<Vec<Text>>) -> Vec<(Glob, Text)> {
        let glob = |text: Text| match Glob::new(text.text.trim()) {
            Ok(glob) => Some((glob, text)),
            Err(bad) => {
                self.document.error(Some(text.line), &text.field, bad.to_string());
                None
            }
        };
        texts.unwrap_or_default().into_iter().filter_map(glob).collect()
    }

    /// Names of variables; a pattern that reaches none is most likely meant to.
    pub(crate) fn variables(&self, section: &Section<'_>) -> Vec<(Glob, Text)> {
        let globs = self.globs(section.texts("env"));
        for (glob, text) in globs.iter().filter(|(glob, _)| !glob.is_literal()) {
            if let Some(remark) = steering::remark(glob) {
                self.document.warn(Some(text.line), &text.field, remark);
            }
        }
        globs
    }

    /// A rule for a host that is not there is most likely misspelt.
    pub(crate) fn hosts_exist(&self, aliases: &[(Glob, Text)], tags: &[(Glob, Text)]) {
        let both = aliases.iter().chain(tags);
        let strange = both.filter(|(_, text)| !self.names_hosts(text)).count();
        let Some(inventory) = self.inventory.filter(|_| strange == 0) else { return };
        let hosts = inventory.hosts();
        for (glob, text) in aliases {
            if !hosts.iter().any(|host| glob.matches(host.alias.as_str())) {
                self.document.warn(
                    Some(text.line),
                    &text.field,
                    format!("no host has the alias {glob}"),
                );
            }
        }
        for (glob, text) in tags {
            if !hosts.iter().any(|host| host.tags.iter().any(|tag| glob.matches(tag.as_str()))) {
                self.document.warn(
                    Some(text.line),
                    &text.field,
                    format!("no host has the tag {glob}"),
                );
            }
        }
    }

    /// Whether a pattern can be one of an alias or a tag; it is no selector (`@tag`, `!host`, `a,b`).
    fn names_hosts(&self, text: &Text) -> bool {
        let pattern = text.text.trim();
        let of_names = |c: char| c.is_alphanumeric() || "._-*?[]!^\\".contains(c);
        let problem = if let Some(tag) = pattern.strip_prefix('@') {
            format!("no name begins with @; for the hosts with a tag write tags: [{tag}]")
        } else if let Some(left_out) = pattern.strip_prefix('!') {
            format!(
                "no name begins with !; name the hosts that are meant, and write a rule of its own with action: deny for \
                 {left_out}"
            )
        } else if pattern.contains([',', ' ']) {
            let names: Vec<&str> =
                pattern.split([',', ' ']).filter(|name| !name.is_empty()).collect();
            format!("is one name; write [{}]", names.join(", "))
        } else if let Some(strange) = pattern.chars().find(|c| !of_names(*c)) {
            format!("no name holds {strange:?}; write the names, or a pattern such as web*")
        } else {
            return true;
        };
        self.document.error(Some(text.line), &text.field, format!("{pattern:?}: {problem}"));
        false
    }

    /// Tries the rule on the examples that it gives for itself. When the rule has errors of its own, they say enough.
    fn examples(&self, section: &Section<'_>, rule: &Rule, typed: bool, errors_before: usize) {
        // Their shapes were looked at when the rule was made.
        let wanted = section.texts("match").unwrap_or_default();
        let unwanted = section.texts("not_match").unwrap_or_default();
        if self.document.errors() > errors_before || (typed && rule.spec.is_none()) {
            return;
        }
        for text in wanted {
            if let Err(problem) = fits(rule, &text.text) {
                let message =
                    format!("{:?} should match the rule and does not: {problem}", text.text);
                self.document.error(Some(text.line), &text.field, message);
            }
        }
        for text in unwanted {
            if fits(rule, &text.text).is_ok() {
                let message = format!("{:?} should not match the rule, but does", text.text);
                self.document.error(Some(text.line), &text.field, message);
            }
        }
    }
}

/// The seed's files write `[]` for what they leave out; what is ours alone is never written so.
fn empty_list_of_the_seed(key: &str) -> EmptyList {
    match key {
        "aliases" => EmptyList::CountsAsAbsent("the rule is for hosts of every name"),
        "tags" => EmptyList::CountsAsAbsent("the rule is for hosts with any tags or none"),
        "commands" => EmptyList::CountsAsAbsent("the rule matches nothing"),
        _ => EmptyList::Refused,
    }
}

/// Whether every simple command of a text is one that the rule speaks of.
fn fits(rule: &Rule, text: &str) -> Result<(), String> {
    if rule.shell_unrestricted {
        return if rule.matches_line(text) { Ok(()) } else { Err("no pattern matches".to_owned()) };
    }
    let script = recognise(text).map_err(|refusal| refusal.to_string())?;
    script.commands().iter().try_for_each(|command| fits_one(rule, command))
}

fn fits_one(rule: &Rule, command: &SimpleCommand) -> Result<(), String> {
    if rule.action == Action::Deny {
        return if rule.hits(command) { Ok(()) } else { Err("it is not hit".to_owned()) };
    }
    let admitted = rule.admits(command).map(drop);
    admitted.map_err(|mismatch| match &rule.spec {
        Some(spec) => mismatch.message(spec.program().name()),
        None => "no pattern matches".to_owned(),
    })
}

fn lasts(text: &str) -> Option<Lasts> {
    match text {
        "once" => Some(Lasts::Once),
        "task" => Some(Lasts::Task),
        other => {
            let minutes = other.strip_suffix('m')?.parse().ok()?;
            (1..=MAX_MINUTES).contains(&minutes).then_some(Lasts::Minutes(minutes))
        }
    }
}
