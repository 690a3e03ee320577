//! Questions to people, in the table that all servers of the folder share: each step is one transaction.

use rusqlite::{Connection, OptionalExtension, params};
use sshepherd_model::ApprovalId;

use crate::approval::{Approval, MAX_OPEN, NewApproval, Settled, Settlement};
use crate::error::Error;

use super::desk::Safe;
use super::shared::Shared;

/// Made by the step to layout 2.
pub(super) const SCHEMA: &str = "
CREATE TABLE approval (
    id TEXT PRIMARY KEY,
    asked_at INTEGER NOT NULL,
    binding TEXT NOT NULL,
    gone_at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX approval_by_binding ON approval (binding);
";

/// What came of asking.
enum Asked {
    Open(Box<Approval>),
    TooMany(usize),
}

impl Shared {
    /// See `Store::ask`.
    pub(super) async fn ask(&self, new: NewApproval) -> Result<Approval, Error> {
        match self.writer.call(Safe::Machine, move |table| ask(table, new)).await? {
            Asked::Open(approval) => Ok(*approval),
            Asked::TooMany(open) => Err(Error::TooManyQuestions { open }),
        }
    }

    /// See `Store::approvals`.
    pub(super) async fn approvals(&self) -> Result<Vec<Approval>, Error> {
        self.reader.call(Safe::Process, all).await
    }

    /// See `Store::settle`.
    pub(super) async fn settle(
        &self,
        id: ApprovalId,
        answer: Settlement,
    ) -> Result<Settled, Error> {
        self.writer.call(Safe::Machine, move |table| settle(table, &id, &answer)).await
    }

    /// See `Store::redeem`.
    pub(super) async fn redeem(
        &self,
        binding: String,
        now: u64,
    ) -> Result<Option<Approval>, Error> {
        self.writer.call(Safe::Machine, move |table| redeem(table, &binding, now)).await
    }
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Approval> {
    let body: String = row.get(0)?;
    serde_json::from_str(&body).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })
}

fn write(table: &Connection, approval: &Approval) -> rusqlite::Result<()> {
    let body = serde_json::to_string(approval)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    table
        .prepare_cached(
            "INSERT OR REPLACE INTO approval (id, asked_at, binding, gone_at, body)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            approval.id.as_str(),
            integer(approval.asked_at),
            approval.binding,
            integer(approval.gone_at()),
            body
        ])?;
    Ok(())
}

/// Newest first.
fn all(table: &Connection) -> rusqlite::Result<Vec<Approval>> {
    let mut query =
        table.prepare_cached("SELECT body FROM approval ORDER BY asked_at DESC, id DESC")?;
    query.query_map([], read)?.collect()
}

/// Those about one thing, newest first.
fn bound(table: &Connection, binding: &str) -> rusqlite::Result<Vec<Approval>> {
    let mut query = table.prepare_cached(
        "SELECT body FROM approval WHERE binding = ?1 ORDER BY asked_at DESC, id DESC",
    )?;
    query.query_map([binding], read)?.collect()
}

fn ask(table: &Connection, new: NewApproval) -> rusqlite::Result<Asked> {
    let now = new.asked_at;
    let known = bound(table, &new.binding)?.into_iter().find(|known| known.is_open(now));
    if let Some(known) = known {
        return Ok(Asked::Open(Box::new(known)));
    }
    let open = all(table)?.iter().filter(|known| known.is_open(now)).count();
    if open >= MAX_OPEN {
        return Ok(Asked::TooMany(open));
    }
    let approval = Approval::open(new);
    write(table, &approval)?;
    Ok(Asked::Open(Box::new(approval)))
}

fn settle(table: &Connection, id: &ApprovalId, answer: &Settlement) -> rusqlite::Result<Settled> {
    let mut query = table.prepare_cached("SELECT body FROM approval WHERE id = ?1")?;
    let Some(mut approval) = query.query_row([id.as_str()], read).optional()? else {
        return Ok(Settled::Unknown);
    };
    if !approval.settle(answer) {
        return Ok(Settled::Late(approval));
    }
    write(table, &approval)?;
    Ok(Settled::Done(approval))
}

fn redeem(table: &Connection, binding: &str, now: u64) -> rusqlite::Result<Option<Approval>> {
    for mut approval in bound(table, binding)? {
        if approval.redeem(now) {
            write(table, &approval)?;
            return Ok(Some(approval));
        }
    }
    Ok(None)
}

/// Forgets those that need no longer be listed.
pub(super) fn sweep(table: &Connection, now: u64) -> rusqlite::Result<()> {
    table.prepare_cached("DELETE FROM approval WHERE gone_at <= ?1")?.execute([integer(now)])?;
    Ok(())
}
