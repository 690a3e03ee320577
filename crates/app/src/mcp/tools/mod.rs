//! The tools, one file a group; their routers are added up here.

mod config;
mod fan_out;
mod hosts;
mod output;
mod plan;
mod run;
mod shells;
mod tasks;

use rmcp::handler::server::router::tool::ToolRouter;

use super::server::Server;
pub(super) use output::WAIT_MOST;

impl Server {
    /// Every tool.
    pub(super) fn tool_router() -> ToolRouter<Self> {
        Self::hosts_router()
            + Self::plan_router()
            + Self::run_router()
            + Self::tasks_router()
            + Self::fan_out_router()
            + Self::output_router()
            + Self::shells_router()
            + Self::config_router()
    }
}
