//! The log of the processes that keep running: the daemon and its name server.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use env_logger::{Logger, fmt::Formatter};
use log::{Level, Log, Metadata, Record};

/// A warning or error that is repeated is logged again after this time.
const QUIET: Duration = Duration::from_secs(60);
/// How many different messages are remembered.
const REMEMBERED: usize = 1_000;

/// Logs to standard error what `RUST_LOG` asks for, by default from level `info` on.
pub fn start() {
    let filter = env_logger::Env::default().default_filter_or("info");
    let inner = env_logger::Builder::from_env(filter).format(write).build();
    log::set_max_level(inner.filter());
    // It fails only if a logger has been set, which is as good.
    let _ = log::set_boxed_logger(Box::new(Quiet { inner, said: Mutex::default() }));
}

/// Writes a record as env_logger does by default, which needs a library of time zones for it.
fn write(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let time = humantime::format_rfc3339_seconds(SystemTime::now());
    let (level, target) = (record.level(), record.target());
    let style = out.default_level_style(level);
    let text = record.args().to_string().replace('\n', "\n    ");
    writeln!(out, "[{time} {style}{level:<5}{style:#} {target}] {text}")
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
    use log::LevelFilter;

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

    /// A warning of two lines, without its time.
    fn logged(style: WriteStyle) -> String {
        let written = Written::default();
        let target = Target::Pipe(Box::new(written.clone()));
        let mut builder = Builder::new();
        let logger = builder.format(write).filter_level(LevelFilter::Info).write_style(style);
        let arguments = format_args!("no room\nin the journal");
        let record = Record::builder().level(Level::Warn).target("room").args(arguments).build();
        logger.target(target).build().log(&record);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let (time, rest) = text.strip_prefix('[').and_then(|text| text.split_once(' ')).unwrap();
        humantime::parse_rfc3339(time).unwrap();
        rest.to_owned()
    }

    #[test]
    fn a_line_has_time_level_and_origin() {
        assert_eq!(logged(WriteStyle::Never), "WARN  room] no room\n    in the journal\n");
        assert!(logged(WriteStyle::Always).starts_with("\u{1b}[33mWARN "));
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
