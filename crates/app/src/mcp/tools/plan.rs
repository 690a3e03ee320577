//! The tool that judges a command without running it.

use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, JsonObject};
use rmcp::{tool, tool_router};
use sshepherd_model::Alias;

use crate::answer::{self, Failure, PlanAnswer};
use crate::mcp::args::{Args, OnHost};
use crate::mcp::reply::{done, failed, invalid};
use crate::mcp::schema;
use crate::mcp::server::Server;

#[tool_router(router = plan_router, vis = "pub(in crate::mcp)")]
impl Server {
    #[tool(
        description = "Judge a command without running it: is it allowed, by which rule, what would be sent.",
        input_schema = schema::input::<OnHost>(),
        output_schema = schema::output::<PlanAnswer>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn ssh_plan(&self, Parameters(args): Parameters<JsonObject>) -> CallToolResult {
        let args = Args::new(args);
        let parsed = args.need::<Alias>("alias").and_then(|alias| Ok((alias, args.request()?)));
        let (alias, request) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return invalid(error),
        };
        match self.engine.plan(&alias, &request).await {
            // A plan that says no is a good answer to the question, not a failed call.
            Ok(preview) => {
                done(&answer::planned(&alias, &request, &preview, self.settings.answer_bytes))
            }
            Err(refusal) => failed(&Failure::from(&refusal)),
        }
    }
}
