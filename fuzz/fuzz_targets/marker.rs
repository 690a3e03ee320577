//! What the launch prefix prints is cut from output in the same way however it comes, and nothing else is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sshepherd_ssh::launch::Marker;

const NONCE: &str = "0123456789abcdef";

fn read(pieces: &[&[u8]]) -> (Vec<u8>, Option<u32>) {
    let mut marker = Marker::new(NONCE);
    let (mut bytes, mut pid, mut done) = (Vec::new(), None, false);
    for piece in pieces {
        if done {
            bytes.extend_from_slice(piece);
            continue;
        }
        let fed = marker.feed(piece);
        bytes.extend_from_slice(&fed.bytes);
        pid = pid.or(fed.pid);
        done = fed.done;
    }
    if !done {
        bytes.extend_from_slice(&marker.finish());
    }
    (bytes, pid)
}

fuzz_target!(|input: (&[u8], u16)| {
    let (raw, cut) = input;
    let (head, tail) = raw.split_at(usize::from(cut) % (raw.len() + 1));
    let whole = read(&[raw]);
    assert_eq!(read(&[head, tail]), whole);
    assert!(whole.0.len() <= raw.len());
});
