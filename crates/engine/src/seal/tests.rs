use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sshepherd_model::{CommandHash, Inventory, Limits, LoginShell, Secret};
use sshepherd_policy::{Decision, Dialect, LimitTable, NetworkPolicy, Policy, RuleRef};

use super::*;
use crate::config::KnownHostsFiles;

const KEY: DigestKey = [7; 64];

fn host(alias: &str) -> Host {
    Host {
        alias: alias.parse().unwrap(),
        address: "h1".to_owned(),
        port: 22,
        credentials: "own".parse().unwrap(),
        tags: Vec::new(),
        description: HostWords::default(),
        login_shell: LoginShell::Posix,
        jump: None,
        connection: sshepherd_model::ConnectionSettings::default(),
    }
}

fn credential(username: &str, methods: Vec<AuthMethod>) -> Credential {
    let (name, username) = ("own".parse().unwrap(), username.to_owned());
    Credential { name, username, methods, password_prompt: None }
}

fn password(text: &str) -> AuthMethod {
    AuthMethod::Password(Secret::new(text.to_owned()))
}

fn config(hosts: Vec<Host>, credential: Credential, policy_hash: &str) -> Config {
    Config {
        inventory: Inventory::new(hosts, vec![credential]),
        policy: Policy::new(
            Vec::new(),
            LimitTable::default(),
            NetworkPolicy::default(),
            Dialect::default(),
        ),
        policy_hash: policy_hash.to_owned(),
        unread: Default::default(),
        known_hosts: KnownHostsFiles::UserAndSystem,
        gate: crate::GateSettings::default(),
        screen: crate::OwnScreen::default(),
        audit_commands: false,
        shells: crate::ShellSettings::default(),
        typed_secrets: BTreeMap::new(),
        warm: None,
        fan_out_parallel: 1,
        fan_out_total: 1,
        fan_out_behind_jump: 1,
    }
}

fn parts(host: Host) -> PermitParts {
    PermitParts {
        host: Arc::new(host),
        command: "cat".to_owned(),
        hash: CommandHash::of("cat"),
        wire: "cat".to_owned(),
        shown: "cat".to_owned(),
        script: "cat".to_owned(),
        cwd: None,
        env: vec![("A".to_owned(), "b".to_owned())],
        stdin: Some("in".to_owned()),
        limits: Limits::default(),
        decisions: vec![Decision::Filter("cat".to_owned())],
        raw_shell: false,
        unenforced: None,
    }
}

fn plain() -> (Config, PermitParts) {
    let methods = vec![password("one"), AuthMethod::Interactive];
    let (one, jump) = (host("one"), host("jump"));
    (config(vec![one.clone(), jump], credential("ann", methods), "p"), parts(one))
}

fn digest((config, parts): &(Config, PermitParts)) -> String {
    Sealer::new(KEY, config).permit("command", parts)
}

type Change = Box<dyn Fn(&mut Config, &mut PermitParts)>;

/// One change after the other, of everything that a yes is bound to.
#[test]
fn any_change_of_anything_that_is_bound_is_another_digest() {
    let changes: Vec<(&str, Change)> = vec![
        ("policy", Box::new(|config, _| config.policy_hash.push('x'))),
        ("command", Box::new(|_, parts| parts.command.push('x'))),
        ("wire", Box::new(|_, parts| parts.wire.push('x'))),
        ("script", Box::new(|_, parts| parts.script.push('x'))),
        ("cwd", Box::new(|_, parts| parts.cwd = Some(String::new()))),
        ("no env", Box::new(|_, parts| parts.env.clear())),
        ("a value", Box::new(|_, parts| parts.env[0].1.push('x'))),
        ("a name", Box::new(|_, parts| parts.env[0].0.push('x'))),
        ("stdin", Box::new(|_, parts| parts.stdin = Some("other".to_owned()))),
        ("no stdin", Box::new(|_, parts| parts.stdin = None)),
        ("empty stdin", Box::new(|_, parts| parts.stdin = Some(String::new()))),
        ("raw", Box::new(|_, parts| parts.raw_shell = true)),
        (
            "decision",
            Box::new(|_, parts| {
                let rule = RuleRef { id: "r".to_owned(), why: None, file: String::new(), line: 1 };
                parts.decisions = vec![Decision::Rule(rule)];
            }),
        ),
        ("alias", Box::new(|_, parts| edit(parts, |host| host.alias = "two".parse().unwrap()))),
        ("address", Box::new(|_, parts| edit(parts, |host| host.address.push('x')))),
        ("port", Box::new(|_, parts| edit(parts, |host| host.port = 23))),
        ("shell", Box::new(|_, parts| edit(parts, |host| host.login_shell = LoginShell::Fish))),
        ("way", Box::new(|_, parts| edit(parts, |host| host.jump = Some("jump".parse().unwrap())))),
        (
            "account",
            Box::new(|config, _| {
                log_in(config, "bob", vec![password("one"), AuthMethod::Interactive])
            }),
        ),
        (
            "password",
            Box::new(|config, _| {
                log_in(config, "ann", vec![password("two"), AuthMethod::Interactive])
            }),
        ),
        ("methods", Box::new(|config, _| log_in(config, "ann", vec![password("one")]))),
        (
            "order",
            Box::new(|config, _| {
                log_in(config, "ann", vec![AuthMethod::Interactive, password("one")])
            }),
        ),
    ];
    let mut seen = BTreeSet::from([digest(&plain())]);
    for (what, change) in changes {
        let (mut config, mut parts) = plain();
        change(&mut config, &mut parts);
        assert!(seen.insert(digest(&(config, parts))), "{what}");
    }
    let (config, parts) = plain();
    assert!(seen.insert(Sealer::new(KEY, &config).permit("shell", &parts)), "kind");
    assert!(seen.insert(Sealer::new([8; 64], &config).permit("command", &parts)), "key");
    assert_eq!(digest(&plain()), digest(&(config, parts)), "the same is the same");
}

fn edit(parts: &mut PermitParts, change: impl Fn(&mut Host)) {
    let mut host = (*parts.host).clone();
    change(&mut host);
    parts.host = Arc::new(host);
}

fn log_in(config: &mut Config, user: &str, methods: Vec<AuthMethod>) {
    let hosts = config.inventory.hosts().iter().map(|host| (**host).clone()).collect();
    config.inventory = Inventory::new(hosts, vec![credential(user, methods)]);
}

/// The content of a key counts, not where it is; its certificate too.
#[test]
fn a_key_that_was_replaced_under_its_name_is_another_log_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("id");
    let method = || AuthMethod::Key { path: path.clone(), certificate: None, passphrase: None };
    let now = || {
        let one = host("one");
        digest(&(config(vec![one.clone()], credential("ann", vec![method()]), "p"), parts(one)))
    };
    let mut seen = BTreeSet::from([now()]);
    for (name, text) in [("id", "a key"), ("id", "another"), ("id-cert.pub", "signed")] {
        std::fs::write(folder.path().join(name), text).unwrap();
        assert!(seen.insert(now()), "{name} {text}");
    }
}

proptest! {
    /// No two different requests read the same, however their parts are cut.
    #[test]
    fn two_requests_have_one_digest_only_when_they_are_equal(
        a in request(), b in request(), one in "[ab]", two in "[ab]",
    ) {
        let (one, two): (Alias, Alias) = (one.parse().unwrap(), two.parse().unwrap());
        let same = one == two && a == b;
        prop_assert_eq!(asked(&KEY, &one, &a) == asked(&KEY, &two, &b), same);
    }
}

fn request() -> impl Strategy<Value = Request> {
    let text = || "[ab]{0,2}";
    let variables = proptest::collection::vec((text(), text()), 0..3);
    (proptest::option::of(text()), variables, proptest::option::of(text()), "[ab]{1,2}").prop_map(
        |(cwd, env, stdin, command)| {
            let mut request = Request::new(&command).unwrap();
            (request.cwd, request.env, request.stdin) = (cwd, env, stdin);
            request
        },
    )
}
