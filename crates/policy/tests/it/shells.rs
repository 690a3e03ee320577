//! Real shells run what was recognised, and a recorder on their path shows which argv they really executed.
//!
//! Each recorded program is a script that writes its name and arguments to a file of its own. `sh`, `bash` and `dash` must
//! be there; busybox ash, mksh, ksh93 and zsh are used where they are installed, and the harness says which were not. Half
//! of the texts run in the C locale, the others in UTF-8. zsh reads global aliases, which expand bare words anywhere.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Programs that end with 0, and one that does not.
pub(crate) const PROGRAMS: [&str; 6] = ["a", "b", "uptime", "x-y.z", "c++", "u@1:2"];
pub(crate) const FAILING: &str = "no";

/// One executed argv, the program without its folder.
pub(crate) type Argv = Vec<String>;

/// A folder with recorders, and the shells of this machine.
pub(crate) struct Shells {
    folder: TempDir,
    shells: Vec<(&'static str, Vec<PathBuf>)>,
}

/// Aliases of words that the tests use, each with a command of its own.
const ZSHENV: &str = "alias -g -- a='b; b' b='a; a' uptime='a; a' no='a; a' x='; b' 1='; b' 2='; b' -n='; b' -x='; b' \
                      -vq='; b' --lines='; b' --='; b' =a='; b' a:b='; b' +x='; b' /dev/null='/nowhere/else; b'\n";

const POSIX: &[(&str, &[&str])] = &[
    ("sh", &["sh"]),
    ("bash", &["bash"]),
    ("dash", &["dash"]),
    ("ash", &["busybox", "ash"]),
    ("mksh", &["mksh"]),
    ("ksh93", &["ksh93"]),
    ("zsh", &["zsh"]),
];

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

impl Shells {
    pub(crate) fn open() -> Self {
        Self::of(POSIX)
    }

    /// The same with these shells.
    pub(crate) fn of(known: &[(&'static str, &[&str])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        for program in PROGRAMS.iter().chain([&FAILING]) {
            let file = folder.path().join("bin").join(program);
            let status = u8::from(*program == FAILING);
            // One file per process: nothing can be interleaved. Each field ends with NUL.
            let script = format!(
                "#!/bin/sh\nprintf '%s\\0' \"${{0##*/}}\" \"$@\" >\"$RECORD/$$\"\n\
                 printf '%s\\n%s' \"$PWD\" \"$MARK\" >\"$RECORD/around\"\nexit {status}\n"
            );
            fs::write(&file, script).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(folder.path().join(".zshenv"), ZSHENV).unwrap();
        // fish and csh hand their text on to sh; mksh has no printf of its own for what is launched.
        for (program, name) in [("/bin/sh", "sh"), ("/usr/bin/printf", "printf")] {
            std::os::unix::fs::symlink(program, folder.path().join("bin").join(name)).unwrap();
        }
        let mut shells = Vec::new();
        for &(name, words) in known {
            match find(words[0]) {
                Some(program) => {
                    let rest = words.iter().skip(1).map(PathBuf::from);
                    shells.push((name, std::iter::once(program).chain(rest).collect()));
                }
                None => {
                    assert!(!["sh", "bash", "dash"].contains(&name), "{name} is not installed");
                    println!("{name} is not installed: not tried");
                }
            }
        }
        Self { folder, shells }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The shells, by name, with the words that start each.
    pub(crate) fn all(&self) -> &[(&'static str, Vec<PathBuf>)] {
        &self.shells
    }

    /// Runs `text` in every shell; the executed argvs of each, sorted, and what the last recorder saw around it.
    pub(crate) fn run(&self, text: &str) -> BTreeMap<&'static str, (Vec<Argv>, String)> {
        self.shells.iter().map(|(name, words)| (*name, self.run_in(words, text))).collect()
    }

    fn run_in(&self, words: &[PathBuf], text: &str) -> (Vec<Argv>, String) {
        let record = tempfile::tempdir_in(self.folder()).unwrap();
        let output = Command::new(&words[0])
            .args(&words[1..])
            .args(["-c", text])
            .env_clear()
            .env("PATH", self.folder().join("bin"))
            .env("RECORD", record.path())
            .env("HOME", self.folder())
            .env("LC_ALL", if text.len().is_multiple_of(2) { "C" } else { "C.UTF-8" })
            .current_dir(self.folder())
            .stdin(Stdio::null())
            // Reading both streams to their end also waits for what a shell may not wait for itself.
            .output()
            .unwrap();
        assert!(output.status.code().is_some(), "{words:?} was killed by {text:?}");
        // ksh93 waits for the last command of a pipeline alone, and the others may write elsewhere.
        if words[0].ends_with("ksh93") && text.contains('|') {
            while runs_with(&format!("RECORD={}", record.path().display())) {
                std::thread::yield_now();
            }
        }
        let around = fs::read_to_string(record.path().join("around")).unwrap_or_default();
        let mut ran: Vec<Argv> = fs::read_dir(record.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|file| !file.ends_with("around"))
            .map(|file| fields(&fs::read(file).unwrap()))
            .collect();
        ran.sort();
        (ran, around)
    }
}

/// Whether a process has this entry in its environment.
fn runs_with(entry: &str) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.into_iter().any(|process| {
        fs::read(process.path().join("environ"))
            .is_ok_and(|text| text.split(|byte| *byte == 0).any(|word| word == entry.as_bytes()))
    })
}

fn fields(bytes: &[u8]) -> Argv {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let mut fields: Argv = text.split('\0').map(str::to_owned).collect();
    assert_eq!(fields.pop().as_deref(), Some(""), "each field ends with NUL");
    fields
}
