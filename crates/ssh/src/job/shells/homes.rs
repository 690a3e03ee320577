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
