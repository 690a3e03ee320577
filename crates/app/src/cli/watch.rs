//! `shells watch`: the screen of a shell that another process serves, as its recording grows.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sshepherd_engine::store::{Life, ListedShell, ShellFolder};
use tokio::sync::Notify;

use super::exit::Exit;
use super::out;
use super::recording::Recording;
use super::shells::state;
use super::view::{Signals, Told, View};

/// How often a shell is looked at without an event: nothing tells that a server is gone before its lock is free, and not every
/// system and file system tells of files that grow.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Follows a shell until it ends or the person leaves; then says where it is.
pub(super) async fn watch(shells: &ShellFolder, shell: ListedShell) -> io::Result<Exit> {
    let path = shells.cast_path(&shell.record.id);
    let mut growth = Growth::of(&path);
    let mut recording = Recording::open(&path, &shell.record)?;
    let mut signals = Signals::hear()?;
    let last = follow(shells, shell, &mut recording, &mut growth, &mut signals).await?;
    recording.tell();
    out::say(&format!("{}: {}", last.record.id, state(&last)));
    Ok(Exit::Done)
}

async fn follow(
    shells: &ShellFolder,
    mut shell: ListedShell,
    recording: &mut Recording,
    growth: &mut Growth,
    signals: &mut Signals,
) -> io::Result<ListedShell> {
    let mut view = View::begin();
    loop {
        // Before its recording is read: what was recorded before the end is shown.
        let now = shells.read(&shell.record.id);
        let gone = now.is_none();
        shell = now.unwrap_or(shell);
        recording.catch_up()?;
        view.paint(recording.screen())?;
        if gone || shell.life == Life::Ended {
            return Ok(shell);
        }
        tokio::select! {
            told = signals.next() => match told {
                Told::Leave => return Ok(shell),
                Told::Resized => view.forget(),
            },
            () = growth.wait() => {}
        }
    }
}

/// News of the files of a shell.
struct Growth(Arc<Notify>);

impl Growth {
    /// Listens to the folder of this file, where the system can.
    fn of(path: &Path) -> Self {
        let growth = Self(Arc::new(Notify::new()));
        if let Some(folder) = path.parent() {
            listen(folder, Arc::clone(&growth.0));
        }
        growth
    }

    /// Until there is news, or it is time to look.
    async fn wait(&mut self) {
        tokio::select! {
            () = self.0.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// A thread that tells of every change in `folder`, as long as this process lives.
#[cfg(target_os = "linux")]
fn listen(folder: &Path, news: Arc<Notify>) {
    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
    // The recording grows, the record is replaced, the lock is closed, the whole is removed.
    let wanted =
        WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::MOVE_SELF;
    let Ok(events) = init(CreateFlags::CLOEXEC) else { return };
    if add_watch(&events, folder, wanted).is_err() {
        return;
    }
    // Without the thread the folder is looked at from time to time.
    let _ = std::thread::Builder::new().name("sshepherd-watch".to_owned()).spawn(move || {
        // What they say is not looked at: everything is read again after any of them.
        let mut told = [0; 4096];
        loop {
            match rustix::io::read(&events, &mut told) {
                Ok(_) => news.notify_one(),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    });
}

/// No events there.
#[cfg(not(target_os = "linux"))]
fn listen(_folder: &Path, _news: Arc<Notify>) {}
