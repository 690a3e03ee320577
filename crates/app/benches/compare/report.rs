//! What was measured, as tables, goals and figures: markdown for people, JSON for the plot.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// One table: who, and what was measured of them. An empty cell was not measured.
pub(crate) struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Option<f64>>)>,
}

impl Table {
    pub(crate) fn new(title: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { title: title.to_owned(), columns, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, who: &str, cells: &[Option<f64>]) {
        self.rows.push((who.to_owned(), cells.to_vec()));
    }

    /// Adds a column: each row's value in the column `of` as a multiple of the first row's.
    pub(crate) fn against_first(mut self, of: usize, name: &str) -> Self {
        let base = self.rows.first().and_then(|(_, cells)| cells[of]);
        for (_, cells) in &mut self.rows {
            cells.push(cells[of].zip(base).map(|(value, base)| value / base));
        }
        self.columns.push(name.to_owned());
        self
    }

    fn markdown(&self) -> String {
        let mut text = format!("\n## {}\n\n| | {} |\n|---|", self.title, self.columns.join(" | "));
        text += &"---:|".repeat(self.columns.len());
        for (who, cells) in &self.rows {
            let cells: Vec<String> = cells.iter().map(|cell| shown(*cell)).collect();
            write!(text, "\n| {who} | {} |", cells.join(" | ")).unwrap();
        }
        text + "\n"
    }
}

/// Three figures that matter.
fn shown(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 0.1 || value == 0.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

/// What is asked of a figure.
#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    /// Ours is this much at most, or this many times the peer's.
    AtMost(f64),
    /// The peer's is this many times ours at least.
    AtLeast(f64),
}

struct Goal {
    id: &'static str,
    what: String,
    ours: Option<f64>,
    peer: Option<f64>,
    wanted: Wanted,
    /// Ours against the limit itself, and no peer's.
    absolute: bool,
}

impl Goal {
    fn reached(&self) -> Option<f64> {
        if self.absolute {
            return self.ours;
        }
        let (ours, peer) = self.ours.zip(self.peer)?;
        Some(match self.wanted {
            Wanted::AtMost(_) => ours / peer,
            Wanted::AtLeast(_) => peer / ours,
        })
    }

    fn met(&self) -> &'static str {
        match (self.reached(), self.wanted) {
            (None, _) => "not measured",
            (Some(reached), Wanted::AtMost(limit)) if reached <= limit => "yes",
            (Some(reached), Wanted::AtLeast(limit)) if reached >= limit => "yes",
            (Some(_), _) => "**no**",
        }
    }

    fn wanted(&self) -> String {
        match self.wanted {
            Wanted::AtMost(limit) => format!("≤ {limit}"),
            Wanted::AtLeast(limit) => format!("≥ {limit}"),
        }
    }
}

/// Everything that one run found.
#[derive(Default)]
pub(crate) struct Report {
    tables: Vec<Table>,
    goals: Vec<Goal>,
    /// Peers that were not measured, and why.
    missing: Vec<(String, String)>,
    /// Points of the growth curve.
    pub(crate) growth: Vec<Value>,
}

impl Report {
    pub(crate) fn table(&mut self, table: Table) {
        eprintln!("{}", table.markdown());
        self.tables.push(table);
    }

    /// A goal that compares ours with a peer's, both less is better.
    pub(crate) fn goal(
        &mut self,
        (id, what): (&'static str, &str),
        (ours, peer): (Option<f64>, Option<f64>),
        wanted: Wanted,
    ) {
        self.goals.push(Goal { id, what: what.to_owned(), ours, peer, wanted, absolute: false });
    }

    /// A goal for ours alone.
    pub(crate) fn bound(&mut self, id: &'static str, what: &str, ours: Option<f64>, most: f64) {
        let wanted = Wanted::AtMost(most);
        let goal = Goal { id, what: what.to_owned(), ours, peer: None, wanted, absolute: true };
        self.goals.push(goal);
    }

    pub(crate) fn missing(&mut self, who: &str, why: &str) {
        eprintln!("not measured: {who}: {why}");
        let entry = (who.to_owned(), why.to_owned());
        if !self.missing.contains(&entry) {
            self.missing.push(entry);
        }
    }

    fn goals(&self) -> String {
        let mut text = "\n## Goals\n\n| goal | what | ours | peer | reached | wanted | met |\n\
                        |---|---|---:|---:|---:|---:|---|"
            .to_owned();
        for goal in &self.goals {
            let [ours, peer, reached] = [goal.ours, goal.peer, goal.reached()].map(shown);
            let (id, what, wanted, met) = (goal.id, &goal.what, goal.wanted(), goal.met());
            write!(text, "\n| {id} | {what} | {ours} | {peer} | {reached} | {wanted} | {met} |")
                .unwrap();
        }
        text + "\n"
    }

    fn markdown(&self, machine: &Value) -> String {
        let mut text = "# Measured beside its peers\n\n".to_owned();
        for (name, value) in machine.as_object().unwrap() {
            writeln!(text, "- {name}: {}", value.as_str().unwrap()).unwrap();
        }
        text += &self.goals();
        text.extend(self.tables.iter().map(Table::markdown));
        text += "\n## Not measured\n\n";
        for (who, why) in &self.missing {
            writeln!(text, "- {who}: {why}").unwrap();
        }
        if self.missing.is_empty() {
            text += "Every peer was measured.\n";
        }
        text
    }

    fn figures(&self, machine: &Value) -> Value {
        let tables = self.tables.iter().map(|table| {
            let rows: Vec<Value> =
                table.rows.iter().map(|(who, cells)| json!({"who": who, "cells": cells})).collect();
            json!({"title": table.title, "columns": table.columns, "rows": rows})
        });
        let tables: Vec<Value> = tables.collect();
        let goals = self.goals.iter().map(|goal| {
            json!({
                "goal": goal.id, "what": goal.what, "ours": goal.ours, "peer": goal.peer,
                "reached": goal.reached(), "wanted": goal.wanted(), "met": goal.met() == "yes"
            })
        });
        let goals: Vec<Value> = goals.collect();
        json!({
            "machine": machine, "tables": tables, "goals": goals,
            "missing": self.missing, "growth": self.growth
        })
    }

    /// Writes both forms into the folder; the text for people.
    pub(crate) fn write(&self, folder: &Path, form: &str, load_before: &str) -> String {
        let machine = machine(form, load_before);
        let text = self.markdown(&machine);
        fs::write(folder.join("report.md"), &text).unwrap();
        let figures = serde_json::to_string_pretty(&self.figures(&machine)).unwrap();
        fs::write(folder.join("figures.json"), figures).unwrap();
        text
    }
}

/// Load averages of the machine.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().to_owned()
}

fn machine(form: &str, load_before: &str) -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    json!({
        "form": form,
        "processors": cores.to_string(),
        "kernel": said("uname", &["-sr"]),
        "ssh": said("ssh", &["-V"]),
        "commit": said("git", &["rev-parse", "--short", "HEAD"]),
        "date": said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        "load average before and after": format!("{load_before}; {}", load()),
    })
}
