//! Output for which there is no room.

use super::script::Reading;
use super::*;

/// What was kept of one stream: each piece with its offset.
type Pieces = Vec<(u64, Vec<u8>)>;

impl Far {
    /// How an ended job ended, and its standard output, read as a client does.
    fn pieces(&self, place: &JobPlace) -> (String, u64, Pieces) {
        let (mut have, mut pieces) = (Offsets::default(), Pieces::new());
        loop {
            let said = self.ask(&script::collect(NONCE, place, have));
            let fields: Vec<&str> = said.words.split(' ').collect();
            assert_eq!(fields.len(), 9, "{}: {}", self.shell, said.words);
            let at = |place: usize| fields[place].parse::<u64>().unwrap();
            let (size, from, to) = (at(3), at(5), at(7));
            assert!(from >= have.stdout && from + said.out.len() as u64 == to, "{said:?}");
            pieces.push((from, said.out));
            have = Offsets { stdout: to, stderr: at(8) };
            if to == size {
                return (fields[..3].join(" "), size, pieces);
            }
        }
    }

    fn on_the_host(&self, place: &JobPlace) -> u64 {
        let files = std::fs::read_dir(&place.folder).unwrap();
        // Some go meanwhile.
        files.map(|file| file.unwrap().metadata().map_or(0, |file| file.len())).sum()
    }

    /// Waits until nothing works for the job; when that takes too long, what does and what it waits for is the failure.
    fn quiet_or_told(&self, place: &JobPlace) {
        let began = std::time::Instant::now();
        loop {
            let pids = processes::pids_with_argument(&place.folder);
            if pids.is_empty() {
                return;
            }
            assert!(began.elapsed() < LIMIT, "{}: {}", self.shell, seen(place));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The processes that have the job's folder in their arguments or open, with what each waits for.
fn seen(place: &JobPlace) -> String {
    let mut told = String::new();
    for process in processes::all() {
        let root = format!("/proc/{}", process.pid);
        let read = |name: &str| {
            let bytes = std::fs::read(format!("{root}/{name}")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let open: Vec<String> = std::fs::read_dir(format!("{root}/fd"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|fd| {
                let to = std::fs::read_link(fd.path()).ok()?;
                let to = to.to_string_lossy().into_owned();
                to.contains(&place.folder).then(|| format!("{:?} {to}", fd.file_name()))
            })
            .collect();
        if !open.is_empty() || read("cmdline").contains(&place.folder) {
            told += &format!(
                "\n{} {} wchan {} args {:.200} open {open:?}",
                process.pid,
                read("stat"),
                read("wchan"),
                read("cmdline")
            );
        }
    }
    told
}

/// A limit of sizes stands for a full disk: no file may grow over one block.
#[test]
fn output_that_could_not_be_kept_is_told() {
    for far in every_shell() {
        let copy: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(far.home.path().join("copy"), &copy).unwrap();
        // The limit ends the command as over plain ssh, where it breaks it itself.
        let spec = spec(
            "cat \"$HOME/copy\" && { (head -c 100000 /dev/zero) >\"$HOME/big\"; echo $? >&2; exit 3; }",
        );
        let text = far.text(&spec);
        let place = far.place(&spec);
        let child = far.spawn(&format!("ulimit -f 8; {text}"));
        // The command is not ended by what becomes of its output.
        while far.pid(&place) == 0 {}
        far.quiet_or_told(&place);
        far.finish(child);
        let (words, size, pieces) = far.pieces(&place);
        assert_eq!(words, "done 3 -", "{}", far.shell);
        let (first, last) = (&pieces[0], &pieces[pieces.len() - 1]);
        assert!(first.0 == 0 && !first.1.is_empty() && copy.starts_with(&first.1));
        assert!(pieces.len() > 1 && copy.ends_with(&last.1), "{} {size}", far.shell);
        assert!(size >= 100_000, "{} {size}", far.shell);
        let err = far.ask(&script::collect(NONCE, &place, Offsets::default())).err;
        let err = String::from_utf8(err).unwrap();
        assert_eq!(err.lines().last(), Some("153"), "{} {err}", far.shell);
        assert_eq!(far.remove(&place, "-"), "removed", "{}", far.shell);
    }
}

/// The command writes far more than may wait, and nobody takes any of it.
#[test]
fn a_flood_loses_its_middle_and_the_command_goes_on() {
    for far in every_shell() {
        let spec = JobSpec {
            room: 4 << 20,
            ..spec(
                "head -c 12000000 /dev/urandom | tee \"$HOME/copy\"; echo after >&2; \
                 seq 200000 | tee -a \"$HOME/copy\"; exit 3",
            )
        };
        let mut child = far.start(&spec);
        let place = far.place(&spec);
        far.wrote(&place, 1);
        processes::kill(child.id());
        child.wait().unwrap();
        let mut most = 0;
        while !processes::pids_with_argument(&place.folder).is_empty() {
            most = most.max(far.on_the_host(&place));
            std::thread::sleep(Duration::from_millis(2));
        }
        // The room, one piece more, and what is kept free for the end.
        assert!(most <= (4 << 20) + (1 << 20) + (256 << 10), "{} {most}", far.shell);
        let (words, size, pieces) = far.pieces(&place);
        let copy = std::fs::read(far.home.path().join("copy")).unwrap();
        assert_eq!((words.as_str(), size), ("done 3 -", copy.len() as u64), "{}", far.shell);
        assert_eq!(pieces.len(), 2, "{}", far.shell);
        for (from, bytes) in &pieces {
            let from = usize::try_from(*from).unwrap();
            assert!(bytes[..] == copy[from..from + bytes.len()], "{} {from}", far.shell);
            assert!(bytes.len() >= 1 << 20, "{} {}", far.shell, bytes.len());
        }
        let err = far.ask(&script::collect(NONCE, &place, Offsets::default())).err;
        assert_eq!(err, b"after\n", "{}", far.shell);
        assert_eq!(far.remove(&place, "-"), "removed", "{}", far.shell);
    }
}

/// One file after the other while they grow, then what has come since.
#[test]
fn pieces_are_followed_without_a_gap() {
    for far in every_shell() {
        let spec = JobSpec {
            room: 32 << 20,
            ..spec(
                "i=0; while [ $i -lt 4 ]; do head -c 6000000 /dev/urandom | tee -a \"$HOME/copy\"; \
                 i=$((i + 1)); sleep 0.3; done; echo last | tee -a \"$HOME/copy\"",
            )
        };
        let (child, place) = (far.start(&spec), far.place(&spec));
        far.wrote(&place, 5_000_000);
        let have = Offsets { stdout: 1_000_000, stderr: 0 };
        let said = far.ask(&script::follow(NONCE, &place, have, Reading::Pieces));
        assert_eq!(said.words, "follow 1000000 0", "{}", far.shell);
        let have = Offsets { stdout: 1_000_000 + said.out.len() as u64, stderr: 0 };
        let rest = far.collect(&place, (have.stdout + 1, 1)).out;
        far.finish(child);
        let copy = std::fs::read(far.home.path().join("copy")).unwrap();
        assert!([said.out, rest].concat() == copy[1_000_000..], "{}", far.shell);
        assert!(have.stdout > 12_000_000, "{} {have:?}", far.shell);
        assert_eq!(far.remove(&place, "-"), "removed", "{}", far.shell);
    }
}
