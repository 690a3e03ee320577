//! Tools about the server and its hosts; they contact nothing.

use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, JsonObject};
use rmcp::{tool, tool_router};
use sshepherd_engine::{Circuit, Refusal};
use sshepherd_model::Alias;

use crate::answer::{
    self, Failure, HostAnswer, HostListAnswer, PingAnswer, PolicyLimits, UnusableHost, encoded,
    shorten,
};
use crate::mcp::args::{Args, None as NoArgs, OfHosts, OnAlias};
use crate::mcp::reply::{done, failed, invalid};
use crate::mcp::schema;
use crate::mcp::server::Server;

/// Longest reason, in characters, why a host cannot be used.
const WHY_CHARS: usize = 400;

#[tool_router(router = hosts_router, vis = "pub(in crate::mcp)")]
impl Server {
    #[tool(
        description = "Whether this server is up. Contacts no host.",
        input_schema = schema::input::<NoArgs>(),
        output_schema = schema::output::<PingAnswer>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn ssh_ping(&self) -> CallToolResult {
        done(&PingAnswer { status: "pong", version: env!("CARGO_PKG_VERSION") })
    }

    #[tool(
        description = "All host aliases, or those that a selector takes.",
        input_schema = schema::input::<OfHosts>(),
        output_schema = schema::output::<HostListAnswer>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn ssh_list_hosts(&self, Parameters(args): Parameters<JsonObject>) -> CallToolResult {
        let config = self.engine.config();
        let selected = match Args::new(args).selector() {
            Ok(None) => Ok(config.inventory.hosts().to_vec()),
            Ok(Some(selector)) => selector.select(&config.inventory),
            Err(error) => return invalid(error),
        };
        let hosts = match selected {
            Ok(hosts) => hosts,
            Err(bad) => return failed(&Failure::from(&Refusal::Selector(bad))),
        };
        let mut answer = HostListAnswer::default();
        let mut room = self.settings.answer_bytes.saturating_sub(200);
        for host in &hosts {
            let alias = host.alias.to_string();
            let size = encoded(&alias) + 1;
            if size > room {
                break;
            }
            room -= size;
            answer.hosts.push(alias);
        }
        for host in &hosts {
            let Some(why) = sshepherd_engine::unusable(&config, host) else { continue };
            let unusable =
                UnusableHost { alias: host.alias.to_string(), why: shorten(&why, WHY_CHARS) };
            let size = encoded(&unusable) + 1;
            if size > room {
                break;
            }
            room -= size;
            answer.unusable.push(unusable);
        }
        let missing = hosts.len() - answer.hosts.len();
        if missing > 0 {
            answer.missing_hosts = Some(missing as u64);
            answer.hint = Some(
                "the resource ssh://hosts has every host; ssh_run_on_tag reaches groups".to_owned(),
            );
        }
        done(&answer)
    }

    #[tool(
        description = "A host's address, tags and limits.",
        input_schema = schema::input::<OnAlias>(),
        output_schema = schema::output::<HostAnswer>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn ssh_describe_host(&self, Parameters(args): Parameters<JsonObject>) -> CallToolResult {
        let alias: Alias = match Args::new(args).need("alias") {
            Ok(alias) => alias,
            Err(error) => return invalid(error),
        };
        match self.describe(&alias) {
            Ok(answer) => done(&answer),
            Err(refusal) => failed(&Failure::from(&refusal)),
        }
    }
}

impl Server {
    fn describe(&self, alias: &Alias) -> Result<HostAnswer, Refusal> {
        let config = self.engine.config();
        let host = self.engine.host(alias)?;
        Ok(HostAnswer {
            alias: Some(host.alias.to_string()),
            host: Some(host.address.clone()),
            port: Some(host.port),
            credentials: Some(host.credentials.to_string()),
            tags: Some(host.tags.iter().map(ToString::to_string).collect()),
            jump: Some(answer::jumps(&config.inventory, &host)).filter(|hops| !hops.is_empty()),
            description: Some(host.description.to_string()),
            circuit: circuit(&self.engine.circuit(&host.alias)),
            unusable: sshepherd_engine::unusable(&config, &host)
                .map(|why| shorten(&why, WHY_CHARS)),
            policy_limits: Some(PolicyLimits::from(&config.policy.limits(&host))),
            shells: Some(answer::shells(&config, &host)),
            shell_programs: answer::shell_programs(&config, &host),
            missing_entries: None,
        }
        .within(self.settings.answer_bytes))
    }
}

/// Why a host is not tried at present; nothing while it is.
fn circuit(circuit: &Circuit) -> Option<String> {
    match circuit {
        Circuit::Closed => None,
        Circuit::Open { left, last } => {
            Some(format!("open: not tried for another {} s; {last}", left.as_secs().max(1)))
        }
        Circuit::HalfOpen { last } => Some(format!("half open: the next command is tried; {last}")),
    }
}
