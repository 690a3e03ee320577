//! Rules about interactive shells: items of `rules` in `policy.yml` that have the key `shells`.

use regex::{Regex, RegexBuilder};
use sshepherd_policy::{Action, Grants, Position, Rule, ShellGrant, ShellRule, TypedSecret};

use crate::document::{Node, Section, Text};
use crate::rules::Reader;
use crate::typed;

/// Longest pattern of a prompt, compiled, in bytes.
const MAX_PATTERN: usize = 1 << 16;

/// Why a secret that is typed into a shell is no secret from whoever may type there.
const TYPED: &str = "whoever may type in this shell can get this secret: a program in the background that reads the same \
    terminal holds the line before `program` does, and a start-up file of the account can answer every check. Leave it \
    out, and write a rule with `as: root` and the programs: they run through `sudo -n` and need no password";

impl Reader<'_> {
    /// Whether an item of `rules` speaks of shells.
    pub(crate) fn is_about_shells(node: &Node) -> bool {
        node.has_key("shells")
    }

    /// A rule about shells; `None` when it has errors.
    pub(crate) fn shell_rule(&self, node: &Node, path: &str) -> Option<ShellRule> {
        let section = Section::of(self.document, node, path)?;
        let before = self.document.errors();
        let action = self.shells_action(&section);
        let aliases = self.globs(section.texts("aliases"));
        let tags = self.globs(section.texts("tags"));
        self.hosts_exist(&aliases, &tags);
        let commands = self.globs(section.texts("commands"));
        let spec = typed::spec(&section);
        if spec.is_some() && !commands.is_empty() {
            let message = "a rule has either program or commands; write two rules";
            self.document.error(
                Some(section.line_of("commands")),
                &section.path("commands"),
                message,
            );
        }
        let only = |globs: Vec<(sshepherd_policy::Glob, Text)>| {
            globs.into_iter().map(|(glob, _)| glob).collect()
        };
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
            examples: Vec::new(),
            shell_unrestricted: false,
            grants: Grants { env: only(self.variables(&section)), ..Grants::default() },
        };
        let grant = ShellGrant {
            persistent: section.boolean("persistent").unwrap_or(false),
            recording: section.boolean("recording").unwrap_or(true),
            audit_input: section.boolean("audit_input").unwrap_or(false),
            secrets: self.typed_secrets(&section),
        };
        self.whole_shell(&section, &rule);
        section.finish_strictly();
        (self.document.errors() == before).then_some(ShellRule { rule, grant })
    }

    fn shells_action(&self, section: &Section<'_>) -> Option<Action> {
        let text = section.text("shells")?;
        let action = match text.text.as_str() {
            "allow" => Action::Allow,
            "ask" => Action::Ask,
            "deny" => Action::Deny,
            other => {
                let message = format!("{other:?} is neither allow, ask nor deny");
                self.document.error(Some(text.line), &text.field, message);
                return None;
            }
        };
        if section.any("action").is_some() {
            let message = "goes with commands; for shells, `shells` itself says allow, ask or deny";
            self.document.error(Some(section.line_of("action")), &section.path("action"), message);
        }
        Some(action)
    }

    /// A rule that closes shells closes all of them; one that opens the log-in shell names no account, for that is the
    /// account that logs in.
    fn whole_shell(&self, section: &Section<'_>, rule: &Rule) {
        let limited = rule.spec.is_some() || !rule.commands.is_empty();
        if rule.action == Action::Deny && limited {
            let key = if rule.spec.is_some() { "program" } else { "commands" };
            let message =
                "`shells: deny` closes every shell; forbid a program with a rule of its own";
            self.document.error(Some(section.line_of(key)), &section.path(key), message);
        }
        if rule.as_user.is_some() && !limited {
            let message = "goes with program or commands only; the log-in shell is the account's that logs in";
            self.document.error(Some(section.line_of("as")), &section.path("as"), message);
        }
    }

    fn typed_secrets(&self, section: &Section<'_>) -> Vec<TypedSecret> {
        let mut secrets = Vec::new();
        for (node, path) in section.list("secrets").unwrap_or_default() {
            let Some(item) = Section::of(self.document, node, &path) else { continue };
            self.document.warn(Some(item.line), &path, TYPED);
            match (item.text("name"), item.text("prompt")) {
                (Some(name), Some(prompt)) => {
                    let program = self.asking_program(&item);
                    let prompt = self.prompt(&prompt);
                    secrets.extend(
                        prompt.map(|prompt| TypedSecret { name: name.text, prompt, program }),
                    );
                }
                _ => self.document.error(
                    Some(item.line),
                    &path,
                    "wants `name`, a secret's name, and `prompt`, a regular expression for the line that asks for it",
                ),
            }
            item.finish_strictly();
        }
        secrets
    }

    fn prompt(&self, text: &Text) -> Option<Regex> {
        let problem = match RegexBuilder::new(&text.text).size_limit(MAX_PATTERN).build() {
            Ok(regex) if !regex.is_match("") => return Some(regex),
            Ok(_) => {
                "matches an empty line, so the secret could be typed anywhere; write out the prompt"
                    .to_owned()
            }
            Err(error) => error.to_string(),
        };
        self.document.error(Some(text.line), &text.field, problem);
        None
    }

    fn asking_program(&self, item: &Section<'_>) -> Option<String> {
        let program = item.text("program")?;
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+._-".contains(&byte);
        if program.text.is_empty() || !program.text.bytes().all(known) {
            let message = format!("{:?} is no plain name of a program", program.text);
            self.document.error(Some(program.line), &program.field, message);
        }
        Some(program.text)
    }
}
