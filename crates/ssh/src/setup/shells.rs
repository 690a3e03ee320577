//! The texts under every shell of this machine, on real terminals, without SSH: each as the account's own.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sshepherd_model::LoginShell;
use sshepherd_testkit::{Pty, processes};
use tempfile::TempDir;

use super::{Echo, Greeted, Greeting, Program, echo_state_text, parse_echo, text};

const NONCE: &str = "0123456789abcdef";
const LIMIT: Duration = Duration::from_secs(30);

/// An account with some shell and a home of its own.
struct Account {
    shell: String,
    home: TempDir,
    path: String,
    cookie: String,
}

impl Account {
    /// `None` where the shell is not installed. `busybox` is an account whose shell is its `ash`.
    fn new(name: &str) -> Option<Self> {
        let path = std::env::var("PATH").unwrap();
        let found = path.split(':').map(|folder| format!("{folder}/{name}"));
        let found = found.into_iter().find(|path| std::path::Path::new(path).exists())?;
        let home = tempfile::tempdir().unwrap();
        let shell = if name == "busybox" {
            let ash = home.path().join("ash");
            std::os::unix::fs::symlink(found, &ash).unwrap();
            ash.display().to_string()
        } else {
            found
        };
        std::fs::create_dir(home.path().join("tmp")).unwrap();
        // Else fish's first start makes completions from all manual pages, in the background.
        std::fs::create_dir_all(home.path().join(".local/share/fish/generated_completions"))
            .unwrap();
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let cookie =
            format!("task:{:08x}:{:08x}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        Some(Self { shell, home, path, cookie })
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn kind(&self) -> LoginShell {
        if self.shell.ends_with("fish") || self.shell.ends_with("csh") {
            LoginShell::Fish
        } else {
            LoginShell::Posix
        }
    }

    fn surroundings(&self, command: &mut Command) {
        let (home, tmp) = (self.home.path(), self.home.path().join("tmp"));
        command.env_clear().env("SHELL", &self.shell).env("HOME", home).current_dir(home);
        command.env("TMPDIR", &tmp).env("TMUX_TMPDIR", &tmp).env("SCREENDIR", &tmp);
        command.env("TERM", "xterm").env("LANG", "C.UTF-8").env("PATH", &self.path);
    }

    /// A terminal on which the account's shell was given the text for `program`, and what it greeted with.
    fn start(&self, program: &Program<'_>) -> (Terminal, Result<Greeted, String>) {
        let env = [("GIVEN".to_owned(), "it's \\n $HOME".to_owned())];
        let text = text(self.kind(), program, true, &self.cookie, NONCE);
        let pty = Pty::spawn(&[&self.shell, "-c", &text], |command| self.surroundings(command));
        let asks = pty.wait_for(0, format!("sshepherd-{NONCE} ?\r\n").as_bytes(), LIMIT);
        assert!(asks.is_some(), "{}: {}", self.shell, String::from_utf8_lossy(&pty.output()));
        pty.send(&crate::launch::typed_variables(&env, NONCE));
        let needle = format!("sshepherd-{NONCE} ");
        let end = pty.wait_for(asks.unwrap_or_default(), needle.as_bytes(), LIMIT);
        let end = end.and_then(|start| pty.wait_for(start, b"\n", LIMIT));
        let shown = String::from_utf8_lossy(&pty.output()).into_owned();
        let end = end.unwrap_or_else(|| panic!("{}: no greeting: {shown}", self.shell));
        let mut greeting = Greeting::new(NONCE);
        let said = greeting.feed(&pty.output()[asks.unwrap_or_default()..end]).greeting.unwrap();
        (Terminal { pty, at: 0 }, said)
    }
}

/// A terminal that is read on and on.
struct Terminal {
    pty: Pty,
    at: usize,
}

impl Terminal {
    /// Reads up to and including `text`.
    fn until(&mut self, text: &str) -> String {
        let end = self.pty.wait_for(self.at, text.as_bytes(), LIMIT);
        let output = self.pty.output();
        let Some(end) = end else {
            panic!("no {text:?} in {:?}", String::from_utf8_lossy(&output[self.at..]));
        };
        let read = String::from_utf8_lossy(&output[self.at..end]).into_owned();
        self.at = end;
        read
    }

    fn mark(&mut self, mark: &str) -> String {
        let mark = format!("\x1b]133;{mark};sshepherd={NONCE}\x07");
        self.until(&mark)
    }
}

/// An agent that is quick enough may type before the variables come; none of it is run.
#[test]
fn a_line_that_is_not_ours_is_not_run_as_a_variable() {
    for (account, _) in every_shell() {
        let file = account.home.path().join("ran");
        let typed = format!("touch {}\n", file.display());
        let variables = crate::launch::typed_variables(&[("A".to_owned(), "1".to_owned())], NONCE);
        let program = Program::Command("echo started");
        let text = text(account.kind(), &program, true, &account.cookie, NONCE);
        let pty =
            Pty::spawn(&[&account.shell, "-c", &text], |command| account.surroundings(command));
        let asks = pty.wait_for(0, b" ?\r\n", LIMIT).unwrap();
        pty.send(&format!("{typed}{variables}"));
        let refused = format!("sshepherd-{NONCE} ! typed\r\n");
        let end = pty.wait_for(asks, refused.as_bytes(), LIMIT);
        let shown = String::from_utf8_lossy(&pty.output()).into_owned();
        assert!(end.is_some() && pty.wait_end(LIMIT), "{}: {shown}", account.shell);
        assert!(!file.exists() && !shown.contains("started"), "{}: {shown}", account.shell);
    }
}

fn every_shell() -> Vec<(Account, &'static str)> {
    let all = [
        ("bash", "bash"),
        ("zsh", "zsh"),
        ("fish", "fish"),
        ("dash", "sh"),
        ("busybox", "sh"),
        ("mksh", "sh"),
    ];
    all.into_iter().filter_map(|(name, kind)| Some((Account::new(name)?, kind))).collect()
}

#[test]
fn every_prompt_is_marked_with_the_status_of_what_ran_before() {
    for (account, kind) in every_shell() {
        let (mut terminal, said) = account.start(&Program::LoginShell);
        let said = said.unwrap();
        let expected = Greeted {
            pid: terminal.pty.pid(),
            tty: Some(terminal.pty.name().to_owned()),
            kind: kind.to_owned(),
            marks: true,
        };
        assert_eq!(said, expected, "{}", account.shell);
        terminal.mark("D;0");
        for (line, status) in [("true", 0), ("false", 1), ("sh -c 'exit 3'", 3), ("true", 0)] {
            terminal.mark("A");
            terminal.mark("B");
            terminal.pty.send(&format!("{line}\r"));
            if kind != "sh" {
                terminal.mark("C");
            }
            terminal.mark(&format!("D;{status}"));
        }
        terminal.mark("B");
        terminal.pty.send("exit\r");
        assert!(terminal.pty.wait_end(LIMIT), "{}", account.shell);
    }
}

/// Types a line at a marked prompt: what it printed, until the next prompt's mark.
fn answer(terminal: &mut Terminal, line: &str) -> String {
    terminal.mark("B");
    terminal.pty.send(&format!("{line}\r"));
    terminal.until("\x1b]133;D;")
}

#[test]
fn the_accounts_own_files_are_read_and_its_prompt_and_hooks_go_on() {
    for (account, kind) in every_shell() {
        let note = |name: &str| format!("SEEN=\"$SEEN {name}\"\n");
        match kind {
            "bash" => {
                account.file(".bash_profile", &format!("{}. ~/.bashrc\n", note("profile")));
                let hook = "PROMPT_COMMAND='HOOK=$?; PS1=\"mine:$HOOK \"'; set -u; export PS1\n";
                account.file(".bashrc", &format!("{}{hook}", note("rc")));
                account.file(".profile", &note("wrong"));
            }
            "zsh" => {
                for name in ["zshenv", "zprofile", "zshrc", "zlogin"] {
                    account.file(&format!(".{name}"), &note(name));
                }
                let hook =
                    "precmd() { HOOK=$?; export PS1=\"mine:$HOOK \" }; setopt ksharrays nounset\n";
                account.file(".zshrc", &format!("{}{hook}", note("zshrc")));
            }
            "fish" => {
                account.file(".config/fish/config.fish", "set SEEN config\nfunction fish_prompt; set -g HOOK $status; echo -n \"mine:$HOOK \"; end\n");
            }
            _ => {
                let env = "ENV=$HOME/.shrc; export ENV\n";
                account.file(".profile", &format!("{}{env}", note("profile")));
                account.file(
                    ".shrc",
                    &format!("{}PS1='mine:$? '; export PS1; HOOK=7; set -u\n", note("rc")),
                );
            }
        }
        let expected = match kind {
            "bash" => "seen  profile rc 7 it's \\n $HOME",
            "zsh" => "seen  zshenv zprofile zshrc zlogin 7 it's \\n $HOME",
            "fish" => "seen config 7 it's \\n $HOME",
            _ => "seen  profile rc 7 it's \\n $HOME",
        };
        let (mut terminal, said) = account.start(&Program::LoginShell);
        assert!(said.unwrap().marks, "{}", account.shell);
        answer(&mut terminal, "sh -c 'exit 7'");
        terminal.mark("A");
        terminal.until("mine:7 ");
        let said = answer(&mut terminal, "printf '%s ' seen \"$SEEN\" \"$HOOK\" \"$GIVEN\"");
        assert!(said.contains(expected), "{}: {said:?}", account.shell);
        // What programs are given names neither the nonce nor what was lent.
        let said = answer(
            &mut terminal,
            "env | grep -c -e '0123456789abcde[f]' -e KEPT -e fd/9 -e tmp/sshepherd | sed 's/^/count=/'",
        );
        assert!(said.contains("count=0\r\n"), "{}: {said:?}", account.shell);
        let pid = terminal.pty.pid();
        for file in ["environ", "cmdline"] {
            let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(!text.contains(NONCE), "{} {file}: {text}", account.shell);
        }
        if kind != "fish" {
            let left = std::fs::read_dir(account.home.path().join("tmp")).unwrap().count();
            assert_eq!(left, 0, "{}", account.shell);
        }
    }
}

/// What a shell says of itself, started by the text or by hand.
#[test]
fn bash_is_a_login_shell_with_the_options_of_one() {
    let Some(account) = Account::new("bash") else { return };
    account.file(".bash_profile", "PS1='mine '\n");
    let line = "clear; shopt; set -o; echo \"$- $HISTFILE $SHLVL ${ENV-none} ${POSIXLY_CORRECT-none}\"; history; echo en''d";
    let (mut terminal, _) = account.start(&Program::LoginShell);
    terminal.mark("B");
    terminal.pty.send(&format!("{line}\r"));
    terminal.until("\x07");
    let ours = terminal.until("end\r\n");
    let pty = Pty::spawn(&[&account.shell, "-l"], |command| account.surroundings(command));
    let mut terminal = Terminal { pty, at: 0 };
    terminal.until("mine ");
    terminal.pty.send(&format!("{line}\r"));
    let plain = terminal.until("end\r\n");
    let plain = plain.split_once("autocd").unwrap().1;
    assert_eq!(ours.split_once("autocd").unwrap().1, plain);
    assert!(plain.contains(".bash_history 1 none none"), "{plain}");
}

#[test]
fn a_command_takes_the_place_of_the_shell() {
    for (account, _) in every_shell() {
        let line = "printf '%s\\n' \"$GIVEN $SSHEPHERD_TASK $$\"; tty; exit 3";
        let (mut terminal, said) = account.start(&Program::Command(line));
        let said = said.unwrap();
        assert_eq!((said.kind.as_str(), said.marks), ("none", false));
        let expected = format!(
            "it's \\n $HOME {} {}\r\n{}\r\n",
            account.cookie,
            said.pid,
            terminal.pty.name()
        );
        terminal.until(&expected);
        assert!(terminal.pty.wait_end(LIMIT));
    }
}

#[test]
fn where_prompts_cannot_be_marked_the_shell_starts_as_it_is() {
    if let Some(account) = Account::new("zsh") {
        account.file(".zshrc", "PS1='mine> '\n");
        std::fs::remove_dir(account.home.path().join("tmp")).unwrap();
        let (mut terminal, said) = account.start(&Program::LoginShell);
        let said = said.unwrap();
        assert_eq!((said.kind.as_str(), said.marks), ("zsh", false));
        terminal.until("mine> ");
    }
    let account = Account::new("cat").unwrap();
    let script = account.home.path().join("appliance");
    std::fs::write(
        &script,
        "#!/bin/sh\n[ \"$1\" != -c ] || exec sh -c \"$2\"\necho menu $#\nread x\n",
    )
    .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&script, mode).unwrap();
    let account = Account { shell: script.display().to_string(), ..account };
    let (mut terminal, said) = account.start(&Program::LoginShell);
    let said = said.unwrap();
    assert_eq!((said.kind.as_str(), said.marks), ("none", false));
    terminal.until("menu 0");
}

/// The account's `sh`, which runs the text, may be any.
#[test]
fn whatever_sh_is_the_marks_are_the_same() {
    for (account, _) in every_shell().into_iter().filter(|(_, kind)| *kind != "fish") {
        let bin = account.home.path().join("bin");
        let account = Account { path: format!("{}:{}", bin.display(), account.path), ..account };
        for sh in ["bash", "dash", "busybox", "mksh", "zsh"] {
            let Some(program) = Account::new(sh) else { continue };
            let link = bin.join("sh");
            std::fs::create_dir_all(&bin).unwrap();
            let _absent = std::fs::remove_file(&link);
            let program = std::fs::canonicalize(program.shell).unwrap();
            std::os::unix::fs::symlink(program, &link).unwrap();
            let (mut terminal, said) = account.start(&Program::LoginShell);
            assert!(said.unwrap().marks, "{} {sh}", account.shell);
            answer(&mut terminal, "(exit 5)");
            terminal.mark("A");
            let left = std::fs::read_dir(account.home.path().join("tmp")).unwrap().count();
            assert_eq!(left, 0, "{} {sh}", account.shell);
        }
    }
}

/// As a second channel would ask, with the shells' own `sh`.
fn echo_state(tty: &str) -> Option<Echo> {
    let text = echo_state_text(tty);
    let output = Command::new("bash").args(["-c", &text]).output().unwrap();
    parse_echo(&output.stdout)
}

#[test]
fn the_state_of_a_terminal_is_told() {
    let account = Account::new("bash").unwrap();
    let (mut terminal, said) = account.start(&Program::LoginShell);
    let tty = said.unwrap().tty.unwrap();
    let cases = [
        ("", Echo { echo: false, canonical: false }),
        ("read -s -p ask''ed: x", Echo { echo: false, canonical: true }),
        ("echo ask''ed:; cat", Echo { echo: true, canonical: true }),
    ];
    for (line, state) in cases {
        terminal.mark("B");
        if !line.is_empty() {
            terminal.pty.send(&format!("{line}\r"));
            terminal.until("asked:");
        }
        // The mark comes just before the line editor takes the terminal over.
        let deadline = std::time::Instant::now() + LIMIT;
        while echo_state(&tty) != Some(state) {
            assert!(std::time::Instant::now() < deadline, "{line}: {:?}", echo_state(&tty));
        }
        terminal.pty.send(if line.is_empty() { "true\r" } else { "\r\x04" });
    }
    assert_eq!(echo_state("/dev/null"), None);
}

fn persistent<'a>(command: Option<&'a str>, resume: bool) -> Program<'a> {
    Program::Persistent { name: "deploy", command, resume }
}

/// Only these, so that the multiplexer is the wanted one.
fn only(account: &Account, programs: &[&str]) -> String {
    let bin = account.home.path().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    for program in
        ["setsid", "sh", "bash", "tty", "rm", "env", "id", "cat", "sleep"].iter().chain(programs)
    {
        let found = Account::new(program).unwrap().shell;
        let _there = std::os::unix::fs::symlink(found, bin.join(program));
    }
    bin.display().to_string()
}

#[test]
fn a_session_outlives_its_terminal_and_is_gone_on_with() {
    use std::os::unix::fs::PermissionsExt;
    for kind in ["tmux", "screen"] {
        if Account::new(kind).is_none() {
            assert!(std::env::var_os("SSHEPHERD_TEST_SHELLS").is_some(), "{kind} is missing");
            continue;
        }
        let account = Account::new("bash").unwrap();
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(account.home.path().join("tmp"), private).unwrap();
        account.file(".bash_profile", "PS1='mine> '\n");
        let account = Account { path: only(&account, &[kind]), ..account };
        let (_, said) = account.start(&persistent(None, true));
        assert_eq!(said, Err("gone".to_owned()), "{kind}");
        let (mut terminal, said) = account.start(&persistent(None, false));
        let said = said.unwrap();
        assert_eq!((said.kind.as_str(), said.marks), (kind, false));
        assert_eq!(said.tty.is_some(), kind == "tmux");
        terminal.until("mine> ");
        terminal.pty.send("echo fir''st $SSHEPHERD_TASK; tty\r");
        terminal.until(&format!("first {}", account.cookie));
        terminal.until(said.tty.as_deref().unwrap_or("/dev/"));
        // The connection goes.
        drop(terminal);
        let (_, said) = account.start(&persistent(None, false));
        assert_eq!(said, Err("exists".to_owned()), "{kind}");
        let (mut terminal, said) = account.start(&persistent(None, true));
        assert_eq!(said.unwrap().kind, kind);
        terminal.until(&format!("first {}", account.cookie));
        terminal.pty.send("exit\r");
        assert!(terminal.pty.wait_end(LIMIT), "{kind}");
        // The client ends a moment before its server.
        let left = processes::wait_env_gone(&format!("SSHEPHERD_TASK={}", account.cookie), LIMIT);
        assert_eq!(left, Vec::<u32>::new(), "{kind}");
        let (_, said) = account.start(&persistent(None, true));
        assert_eq!(said, Err("gone".to_owned()), "{kind}");
        let (mut terminal, _) = account.start(&persistent(Some("echo qui''ck"), false));
        terminal.until("quick");
        assert!(terminal.pty.wait_end(LIMIT), "{kind}");
    }
    let account = Account::new("bash").unwrap();
    let account = Account { path: only(&account, &[]), ..account };
    for resume in [false, true] {
        let (_, said) = account.start(&persistent(None, resume));
        assert_eq!(said, Err("no-multiplexer".to_owned()));
    }
}

/// What is typed with the greeting reaches the program, and no key of the multiplexer is among it.
#[test]
fn a_multiplexer_takes_no_key_for_its_own_from_the_first_on() {
    use std::os::unix::fs::PermissionsExt;
    for kind in ["tmux", "screen"] {
        if Account::new(kind).is_none() {
            assert!(std::env::var_os("SSHEPHERD_TEST_SHELLS").is_some(), "{kind} is missing");
            continue;
        }
        let account = Account::new("bash").unwrap();
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(account.home.path().join("tmp"), private).unwrap();
        let account = Account { path: only(&account, &[kind]), ..account };
        let reader = "while read -r x; do echo \"got <$x>\"; [ \"$x\" != end ] || exit 0; done";
        let (mut terminal, said) = account.start(&persistent(Some(reader), false));
        assert_eq!(said.unwrap().kind, kind);
        terminal.pty.send("\x01cone\r\x02ctwo\rend\r");
        for line in ["cone>", "ctwo>", "got <end>"] {
            terminal.until(line);
        }
        assert!(terminal.pty.wait_end(LIMIT), "{kind}");
    }
}
