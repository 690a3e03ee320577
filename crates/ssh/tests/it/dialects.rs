//! Every shell of this machine, and things that are none, under every setting, right and wrong: what an agent chose runs in
//! no language that it was not judged for, and where the setting is right everything works.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sshepherd_model::{LoginShell, Stopped, Stream};
use sshepherd_ssh::job::{JobEnd, JobEvent, JobRunning, JobSpec, Launched};
use sshepherd_ssh::launch::{Marker, feed, launch};
use sshepherd_ssh::{
    Deadlines, Event, Exec, Interactive, Opening, Pool, Size, Target, Terminal, TerminalEvent,
};
use sshepherd_testkit::{Sshd, processes};
use tempfile::TempDir;

use crate::common::{LIMIT, cookie, exec, finish, first_line, pool, run, run_exec, start, target};

const NONCE: &str = "0123456789abcdef";
const GRACE: Duration = Duration::from_millis(500);

/// Words that some language takes for more than a word; `FILE` is what must not come to be.
const CANARIES: [&str; 12] = [
    r#"x\'"'"'"; touch FILE #"#,
    "a; touch FILE",
    "a & touch FILE",
    "a | touch FILE",
    "$(touch FILE) `touch FILE` (touch FILE) {touch FILE}",
    "%COMSPEC% & touch FILE",
    "a\ntouch FILE\n; touch FILE",
    r"\; touch FILE; \",
    r#"it's"; touch FILE; ""#,
    "!touch FILE !! !$",
    r"\0073touch FILE\073 \n touch FILE",
    "touch FILE",
];

/// What an account may have for its shell, and whether `posix` is its right setting.
struct Interpreter {
    program: String,
    /// Before `-c TEXT`.
    applet: Option<String>,
    posix: bool,
    /// Another language than that of any setting.
    foreign: bool,
}

impl Interpreter {
    fn name(&self) -> String {
        format!("{} {}", self.program, self.applet.as_deref().unwrap_or_default())
    }

    fn command(&self, text: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.applet).args(["-c", text]);
        command
    }

    fn runs(&self, setting: LoginShell) -> bool {
        !self.foreign && (self.posix || setting != LoginShell::Posix)
    }
}

/// Splits at signs, heeds no quotes, and does not care for words that it does not know.
const SPLITTER: &str = r#"#!/bin/sh
printf '%s\n' "$2" | tr ';&|' '\n\n\n' | tr -d "'\"" | while read -r line; do
set -f
$line
done 2>/dev/null
exit 0
"#;

/// The same; it also looks for a command that it knows anywhere in a piece, and takes backslashes for nothing.
const SCANNER: &str = r#"#!/bin/sh
printf '%s\n' "$2" | tr ';&|(){}' '\n\n\n\n\n\n\n' | tr -d "'\"\\\\" | while read -r line; do
set -f
set -- $line
while [ $# -gt 0 ]; do
[ "$1" != touch ] || touch "$2"
shift
done
done 2>/dev/null
exit 0
"#;

fn program(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// All of them. One that is not installed fails the test, unless `SSHEPHERD_TEST_SHELLS=installed` is set.
fn shells() -> Vec<Interpreter> {
    let installed_only = std::env::var("SSHEPHERD_TEST_SHELLS").is_ok_and(|set| set == "installed");
    let posix = ["sh", "bash", "dash", "busybox", "mksh", "ksh93", "zsh"].map(|name| (name, true));
    let other = ["fish", "csh", "bsd-csh", "tcsh"].map(|name| (name, false));
    let all = posix.into_iter().chain(other).map(|(name, posix)| Interpreter {
        program: name.to_owned(),
        applet: (name == "busybox").then(|| "sh".to_owned()),
        posix,
        foreign: false,
    });
    all.filter(|shell| {
        let works = shell.command("exit").output().is_ok_and(|output| output.status.success());
        let needed = !installed_only && shell.program != "bsd-csh";
        assert!(works || !needed, "{} is not installed; see scripts/test", shell.name());
        works
    })
    .collect()
}

fn everything(folder: &Path) -> Vec<Interpreter> {
    let foreign = [("splitter", SPLITTER), ("scanner", SCANNER)];
    let foreign = foreign.map(|(name, text)| Interpreter {
        program: program(folder, name, text),
        applet: None,
        posix: false,
        foreign: true,
    });
    shells().into_iter().chain(foreign).collect()
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}

/// Texts that print `word`: alone, in a list, with a bare program, and as the policy's other quoting has it.
fn texts(word: &str) -> [String; 4] {
    let quoted = quoted(word);
    [
        format!("'printf' '%s' {quoted}"),
        format!("'true' && 'printf' '%s' {quoted} | 'cat'"),
        format!("printf %s {quoted}"),
        format!("'printf' '%s' '{}'", word.replace('\'', "'\\''")),
    ]
}

/// What is sent to fish and to csh is the same.
const SETTINGS: [LoginShell; 2] = [LoginShell::Posix, LoginShell::Fish];

#[test]
fn a_canary_is_a_word_where_the_setting_is_right_and_nothing_where_it_is_wrong() {
    let programs = tempfile::tempdir().unwrap();
    for shell in everything(programs.path()) {
        let folder = tempfile::tempdir().unwrap();
        for setting in SETTINGS {
            for canary in CANARIES {
                let word = canary.replace("FILE", "PWN");
                let [one, list, bare, escaped] = texts(&word);
                let fed = (list.clone(), true);
                let unfed = [one, list, bare, escaped].map(|text| (text, false));
                for (text, fed) in unfed.into_iter().chain([fed]) {
                    let runs = shell.runs(setting);
                    let launched = launch(setting, &text, "a:b.c_d-1", NONCE, fed);
                    let mut child = shell
                        .command(&launched.text)
                        .current_dir(folder.path())
                        .env("HOME", programs.path())
                        .stdin(Stdio::piped())
                        .stdout(Stdio::piped())
                        .stderr(Stdio::piped())
                        .spawn()
                        .unwrap();
                    let mut input = child.stdin.take().unwrap();
                    if fed && runs {
                        input.write_all(&feed(&[], Some(Bytes::new()), NONCE).unwrap()).unwrap();
                    }
                    drop(input);
                    let output = child.wait_with_output().unwrap();
                    let name = shell.name();
                    let made: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
                    assert!(made.is_empty(), "{name} {setting:?} {text:?} made {made:?}");
                    let said = String::from_utf8_lossy(&output.stdout).into_owned();
                    let errors = String::from_utf8_lossy(&output.stderr);
                    if runs {
                        assert_eq!(said, word, "{name} {setting:?} {text:?} {fed}: {errors}");
                        assert!(output.status.success(), "{name} {setting:?} {text:?}: {errors}");
                    } else {
                        let shown = Marker::new(NONCE).feed(&output.stderr).pid;
                        assert_eq!(shown, None, "{name} {setting:?} {errors}");
                    }
                }
            }
        }
    }
}

/// An account with this shell on a real sshd, which runs the text as sshd runs it for an account of that shell.
fn account(shell: &Interpreter, folder: &Path) -> Sshd {
    let path = std::env::var("PATH").unwrap();
    let mut found = path.split(':').map(|place| PathBuf::from(place).join(&shell.program));
    let mut file = found.find(|path| path.exists()).unwrap();
    if shell.applet.is_some() {
        // An account's shell has no arguments.
        let link = folder.join("ash");
        if !link.exists() {
            std::os::unix::fs::symlink(&file, &link).unwrap();
        }
        file = link;
    }
    let wrapper = format!(
        "#!/bin/sh\ncd {}\nSHELL={} exec {} -c \"$SSH_ORIGINAL_COMMAND\"\n",
        folder.display(),
        file.display(),
        file.display()
    );
    let wrapper = program(folder, "wrapper", &wrapper);
    Sshd::builder().key_options(&format!("command=\"exec {wrapper}\"")).start()
}

fn spec(wire: &str) -> JobSpec {
    let cookie = cookie();
    JobSpec {
        id: cookie.clone(),
        wire: wire.to_owned(),
        cookie,
        stdin: None,
        env: Vec::new(),
        max_time: Duration::from_secs(100),
        grace: GRACE,
        room: sshepherd_ssh::job::LEAST_ROOM,
        site: None,
        owner: "0123".to_owned(),
    }
}

async fn job(pool: &Pool, target: &Arc<Target>, spec: JobSpec) -> JobRunning {
    match crate::job::launch(pool, target, spec).await {
        Launched::Job(running) => running,
        Launched::Exists(place) => panic!("exists: {place:?}"),
        Launched::Refused { reason } => panic!("refused: {reason}"),
        Launched::Attached(_) => panic!("attached"),
        Launched::Elsewhere(site) => panic!("elsewhere: {site:?}"),
    }
}

/// What a job wrote on standard output, and its last event.
async fn job_end(running: &mut JobRunning) -> (String, JobEvent) {
    let mut out = Vec::new();
    loop {
        match tokio::time::timeout(LIMIT, running.next()).await.unwrap().unwrap() {
            JobEvent::Output { stream: Stream::Stdout, bytes } => out.extend_from_slice(&bytes),
            JobEvent::Output { .. } => {}
            last @ (JobEvent::Ended(_)
            | JobEvent::Lost { .. }
            | JobEvent::Skipped { .. }
            | JobEvent::Elsewhere) => {
                return (String::from_utf8(out).unwrap(), last);
            }
        }
    }
}

async fn job_line(running: &mut JobRunning) {
    let mut out = Vec::new();
    while !out.contains(&b'\n') {
        match tokio::time::timeout(LIMIT, running.next()).await.unwrap().unwrap() {
            JobEvent::Output { bytes, .. } => out.extend_from_slice(&bytes),
            last @ (JobEvent::Ended(_)
            | JobEvent::Lost { .. }
            | JobEvent::Skipped { .. }
            | JobEvent::Elsewhere) => {
                panic!("{last:?}")
            }
        }
    }
}

/// Opens a terminal and reads up to `text`.
async fn terminal(
    pool: &Pool,
    target: &Arc<Target>,
    program: Interactive,
    env: &[(String, String)],
    text: &str,
) -> (Terminal, String) {
    let ready = pool.open(Arc::clone(target)).await.unwrap();
    let opening = Opening {
        program,
        env: env.to_vec(),
        term: "xterm".to_owned(),
        size: Size { cols: 200, rows: 24 },
        cookie: cookie(),
    };
    let mut terminal = ready.terminal(opening).await.unwrap();
    let seen = until(&mut terminal, text).await;
    (terminal, seen)
}

async fn until(terminal: &mut Terminal, text: &str) -> String {
    let mut seen = Vec::new();
    loop {
        let event = tokio::time::timeout(LIMIT, terminal.next()).await;
        let event = event.unwrap_or_else(|_| {
            panic!("no {text:?} in {:?}", String::from_utf8_lossy(&seen));
        });
        match event.unwrap() {
            TerminalEvent::Output(bytes) => seen.extend_from_slice(&bytes),
            TerminalEvent::Greeted(_) => {}
            last @ (TerminalEvent::Refused(_)
            | TerminalEvent::Exited { .. }
            | TerminalEvent::Signalled { .. }
            | TerminalEvent::Lost { .. }) => {
                panic!("{last:?} after {}", String::from_utf8_lossy(&seen))
            }
        }
        let shown = String::from_utf8_lossy(&seen).into_owned();
        if shown.contains(text) {
            return shown;
        }
    }
}

/// Values that are easily changed on the way.
fn variables() -> Vec<(String, String)> {
    let long = "ab'c\\ \"$HOME`".repeat(300);
    let values = ["it's \\n %s $HOME \"x\" !", "", "; touch PWN", long.as_str()];
    let name = |number: usize| format!("GIVEN{number}");
    values.iter().enumerate().map(|(number, value)| (name(number), (*value).to_owned())).collect()
}

/// Prints the variables; the bytes of standard input follow.
const SHOW: &str =
    "'sh' '-c' 'printf \"%s|\" \"$GIVEN0\" \"$GIVEN1\" \"$GIVEN2\" \"$GIVEN3\"; cat'";

#[tokio::test(flavor = "multi_thread")]
async fn with_the_right_setting_everything_works_on_every_shell() {
    for shell in shells() {
        let folder = tempfile::tempdir().unwrap();
        let server = account(&shell, folder.path());
        let setting = if shell.posix { LoginShell::Posix } else { LoginShell::Fish };
        let target = Arc::new(Target { login_shell: setting, ..target(&server) });
        let (pool, name) = (pool(), shell.name());
        let canary = CANARIES[0].replace("FILE", "PWN");
        let text = texts(&canary)[0].clone();
        let ran = run(&pool, &target, &text).await;
        assert_eq!(String::from_utf8_lossy(&ran.out), canary, "{name}");
        let cwd = run(&pool, &target, "cd -- / && { 'pwd'\n}").await;
        assert_eq!(
            (cwd.out.as_slice(), cwd.end),
            (b"/\n".as_slice(), Event::Exited { status: 0 }),
            "{name}"
        );
        let values: String = variables().iter().map(|(_, value)| format!("{value}|")).collect();
        let expected = format!("{values}in\nput \\0101");
        let stdin = Some(Bytes::from_static(b"in\nput \\0101"));
        let fed = Exec { stdin: stdin.clone(), env: variables(), ..exec(SHOW) };
        let ran = run_exec(&pool, &target, fed).await;
        assert_eq!(String::from_utf8_lossy(&ran.out), expected, "{name}: {:?}", ran.end);
        let mut running = job(&pool, &target, spec(&text)).await;
        let (out, end) = job_end(&mut running).await;
        assert_eq!(
            (out, end),
            (canary.clone(), JobEvent::Ended(JobEnd::Exited { status: 0 })),
            "{name}"
        );
        let fed = JobSpec { stdin, env: variables(), ..spec(SHOW) };
        let (out, _) = job_end(&mut job(&pool, &target, fed).await).await;
        assert_eq!(out, expected, "{name}");
        let mut running = start(&pool, &target, exec("'sh' '-c' 'echo $$; exec sleep 1000'")).await;
        let pid: u32 = first_line(&mut running).await.parse().unwrap();
        let stopping = tokio::spawn(running.stopper().stop(GRACE));
        finish(&mut running).await;
        assert_eq!(stopping.await.unwrap(), Stopped::Confirmed, "{name}");
        assert!(!processes::alive(pid), "{name}");
        let command = Interactive::Command(format!("{SHOW} </dev/null; echo e''nd"));
        let (_, seen) = terminal(&pool, &target, command, &variables(), "end").await;
        assert!(seen.contains(&values), "{name}: {seen}");
        let marked = !["csh", "bsd-csh", "tcsh"].contains(&shell.program.as_str());
        let prompt = if marked { "133;B" } else { "# " };
        let (mut shown, _) =
            terminal(&pool, &target, Interactive::LoginShell, &variables(), prompt).await;
        shown
            .keyboard()
            .send(Bytes::from_static(b"sh -c 'printf \"<%s>\" \"$GIVEN0\"'\r"))
            .await
            .unwrap();
        until(&mut shown, &format!("<{}>", variables()[0].1)).await;
        assert!(!folder.path().join("PWN").exists(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_wrong_setting_a_job_and_a_command_run_nothing_of_it() {
    for shell in shells().into_iter().filter(|shell| !shell.posix) {
        let folder = tempfile::tempdir().unwrap();
        let server = account(&shell, folder.path());
        let (pool, target) = (pool(), Arc::new(target(&server)));
        for canary in [CANARIES[0], CANARIES[1], CANARIES[6]] {
            for text in texts(&canary.replace("FILE", "PWN")) {
                let ran = run(&pool, &target, &text).await;
                assert!(ran.out.is_empty(), "{} {ran:?}", shell.name());
                let fed = Exec {
                    env: variables(),
                    stdin: Some(Bytes::from_static(b"touch PWN\n")),
                    ..exec(&text)
                };
                let ran = run_exec(&pool, &target, fed).await;
                assert!(
                    matches!(&ran.end, Event::Lost { detail } if detail.to_string().contains("raw-words")),
                    "{ran:?}"
                );
                for env in [Vec::new(), variables()] {
                    let spec = JobSpec { env, ..spec(&text) };
                    let (out, _) = job_end(&mut job(&pool, &target, spec).await).await;
                    assert_eq!(out, "", "{} {text:?}", shell.name());
                }
                assert!(!folder.path().join("PWN").exists(), "{} {text:?}", shell.name());
            }
        }
    }
}

/// A command line that heeds no exec request and runs what it reads.
#[tokio::test]
async fn a_host_that_runs_what_it_reads_is_given_nothing_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let menu = "#!/bin/sh\ncd \"${0%/*}\"\necho 'menu>'\nwhile read -r line; do eval \"$line\"; done 2>/dev/null\n";
    let menu = program(folder.path(), "menu", menu);
    let server = Sshd::builder().key_options(&format!("command=\"{menu}\"")).start();
    let deadlines = Deadlines { shell: Duration::from_millis(500), ..Deadlines::default() };
    let (pool, target) = (pool(), Arc::new(Target { deadlines, ..target(&server) }));
    let input = Bytes::from_static(b"touch PWN\n");
    let env = vec![("A".to_owned(), "'; touch PWN; '".to_owned())];
    for (stdin, env) in [(Some(input), Vec::new()), (None, env)] {
        let mut running = start(&pool, &target, Exec { stdin, env, ..exec("'cat'") }).await;
        assert_eq!(first_line(&mut running).await, "menu>");
        let ended = tokio::time::timeout(LIMIT, finish(&mut running)).await.unwrap().end;
        assert!(
            matches!(&ended, Event::Lost { detail } if detail.to_string().contains("raw-words")),
            "{ended:?}"
        );
    }
    assert!(!folder.path().join("PWN").exists());
}

/// Whether any process of this machine has `text` in its arguments.
fn in_an_argument(text: &str) -> bool {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(text))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_of_a_variable_is_in_the_list_of_processes() {
    let value = format!("canary-{}-{:?}", std::process::id(), std::time::Instant::now());
    let value: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    let env = vec![("SECRET_VALUE".to_owned(), value.clone())];
    let text = "'sh' '-c' 'echo up; sleep 1000; :'";
    for shell in shells() {
        let folder = tempfile::tempdir().unwrap();
        let server = account(&shell, folder.path());
        let setting = if shell.posix { LoginShell::Posix } else { LoginShell::Fish };
        let target = Arc::new(Target { login_shell: setting, ..target(&server) });
        let (pool, name) = (pool(), shell.name());
        let mut running = start(&pool, &target, Exec { env: env.clone(), ..exec(text) }).await;
        assert_eq!(first_line(&mut running).await, "up");
        let detached = JobSpec { env: env.clone(), ..spec(text) };
        let entry = format!("SSHEPHERD_TASK={}", detached.cookie);
        let mut detached = job(&pool, &target, detached).await;
        job_line(&mut detached).await;
        let (open, _) =
            terminal(&pool, &target, Interactive::Command(text.to_owned()), &env, "up").await;
        assert!(!in_an_argument(&value), "{name}");
        let with_value = processes::pids_with_env(&format!("SECRET_VALUE={value}"));
        assert!(with_value.len() >= 3, "{name}: {with_value:?}");
        let stopping = tokio::spawn(running.stopper().stop(GRACE));
        finish(&mut running).await;
        stopping.await.unwrap();
        open.keyboard().hang_up().await;
        with_value.into_iter().for_each(processes::kill);
        let gone = processes::wait_env_gone(&entry, LIMIT);
        assert_eq!(gone, Vec::<u32>::new(), "{name}");
        drop(TempDir::close(folder));
    }
}
