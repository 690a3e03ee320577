//! Hosts that a program reaches, held against the network policy as far as that goes.

use sshepherd_engine::policy::NetworkPolicy;
use sshepherd_engine::sanitise::More;
use sshepherd_engine::store::StreamFilter;
use sshepherd_model::{ConnectionSettings, Outcome, Phase, ProxyCommand, Request, TextEncoding};
use sshepherd_testkit::Sshd;

use crate::site::{Plan, Site, alias, origin};

/// Reaches a host and a port as `nc` does.
const RELAY: &str = "exec 3<>/dev/tcp/127.0.0.1/$1; cat <&3 & exec cat >&3";

fn by_program(trusted: bool) -> ConnectionSettings {
    let proxy = ProxyCommand {
        program: Ok("/bin/bash".into()),
        arguments: ["-c", RELAY, "%h", "%p"].map(str::to_owned).into(),
        trusted,
    };
    ConnectionSettings { proxy: Some(proxy), ..ConnectionSettings::default() }
}

fn network(allow: &[&str], block: &[&str]) -> NetworkPolicy {
    let nets = |list: &[&str]| list.iter().map(|net| net.parse().unwrap()).collect::<Vec<_>>();
    NetworkPolicy::new((!allow.is_empty()).then(|| nets(allow)), nets(block))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_escapes_no_allow_list_unless_the_owner_vouches_for_it() {
    let sshd = Sshd::start();
    let loopback = ["127.0.0.0/8"];
    for (address, allow, block, trusted, admitted) in [
        ("127.0.0.1", &[][..], &[][..], false, true),
        ("127.0.0.1", &loopback, &[], false, false),
        ("127.0.0.1", &["10.0.0.0/8"], &[], true, true),
        ("127.0.0.1", &[], &loopback, false, false),
        ("localhost", &[], &["127.0.0.0/8", "::1/128"], false, false),
        ("i-0abc.invalid", &[], &loopback, false, true),
        ("127.0.0.1", &[], &loopback, true, true),
    ] {
        let plan = Plan {
            address,
            network: network(allow, block),
            connection: by_program(trusted),
            ..Plan::default()
        };
        let finished = Site::with(&sshd, plan).run("echo in").await;
        if admitted {
            assert_eq!(finished.outcome, Outcome::Exited { status: 0 }, "{address} {block:?}");
            continue;
        }
        let Outcome::NotStarted(failure) = finished.outcome else {
            panic!("{address} {allow:?} {block:?}: {:?}", finished.outcome);
        };
        assert_eq!(failure.phase, Phase::Network, "{failure:?}");
        let vouch = failure.hint.contains("proxy_command_trusted: true");
        assert_eq!(vouch, !allow.is_empty(), "{failure:?}");
    }
}

/// Nobody here saw the address, so none is claimed: not in the task, not in the record.
#[tokio::test(flavor = "multi_thread")]
async fn no_address_is_claimed_for_what_a_program_reached() {
    let sshd = Sshd::start();
    let site = Site::with(&sshd, Plan { connection: by_program(false), ..Plan::default() });
    let id = site.start("echo in").await;
    assert_eq!(site.end(&id).await.outcome, Outcome::Exited { status: 0 });
    assert_eq!(site.text(&id).await, "in\n");
    let record = std::fs::read_to_string(site.path("audit.jsonl")).unwrap();
    assert!(record.contains("execution_start"), "{record}");
    assert!(
        !record.contains("127.0.0.1\",\"duration") && !record.contains("\"target_ip\":\"127"),
        "{record}"
    );
}

/// The bytes are kept as they came; what they mean is read where they are shown.
#[tokio::test(flavor = "multi_thread")]
async fn output_in_another_encoding_is_read_and_letters_beyond_ascii_are_not_sent() {
    let sshd = Sshd::start();
    let connection = ConnectionSettings {
        encoding: Some(TextEncoding("windows-1252")),
        ..ConnectionSettings::default()
    };
    let site = Site::with(&sshd, Plan { connection, ..Plan::default() });
    let id = site.start("printf 'caf\\351\\n'; printf '\\200\\n' >&2").await;
    assert_eq!(site.end(&id).await.outcome, Outcome::Exited { status: 0 });
    let read = site.engine.page(&id, 0, usize::MAX, StreamFilter::Stdout).await.unwrap();
    let page = read.found().unwrap();
    assert!((5..=7).contains(&page.next), "a cursor counts the bytes as they came: {}", page.next);
    let (view, next) =
        site.engine.view_page(&id, &page, StreamFilter::Stdout, More::No).await.unwrap();
    assert_eq!((view.text().as_str(), next), ("caf\u{e9}\n", page.next));
    let ends = site.engine.head_tail(&id, usize::MAX, StreamFilter::Both).await.unwrap();
    let ends = ends.found().unwrap();
    let (head, _) = site.engine.view_ends(&id, &ends, StreamFilter::Both).await.unwrap();
    assert!(head.text().contains("caf\u{e9}") && head.text().contains('\u{20ac}'), "{head:?}");

    let request = Request::new("echo caf\u{e9}").unwrap();
    let refused = site.engine.submit(&alias(), &request, origin()).await.unwrap_err();
    assert!(refused.to_string().contains("windows-1252"), "{refused}");
}
