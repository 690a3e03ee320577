//! What secrets are read from is wiped: the memory of this process is looked through after the last of them is gone.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::process::Command;

use sshepherd_config::Loaded;

use crate::folder::Folder;

/// A word of a secret as `tr a-z n-za-m` turns it into the real one: this process must not hold it in any other way.
const TURNED: &str = "pnanel-sebz-n-cebivqre";
/// How often its word stands in a secret: what is given back to the allocator is soon overwritten in part.
const REPEATS: usize = 60;

/// Bytes that are looked at together, and those of a page.
const PIECE: usize = 1 << 16;
const PAGE: usize = 4096;

/// Has a child write the real secret, between two texts.
fn written(folder: &Folder, name: &str, before: &str, turned: &str, after: &str) {
    let path = folder.path(name);
    let turned = turned.repeat(REPEATS);
    let script = "umask 077; { printf %s \"$2\"; printf %s \"$3\" | tr a-z n-za-m; printf %s \"$4\"; } >\"$1\"";
    let status = Command::new("/bin/sh")
        .args(["-c", script, "sh"])
        .arg(&path)
        .args([before, &turned, after])
        .status()
        .unwrap();
    assert!(status.success());
}

/// How often the word of a real secret stands in this process' memory. It is compared letter by letter, turned back.
fn found(turned: &str) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut memory = File::open("/proc/self/mem").unwrap();
    let mut count = 0;
    // Wiped after each piece, for it holds copies of what it looks at.
    let mut buffer = vec![0; PIECE];
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let end = u64::from_str_radix(end, 16).unwrap();
        let mut at = u64::from_str_radix(start, 16).unwrap();
        while at < end {
            let want = usize::try_from(end - at).unwrap().min(PIECE);
            // A mapping may be gone by now.
            if memory.seek(SeekFrom::Start(at)).is_err()
                || memory.read_exact(buffer.get_mut(..want).unwrap()).is_err()
            {
                break;
            }
            let own = buffer.as_ptr() as u64;
            let own = own..own + PIECE as u64;
            let piece = buffer.get(..want).unwrap();
            count += within(piece, turned.as_bytes(), |offset| !own.contains(&(at + offset)));
            buffer.fill(0);
            // The next piece begins early enough for what stands across the end of this one.
            at += if want == PIECE { (want - turned.len()) as u64 } else { want as u64 };
        }
    }
    count
}

/// How often it stands in a piece at a place that counts. Most pages are empty, and skipped at once.
fn within(piece: &[u8], turned: &[u8], counts: impl Fn(u64) -> bool) -> usize {
    let empty = [0; PAGE];
    let first = back(*turned.first().unwrap());
    let mut count = 0;
    for (page, bytes) in piece.chunks(PAGE).enumerate() {
        if empty.starts_with(bytes) {
            continue;
        }
        let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
        for offset in starts.map(|(at, _)| page * PAGE + at) {
            let Some(window) = piece.get(offset..offset + turned.len()) else { break };
            let same = window.iter().zip(turned).all(|(real, turned)| *real == back(*turned));
            count += usize::from(same && counts(offset as u64));
        }
    }
    count
}

fn back(byte: u8) -> u8 {
    if byte.is_ascii_lowercase() { (byte - b'a' + 13) % 26 + b'a' } else { byte }
}

fn uses(folder: &Folder) {
    let entry =
        "entries:\n  - {name: ops, username: ops, key_path: id, key_passphrase_secret: db}\n";
    folder.write("credentials.yml", entry);
}

fn held_and_then_gone(folder: &Folder, turned: &str, place: &str) {
    uses(folder);
    let loaded: Loaded = folder.load().unwrap();
    assert_ne!(found(turned), 0, "{place}: the configuration holds it");
    drop(loaded);
    assert_eq!(found(turned), 0, "{place}: copies are left");
}

#[test]
fn a_secret_file_leaves_no_copy() {
    let folder = Folder::sound();
    let turned = format!("{TURNED}-svyr");
    written(&folder, "secrets/db", "", &turned, "\n");
    held_and_then_gone(&folder, &turned, "file");
}

#[test]
fn dotenv_leaves_no_copy_of_what_is_asked_for_nor_of_what_is_not() {
    let folder = Folder::sound();
    let (turned, other) = (format!("{TURNED}-qbgrai"), format!("{TURNED}-bgure"));
    written(&folder, "rest", "other='", &other, "' # \n");
    written(&folder, "secrets/.env", "db=\"", &turned, "\"\n");
    let add = format!(
        "cat {} >>{}",
        folder.path("rest").display(),
        folder.path("secrets/.env").display()
    );
    assert!(Command::new("/bin/sh").args(["-c", &add]).status().unwrap().success());
    held_and_then_gone(&folder, &turned, ".env");
    assert_eq!(found(&other), 0, "the other line");
}

#[test]
fn a_helper_leaves_no_copy() {
    let folder = Folder::sound();
    let turned = format!("{TURNED}-urycre");
    let helper = format!("[/bin/sh, -c, 'echo {} | tr a-z n-za-m']", turned.repeat(REPEATS));
    folder.write("sshepherd.yml", &format!("secrets: {{db: {{command: {helper}}}}}\n"));
    held_and_then_gone(&folder, &turned, "helper");
}

#[test]
fn what_a_helper_prints_before_it_fails_leaves_no_copy() {
    let folder = Folder::sound();
    uses(&folder);
    for (more, word) in [("exit 3", "snvy"), ("printf \"\\\\377\"", "rapbqvat")] {
        let turned = format!("{TURNED}-{word}");
        let helper =
            format!("[/bin/sh, -c, 'echo {} | tr a-z n-za-m; {more}']", turned.repeat(REPEATS));
        folder.write("sshepherd.yml", &format!("secrets: {{db: {{command: {helper}}}}}\n"));
        assert!(!folder.problems().is_empty());
        assert_eq!(found(&turned), 0, "{more}: copies are left");
    }
}

#[test]
fn a_file_that_is_no_text_leaves_no_copy() {
    let folder = Folder::sound();
    uses(&folder);
    let turned = format!("{TURNED}-grkg");
    written(&folder, "secrets/db", "", &turned, "\n");
    let add = format!("printf '\\377' >>{}", folder.path("secrets/db").display());
    assert!(Command::new("/bin/sh").args(["-c", &add]).status().unwrap().success());
    assert!(folder.problems().join("\n").contains("is no text in UTF-8"));
    assert_eq!(found(&turned), 0, "copies are left");
}

#[test]
fn a_text_with_room_to_spare_is_not_left_behind_by_a_secret() {
    let turned = format!("{TURNED}-ebbz");
    let mut text = String::with_capacity(4096);
    text.extend(turned.repeat(REPEATS).bytes().map(|byte| char::from(back(byte))));
    let secret = sshepherd_model::Secret::new(text);
    assert_eq!(found(&turned), REPEATS, "it is held once");
    drop(secret);
    assert_eq!(found(&turned), 0, "copies are left");
}
