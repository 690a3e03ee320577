//! The tools, one file a group; their routers are added up here.

mod config;
mod hosts;
mod plan;
mod run;
mod tasks;

use rmcp::handler::server::router::tool::ToolRouter;

use super::server::Server;

impl Server {
    /// Every tool.
    pub(super) fn tool_router() -> ToolRouter<Self> {
        Self::hosts_router()
            + Self::plan_router()
            + Self::run_router()
            + Self::tasks_router()
            + Self::config_router()
    }
}
