//! Tools for interactive shells. They are offered where the policy opens shells on some host, and say nothing of the shape of
//! their answers: each byte of the list is paid for by every client on every turn.

use futures::FutureExt;
use rmcp::RoleServer;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResponse, CallToolResult, JsonObject};
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use sshepherd_engine::{OpenShell, Refusal, ShellOutput, ShellRefusal, Until};
use sshepherd_model::{Alias, Request, ShellId};

use crate::answer::{self, Failure, ShellAnswer};
use crate::mcp::args::{Args, None as NoParameters};
use crate::mcp::ask;
use crate::mcp::reply::{done, failed, invalid};
use crate::mcp::schema;
use crate::mcp::server::Server;
use crate::mcp::shells::{
    OfShell, OfShellOutput, ToOpenShell, ToResizeShell, ToSendSecret, ToSignalShell, ToType,
};

/// What the fields of an answer other than its output take at most.
const FIXED: usize = 600;

#[tool_router(router = shells_router, vis = "pub(in crate::mcp)")]
impl Server {
    #[tool(
        description = "Open an interactive shell (a terminal) on a host, where the policy allows shells; answers once it waits for input. Prefer ssh_run for single commands.",
        input_schema = schema::input::<ToOpenShell>(),
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false, open_world_hint = true)
    )]
    async fn ssh_open_shell(
        &self,
        Parameters(args): Parameters<JsonObject>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResponse {
        let args = Args::new(args);
        let parsed = args.need::<Alias>("alias").and_then(|alias| {
            let wanted = args.open_shell()?;
            // What a person is asked about, and what a refusal echoes.
            let text = wanted.request.command.as_deref().unwrap_or("login shell");
            let request = Request::new(text)?;
            Ok((
                alias,
                wanted,
                request,
                args.reading_shell(Until { prompt: true, ..args.until()? }, self.room())?,
            ))
        });
        let (alias, wanted, request, read) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return invalid(error).into(),
        };
        let origin = Self::origin(&context);
        let attempt = || self.open(&alias, &wanted, origin.clone()).boxed();
        match self.with_yes(&context, attempt).await {
            Ok(Ok(id)) => match self.engine.read_shell(&id, &read).await {
                Ok(output) => {
                    let program = output.info.kind.clone();
                    let answer = ShellAnswer { program, ..answer::shell_output(&output) };
                    done(&answer).into()
                }
                Err(refusal) => refused(&refusal).into(),
            },
            Ok(Err(refusal)) => refused(&refusal).into(),
            Err(why) => ask::unanswered(why, &request, |why| denied(&alias, &request, why)),
        }
    }

    #[tool(
        description = "Type into a shell, then wait and read. Order: text, paste, keys. A newline in text is Enter.",
        input_schema = schema::input::<ToType>(),
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false, open_world_hint = true)
    )]
    async fn ssh_send_input(
        &self,
        Parameters(args): Parameters<JsonObject>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let args = Args::new(args);
        let parsed = args.session().and_then(|id| {
            Ok((id, args.input()?, args.reading_shell(args.until()?, self.room())?))
        });
        let (id, input, read) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return invalid(error),
        };
        let origin = Self::origin(&context);
        self.told(self.engine.type_into_shell(&id, &input, &read, &origin).await)
    }

    #[tool(
        description = "Output of a shell: what was not read yet, at once if there is some; else waits for the first of wait_for, wait_quiet_ms, wait_prompt, any output, or the timeout.",
        input_schema = schema::input::<OfShellOutput>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn ssh_read_output(&self, Parameters(args): Parameters<JsonObject>) -> CallToolResult {
        let args = Args::new(args);
        let parsed =
            args.session().and_then(|id| Ok((id, args.reading_shell(args.until()?, self.room())?)));
        let (id, read) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return invalid(error),
        };
        self.told(self.engine.read_shell(&id, &read).await)
    }

    #[tool(
        description = "What a person would see on a shell's screen now: for vim, top, menus.",
        input_schema = schema::input::<OfShell>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn ssh_read_screen(&self, Parameters(args): Parameters<JsonObject>) -> CallToolResult {
        let id = match Args::new(args).session() {
            Ok(id) => id,
            Err(error) => return invalid(error),
        };
        match self.engine.shell_screen(&id).await {
            Ok(view) => {
                let room = self.settings.answer_bytes.saturating_sub(FIXED);
                done(&answer::shell_screen(view, room))
            }
            Err(refusal) => refused(&refusal),
        }
    }

    #[tool(
        description = "Type a secret of the owner's into a shell where the screen asks for it; it is in no answer. Where a rule allows the command itself (`as:`), run that instead: it needs no password.",
        input_schema = schema::input::<ToSendSecret>(),
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false, open_world_hint = true)
    )]
    async fn ssh_send_secret(
        &self,
        Parameters(args): Parameters<JsonObject>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let args = Args::new(args);
        let parsed = args.session().and_then(|id| {
            Ok((id, args.secret_name()?, args.reading_shell(args.until()?, self.room())?))
        });
        let (id, name, read) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return invalid(error),
        };
        let origin = Self::origin(&context);
        self.told(self.engine.type_secret(&id, &name, &read, &origin).await)
    }

    #[tool(
        description = "Change the size of a shell's window.",
        input_schema = schema::input::<ToResizeShell>(),
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn ssh_resize_shell(&self, Parameters(args): Parameters<JsonObject>) -> CallToolResult {
        let args = Args::new(args);
        let parsed = args.session().and_then(|id| Ok((id, args.size()?)));
        let (id, size) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return invalid(error),
        };
        match self.engine.resize_shell(&id, size).await {
            Ok(info) => done(&answer::shell_state(&info)),
            Err(refusal) => refused(&refusal),
        }
    }

    #[tool(
        description = "Send a signal to the program in the foreground of a shell.",
        input_schema = schema::input::<ToSignalShell>(),
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = false, open_world_hint = true)
    )]
    async fn ssh_signal_shell(
        &self,
        Parameters(args): Parameters<JsonObject>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let args = Args::new(args);
        let parsed = args.session().and_then(|id| Ok((id, args.signal()?)));
        let (id, signal) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return invalid(error),
        };
        match self.engine.signal_shell(&id, &signal, &Self::origin(&context)).await {
            Ok(info) => done(&answer::shell_state(&info)),
            Err(refusal) => refused(&refusal),
        }
    }

    #[tool(
        description = "Close a shell and end everything that was started in it.",
        input_schema = schema::input::<OfShell>(),
        annotations(read_only_hint = false, destructive_hint = true, idempotent_hint = true, open_world_hint = true)
    )]
    async fn ssh_close_shell(
        &self,
        Parameters(args): Parameters<JsonObject>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let id = match Args::new(args).session() {
            Ok(id) => id,
            Err(error) => return invalid(error),
        };
        match self.engine.close_shell(&id, &Self::origin(&context)).await {
            Ok(ended) => done(&answer::shell_closed(&id, &ended)),
            Err(refusal) => refused(&refusal),
        }
    }

    #[tool(
        description = "Shells of every server on this machine, open ones first.",
        input_schema = schema::input::<NoParameters>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn ssh_list_shells(&self) -> CallToolResult {
        let room = self.settings.answer_bytes.saturating_sub(FIXED);
        done(&answer::shell_list(&self.engine.shell_list(), room))
    }
}

/// A denial is an answer about the command; everything else is about the call.
fn denied(alias: &Alias, request: &Request, refusal: &Refusal) -> CallToolResult {
    if matches!(refusal, Refusal::Denied(_) | Refusal::ApprovalRequired(_)) {
        failed(&answer::could_not_start(alias, request, refusal))
    } else {
        failed(&Failure::from(refusal))
    }
}

fn refused(refusal: &ShellRefusal) -> CallToolResult {
    failed(&Failure::from(refusal))
}

impl Server {
    /// What the policy says is an answer of its own; what else goes wrong is not asked a person about.
    async fn open(
        &self,
        alias: &Alias,
        wanted: &OpenShell,
        origin: sshepherd_engine::Origin,
    ) -> Result<Result<ShellId, ShellRefusal>, Refusal> {
        match self.engine.open_shell(alias, wanted, origin).await {
            Ok(id) => Ok(Ok(id)),
            Err(ShellRefusal::Refusal(refusal)) => Err(refusal),
            Err(other) => Ok(Err(other)),
        }
    }

    /// Bytes of output that an answer has room for.
    fn room(&self) -> usize {
        self.settings.answer_bytes.saturating_sub(FIXED).max(1024)
    }

    fn told(&self, read: Result<ShellOutput, ShellRefusal>) -> CallToolResult {
        match read {
            Ok(output) => done(&answer::shell_output(&output)),
            Err(refusal) => refused(&refusal),
        }
    }
}
