//! Built-in commands, the little shell language, input, signals and the end of processes.

use russh::Sig;
use sshepherd_fakehost::{FakeFleet, FakeHostSpec};
use tokio::time::timeout;

use crate::client::{LIMIT, Ran, finish, first_output, fleet, login, run, signal, start};

fn ran(out: &str, err: &str, status: u32) -> Ran {
    Ran {
        out: out.to_owned(),
        err: err.to_owned(),
        status: Some(status),
        signal: None,
        closed_in_order: true,
    }
}

#[tokio::test]
async fn output_error_and_status_are_apart() {
    let fleet = fleet(FakeHostSpec::new("web-1"));
    let ssh = login(&fleet).await;
    let cases = [
        ("hostname", ran("web-1\n", "", 0)),
        ("'whoami'", ran("demo\n", "", 0)),
        ("/usr/bin/uname", ran("Linux\n", "", 0)),
        ("false", ran("", "", 1)),
        ("frobnicate -x", ran("", "sh: frobnicate: command not found\n", 127)),
        ("frobnicate 2>&1", ran("sh: frobnicate: command not found\n", "", 127)),
        ("frobnicate 2>/dev/null || echo 'no  such'", ran("no  such\n", "", 0)),
        ("false && echo no; echo yes", ran("yes\n", "", 0)),
        ("exit 7", ran("", "", 7)),
        ("seq 100 | grep 9 | head -n 3", ran("9\n19\n29\n", "", 0)),
        ("seq 100 | tail -n 2", ran("99\n100\n", "", 0)),
        ("seq 1000 | wc -l", ran("1000\n", "", 0)),
        ("yes | head -2", ran("y\ny\n", "", 0)),
        ("grep ^ID= /etc/os-release", ran("ID=debian\n", "", 0)),
        ("cat /etc/shadow", ran("", "cat: /etc/shadow: No such file or directory\n", 1)),
        ("systemctl is-active nginx", ran("active\n", "", 0)),
        ("echo $HOME", ran("", "sh: '$' is not known here; quote it\n", 2)),
    ];
    for (command, expected) in cases {
        assert_eq!(run(&ssh, command).await, expected, "{command}");
    }
    assert_eq!(run(&ssh, "tail -n 3 /var/log/syslog").await.out.lines().count(), 3);
    assert_eq!(run(&ssh, "journalctl -n 5 -u nginx").await.out.matches("nginx:").count(), 5);
    assert_eq!(run(&ssh, "systemctl status frob").await.status, Some(4));
    for command in [
        "uptime",
        "df -h",
        "free -m",
        "uname -a",
        "systemctl status nginx",
        "ps aux | grep nginx",
        "cat /etc/os-release",
    ] {
        let ran = run(&ssh, command).await;
        assert!(
            ran.status == Some(0) && !ran.out.is_empty() && ran.err.is_empty(),
            "{command}: {ran:?}"
        );
    }
}

#[tokio::test]
async fn hosts_differ() {
    let specs = ["web-1", "web-2"].map(FakeHostSpec::new).to_vec();
    let fleet = FakeFleet::in_memory(specs).unwrap();
    let keys: Vec<&str> = fleet.hosts().iter().map(|host| host.host_key()).collect();
    assert_ne!(keys.first(), keys.last());
    let other = FakeFleet::in_memory(vec![FakeHostSpec::new("web-2")]).unwrap();
    let mine = run(&login(&fleet).await, "free -m; df -h").await.out;
    assert_ne!(mine, run(&login(&other).await, "free -m; df -h").await.out);
}

#[tokio::test]
async fn input_reaches_the_command_and_ends() {
    let fleet = fleet(FakeHostSpec::new("web-1"));
    let ssh = login(&fleet).await;
    let mut channel = start(&ssh, "cat | wc -c").await;
    channel.data(vec![b'x'; 100_000].as_slice()).await.unwrap();
    channel.eof().await.unwrap();
    assert_eq!(finish(&mut channel).await.out, "100000\n");
}

#[tokio::test]
async fn much_output_arrives_whole() {
    let fleet = fleet(FakeHostSpec::new("web-1"));
    let ssh = login(&fleet).await;
    let out = run(&ssh, "seq 500000").await.out;
    assert_eq!((out.len(), out.lines().last()), (3_388_895, Some("500000")));
}

#[tokio::test]
async fn a_signal_ends_a_command_and_is_told() {
    let fleet = fleet(FakeHostSpec::new("web-1"));
    let host = fleet.hosts().first().unwrap();
    let ssh = login(&fleet).await;
    for (sent, name) in [(Sig::TERM, "TERM"), (Sig::KILL, "KILL")] {
        let mut channel = start(&ssh, "echo up; sleep 1000").await;
        assert_eq!(first_output(&mut channel).await, b"up\n");
        assert_eq!(host.processes().len(), 1);
        // A signal that a program would ignore is ignored.
        signal(&channel, Sig::Custom("WINCH".to_owned())).await;
        signal(&channel, sent).await;
        let ran = finish(&mut channel).await;
        assert_eq!((ran.status, ran.signal.as_deref()), (None, Some(name)));
        assert_eq!(host.processes(), []);
    }
}

#[tokio::test]
async fn a_closed_channel_leaves_a_quiet_command_and_ends_a_writing_one() {
    let fleet = fleet(FakeHostSpec::new("web-1"));
    let host = fleet.hosts().first().unwrap();
    let ssh = login(&fleet).await;
    let mut quiet = start(&ssh, "echo up; sleep 1000").await;
    first_output(&mut quiet).await;
    let quiet_pid = *host.processes().first().unwrap();
    let mut writing = start(&ssh, "yes").await;
    first_output(&mut writing).await;
    let writing_pid = *host.processes().last().unwrap();
    writing.close().await.unwrap();
    quiet.close().await.unwrap();
    timeout(LIMIT, host.process_gone(writing_pid)).await.unwrap();
    assert_eq!(host.processes(), [quiet_pid]);
    timeout(LIMIT, fleet.stop()).await.unwrap();
}

#[tokio::test]
async fn the_backup_streams_line_by_line() {
    let fleet = fleet(FakeHostSpec::new("db-1"));
    let ssh = login(&fleet).await;
    let mut channel = start(&ssh, "backup --verbose --steps 2").await;
    assert_eq!(first_output(&mut channel).await, b"backup of db-1 to /srv/backups\n");
    let ran = finish(&mut channel).await;
    assert_eq!((ran.status, ran.out.lines().count()), (Some(0), 3));
}

#[tokio::test]
async fn commands_on_one_connection_run_at_the_same_time() {
    let fleet = fleet(FakeHostSpec::new("web-1"));
    let ssh = login(&fleet).await;
    let mut waiting = start(&ssh, "cat").await;
    assert_eq!(run(&ssh, "echo meanwhile").await.out, "meanwhile\n");
    waiting.eof().await.unwrap();
    assert_eq!(finish(&mut waiting).await.status, Some(0));
}
