//! A program under a real pseudo terminal of its own, as sshd gives one: leader of a session that the terminal controls.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    ended: bool,
}

/// A program on its terminal. Dropped, the terminal hangs up, and the program is killed.
pub struct Pty {
    master: Option<File>,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    child: Child,
    name: String,
}

impl Pty {
    /// Starts `words`; `configure` may set variables and the folder.
    ///
    /// # Panics
    /// When there is no pseudo terminal or no `setsid` (util-linux).
    #[must_use]
    pub fn spawn(words: &[&str], configure: impl FnOnce(&mut Command)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a pseudo terminal");
        grantpt(&master).expect("grantpt");
        unlockpt(&master).expect("unlockpt");
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).expect("a size");
        let name = ptsname(&master, Vec::new()).expect("ptsname").into_string().expect("a path");
        let flags = i32::try_from(OFlags::NOCTTY.bits()).expect("a small number");
        let slave = OpenOptions::new().read(true).write(true).custom_flags(flags).open(&name);
        let slave = slave.expect("the terminal's other end");
        let copy = || Stdio::from(slave.try_clone().expect("a copy"));
        let mut command = Command::new("setsid");
        command.arg("-c").args(words).stdin(copy()).stdout(copy()).stderr(copy());
        configure(&mut command);
        let child = command.spawn().expect("setsid (util-linux) starts");
        drop((command, slave));
        let master = File::from(master);
        let seen = Arc::new((Mutex::new(Seen::default()), Condvar::new()));
        let (reader, theirs) = (master.try_clone().expect("a copy"), Arc::clone(&seen));
        std::thread::spawn(move || collect(reader, &theirs));
        Self { master: Some(master), seen, child, name }
    }

    /// The terminal's path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The program's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types.
    ///
    /// # Panics
    /// When the terminal hung up.
    pub fn send(&self, keys: &str) {
        let mut master = self.master.as_ref().expect("not hung up");
        master.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// All that was written so far.
    #[must_use]
    pub fn output(&self) -> Vec<u8> {
        self.seen.0.lock().unwrap_or_else(PoisonError::into_inner).bytes.clone()
    }

    /// Waits until `text` stands in the output at `from` or later: where it ends. `None` when the program or the time ended
    /// before.
    #[must_use]
    pub fn wait_for(&self, from: usize, text: &[u8], limit: Duration) -> Option<usize> {
        let deadline = Instant::now() + limit;
        let mut seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let late = seen.bytes.get(from..).unwrap_or_default();
            if let Some(at) = late.windows(text.len()).position(|window| window == text) {
                return Some(from + at + text.len());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if seen.ended || left.is_zero() {
                return None;
            }
            seen = self.seen.1.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the end of all that writes here: whether it came in time.
    #[must_use]
    pub fn wait_end(&self, limit: Duration) -> bool {
        let seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.seen.1.wait_timeout_while(seen, limit, |seen| !seen.ended);
        wait.unwrap_or_else(PoisonError::into_inner).0.ended
    }
}

fn collect(mut reader: File, seen: &(Mutex<Seen>, Condvar)) {
    let mut piece = [0; 4096];
    loop {
        // Linux says EIO when nobody has the other end any more.
        let length = reader.read(&mut piece).unwrap_or(0);
        let mut seen_now = seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen_now.bytes.extend_from_slice(piece.get(..length).unwrap_or_default());
        seen_now.ended = length == 0;
        drop(seen_now);
        seen.1.notify_all();
        if length == 0 {
            return;
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        self.master = None;
        // It may have ended already, which is as good.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
