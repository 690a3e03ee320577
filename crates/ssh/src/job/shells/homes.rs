//! Whose folder a job is kept in.

use super::*;

/// What is wrong, and how it comes about.
type Way<'a> = (&'a str, Box<dyn Fn() + 'a>);

/// The same for the folder in the account's home: a link, or a folder of another account, is passed over for the one in /tmp.
#[test]
fn a_folder_of_somebody_else_in_the_home_is_passed_over() {
    for far in every_shell() {
        let home = far.home.path();
        let (own, elsewhere) = (home.join(".sshepherd"), home.join("elsewhere"));
        std::fs::create_dir_all(elsewhere.join("jobs")).unwrap();
        let link = |to: &std::path::Path, at: &std::path::Path| {
            std::os::unix::fs::symlink(to, at).unwrap();
        };
        let stranger = |at: &std::path::Path| {
            std::fs::create_dir_all(at).unwrap();
            std::os::unix::fs::chown(at, Some(12345), None).unwrap();
        };
        let mut ways: Vec<Way> = vec![
            ("a link", Box::new(|| link(&elsewhere, &own))),
            (
                "a link in it",
                Box::new(|| {
                    std::fs::create_dir(&own).unwrap();
                    link(&elsewhere.join("jobs"), &own.join("jobs"));
                }),
            ),
        ];
        if rustix::process::geteuid().is_root() {
            ways.push(("of another", Box::new(|| stranger(&own))));
            ways.push(("one in it of another", Box::new(|| stranger(&own.join("jobs")))));
        }
        for (what, make) in ways {
            make();
            let spec = spec("echo in");
            let (_, said) = far.run(&spec);
            let words: Vec<&str> = said.words.split(' ').collect();
            assert_eq!(words[0], "job", "{} {what}: {}", far.shell, said.words);
            let folder = words[words.len() - 1].to_owned();
            assert!(folder.starts_with("/tmp/sshepherd-"), "{} {what}: {folder}", far.shell);
            assert_eq!(std::fs::read_dir(elsewhere.join("jobs")).unwrap().count(), 0, "{what}");
            let place = JobPlace { folder, ..far.place(&spec) };
            while far.collect(&place, (1, 1)).words == "running" {}
            assert_eq!(far.remove(&place, "go"), "removed", "{} {what}", far.shell);
            // Nor is anything removed through it.
            let through = JobPlace {
                folder: own.join("jobs").join(&spec.id).display().to_string(),
                ..far.place(&spec)
            };
            std::fs::create_dir(elsewhere.join("jobs").join(&spec.id)).unwrap();
            if what.starts_with("a link") {
                assert_eq!(far.remove(&through, "go"), "refused", "{} {what}", far.shell);
            }
            std::fs::remove_dir(elsewhere.join("jobs").join(&spec.id)).unwrap();
            let _ = std::fs::remove_file(&own);
            let _ = std::fs::remove_dir_all(&own);
        }
    }
}

/// Whoever made the folder in /tmp first could read and answer for the job.
#[test]
fn a_folder_of_somebody_else_is_refused() {
    for far in every_shell() {
        // An account whose number is nobody's, with a folder behind a link in place of its own.
        let number = format!("{}{}", std::process::id(), NONCE);
        let (id, folder) = (far.home.path().join("bin/id"), format!("/tmp/sshepherd-{number}"));
        std::fs::write(&id, format!("#!/bin/sh\necho {number}\n")).unwrap();
        let set = Command::new("chmod").arg("+x").arg(&id).status().unwrap();
        assert!(set.success());
        std::os::unix::fs::symlink(far.home.path(), &folder).unwrap();
        let text = script::start(LoginShell::Posix, NONCE, &spec("echo in"));
        let said = far.finish(far.spawn(&format!("HOME=/proc/none; {text}")));
        std::fs::remove_file(&folder).unwrap();
        let site = JobSite::parse(said.words.strip_prefix("elsewhere ").unwrap()).unwrap();
        assert!(!site.keeps_jobs(), "{}: {site:?}", far.shell);
    }
}
