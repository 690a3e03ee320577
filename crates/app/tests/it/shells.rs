//! Looking at interactive shells from outside: lists, recordings and live screens, and that nothing of a host's bytes but what
//! they draw reaches a person's terminal.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use regex::bytes::Regex;
use rustix::process::{Pid, Signal, kill_process};
use sshepherd_engine::store::{HeldShell, Recorder, ShellEnd, ShellFolder, ShellRecord};
use sshepherd_model::ShellId;
use sshepherd_terminal::cast::{self, Kind};
use sshepherd_terminal::emulator::VIEW_END;
use tempfile::TempDir;

use crate::cli::{code, json, text};
use crate::terminal::Person;

/// A state folder, and the server that this process is.
struct Ground {
    state: TempDir,
    shells: ShellFolder,
}

impl Ground {
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let shells = ShellFolder::open(state.path()).unwrap();
        Self { state, shells }
    }

    /// Opens a shell with a recording of these lines behind the header.
    fn shell(&self, record: &ShellRecord, lines: &str) -> (HeldShell, Recorder) {
        let held = self.shells.create(record).unwrap();
        let mut recorder = held.recorder(1 << 20).unwrap();
        recorder.write(&cast::header(record.cols, record.rows, 1, Some("a title"))).unwrap();
        recorder.write(lines).unwrap();
        recorder.flush().unwrap();
        (held, recorder)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sshepherd"));
        command.arg("--state").arg(self.state.path()).arg("shells").args(words);
        command.stdin(Stdio::null()).env_remove("SSHEPHERD_LOG");
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn watch(&self, id: &ShellId) -> Watching {
        let mut command = self.command(&["watch", id.as_str()]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let screen = child.stdout.take().unwrap();
        Watching { child, screen, seen: Vec::new() }
    }
}

/// `shells watch` with a pipe for a terminal.
struct Watching {
    child: Child,
    screen: ChildStdout,
    seen: Vec<u8>,
}

impl Watching {
    fn sees(&mut self, words: &str) {
        let mut byte = [0];
        while !self.seen.ends_with(words.as_bytes()) {
            assert_eq!(self.screen.read(&mut byte).unwrap(), 1, "no {words}: {:?}", self.seen);
            self.seen.push(byte[0]);
        }
    }

    /// Everything that was shown and said, after its end.
    fn ends(mut self) -> (Vec<u8>, String) {
        self.screen.read_to_end(&mut self.seen).unwrap();
        let output = self.child.wait_with_output().unwrap();
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        (self.seen, text(&output.stderr))
    }
}

fn record(number: u64) -> ShellRecord {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    ShellRecord {
        id: ShellId::compose(number),
        alias: "web-1".parse().unwrap(),
        opened_at: u64::try_from(now).unwrap() - 70_000 - number * 1000,
        what: "a login shell".to_owned(),
        command: None,
        cols: 80,
        rows: 24,
        term: "xterm-256color".to_owned(),
        persistent: None,
        cookie: "cookie".to_owned(),
        policy_hash: "hash".to_owned(),
        host: "192.0.2.7:22".to_owned(),
        client: None,
        recording: true,
        ended: None,
    }
}

fn ended(record: &ShellRecord) -> ShellRecord {
    let end = ShellEnd { at: record.opened_at + 5, why: "exit status 0".to_owned() };
    ShellRecord { ended: Some(end), ..record.clone() }
}

fn output(at_ms: u64, text: &str) -> String {
    cast::event(at_ms, Kind::Output, text)
}

#[test]
fn shells_are_listed_newest_first_with_their_ends() {
    let ground = Ground::new();
    let none = ground.run(&["list"]);
    assert_eq!((code(&none), text(&none.stderr)), (0, "no interactive shells\n".to_owned()));
    let open = record(1);
    let _open = ground.shell(&open, "");
    let away = ShellRecord { persistent: Some("s".to_owned()), ..record(2) };
    drop(ground.shell(&away, ""));
    // What an agent or a host said cannot steer the list.
    let over = ShellRecord { what: "top \u{1b}]0;x\u{7}".to_owned(), ..record(3) };
    let (mut held, _) = ground.shell(&over, "");
    held.update(&ended(&over)).unwrap();
    let dead = ShellRecord { recording: false, ..record(4) };
    drop(ground.shells.create(&dead).unwrap());
    let listed = ground.run(&["list"]);
    let shown = text(&listed.stdout);
    let lines: Vec<&str> = shown.lines().skip(1).collect();
    let wanted = [
        (&open, "open", "a login shell"),
        (&away, "detached", "a login shell"),
        (&over, "ended", "top \\u{1b}]0;x\\u{7}; ended: exit status 0"),
        (&dead, "ended", "a login shell; ended: its server is gone"),
    ];
    assert_eq!(lines.len(), 4, "{shown}");
    for (line, (record, state, what)) in lines.iter().zip(wanted) {
        assert!(line.starts_with(&format!("{}  web-1  {state} ", record.id)), "{shown}");
        assert!(
            line.contains("1 min") && line.contains("80x24") && line.ends_with(what),
            "{shown}"
        );
    }
    assert!(lines[3].contains(" no  "), "{shown}");
    let listed = json(&ground.run(&["list", "--json"]));
    let states: Vec<&str> =
        listed["shells"].as_array().unwrap().iter().map(|s| s["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["open", "detached", "ended", "ended"]);
    assert_eq!(listed["shells"][2]["why"], "ended: exit status 0");
    assert!(listed["shells"][0]["recording_bytes"].as_u64().unwrap() > 50, "{listed}");
}

/// What a host can send to do more than draw; `HIT` stands in each.
const HOSTILE: &[&str] = &[
    "\x1b]52;c;SElU\x07",
    "\x1b]52;c;HIT\x1b\\",
    "\x1b]0;HIT\x07",
    "\x1b]2;HIT\x1b\\",
    "\x1b]8;;http://HIT.example/\x1b\\",
    "\x1b]133;A;HIT\x07",
    "\x1b]777;notify;HIT;x\x07",
    "\x1b]1337;File=inline=1:HIT\x07",
    "\x1bP$qm HIT\x1b\\",
    "\x1bP+q544e HIT\x1b\\",
    "\x1b_HIT\x1b\\",
    "\x1b^HIT\x1b\\",
    "\x1bXHIT\x1b\\",
    "\x1b[c\x1b[>c\x1b[=c\x1b[5n\x1b[6n\x1b[?6n\x1b[x\x1b[14t\x1b[18t\x1b[20t\x1b[21t",
    "\x1b[?1000h\x1b[?1003h\x1b[?1006h\x1b[?2004h\x1b[?1004h\x1b[?1049h\x1b[?47h",
    "\x1b[22;0t\x1b[8;999;999t\x1b[3;0;0t\x1b[2t\x1b[5i\x1b[4i\x1b]4;1;?\x07\x1b]11;?\x07",
    "\u{9d}52;c;aGk=\u{9c}\u{90}$qm\u{9c}\u{9b}6n",
    "\x1b[99999999999999999999;99999999999999999999H\x1b[18446744073709551615X",
    "\x1b[4294967295L\x1b[65536M\x1b[99999999P\x1b[99999999@\x1b[2147483648S\x1b[99999999b",
    "\x1b#8\x1bc\x1b[!p\x1b=\x1b>\x1b(0\x1b)0\x0e\x0f\x07\x05",
    "\u{202e}\u{2066}\u{200b}\u{feff}\u{e0041}",
    "\x1b]52;c;HIT",
];

/// Everything beside text that may reach a person's terminal: place, colour, erase, wrapping and the cursor.
fn only_draws(bytes: &[u8]) {
    let allowed = Regex::new(r"(?-u)\x1b\[[0-9;]*[HJKm]|\x1b\[\?(7|25)[hl]").unwrap();
    let rest = allowed.replace_all(bytes, &b""[..]).into_owned();
    let rest = String::from_utf8(rest).unwrap();
    let bad: String = rest.chars().filter(|c| c.is_control() && *c != '\n').collect();
    assert!(bad.is_empty(), "{bad:?} in {rest:?}");
    assert!(!rest.contains("HIT"), "{rest:?}");
    for hidden in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}'] {
        assert!(!rest.contains(hidden), "{hidden:?}");
    }
}

#[test]
fn nothing_of_a_hostile_recording_but_what_it_draws_reaches_the_terminal() {
    let ground = Ground::new();
    for (number, hostile) in (1..).zip(HOSTILE) {
        let open = record(number);
        // Whole, and cut into characters.
        let mut lines = output(1, hostile);
        hostile.chars().for_each(|c| lines += &output(2, c.encode_utf8(&mut [0; 4])));
        // An unfinished sequence takes what follows until it is cancelled.
        lines += &output(3, "\x18\x1b\\\x1bc\x1b[31msafe\x1b[0m end");
        lines += &cast::event(4, Kind::Resize, "99999x0");
        lines += &cast::event(5, Kind::Resize, "65535x65535");
        lines += &cast::event(6, Kind::Resize, "80x24");
        lines += &cast::event(7, Kind::Marker, hostile);
        let (mut held, _recorder) = ground.shell(&open, &lines);
        let mut watching = ground.watch(&open.id);
        watching.sees("end");
        held.update(&ended(&open)).unwrap();
        let (watched, said) = watching.ends();
        let played = ground.run(&["replay", open.id.as_str()]);
        let last = ground.run(&["replay", "--text", open.id.as_str()]);
        for shown in [&watched, &played.stdout, &last.stdout] {
            only_draws(shown);
            let plain = String::from_utf8_lossy(shown);
            assert!(plain.contains("safe") && plain.contains("end"), "{hostile:?}: {plain:?}");
        }
        assert!(watched.ends_with(VIEW_END) && played.stdout.ends_with(VIEW_END));
        for said in [said, text(&played.stderr), text(&last.stderr)] {
            assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{said:?}");
        }
    }
}

#[test]
fn a_replay_takes_the_time_that_it_took_or_less() {
    let ground = Ground::new();
    let timed = |number, lines: String, words: &[&str]| {
        let record = record(number);
        drop(ground.shell(&record, &lines));
        let began = Instant::now();
        let played = ground.run(&[&["replay", record.id.as_str()], words].concat());
        assert_eq!(code(&played), 0, "{}", text(&played.stderr));
        assert!(String::from_utf8_lossy(&played.stdout).contains("last"));
        began.elapsed()
    };
    let lines = |end_ms| output(0, "first ") + &output(end_ms, "last");
    assert!(timed(1, lines(600), &[]) >= Duration::from_millis(600));
    // An hour, and for ever.
    let hour = Duration::from_secs(600);
    assert!(timed(2, lines(3_600_000), &["--speed", "100000"]) < hour);
    assert!(timed(3, lines(3_600_000), &["--idle-limit", "0.01"]) < hour);
    let for_ever = output(0, "first ") + "[1e300, \"o\", \"last\"]\n";
    assert!(timed(4, for_ever, &["--idle-limit", "0"]) < hour);
    for wrong in [["--speed", "0"], ["--speed", "inf"], ["--idle-limit", "-1"], ["--speed", "x"]] {
        assert_eq!(code(&ground.run(&[&["replay", "sh-"], &wrong[..]].concat())), 2, "{wrong:?}");
    }
}

#[test]
fn broken_lines_are_told_by_their_number_and_passed_over() {
    let ground = Ground::new();
    let broken = record(1);
    let lines = output(1, "one ") + "nonsense\n" + &output(2, "two ") + "[3, \"o\"]\n";
    let (held, recorder) = ground.shell(&broken, &(lines + "\n" + &output(4, "three")));
    drop((held, recorder));
    let path = ground.shells.cast_path(&broken.id);
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, whole.clone() + "[5.0, \"o\", \"cut").unwrap();
    for words in [&["replay", "--text"][..], &["replay"]] {
        let played = ground.run(&[words, &[broken.id.as_str()]].concat());
        let (shown, said) = (String::from_utf8_lossy(&played.stdout), text(&played.stderr));
        assert_eq!(code(&played), 0, "{said}");
        assert!(shown.contains("one two three"), "{shown:?}");
        let told: Vec<&str> = said.lines().collect();
        assert_eq!(told.len(), 3, "{said}");
        for (told, number) in told.iter().zip([3, 5, 8]) {
            assert!(told.contains(&format!("line {number} of the recording")), "{said}");
        }
    }
    // Without a header the size is what is known of the shell; many broken lines are counted.
    let rest = whole.split_once('\n').unwrap().1;
    std::fs::write(&path, format!("{{}}\n{rest}{}", "?\n".repeat(50))).unwrap();
    let played = ground.run(&["replay", "--text", broken.id.as_str()]);
    assert_eq!(text(&played.stdout), "one two three\n");
    let said = text(&played.stderr);
    assert!(said.contains("line 1 of") && said.contains("43 more lines"), "{said}");
}

#[test]
fn the_text_is_the_last_screen() {
    let ground = Ground::new();
    let small = ShellRecord { cols: 10, rows: 3, ..record(1) };
    let mut lines = String::new();
    (1..=5).for_each(|n| lines += &output(n, &format!("line {n}\r\n")));
    lines += &output(9, "\x1b[1;32m$ \x1b[0mé世");
    drop(ground.shell(&small, &lines));
    assert_eq!(text(&ground.run(&["replay", "--text", "sh-"]).stdout), "line 4\nline 5\n$ é世\n");
    let document = json(&ground.run(&["replay", "--json", "sh-"]));
    assert_eq!(document["rows"][2], "$ é世");
}

#[test]
fn what_is_not_recorded_cannot_be_looked_at() {
    let ground = Ground::new();
    let silent = ShellRecord { recording: false, ..record(1) };
    let _held = ground.shells.create(&silent).unwrap();
    for what in ["watch", "replay"] {
        let refused = ground.run(&[what, silent.id.as_str()]);
        assert_eq!((code(&refused), text(&refused.stdout)), (2, String::new()));
        assert!(text(&refused.stderr).contains("is not recorded"), "{}", text(&refused.stderr));
        assert!(text(&ground.run(&[what, "sh-x"]).stderr).contains("no shell is called sh-x"));
    }
    let over = record(2);
    drop(ground.shell(&over, ""));
    let refused = ground.run(&["watch", over.id.as_str()]);
    assert_eq!(code(&refused), 2);
    assert!(text(&refused.stderr).contains("shells replay"), "{}", text(&refused.stderr));
    assert!(text(&ground.run(&["replay", "sh-"]).stderr).contains("several shells"));
}

#[test]
fn a_shell_is_watched_until_it_ends() {
    let ground = Ground::new();
    let open = record(1);
    let (mut held, mut recorder) = ground.shell(&open, &output(1, "before"));
    let mut watching = ground.watch(&open.id);
    watching.sees("before");
    for number in 0..5 {
        recorder.write(&output(2, &format!(" more{number}"))).unwrap();
        recorder.flush().unwrap();
        watching.sees(&format!("more{number}"));
    }
    // What comes with the end is shown.
    recorder.write(&output(3, " bye")).unwrap();
    recorder.flush().unwrap();
    held.update(&ended(&open)).unwrap();
    let (seen, said) = watching.ends();
    assert!(String::from_utf8_lossy(&seen).contains("more4 bye"), "{seen:?}");
    assert_eq!(said, format!("{}: ended: exit status 0\n", open.id));
}

#[test]
fn watching_ends_with_the_server_and_with_the_person() {
    let ground = Ground::new();
    let open = record(1);
    let shell = ground.shell(&open, &output(1, "before"));
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut watching = ground.watch(&open.id);
        watching.sees("before");
        kill_process(Pid::from_child(&watching.child), signal).unwrap();
        let (seen, said) = watching.ends();
        assert!(seen.ends_with(VIEW_END), "{seen:?}");
        assert_eq!(said, format!("{}: open\n", open.id));
    }
    let mut watching = ground.watch(&open.id);
    watching.sees("before");
    drop(shell);
    assert!(watching.ends().1.contains("ended: its server is gone"));
}

/// The rows that were placed on the screen, and their longest text.
fn placed(screen: &str) -> (Vec<u16>, usize) {
    let place = regex::Regex::new(r"\x1b\[(\d+);(\d+)H([A-Za-z0-9]*)").unwrap();
    let clear = screen.replace("\u{1b}[0m\u{1b}[2K", "");
    let mut rows: Vec<u16> = place.captures_iter(&clear).map(|c| c[1].parse().unwrap()).collect();
    rows.sort_unstable();
    rows.dedup();
    (rows, place.captures_iter(&clear).map(|c| c[3].len()).max().unwrap_or(0))
}

#[test]
fn a_smaller_terminal_shows_what_fits_and_is_given_back() {
    let ground = Ground::new();
    let open = record(1);
    let mut lines = String::new();
    (1..=24).for_each(|n| lines += &output(n, &format!("\r\nrow{n}{}", "x".repeat(60))));
    // A replay waits here for an hour.
    let _held = ground.shell(&open, &(lines + &output(3_600_000, "\x07")));
    let line = |what: &str| {
        let mut line = "trap : INT; stty cols 20 rows 5; stty -g; ".to_owned();
        let (program, state) = (env!("CARGO_BIN_EXE_sshepherd"), ground.state.path());
        let _ = write!(line, "{program} --state {} shells {what}; stty -g", Path::display(state));
        line
    };
    let modes = regex::Regex::new(r"(?m)[0-9a-f]+(:[0-9a-f]+){10,}\r?$").unwrap();
    for what in [format!("watch {}", open.id), format!("replay {}", open.id)] {
        let mut person = Person::typing(&line(&what));
        person.sees("row24");
        person.types("typed\u{1a}\u{1c}\u{3}");
        let (screen, _) = person.ends();
        assert!(!screen.contains("typed"), "{screen:?}");
        let found: Vec<&str> = modes.find_iter(&screen).map(|m| m.as_str().trim()).collect();
        assert_eq!(found.len(), 2, "{screen:?}");
        assert_eq!(found[0], found[1], "the terminal is as it was");
        let (rows, longest) = placed(&screen);
        assert_eq!((rows, longest), ((1..=5).collect(), 20), "{screen:?}");
        let (_, after) = screen.rsplit_once("\u{1b}[?1049l").unwrap();
        assert!(!after.contains('\u{1b}'), "{after:?}");
        assert!(screen.contains("\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l"), "{screen:?}");
    }
}
