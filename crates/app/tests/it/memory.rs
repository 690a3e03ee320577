//! What is in a server's memory stays there: no core of it is written, and nobody else looks in.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::serving::{Serving, in_time};
use crate::site::Site;

/// What the server knows in these tests.
const CANARY: &str = "canary-Qx7-in-memory";

/// A command that may write a core as large as it likes, in the folder of the test.
fn unlimited(site: &Site) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$@\""])
        .args(site.serve())
        .current_dir(site.path("."))
        .env_remove("SSHEPHERD_LOG");
    command
}

#[test]
fn a_crash_writes_no_core() {
    for (name, number) in [("-ABRT", 6), ("-SEGV", 11), ("-QUIT", 3)] {
        let site = Site::new();
        site.password(CANARY);
        let mut serving = Serving::spawn(unlimited(&site));
        serving.hello();
        let limits = fs::read_to_string(format!("/proc/{}/limits", serving.child.id())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
        let before = names(&site);
        // The first SEGV that is sent, and no fault, only takes away the handler of Rust's runtime for overflowed stacks.
        let deadline = Instant::now() + Duration::from_secs(30);
        let status = loop {
            if let Some(status) = serving.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "{name} does not end it");
            serving.signal(name);
        };
        assert_eq!((status.signal(), status.core_dumped()), (Some(number), false));
        assert_eq!(names(&site), before, "{name}: a file more");
    }
}

/// That the test above could see a core: the same shell without our precaution leaves one, where cores go to files at all.
#[test]
fn a_core_would_be_seen() {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let site = Site::new();
    let before = names(&site);
    let status = Command::new("/bin/sh")
        .args(["-c", "ulimit -c unlimited && kill -SEGV $$"])
        .current_dir(site.path("."))
        .status()
        .unwrap();
    // A hard limit of the machine, a pipe or another folder: then only the limit and the flag can be looked at.
    if status.core_dumped() && !pattern.starts_with(['|', '/']) {
        assert_ne!(names(&site), before);
    }
}

fn names(site: &Site) -> Vec<String> {
    let entries = fs::read_dir(site.path(".")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The kernel gives what `/proc` shows of a process that may not be dumped to root.
#[test]
fn nobody_else_of_the_account_looks_in() {
    let site = Site::new();
    let (mut serving, account) = as_plain_account(&site);
    serving.hello();
    for name in ["environ", "mem", "maps"] {
        let shown = fs::metadata(format!("/proc/{}/{name}", serving.child.id())).unwrap();
        assert_eq!((shown.uid(), shown.gid()), (0, 0), "{name} of {account}");
    }
    // A process of the same account that has no such precaution shows itself to it.
    let mut other = Command::new("sleep");
    other.arg("60").uid(account);
    let mut other = other.spawn().unwrap();
    let shown = in_time({
        let path = format!("/proc/{}/environ", other.id());
        // Until it has become that account's program.
        move || loop {
            let uid = fs::metadata(&path).unwrap().uid();
            if uid == account {
                return uid;
            }
            std::thread::yield_now();
        }
    });
    assert_eq!(shown, account);
    other.kill().unwrap();
    other.wait().unwrap();
}

/// A server of an account that is not root; whoever runs the tests, unless that is root.
fn as_plain_account(site: &Site) -> (Serving, u32) {
    let me = fs::metadata("/proc/self").unwrap().uid();
    let mut command = Serving::command(site);
    if me != 0 {
        return (Serving::spawn(command), me);
    }
    let nobody = 65534;
    give(&site.path("."), nobody);
    command.uid(nobody).gid(nobody);
    (Serving::spawn(command), nobody)
}

fn give(path: &std::path::Path, account: u32) {
    chown(path, Some(account), Some(account)).unwrap();
    if path.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), account);
        }
    }
}

/// A filter of system calls that refuses to lower the limit of cores and to clear the flag, as some sandboxes do.
const SANDBOX: &str = r#"
import ctypes, os, platform, struct, sys
limit, control = {"x86_64": (302, 157), "aarch64": (261, 167)}[platform.machine()]
load = lambda at: struct.pack("HBBI", 0x20, 0, 0, at)
same = lambda value, yes, no: struct.pack("HBBI", 0x15, yes, no, value)
give = lambda value: struct.pack("HBBI", 0x06, 0, 0, value)
refuse, let = 0x00050001, 0x7fff0000
program = [
    load(0),
    same(limit, 0, 3),
    load(32), same(0, 4, 0), give(refuse),
    same(control, 0, 2),
    load(16), same(4, 1, 0),
    give(let), give(refuse),
]
code = b"".join(program)
buffer = ctypes.create_string_buffer(code, len(code))
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
given = Filter(len(program), ctypes.cast(buffer, ctypes.c_void_p))
assert libc.prctl(22, 2, ctypes.byref(given), 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[1], sys.argv[1:])
"#;

#[test]
fn what_cannot_be_kept_private_is_told() {
    let site = Site::new();
    let mut sandboxed = Command::new("python3");
    sandboxed.args(["-c", SANDBOX]).args(site.serve()).env_remove("SSHEPHERD_LOG");
    let mut serving = Serving::spawn(sandboxed);
    serving.hello();
    let heard = serving.end();
    assert!(heard.contains("core dumps could not be turned off"), "{heard}");
    assert!(heard.contains("the memory of this process could not be closed to others"), "{heard}");
}
