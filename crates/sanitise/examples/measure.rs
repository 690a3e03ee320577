//! How fast output is made readable: `cargo run --release -p sshepherd-sanitise --example measure`.
#![expect(clippy::print_stdout, reason = "a measurement")]

use std::time::Instant;

use sshepherd_sanitise::Screen;

fn main() {
    let screen = Screen::new(["correct horse battery staple", "hunter2!"]);
    let plain = "Nov 20 10:00:00 web1 sshd[1234]: Accepted publickey for deploy from 192.0.2.7 port 51234 ssh2\n";
    let coloured = "\u{1b}[32mok\u{1b}[0m  /srv/app/file-1.txt  token=none  gr\u{fc}\u{df}e\n";
    for (what, line) in [("a log", plain), ("coloured text", coloured)] {
        let text = line.repeat((1 << 20) / line.len());
        let began = Instant::now();
        let mut seen = 0;
        while began.elapsed().as_secs_f64() < 2.0 {
            for page in text.as_bytes().chunks(64 << 10) {
                seen += page.len();
                assert!(!screen.whole(page).lines.is_empty());
            }
        }
        println!("{what}: {:.0} MB/s", seen as f64 / 1e6 / began.elapsed().as_secs_f64());
    }
}
