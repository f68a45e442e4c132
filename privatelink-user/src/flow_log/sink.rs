//! The destination of the flow log: a file with rotation, standard output or a socket.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::{fs::OpenOptionsExt as _, net::UnixStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::model::{Destination, FlowLog};

/// Write timeout of the socket.
const UNREAD: Duration = Duration::from_secs(1);
/// The time between two attempts to open the destination.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes lines to the destination, which is opened on demand.
#[derive(Debug)]
pub(super) struct Sink {
    to: Destination,
    rotate_size: u64,
    rotate_count: u32,
    heading: String,
    open: Option<Open>,
    /// The earliest time of the next attempt to open the destination.
    again: Option<Instant>,
}

#[derive(Debug)]
enum Open {
    File { file: File, length: u64 },
    Stdout,
    Socket(UnixStream),
}

impl Sink {
    /// Writes as the settings say; each file begins with the heading.
    pub fn new(settings: &FlowLog, heading: String) -> Self {
        Self {
            to: settings.to.clone(),
            rotate_size: settings.rotate_size.get(),
            rotate_count: settings.rotate_count.get(),
            heading,
            open: None,
            again: None,
        }
    }

    /// Reopens the destination with the next line: another program may have moved the file.
    pub fn reopen(&mut self) {
        (self.open, self.again) = (None, None);
    }

    /// Writes whole lines.
    pub fn write(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        if let Some(Open::File { length, .. }) = &self.open
            && self.rotate_count > 0
            && length.saturating_add(text.len() as u64) > self.rotate_size
            && *length > self.heading.len() as u64
        {
            self.open = None;
            let Destination::File(path) = &self.to else { return Ok(()) };
            rotate(path, self.rotate_count)?;
        }
        let written = self.opened().and_then(|open| open.write(text));
        if written.is_err() {
            self.open = None;
            self.again = Some(Instant::now() + PAUSE);
        }
        written
    }

    fn opened(&mut self) -> io::Result<&mut Open> {
        if self.open.is_none() {
            if self.again.is_some_and(|again| Instant::now() < again) {
                return Err(io::ErrorKind::NotConnected.into());
            }
            let open = self.begin()?;
            return Ok(self.open.insert(open));
        }
        self.open.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn begin(&self) -> io::Result<Open> {
        let mut open = match &self.to {
            Destination::File(path) => {
                let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
                let length = file.metadata()?.len();
                Open::File { file, length }
            }
            Destination::Stdout => Open::Stdout,
            Destination::Socket(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_write_timeout(Some(UNREAD))?;
                Open::Socket(stream)
            }
        };
        let begun = matches!(open, Open::File { length, .. } if length > 0);
        if !begun {
            open.write(&self.heading)?;
        }
        Ok(open)
    }
}

impl Open {
    fn write(&mut self, text: &str) -> io::Result<()> {
        match self {
            Self::File { file, length } => {
                file.write_all(text.as_bytes())?;
                *length += text.len() as u64;
                Ok(())
            }
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes())?;
                out.flush()
            }
            Self::Socket(stream) => stream.write_all(text.as_bytes()),
        }
    }
}

/// The path of the file that was rotated `age` times; 0 is the current file.
pub(crate) fn file(path: &Path, age: u32) -> PathBuf {
    if age == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    name.into()
}

/// Renames the files for a new one; the oldest is overwritten.
fn rotate(path: &Path, count: u32) -> io::Result<()> {
    for age in (0..count).rev() {
        match fs::rename(file(path, age), file(path, age + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, os::unix::net::UnixListener};

    use super::*;
    use crate::model::LogFormat;

    fn settings(to: Destination, size: &str, count: i64) -> FlowLog {
        FlowLog {
            to,
            format: LogFormat::Json,
            interval: FlowLog::DEFAULT_INTERVAL,
            refusals: true,
            rotate_size: size.parse().unwrap(),
            rotate_count: count.try_into().unwrap(),
        }
    }

    fn read(path: &Path, age: u32) -> String {
        fs::read_to_string(file(path, age)).unwrap_or_default()
    }

    #[test]
    fn full_files_are_kept_up_to_a_number() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("flows.log");
        let mut sink = Sink::new(&settings(Destination::File(path.clone()), "10", 2), "h\n".into());
        for number in 0..7 {
            sink.write(&format!("{number}{number}{number}\n")).unwrap();
        }
        let files: Vec<String> = (0..4).map(|age| read(&path, age)).collect();
        assert_eq!(files, ["h\n666\n", "h\n444\n555\n", "h\n222\n333\n", ""]);
        // A line that is longer than `rotate_size` has a file of its own.
        sink.write("0123456789abcdef\n").unwrap();
        assert_eq!(read(&path, 0), "h\n0123456789abcdef\n");
        // Another daemon continues the file.
        let mut sink = Sink::new(&settings(Destination::File(path.clone()), "1k", 2), "h\n".into());
        sink.write("next\n").unwrap();
        assert_eq!(read(&path, 0), "h\n0123456789abcdef\nnext\n");
    }

    #[test]
    fn a_file_that_was_moved_is_begun_anew_on_request() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("flows.log");
        let mut sink = Sink::new(&settings(Destination::File(path.clone()), "1", 0), String::new());
        sink.write("one\n").unwrap();
        fs::rename(&path, directory.path().join("elsewhere")).unwrap();
        sink.write("two\n").unwrap();
        assert!(!path.exists());
        sink.reopen();
        sink.write("three\n").unwrap();
        assert_eq!(read(&path, 0), "three\n");
    }

    #[test]
    fn a_socket_is_reconnected() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let settings = settings(Destination::Socket(path.clone()), "1k", 0);
        let mut sink = Sink::new(&settings, String::new());
        assert!(sink.write("lost\n").is_err());
        let listener = UnixListener::bind(&path).unwrap();
        sink.again = None;
        sink.write("kept\n").unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        drop(sink);
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "kept\n");
    }
}
