//! A person at a terminal, which `script` of util-linux makes: what is asked, what is seen, and that giving up works.

use std::io::{Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use sshepherd_testkit::{Sshd, TestUser};

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
