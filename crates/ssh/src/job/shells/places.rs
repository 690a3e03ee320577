//! Which home on which host: a start runs in the one that it is bound to, and a job is looked for there alone.

use super::script::Reading;
use super::*;

/// Sets the words that stand for another site in one part of `site`.
fn moved(site: &JobSite, part: &str) -> JobSite {
    let other = || "fedcba9876543210".to_owned();
    let site = site.clone();
    match part {
        "home" => JobSite { home: other(), ..site },
        "tmp" => JobSite { tmp: other(), ..site },
        "boot" => JobSite { boot: other(), ..site },
        other => panic!("{other}"),
    }
}

/// The alias led to another account, another host, an emptied home, a host that was started anew.
#[test]
fn a_start_runs_only_at_its_site_and_is_buried_only_there() {
    for far in every_shell() {
        let home = far.home.path();
        for part in ["home", "tmp", "boot"] {
            let site = Some(moved(far.site(), part));
            let spec = JobSpec { site, ..spec("echo run >> \"$HOME/runs\"") };
            let said = far.finish(far.start(&spec)).words;
            let found = said.strip_prefix("elsewhere ").and_then(JobSite::parse);
            assert_eq!(found.as_ref(), Some(far.site()), "{} {part}: {said}", far.shell);
            let buried = far.ask(&script::settle(NONCE, &spec.id, &moved(far.site(), part))).words;
            assert!(buried.starts_with("elsewhere "), "{} {part}: {buried}", far.shell);
            assert!(!home.join(".sshepherd/jobs").join(&spec.id).exists(), "{} {part}", far.shell);
        }
        assert!(!home.join("runs").exists(), "{}", far.shell);
        // With another part changed, a folder that is there is still found.
        let (spec, runs) = (spec("echo run >> \"$HOME/runs\""), || home.join("runs"));
        let (place, _) = far.run(&spec);
        for part in ["tmp", "boot"] {
            let again = JobSpec { site: Some(moved(far.site(), part)), ..spec.clone() };
            let said = far.finish(far.start(&again)).words;
            assert!(said.starts_with("exists "), "{} {part}: {said}", far.shell);
        }
        assert_eq!(std::fs::read_to_string(runs()).unwrap(), "run\n", "{}", far.shell);
        while far.collect(&place, (1, 1)).words == "running" {}
        assert_eq!(far.remove(&place, "-"), "removed");
    }
}

/// An identity is made once, whoever comes first, and a file that a power cut left empty is made anew.
#[test]
fn a_home_has_one_identity_for_good_and_a_new_one_when_it_was_emptied() {
    for far in every_shell() {
        let texts = (0..12).map(|number| {
            let nonce = format!("{number:016x}");
            (nonce.clone(), script::settle(&nonce, "none", &JobSite::unknown()))
        });
        let children: Vec<_> = texts.map(|(nonce, text)| (nonce, far.spawn(&text))).collect();
        let mut homes: Vec<String> = children
            .into_iter()
            .map(|(nonce, child)| {
                let output = child.wait_with_output().unwrap();
                let said = String::from_utf8(output.stderr).unwrap();
                let words = said.trim_end().strip_prefix(&format!("sshepherd-{nonce} elsewhere "));
                JobSite::parse(words.unwrap_or_else(|| panic!("{said}"))).unwrap().home
            })
            .collect();
        homes.dedup();
        assert_eq!(homes.len(), 1, "{}: {homes:?}", far.shell);
        assert_eq!(far.found().home, homes[0], "{}", far.shell);
        let own = far.home.path().join(".sshepherd");
        assert_eq!(std::fs::read_dir(&own).unwrap().count(), 2, "{}: id and jobs", far.shell);
        std::fs::write(own.join("id"), "").unwrap();
        assert_eq!(far.found().home, NONCE, "{}", far.shell);
        std::fs::remove_dir_all(&own).unwrap();
        assert_eq!(far.found().home, NONCE, "{}", far.shell);
        // Words that are none of ours are no identity.
        std::fs::write(own.join("id"), "../../etc\n").unwrap();
        assert_eq!(far.found().home, "-", "{}", far.shell);
    }
}

/// Without a home that can be written, the place in /tmp has an identity of its own, for one boot.
#[test]
fn a_job_without_a_home_is_bound_to_the_place_in_tmp() {
    for far in every_shell() {
        let link = far.home.path().join("elsewhere");
        std::fs::create_dir(&link).unwrap();
        std::os::unix::fs::symlink(&link, far.home.path().join(".sshepherd")).unwrap();
        let site = far.found();
        assert_eq!((site.home.as_str(), site.tmp == "-"), ("-", false), "{}: {site:?}", far.shell);
        let spec = spec("echo in");
        let said = far.finish(far.start(&spec)).words;
        let place = site.place(said.strip_prefix("job ").unwrap()).unwrap();
        assert!(place.folder.starts_with("/tmp/sshepherd-"), "{}: {place:?}", far.shell);
        assert_eq!(place.identity, site.tmp);
        // A home that can be written by now is not used for the start that was bound without one.
        std::fs::remove_file(far.home.path().join(".sshepherd")).unwrap();
        let again = far.finish(far.start(&spec)).words;
        assert!(again.starts_with("exists "), "{}: {again}", far.shell);
        while far.collect(&place, (1, 1)).words == "running" {}
        assert_eq!(far.remove(&place, "-"), "removed", "{}", far.shell);
    }
}

/// Follow, collect, stop and remove: in no other home, though the path is the same there.
#[test]
fn a_job_is_looked_for_in_its_own_place_alone() {
    for far in every_shell() {
        let spec = spec("echo up; exec sleep 1000");
        let (child, place) = (far.start(&spec), far.place(&spec));
        far.wrote(&place, 3);
        let pid = far.pid(&place);
        let other = JobPlace { identity: "fedcba9876543210".to_owned(), ..place.clone() };
        let shared = JobPlace { machine: "00000000".to_owned(), ..place.clone() };
        let known = far.site().machine != "-";
        for (place, elsewhere) in [(&other, true), (&shared, known)] {
            if !elsewhere {
                continue;
            }
            let text = script::follow(NONCE, place, Offsets::default(), Reading::Whole);
            assert!(far.ask(&text).words.starts_with("elsewhere "), "{}", far.shell);
            assert!(far.collect(place, (1, 1)).words.starts_with("elsewhere "), "{}", far.shell);
            assert!(far.remove(place, "-").starts_with("elsewhere "), "{}", far.shell);
            assert_eq!(far.stop(place, &spec), Stopped::Unconfirmed, "{}", far.shell);
            assert!(processes::alive(pid), "{}", far.shell);
        }
        // A version before kept neither.
        let before = JobPlace { identity: "-".to_owned(), machine: "-".to_owned(), ..place };
        assert_eq!(far.collect(&before, (1, 1)).words, "running", "{}", far.shell);
        assert_eq!(far.stop(&before, &spec), Stopped::Confirmed, "{}", far.shell);
        far.finish(child);
        far.quiet(&before);
        // What has ended is read by whoever shares the home.
        let words = far.collect(&shared, (1, 1)).words;
        assert!(words.starts_with("done "), "{}: {words}", far.shell);
    }
}
