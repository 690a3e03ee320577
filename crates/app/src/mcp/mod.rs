//! The MCP face: tools, resources, prompts and notifications over the engine, on stdio.
//!
//! Rooms: [`server`] (the handler: what is offered and who answers), [`serve`] (one connection from start to drain), [`lines`] (messages as lines, each with its answer), [`line`] (one of them), [`misfit`] (requests whose params do not fit),
//! [`tools`] (one file a group), [`args`] (what tools are called with), [`schema`] (small schemas), [`reply`] (answers as
//! MCP results, within the byte budget), [`resources`], [`prompts`], [`complete`], [`ask`] (a person's yes through the client), [`login`] (what a host asks a person,
//! through the client), [`notify`] (task events, progress,
//! changed lists), [`native`] (the tasks extension), [`shells`] (what shells are called with), [`watched`] (tasks as resources that change).
//!
//! Two eras are served at once. 2026-07-28 has no sessions: version and client come with each request, and news goes only
//! to open `subscriptions/listen` requests. Older revisions begin with `initialize` and may be sent news at any time.

mod args;
mod ask;
mod complete;
mod line;
mod lines;
mod login;
mod misfit;
mod native;
mod notify;
mod output;
mod prompts;
mod reply;
mod resources;
mod rests;
mod schema;
mod serve;
mod server;
mod shells;
mod tools;
mod watched;

pub(crate) use login::Through;
pub(crate) use serve::serve;
pub(crate) use server::{Loaded, Loader, Settings};
