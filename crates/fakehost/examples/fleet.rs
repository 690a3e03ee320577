//! Fake hosts as a process of their own, for measurements: `fleet COUNT FOLDER`.
//!
//! Each host listens on an address of its own in 127.0.0.0/8 and all on one port, so that every client reaches them with the
//! same options. FOLDER gets `hosts` (`ADDRESS USER` a line), `key`, `known_hosts` and `ssh_config`; then the process prints
//! its port, and ends when its standard input does. The last ten hosts have users of their own, so that `whoami` differs there.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement"
)]

use std::fmt::Write as _;
use std::io::Read;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use sshepherd_fakehost::{DEFAULT_USER, FakeFleet, FakeHostSpec};
use tokio::net::TcpListener;

/// Hosts at the end of the list whose user is another.
const ODD: usize = 10;

fn address(number: usize) -> Ipv4Addr {
    let [third, fourth] = [number / 250, number % 250 + 1].map(|part| u8::try_from(part).unwrap());
    Ipv4Addr::new(127, 1, third, fourth)
}

fn user(number: usize, count: usize) -> String {
    match (number + ODD).checked_sub(count) {
        Some(odd) if count > ODD => format!("odd{odd}"),
        Some(_) | None => DEFAULT_USER.to_owned(),
    }
}

/// Listens on the same port everywhere: the first host's choice.
async fn serve(fleet: &Arc<FakeFleet>) -> u16 {
    let mut port = 0;
    for number in 0..fleet.hosts().len() {
        let listener = TcpListener::bind((address(number), port)).await.unwrap();
        port = listener.local_addr().unwrap().port();
        let fleet = Arc::clone(fleet);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                fleet.hosts()[number].serve(stream);
            }
        });
    }
    port
}

fn write(path: &Path, text: &str) {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

fn describe(fleet: &FakeFleet, port: u16, folder: &Path) {
    let (mut hosts, mut known) = (String::new(), String::new());
    for (number, host) in fleet.hosts().iter().enumerate() {
        let address = address(number);
        writeln!(hosts, "{address} {}", host.user()).unwrap();
        writeln!(known, "[{address}]:{port} {}", host.host_key()).unwrap();
    }
    write(&folder.join("hosts"), &hosts);
    write(&folder.join("known_hosts"), &known);
    write(&folder.join("key"), &fleet.client_key_text().unwrap());
    let folder = folder.display();
    let config = format!(
        "Host *\n  Port {port}\n  User {DEFAULT_USER}\n  IdentityFile {folder}/key\n  IdentitiesOnly yes\n  \
         IdentityAgent none\n  UserKnownHostsFile {folder}/known_hosts\n  GlobalKnownHostsFile /dev/null\n  \
         StrictHostKeyChecking yes\n  BatchMode yes\n  LogLevel ERROR\n"
    );
    write(Path::new(&format!("{folder}/ssh_config")), &config);
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (count, folder) = (arguments[1].parse::<usize>().unwrap(), Path::new(&arguments[2]));
    let specs = (0..count).map(|number| {
        FakeHostSpec::new(format!("node{:04}", number + 1)).user(user(number, count))
    });
    let fleet = Arc::new(FakeFleet::in_memory(specs.collect()).unwrap());
    let port = serve(&fleet).await;
    describe(&fleet, port, folder);
    println!("{port}");
    let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    end.await.unwrap().unwrap();
}
