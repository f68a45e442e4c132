//! The log of the processes that keep running: the daemon and its name server.

use std::{
    collections::BTreeMap,
    env,
    io::{self, Write as _},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use clap::ValueEnum;
use env_logger::{Logger, fmt::Formatter};
use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::sys::stat::fstat;
use serde_json::json;

/// A warning or error that is repeated is logged again after this time.
const QUIET: Duration = Duration::from_secs(60);
/// How many different messages are remembered.
const REMEMBERED: usize = 1_000;

/// Where the format is named for processes that the daemon starts.
const FORMAT: &str = "PRIVATELINK_LOG_FORMAT";

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Time, level, origin and message; under journald, which knows the time, level and message
    Text,
    /// An object with `time`, `level`, `target` and `message`
    Json,
}

/// Logs to standard error, from level `info` on until the configuration says otherwise; or what
/// `RUST_LOG` asks for.
pub fn start(format: Option<Format>) {
    let named = || env::var(FORMAT).ok().and_then(|name| Format::from_str(&name, true).ok());
    let write = match format.or_else(named) {
        Some(Format::Json) => write_json,
        _ if is_journal() => write_journal,
        Some(Format::Text) | None => write_text,
    };
    let mut builder = env_logger::Builder::new();
    match env::var("RUST_LOG") {
        Ok(filters) => builder.parse_filters(&filters),
        // Which of these is logged is decided by the level of all.
        Err(_) => {
            builder.filter_level(LevelFilter::Info).filter_module("privatelink", LevelFilter::Debug)
        }
    };
    let inner = builder.format(write).build();
    let level = if env::var_os("RUST_LOG").is_some() { inner.filter() } else { LevelFilter::Info };
    log::set_max_level(level);
    // It fails only if a logger has been set, which is as good.
    let _ = log::set_boxed_logger(Box::new(Quiet { inner, said: Mutex::default() }));
}

/// Whether standard error leads to the journal.
fn is_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else { return false };
    let Ok(found) = fstat(io::stderr()) else { return false };
    stream == format!("{}:{}", found.st_dev, found.st_ino)
}

/// Writes a record as env_logger does by default, which needs a library of time zones for it.
fn write_text(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let time = humantime::format_rfc3339_seconds(SystemTime::now());
    let (level, target) = (record.level(), record.target());
    let style = out.default_level_style(level);
    let text = record.args().to_string().replace('\n', "\n    ");
    writeln!(out, "[{time} {style}{level:<5}{style:#} {target}] {text}")
}

/// Writes a record for the journal: it adds the time itself, and takes the priority from the begin of
/// each line.
fn write_journal(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let priority = match record.level() {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    record.args().to_string().lines().try_for_each(|line| writeln!(out, "<{priority}>{line}"))
}

/// Writes a record as one JSON object.
fn write_json(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let level = record.level().as_str().to_lowercase();
    let (target, message) = (record.target(), record.args().to_string());
    let object = json!({ "time": time, "level": level, "target": target, "message": message });
    writeln!(out, "{object}")
}

/// Logs each warning and each error once a minute, however often its cause strikes.
struct Quiet {
    inner: Logger,
    said: Mutex<Said>,
}

impl Log for Quiet {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if record.level() > Level::Warn || !self.inner.matches(record) {
            return self.inner.log(record);
        }
        let text = record.args().to_string();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match said.admit(&text, Instant::now()) {
            None => {}
            Some(0) => self.inner.log(record),
            Some(left_out) => {
                let more = format_args!("{text} ({left_out} more times)").to_string();
                self.inner.log(&record.to_builder().args(format_args!("{more}")).build());
            }
        }
    }

    fn flush(&self) {
        self.inner.flush();
    }
}

/// When each message was last logged, and how often it was left out since.
#[derive(Debug, Default)]
struct Said(BTreeMap<String, (Instant, u64)>);

impl Said {
    /// Whether to log a message; if so, how often it was left out before.
    fn admit(&mut self, text: &str, now: Instant) -> Option<u64> {
        if let Some((when, left_out)) = self.0.get_mut(text) {
            if now < *when + QUIET {
                *left_out += 1;
                return None;
            }
            *when = now;
            return Some(std::mem::take(left_out));
        }
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, (when, _)| now < *when + QUIET);
        }
        // With too many different ones, none is forgotten and new ones are not remembered.
        if self.0.len() < REMEMBERED {
            self.0.insert(text.to_owned(), (now, 0));
        }
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use env_logger::{Builder, Target, WriteStyle};

    use super::*;

    /// What a logger has written.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Write = fn(&mut Formatter, &Record<'_>) -> io::Result<()>;

    /// What is written of a warning of two lines.
    fn logged(write: Write, style: WriteStyle) -> String {
        let written = Written::default();
        let target = Target::Pipe(Box::new(written.clone()));
        let mut builder = Builder::new();
        let logger = builder.format(write).filter_level(LevelFilter::Info).write_style(style);
        let arguments = format_args!("no room\nin the journal");
        let record = Record::builder().level(Level::Warn).target("room").args(arguments).build();
        logger.target(target).build().log(&record);
        let text = written.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_line_has_time_level_and_origin() {
        let line = |style| {
            let text = logged(write_text, style);
            let (time, rest) = text.strip_prefix('[').unwrap().split_once(' ').unwrap();
            humantime::parse_rfc3339(time).unwrap();
            rest.to_owned()
        };
        assert_eq!(line(WriteStyle::Never), "WARN  room] no room\n    in the journal\n");
        assert!(line(WriteStyle::Always).starts_with("\u{1b}[33mWARN "));
    }

    #[test]
    fn the_journal_gets_priorities_and_neither_time_nor_origin() {
        assert_eq!(logged(write_journal, WriteStyle::Never), "<4>no room\n<4>in the journal\n");
    }

    #[test]
    fn a_line_may_be_an_object() {
        let line = logged(write_json, WriteStyle::Never);
        assert_eq!(line.lines().count(), 1);
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["level"], "warn");
        assert_eq!(object["message"], "no room\nin the journal");
        humantime::parse_rfc3339(object["time"].as_str().unwrap()).unwrap();
    }

    #[test]
    fn one_cause_is_logged_once_a_minute() {
        let (mut said, begin) = (Said::default(), Instant::now());
        let mut at = |text: &str, millis| said.admit(text, begin + Duration::from_millis(millis));
        assert_eq!(at("full", 0), Some(0));
        assert_eq!(at("other", 1), Some(0));
        assert!((1..240).all(|tick| at("full", tick * 250).is_none()));
        assert_eq!(at("full", 60_000), Some(239));
        assert_eq!(at("full", 60_001), None);
        assert_eq!(at("full", 120_001), Some(1));
    }

    #[test]
    fn many_causes_need_bounded_memory() {
        let (mut said, begin) = (Said::default(), Instant::now());
        for number in 0..3 * REMEMBERED {
            assert_eq!(said.admit(&number.to_string(), begin), Some(0));
        }
        assert_eq!(said.0.len(), REMEMBERED);
        assert_eq!(said.admit("0", begin), None);
        assert_eq!(said.admit("later", begin + QUIET), Some(0));
        assert_eq!(said.0.len(), 1);
    }
}
