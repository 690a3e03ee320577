//! What is typed into a terminal before the host has said what runs there: nothing else may read it.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

use bytes::Bytes;
use sshepherd_ssh::{Closed, Interactive, Opening, Size, TerminalEvent};
use sshepherd_testkit::Sshd;

use crate::common::{LIMIT, cookie, pool, target};

/// Opens a terminal, types before a word of the host is read, and reads up to `text`; what was shown, and whether the
/// typing was taken.
async fn at_once(
    server: &Sshd,
    program: Interactive,
    env: &[(&str, &str)],
    typed: String,
    text: &str,
) -> (String, Result<(), Closed>) {
    let pool = pool();
    let ready = pool.open(Arc::new(target(server))).await.unwrap();
    let opening = Opening {
        program,
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        term: "xterm".to_owned(),
        size: Size { cols: 200, rows: 24 },
        cookie: cookie(),
    };
    let mut terminal = ready.terminal(opening).await.unwrap();
    let keyboard = terminal.keyboard();
    let reading = async {
        let mut seen = String::new();
        while !seen.contains(text) {
            let event = tokio::time::timeout(LIMIT, terminal.next()).await;
            let event = event.unwrap_or_else(|_| panic!("no {text:?} in {seen:?}"));
            match event.unwrap() {
                TerminalEvent::Output(bytes) => seen.push_str(&String::from_utf8_lossy(&bytes)),
                TerminalEvent::Greeted(_) => {}
                last @ (TerminalEvent::Refused(_)
                | TerminalEvent::Exited { .. }
                | TerminalEvent::Signalled { .. }
                | TerminalEvent::Lost { .. }) => panic!("{last:?} after {seen:?}"),
            }
        }
        seen
    };
    let (taken, seen) = tokio::join!(keyboard.send(Bytes::from(typed)), reading);
    (seen, taken)
}

/// Says what it reads, so that it is told from an echo.
const READER: &str = "while read -r x; do echo \"got <$x>\"; done";

#[tokio::test]
async fn what_is_typed_at_once_is_not_run_where_variables_are_to_come() {
    let server = Sshd::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ran");
    let line = format!("touch {}", file.display());
    let reader = || Interactive::Command(READER.to_owned());
    let (seen, taken) =
        at_once(&server, reader(), &[("GIVEN", "1")], format!("{line}\r"), "got <").await;
    assert_eq!(taken, Ok(()), "{seen}");
    assert!(!file.exists(), "{seen}");
    let (seen, _) =
        at_once(&server, reader(), &[("GIVEN", "1")], "a\rb\r".to_owned(), "got <b>").await;
    assert!(seen.contains("got <a>"), "{seen}");
}

#[tokio::test]
async fn keys_of_screen_that_are_typed_at_once_are_the_programs() {
    let Some(screen) = installed("screen") else {
        assert!(std::env::var_os("SSHEPHERD_TEST_SHELLS").is_some(), "screen is missing");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    symlink(screen, bin.join("screen")).unwrap();
    for program in ["sh", "bash", "tty", "sleep", "rm", "env", "id"] {
        symlink(installed(program).unwrap(), bin.join(program)).unwrap();
    }
    let sockets = folder.path().join("sockets");
    std::fs::create_dir(&sockets).unwrap();
    std::fs::set_permissions(&sockets, std::fs::Permissions::from_mode(0o700)).unwrap();
    let set = format!("SetEnv PATH={} SCREENDIR={}", bin.display(), sockets.display());
    let server = Sshd::builder().config_line(&set).start();
    let program = Interactive::Persistent {
        name: cookie().replace(':', "-"),
        command: Some(READER.replace("\"got <$x>\"", "\"got <$x>\"; [ \"$x\" != end ] || exit 0")),
        resume: false,
    };
    let typed = "\x01cfirst\r\x01:screen\rend\r".to_owned();
    let (seen, taken) = at_once(&server, program, &[], typed, "got <end").await;
    assert_eq!(taken, Ok(()), "{seen}");
    assert!(seen.contains("cfirst"), "{seen}");
}

#[tokio::test]
async fn what_is_typed_at_once_into_the_accounts_shell_arrives() {
    let typed = "echo ar''rived\r".to_owned();
    let (_, taken) = at_once(&Sshd::start(), Interactive::LoginShell, &[], typed, "arrived").await;
    assert_eq!(taken, Ok(()));
    let given = [("GIVEN", "with")];
    let typed = "echo ar''rived $GIVEN\r".to_owned();
    let program = Interactive::LoginShell;
    let (_, taken) = at_once(&Sshd::start(), program, &given, typed, "arrived with").await;
    assert_eq!(taken, Ok(()));
}

/// A forced command runs in the program's place: it was judged by nobody.
#[tokio::test]
async fn what_does_not_greet_is_typed_nothing() {
    let forced = "command=\"bash -c 'echo forced; read -t 1 x && echo was-read'\"";
    let server = Sshd::builder().key_options(forced).start();
    let pool = pool();
    let ready = pool.open(Arc::new(target(&server))).await.unwrap();
    let opening = Opening {
        program: Interactive::Command("cat".to_owned()),
        env: Vec::new(),
        term: "xterm".to_owned(),
        size: Size { cols: 80, rows: 24 },
        cookie: cookie(),
    };
    let mut terminal = ready.terminal(opening).await.unwrap();
    let keyboard = terminal.keyboard();
    let typing = tokio::spawn(async move { keyboard.send(Bytes::from_static(b"x\r")).await });
    let mut seen = String::new();
    while let Some(event) = tokio::time::timeout(LIMIT, terminal.next()).await.unwrap() {
        if let TerminalEvent::Output(bytes) = event {
            seen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    assert_eq!(typing.await.unwrap(), Err(Closed));
    assert!(seen.contains("forced") && !seen.contains("was-read"), "{seen}");
}

fn installed(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.exists())
}
