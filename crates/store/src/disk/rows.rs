//! What is asked of the task table, each as one function on a connection.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sshepherd_model::TaskId;

use crate::record::{ListQuery, MAX_LIST, Spent, Task, Wish, Wishes};

/// The state that stands for a result that has expired.
const EXPIRED: &str = "expired";

/// A task as it stands in the table, with who writes it.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) task: Task,
    pub(super) owner: Option<String>,
    pub(super) epoch: i64,
}

/// What is kept of the output of a task that has ended; nothing before.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    pub(super) bytes: u64,
    /// The whole output, when it is not in a log.
    pub(super) output: Option<Vec<u8>>,
}

/// What the table knows of an id.
#[derive(Debug, Clone)]
pub(super) enum Known {
    Here(Box<Stored>),
    Expired,
    Never,
}

const COLUMNS: &str = "state, owner, epoch, cancel_requested_at, body, wishes";

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// `None` for a result that has expired.
fn stored(row: &Row<'_>) -> rusqlite::Result<Option<Stored>> {
    let state: String = row.get(0)?;
    if state == EXPIRED {
        return Ok(None);
    }
    let body: String = row.get(4)?;
    let mut task: Task = serde_json::from_str(&body).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Text, Box::new(error))
    })?;
    let cancel: Option<i64> = row.get(3)?;
    task.cancel_requested_at = cancel.and_then(|at| u64::try_from(at).ok());
    task.wishes = wishes(row.get(5)?);
    Ok(Some(Stored { task, owner: row.get(1)?, epoch: row.get(2)? }))
}

pub(super) fn get(connection: &Connection, id: &TaskId) -> rusqlite::Result<Known> {
    let mut query =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM task WHERE id = ?1"))?;
    Ok(match query.query_row([id.as_str()], stored).optional()? {
        Some(Some(stored)) => Known::Here(Box::new(stored)),
        Some(None) => Known::Expired,
        None => Known::Never,
    })
}

/// The output in the row of a task that has ended; `None` when it is in its log.
pub(super) fn output(connection: &Connection, id: &TaskId) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut query = connection.prepare_cached("SELECT output FROM task WHERE id = ?1")?;
    Ok(query.query_row([id.as_str()], |row| row.get(0)).optional()?.flatten())
}

/// The task that carries this caller's name for it.
pub(super) fn named(connection: &Connection, name: &str) -> rusqlite::Result<Option<Stored>> {
    let mut query =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM task WHERE name = ?1"))?;
    Ok(query.query_row([name], stored).optional()?.flatten())
}

/// What is left of the task that carried this name.
pub(super) fn spent(connection: &Connection, name: &str) -> rusqlite::Result<Option<Spent>> {
    let mut query = connection.prepare_cached(&format!(
        "SELECT body FROM task WHERE name = ?1 AND state = '{EXPIRED}'"
    ))?;
    let body: Option<String> = query.query_row([name], |row| row.get(0)).optional()?;
    Ok(body.and_then(|body| serde_json::from_str(&body).ok()))
}

/// Frees the name of a task whose result has expired.
pub(super) fn free(connection: &Connection, name: &str) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached(&format!(
        "UPDATE task SET name = NULL, body = '' WHERE name = ?1 AND state = '{EXPIRED}'"
    ))?;
    update.execute([name]).map(drop)
}

/// Has the names of callers' tasks whose results are over at `now` outlive them, and frees those whose time is over.
fn keep_names(connection: &Connection, now: u64, keep_ms: u64) -> rusqlite::Result<()> {
    let mut due = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM task WHERE expires_at <= ?1 AND state <> '{EXPIRED}' AND name IS NOT NULL"
    ))?;
    let due = due.query_map([integer(now)], stored)?.collect::<Result<Vec<_>, _>>()?;
    let mut keep = connection.prepare_cached(&format!(
        "UPDATE task SET state = '{EXPIRED}', body = ?2, kept = 0, wishes = NULL, output = NULL WHERE id = ?1"
    ))?;
    for task in due.into_iter().flatten().map(|stored| stored.task) {
        if let Some(spent) = Spent::of(&task, keep_ms).filter(|spent| spent.until > now) {
            keep.execute([task.id.as_str(), &json(&spent)?])?;
        }
    }
    let mut named = connection.prepare_cached(&format!(
        "SELECT name, body FROM task WHERE name IS NOT NULL AND state = '{EXPIRED}'"
    ))?;
    let names = named.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (name, body) in names.collect::<Result<Vec<(String, String)>, _>>()? {
        let spent: Option<Spent> = serde_json::from_str(&body).ok();
        if spent.is_none_or(|spent| spent.until <= now) {
            free(connection, &name)?;
        }
    }
    Ok(())
}

pub(super) fn insert(connection: &Connection, task: &Task, owner: &str) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO task (id, created_at, alias, state, owner, epoch, name, kept, body)
         VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, 0, ?7)",
    )?;
    insert.execute(params![
        task.id.as_str(),
        integer(task.created_at),
        task.alias.as_str(),
        task.status.as_str(),
        owner,
        task.key,
        body(task)?,
    ])?;
    Ok(())
}

/// Writes a task that may have no row yet, and had no owner but this one; `false` when it has another by now.
pub(super) fn insert_or_update(
    connection: &Connection,
    task: &Task,
    kept: &Kept,
    owner: &str,
) -> rusqlite::Result<bool> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO task
           (id, created_at, alias, state, owner, epoch, name, kept, body, expires_at, output)
         VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (id) DO UPDATE SET
           state = excluded.state, owner = excluded.owner, kept = excluded.kept,
           body = excluded.body, expires_at = excluded.expires_at, output = excluded.output
         WHERE owner = ?11 AND epoch = 1",
    )?;
    let changed = upsert.execute(params![
        task.id.as_str(),
        integer(task.created_at),
        task.alias.as_str(),
        task.status.as_str(),
        (!task.status.is_final()).then_some(owner),
        task.key,
        integer(kept.bytes),
        body(task)?,
        task.expires_at().map(integer),
        kept.output,
        owner,
    ])?;
    Ok(changed == 1)
}

/// Writes the task as its owner sees it; `false` when it has another owner by now. A task that has ended has none.
pub(super) fn update(
    connection: &Connection,
    task: &Task,
    kept: &Kept,
    owner: &str,
    epoch: i64,
) -> rusqlite::Result<bool> {
    let mut update = connection.prepare_cached(
        "UPDATE task SET state = ?2, body = ?3, kept = ?4, expires_at = ?5, owner = ?6, output = ?9
         WHERE id = ?1 AND owner = ?7 AND epoch = ?8",
    )?;
    let next = (!task.status.is_final()).then_some(owner);
    let changed = update.execute(params![
        task.id.as_str(),
        task.status.as_str(),
        body(task)?,
        integer(kept.bytes),
        task.expires_at().map(integer),
        next,
        owner,
        epoch,
        kept.output,
    ])?;
    Ok(changed == 1)
}

/// Notes that someone wants the task stopped; `true` when nobody had asked before and it has not ended.
pub(super) fn request_cancel(
    connection: &Connection,
    id: &TaskId,
    at: u64,
) -> rusqlite::Result<bool> {
    let mut update = connection.prepare_cached(
        "UPDATE task SET cancel_requested_at = ?2
         WHERE id = ?1 AND cancel_requested_at IS NULL AND owner IS NOT NULL",
    )?;
    Ok(update.execute(params![id.as_str(), integer(at)])? == 1)
}

/// Notes what someone wants of a task; `true` when that was news and it has not ended.
pub(super) fn wish(connection: &Connection, id: &TaskId, wish: &Wish) -> rusqlite::Result<bool> {
    let mut query =
        connection.prepare_cached("SELECT wishes FROM task WHERE id = ?1 AND owner IS NOT NULL")?;
    let known = query.query_row([id.as_str()], |row| row.get(0)).optional()?;
    let Some(mut all) = known.map(wishes) else { return Ok(false) };
    if !all.take(wish) {
        return Ok(false);
    }
    let text = serde_json::to_string(&all)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let mut update = connection.prepare_cached("UPDATE task SET wishes = ?2 WHERE id = ?1")?;
    Ok(update.execute(params![id.as_str(), text])? == 1)
}

fn wishes(text: Option<String>) -> Wishes {
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// The owners of tasks that have not ended.
pub(super) fn owners(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut query =
        connection.prepare_cached("SELECT DISTINCT owner FROM task WHERE owner IS NOT NULL")?;
    let rows = query.query_map([], |row| row.get(0))?;
    rows.collect()
}

/// The tasks of one owner that have not ended.
pub(super) fn owned(connection: &Connection, owner: &str) -> rusqlite::Result<Vec<Stored>> {
    let mut query =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM task WHERE owner = ?1"))?;
    let rows = query.query_map([owner], stored)?;
    rows.filter_map(Result::transpose).collect()
}

/// Gives a task to another owner and raises its epoch; `false` when someone else was first.
pub(super) fn take_over(
    connection: &Connection,
    from: &Stored,
    owner: &str,
) -> rusqlite::Result<bool> {
    let mut update = connection.prepare_cached(
        "UPDATE task SET owner = ?2, epoch = epoch + 1 WHERE id = ?1 AND owner = ?3 AND epoch = ?4",
    )?;
    let changed = update.execute(params![from.task.id.as_str(), owner, from.owner, from.epoch])?;
    Ok(changed == 1)
}

/// Gives a task back that could not be taken over after all; it can be claimed again.
pub(super) fn give_back(
    connection: &Connection,
    from: &Stored,
    owner: &str,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE task SET owner = ?2 WHERE id = ?1 AND owner = ?3 AND epoch = ?4 + 1",
        )?
        .execute(params![from.task.id.as_str(), from.owner, owner, from.epoch])?;
    Ok(())
}

/// One page of tasks, newest first, and whether there are more.
pub(super) fn list(
    connection: &Connection,
    query: &ListQuery,
) -> rusqlite::Result<(Vec<Stored>, bool)> {
    let limit = if query.limit == 0 { MAX_LIST } else { query.limit.min(MAX_LIST) };
    let states: Vec<&str> = query.states.iter().map(|state| state.as_str()).collect();
    let wanted = (!states.is_empty()).then(|| states.join(" "));
    let after = query.after.as_ref();
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM task
         WHERE state <> '{EXPIRED}'
           AND (?1 IS NULL OR instr(' ' || ?1 || ' ', ' ' || state || ' ') > 0)
           AND (?2 IS NULL OR alias = ?2)
           AND (?3 IS NULL OR created_at < ?3 OR (created_at = ?3 AND id < ?4))
         ORDER BY created_at DESC, id DESC LIMIT ?5"
    ))?;
    let rows = select.query_map(
        params![
            wanted,
            query.alias.as_ref().map(|alias| alias.as_str()),
            after.map(|place| integer(place.created_at)),
            after.map(|place| place.id.as_str()),
            integer(limit as u64 + 1),
        ],
        stored,
    )?;
    let mut found: Vec<Stored> = rows.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    let more = found.len() > limit;
    found.truncate(limit);
    Ok((found, more))
}

/// Empties the rows of results whose time is over. Answers how many they are, and the ids whose logs are to be
/// removed: until [`log_removed`] they are answered again.
pub(super) fn expire(
    connection: &Connection,
    now: u64,
    keep_names_ms: u64,
) -> rusqlite::Result<(usize, Vec<String>)> {
    let new: i64 = connection
        .prepare_cached(&format!(
            "SELECT count(*) FROM task WHERE expires_at <= ?1 AND state <> '{EXPIRED}'"
        ))?
        .query_row([integer(now)], |row| row.get(0))?;
    keep_names(connection, now, keep_names_ms)?;
    let mut update = connection.prepare_cached(&format!(
        "UPDATE task SET
           body = CASE state WHEN '{EXPIRED}' THEN body ELSE '' END,
           name = CASE state WHEN '{EXPIRED}' THEN name ELSE NULL END,
           state = '{EXPIRED}', kept = 0, wishes = NULL, output = NULL
         WHERE expires_at <= ?1 RETURNING id"
    ))?;
    let ids = update.query_map([integer(now)], |row| row.get(0))?;
    let ids = ids.collect::<Result<_, _>>()?;
    Ok((usize::try_from(new).unwrap_or(0), ids))
}

/// Notes that the logs of these expired results are gone, and forgets all but the newest `remember` expired ids.
pub(super) fn log_removed(
    connection: &Connection,
    ids: &[String],
    remember: usize,
) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached(&format!(
        "UPDATE task SET expires_at = NULL WHERE id = ?1 AND state = '{EXPIRED}'"
    ))?;
    for id in ids {
        update.execute([id])?;
    }
    connection
        .prepare_cached(&format!(
            "DELETE FROM task WHERE state = '{EXPIRED}' AND expires_at IS NULL AND name IS NULL AND created_at <
             (SELECT created_at FROM task WHERE state = '{EXPIRED}'
              ORDER BY created_at DESC LIMIT 1 OFFSET ?1)"
        ))?
        .execute([integer(remember as u64)])?;
    Ok(())
}

/// Bytes of output that finished tasks keep.
pub(super) fn kept(connection: &Connection) -> rusqlite::Result<u64> {
    let sum: i64 = connection
        .prepare_cached("SELECT coalesce(sum(kept), 0) FROM task")?
        .query_row([], |row| row.get(0))?;
    Ok(u64::try_from(sum).unwrap_or(0))
}

fn body(task: &Task) -> rusqlite::Result<String> {
    json(task)
}

fn json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
