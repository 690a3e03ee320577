//! The time limit, which the host keeps, and hosts that lack tools.

use super::*;

#[test]
fn the_limit_ends_the_whole_tree_though_nobody_is_there() {
    for far in every_shell() {
        let spec = JobSpec { max_time: Duration::from_secs(1), ..spec(STUBBORN) };
        let (mut child, place) = (far.start(&spec), far.place(&spec));
        far.wrote(&place, 9);
        processes::kill(child.id());
        child.wait().unwrap();
        let pid = far.pid(&place);
        assert!(processes::wait_gone(pid, LIMIT), "{}", far.shell);
        assert_eq!(processes::wait_env_gone(&entry(&spec), LIMIT), Vec::<u32>::new());
        far.quiet(&place);
        let said = far.collect(&place, (1, 1));
        assert!(said.words.starts_with("done 137 limit "), "{}: {said:?}", far.shell);
    }
}

#[test]
fn a_short_command_never_waits_for_its_limit() {
    for far in every_shell() {
        let jobs: Vec<JobSpec> = (0..40).map(|_| spec("exit 4")).collect();
        let starts: Vec<Child> = jobs.iter().map(|spec| far.start(spec)).collect();
        for (spec, child) in jobs.iter().zip(starts) {
            far.finish(child);
            let place = far.place(spec);
            assert_eq!(far.collect(&place, (1, 1)).words, "done 4 - 0 0", "{}", far.shell);
            far.quiet(&place);
        }
    }
}

#[test]
fn the_limit_holds_without_the_supervisor_and_after_signals() {
    for far in every_shell() {
        let spec = JobSpec { max_time: Duration::from_secs(2), ..spec("echo up; exec sleep 1000") };
        let (child, place) = (far.start(&spec), far.place(&spec));
        far.wrote(&place, 3);
        let (supervisor, pid) = (far.supervisor(&place), far.pid(&place));
        let group = format!("-{supervisor}");
        assert!(Command::new("kill").args(["-TERM", "--", &group]).status().unwrap().success());
        processes::kill(supervisor);
        assert!(processes::alive(pid), "{}", far.shell);
        assert!(processes::wait_gone(pid, LIMIT), "{}", far.shell);
        far.finish(child);
        assert_eq!(far.collect(&place, (1, 1)).words, "dead limit - 3 0", "{}", far.shell);
        far.quiet(&place);
    }
}

#[test]
fn without_setsid_a_job_runs_under_job_control_or_not_at_all() {
    for far in every_shell() {
        let bin = far.home.path().join("bin");
        for tool in [
            "mkdir", "printf", "cat", "tail", "mv", "rm", "sleep", "mkfifo", "head", "wc", "id",
            "grep", "tr", "dd", "ls", "expr", "ln",
        ] {
            std::os::unix::fs::symlink(find(tool).unwrap(), bin.join(tool)).unwrap();
        }
        let far = Far { path: bin.display().to_string(), ..far };
        let spec = spec("echo in; exit 2");
        let (place, said) = far.run(&spec);
        if said.words.starts_with("refused ") {
            assert!(!std::path::Path::new(&place.folder).exists());
            continue;
        }
        let said = far.collect(&place, (1, 1));
        assert_eq!(
            (said.words.as_str(), said.out.as_slice()),
            ("done 2 - 3 0", &b"in\n"[..]),
            "{}",
            far.shell
        );
        far.quiet(&place);
    }
}
