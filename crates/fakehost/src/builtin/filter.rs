//! Commands that read standard input: plain forms of `cat`, `grep`, `head`, `tail`, `wc`, `sort` and `uniq`.

use tokio::io::{AsyncBufReadExt, AsyncReadExt};

use super::files;
use crate::io::{Broken, Io, Source};
use crate::machine::Machine;

/// Lines that `head` and `tail` show unless told otherwise.
const DEFAULT_LINES: usize = 10;

/// Most input that a filter which needs all of it keeps (`tail`, `sort`, `uniq`, `wc`); the rest is dropped.
const MAX_INPUT_BYTES: u64 = 8 * 1024 * 1024;

/// Bytes that `cat` passes on at once.
const CHUNK_BYTES: usize = 32 * 1024;

/// Runs a filter; `None` for a program of another room.
pub(super) async fn run(
    machine: &Machine,
    program: &str,
    arguments: &[&str],
    io: &mut Io,
) -> Option<Result<u32, Broken>> {
    Some(match program {
        "cat" => cat(io).await,
        "grep" => grep(machine, arguments, io).await,
        "head" => head(count_option(arguments).0, io).await,
        "tail" | "wc" | "sort" | "uniq" => whole(program, arguments, io).await,
        _ => return None,
    })
}

/// Reads `-n N`, `-nN` or `-N`; the count and the other words.
pub(super) fn count_option<'a>(arguments: &[&'a str]) -> (usize, Vec<&'a str>) {
    let mut count = DEFAULT_LINES;
    let mut others = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let number = match *word {
            "-n" => words.next().copied(),
            _ => word.strip_prefix("-n").or_else(|| word.strip_prefix('-')),
        };
        match number.map(str::parse) {
            Some(Ok(number)) => count = number,
            Some(Err(_)) => {}
            None => others.push(*word),
        }
    }
    (count, others)
}

async fn line(io: &mut Io) -> Option<Vec<u8>> {
    match &mut io.input {
        Source::Nothing => None,
        Source::Pipe(pipe) => {
            let mut line = Vec::new();
            let length = pipe.take(MAX_INPUT_BYTES).read_until(b'\n', &mut line).await.ok()?;
            (length > 0).then_some(line)
        }
    }
}

async fn cat(io: &mut Io) -> Result<u32, Broken> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let length = match &mut io.input {
            Source::Nothing => 0,
            Source::Pipe(pipe) => pipe.read(&mut buffer).await.unwrap_or(0),
        };
        match buffer.get(..length).filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => io.output.write(bytes.to_vec()).await?,
            None => return Ok(0),
        }
    }
}

async fn head(count: usize, io: &mut Io) -> Result<u32, Broken> {
    for _ in 0..count {
        match line(io).await {
            Some(line) => io.output.write(line).await?,
            None => break,
        }
    }
    Ok(0)
}

/// Fixed text only, with `^` and `$` at its ends; options `-i`, `-v`, `-c`, `-n`.
async fn grep(machine: &Machine, arguments: &[&str], io: &mut Io) -> Result<u32, Broken> {
    let (options, words): (Vec<&str>, Vec<&str>) =
        arguments.iter().partition(|word| word.starts_with('-') && word.len() > 1);
    let has =
        |letter| options.iter().any(|option| !option.starts_with("--") && option.contains(letter));
    let Some((pattern, named)) = words.split_first() else {
        io.err("usage: grep [-ivcn] PATTERN [FILE]\n").await?;
        return Ok(2);
    };
    if let Some(file) = named.first() {
        let Some(text) = files::content(machine, file) else {
            io.err(format!("grep: {file}: No such file or directory\n")).await?;
            return Ok(2);
        };
        let (mut from, to) = tokio::io::duplex(text.len().max(1));
        // The pipe holds the whole text, so this cannot wait.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut from, text.as_bytes()).await;
        drop(from);
        io.input = Source::Pipe(tokio::io::BufReader::new(to));
    }
    let mut found = 0_u64;
    let mut number = 0_u64;
    while let Some(line) = line(io).await {
        number += 1;
        if matches(pattern, &String::from_utf8_lossy(&line), has('i')) == has('v') {
            continue;
        }
        found += 1;
        if has('c') {
            continue;
        }
        if has('n') {
            io.out(format!("{number}:")).await?;
        }
        io.output.write(line).await?;
    }
    if has('c') {
        io.out(format!("{found}\n")).await?;
    }
    Ok(u32::from(found == 0))
}

fn matches(pattern: &str, line: &str, ignore_case: bool) -> bool {
    let line = line.trim_end_matches('\n');
    let (pattern, line) = if ignore_case {
        (pattern.to_lowercase(), line.to_lowercase())
    } else {
        (pattern.to_owned(), line.to_owned())
    };
    match (pattern.strip_prefix('^'), pattern.strip_suffix('$')) {
        (Some(start), Some(_)) => line == start.strip_suffix('$').unwrap_or(start),
        (Some(start), None) => line.starts_with(start),
        (None, Some(end)) => line.ends_with(end),
        (None, None) => line.contains(&pattern),
    }
}

/// Filters that need all of their input.
async fn whole(program: &str, arguments: &[&str], io: &mut Io) -> Result<u32, Broken> {
    let mut bytes = Vec::new();
    if let Source::Pipe(pipe) = &mut io.input {
        let _ = pipe.take(MAX_INPUT_BYTES).read_to_end(&mut bytes).await;
    }
    let text = String::from_utf8_lossy(&bytes);
    let answer = match program {
        "wc" => count(arguments, &text, bytes.len()),
        "sort" => sort(arguments, &text),
        "uniq" => uniq(arguments, &text),
        _ => files::last(&text, count_option(arguments).0),
    };
    io.out(answer).await?;
    Ok(0)
}

fn count(arguments: &[&str], text: &str, bytes: usize) -> String {
    let (lines, words) = (text.matches('\n').count(), text.split_whitespace().count());
    match arguments.first() {
        Some(&"-l") => format!("{lines}\n"),
        Some(&"-w") => format!("{words}\n"),
        Some(&"-c") => format!("{bytes}\n"),
        _ => format!("{lines:>7} {words:>7} {bytes:>7}\n"),
    }
}

fn sort(arguments: &[&str], text: &str) -> String {
    let has = |letter| arguments.iter().any(|word| word.starts_with('-') && word.contains(letter));
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    if has('n') {
        lines.sort_by_key(|line| {
            line.split_whitespace().next().and_then(|word| word.parse::<i64>().ok()).unwrap_or(0)
        });
    }
    if has('r') {
        lines.reverse();
    }
    if has('u') {
        lines.dedup();
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn uniq(arguments: &[&str], text: &str) -> String {
    let mut groups: Vec<(usize, &str)> = Vec::new();
    for line in text.lines() {
        match groups.last_mut() {
            Some((count, last)) if *last == line => *count += 1,
            Some(_) | None => groups.push((1, line)),
        }
    }
    let counted = arguments.contains(&"-c");
    groups
        .iter()
        .map(
            |(count, line)| {
                if counted { format!("{count:>7} {line}\n") } else { format!("{line}\n") }
            },
        )
        .collect()
}
