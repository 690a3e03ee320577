//! A person at a terminal, which `script` of util-linux makes: what is asked, what is seen, and that giving up works.

use std::io::{Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use sshepherd_testkit::{Pty, Sshd, TestUser};

use crate::site::{ALIAS, Site};

/// The command under a terminal of its own.
pub(crate) struct Person {
    child: Child,
    screen: ChildStdout,
    seen: String,
}

impl Person {
    pub(crate) fn at(site: &Site, words: &[&str]) -> Self {
        let serve = site.serve();
        let (program, rest) = serve.split_first().unwrap();
        // Everything after `serve` is folders; no word has a blank or a quote.
        let words = words.iter().map(|word| (*word).to_owned());
        let line: Vec<String> =
            std::iter::once(program.clone()).chain(rest[1..].to_vec()).chain(words).collect();
        Self::typing(&line.join(" "))
    }

    /// As if this line had been typed into a shell at that terminal.
    pub(crate) fn typing(line: &str) -> Self {
        let mut child = Command::new("script")
            .args(["-q", "-e", "-c", line, "/dev/null"])
            .env_remove("SSHEPHERD_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run script ({error}); install util-linux"));
        let screen = child.stdout.take().unwrap();
        Self { child, screen, seen: String::new() }
    }

    /// Reads until the screen shows `words` after what was read before.
    pub(crate) fn sees(&mut self, words: &str) {
        let mut new = String::new();
        let mut byte = [0];
        while !new.ends_with(words) {
            assert!(self.screen.read(&mut byte).unwrap() == 1, "no {words:?}: {new}");
            new.push(char::from(byte[0]));
        }
        self.seen += &new;
    }

    pub(crate) fn types(&mut self, keys: &str) {
        let keyboard = self.child.stdin.as_mut().unwrap();
        keyboard.write_all(keys.as_bytes()).unwrap();
        keyboard.flush().unwrap();
    }

    /// Everything on the screen, and the exit code.
    pub(crate) fn ends(mut self) -> (String, i32) {
        let mut rest = Vec::new();
        self.screen.read_to_end(&mut rest).unwrap();
        let code = self.child.wait().unwrap().code().unwrap();
        (self.seen + &String::from_utf8_lossy(&rest), code)
    }
}

fn asking() -> Option<(Site, TestUser)> {
    let user = match TestUser::ensure() {
        Ok(user) => user,
        Err(reason) => {
            assert!(!sshepherd_testkit::account::is_root(), "{reason}");
            return None;
        }
    };
    let server = Sshd::builder()
        .login_as(&user)
        .config_line("UsePAM yes")
        .config_line("KbdInteractiveAuthentication yes")
        .start();
    let site = Site::over(server);
    let entry = format!("  - {{name: test, username: {}, interactive: true}}\n", user.name());
    site.write("credentials.yml", &format!("entries:\n{entry}"));
    Some((site, user))
}

#[test]
fn a_host_asks_and_the_answer_is_not_seen() {
    let Some((site, user)) = asking() else { return };
    let mut person = Person::at(&site, &["run", ALIAS, "echo", "hello"]);
    person.sees("Password: ");
    person.types(&format!("{}\n", user.password()));
    let (screen, code) = person.ends();
    assert!(screen.contains(&format!("{ALIAS} asks sshepherd-test:")), "{screen}");
    assert!(screen.contains("\nhello\r\n"), "{screen}");
    assert_eq!(code, 0);
    assert!(!screen.contains(user.password()), "{screen}");
}

#[test]
fn giving_up_is_no_answer() {
    let Some((site, _)) = asking() else { return };
    let mut person = Person::at(&site, &["run", ALIAS, "echo", "hello"]);
    person.sees("Password: ");
    person.types("\u{3}");
    let (screen, code) = person.ends();
    assert!(screen.contains("nobody answered"), "{screen}");
    assert_eq!(code, 4);
}

#[test]
fn a_run_on_many_tells_how_it_gets_on() {
    let site = Site::new();
    let pipe = site.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    site.rules("  - {id: one, action: allow, commands: [\"dd *\"]}\n");
    site.write("sshepherd.yml", "audit: {path: audit.jsonl}\n");
    site.unreachable("far");
    let from = format!("if={}", pipe.display());
    let pty = at(&site, &["run", "--on", "all", "dd", &from, "bs=1", "count=1", "status=none"]);
    // Open for both, so that whoever comes late finds what was written.
    let mut pipe = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
    // One could not be reached, and two wait for their letter.
    for wanted in ["1/3 hosts", "1 failed  2 running: box.", "box.two"] {
        let shown = || String::from_utf8_lossy(&pty.output()).into_owned();
        assert!(pty.wait_for(0, wanted.as_bytes(), PATIENCE).is_some(), "{wanted}: {}", shown());
    }
    let before = pty.output().len();
    pipe.write_all(b"xx").unwrap();
    assert!(pty.wait_end(PATIENCE));
    let shown = String::from_utf8_lossy(&pty.output()[before..]).into_owned();
    assert!(shown.contains("box.one,box.two (2 hosts): exit status 0\r\n  x\r\n"), "{shown}");
    assert!(
        shown.ends_with("s\r\n") && shown.contains("2 of 3 hosts done; not done: far"),
        "{shown}"
    );
    // The line is gone before the results are written, and what a file keeps is not written beside them.
    let (_, results) = shown.split_once("far: could not connect").unwrap();
    assert!(!results.contains("running") && !shown.contains("seq"), "{shown}");
}

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The command under a terminal of 80 columns.
fn at(site: &Site, words: &[&str]) -> Pty {
    let serve = site.serve();
    let folders = serve.get(2..).unwrap().iter().map(String::as_str);
    let program = std::iter::once(serve.first().unwrap().as_str());
    let all: Vec<&str> = program.chain(folders).chain(words.iter().copied()).collect();
    Pty::spawn(&all, |command| {
        command.env_remove("SSHEPHERD_LOG").env("TERM", "xterm");
    })
}

/// The line would be written over the question, once a second.
#[test]
fn a_question_has_the_terminal_for_itself() {
    let Some((site, user)) = asking() else { return };
    let pty = at(&site, &["run", "--on", ALIAS, "echo", "hello"]);
    let asked = pty.wait_for(0, b"Password: ", PATIENCE).unwrap();
    // No event says that nothing is drawn: three ticks of the line are let pass.
    assert!(pty.wait_for(asked, b"hosts", Duration::from_secs(3)).is_none());
    pty.send(&format!("{}\n", user.password()));
    assert!(pty.wait_end(PATIENCE));
    let shown = String::from_utf8_lossy(&pty.output()).into_owned();
    assert!(shown.contains("box.one: exit status 0\r\n  hello\r\n"), "{shown}");
}
