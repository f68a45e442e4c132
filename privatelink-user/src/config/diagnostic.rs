//! Faults of a configuration, and how they are shown.

use std::fmt;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};

use super::{
    pointer::pointer_to,
    source::{Location, SourceFile, Sources},
};
use crate::model::{Url, blanked};

/// Faults beyond this number are counted and not shown.
const SHOWN: usize = 100;

/// One fault of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fault {
    /// First, so that faults sort by their location.
    pub at: Option<Location>,
    pub message: String,
    pub label: Option<String>,
    pub related: Option<(Location, String)>,
    pub help: Option<String>,
    /// In how many more places it is.
    pub again: usize,
}

impl Fault {
    pub fn new(message: impl Into<String>) -> Self {
        Self { at: None, message: message.into(), label: None, related: None, help: None, again: 0 }
    }

    /// Underlines a location.
    pub fn at(self, at: Location) -> Self {
        Self { at: Some(at), ..self }
    }

    /// Text beside the underlined location.
    pub fn label(self, label: impl Into<String>) -> Self {
        Self { label: Some(label.into()), ..self }
    }

    /// A second location that is part of the fault.
    pub fn related(self, at: Location, label: impl Into<String>) -> Self {
        Self { related: Some((at, label.into())), ..self }
    }

    /// What to do about it.
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// The faults found so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    faults: Vec<Fault>,
}

impl Report {
    pub fn push(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Adds a fault, unless the same is known of another place: that one counts it.
    pub fn push_once(&mut self, fault: Fault) {
        match self.faults.iter_mut().find(|known| known.message == fault.message) {
            Some(known) => known.again += 1,
            None => self.faults.push(fault),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Everything that is wrong with a configuration, in the order of the files.
#[derive(Debug, Clone)]
pub struct Diagnostics {
    faults: Vec<Fault>,
    sources: Sources,
}

impl Diagnostics {
    pub(super) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    pub(super) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The same sources with other faults.
    pub(super) fn replaced(self, faults: Vec<Fault>) -> Self {
        Self { faults, ..self }
    }

    pub(super) fn new(report: Report, sources: Sources) -> Self {
        let mut faults = report.faults;
        faults.sort();
        for fault in faults.iter_mut().filter(|fault| fault.again > 0) {
            let places = if fault.again == 1 { "place" } else { "places" };
            fault.message += &format!(" (and in {} more {places})", fault.again);
            fault.again = 0;
        }
        Self { faults, sources }
    }

    /// As [`new`](Self::new), in the order in which they were found.
    pub(super) fn in_this_order(report: Report, sources: Sources) -> Self {
        Self { faults: report.faults, sources }
    }

    /// Joins the faults that two stages have found in the same files.
    pub fn and(mut self, other: Self) -> Self {
        self.faults.extend(other.faults);
        self.faults.sort();
        self
    }

    /// The number of faults.
    pub fn count(&self) -> usize {
        self.faults.len()
    }

    /// Shows every fault with its line, for a terminal if `color`.
    pub fn render(&self, color: bool) -> String {
        self.render_as(color, &Level::ERROR, "error")
    }

    /// As [`render`](Self::render), for what is only worth a look.
    pub(super) fn render_warnings(&self, color: bool) -> String {
        self.render_as(color, &Level::WARNING, "warning")
    }

    fn render_as(&self, color: bool, level: &Level<'_>, word: &str) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for fault in self.faults.iter().take(SHOWN) {
            text += &self.render_fault(&renderer, fault, level);
            text += "\n\n";
        }
        match self.faults.len() {
            1 => text += &format!("1 {word}\n"),
            count @ 2..=SHOWN => text += &format!("{count} {word}s\n"),
            count => text += &format!("{count} {word}s, of which the first {SHOWN} are shown\n"),
        }
        text
    }

    /// The first fault on one line, for lists of problems.
    pub fn brief(&self) -> String {
        let Some(line) = self.lines().next() else { return String::new() };
        match self.faults.len() - 1 {
            0 => line,
            more => format!("{line} (and {more} more)"),
        }
    }

    /// Each fault on one line: place, message and advice.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.faults.iter().map(|fault| {
            let place = fault.at.and_then(|at| {
                let file = self.sources.files.get(at.file)?;
                let (line, column) = position(file, at.start);
                Some(format!("{}:{line}:{column}: ", file.path.display()))
            });
            let help = fault.help.as_ref().map(|help| format!("; {help}"));
            let (place, help) = (place.unwrap_or_default(), help.unwrap_or_default());
            printable(&format!("{place}{}{help}", fault.message))
        })
    }

    /// Every fault as an object with `message`, `file`, `line`, `column`, `text`, `help`.
    pub fn to_json(&self) -> Vec<Value> {
        self.faults.iter().map(|fault| self.fault_json(fault)).collect()
    }

    fn render_fault(&self, renderer: &Renderer, fault: &Fault, level: &Level<'_>) -> String {
        let title = level.clone().primary_title(printable(&fault.message));
        let primary = fault
            .at
            .map(|at| (AnnotationKind::Primary, at, fault.label.as_deref().unwrap_or_default()));
        let related =
            fault.related.as_ref().map(|(at, label)| (AnnotationKind::Context, *at, &**label));
        let snippets = match (primary, related) {
            (Some(a), Some(b)) if a.1.file == b.1.file => vec![self.snippet(&[a, b])],
            _ => primary.iter().chain(&related).map(|place| self.snippet(&[*place])).collect(),
        };
        let mut snippets = snippets.into_iter().flatten().peekable();
        if snippets.peek().is_none() {
            // Without a line to show, there is no gutter either.
            let title = renderer.render(&[Group::with_title(title)]);
            let help = fault.help.as_ref();
            let help = help.map(|help| format!("\n  = help: {}", printable(help)));
            return title.trim_end().to_owned() + &help.unwrap_or_default();
        }
        let group = title.elements(snippets);
        let help = fault.help.as_ref().map(|help| Level::HELP.message(printable(help)));
        renderer.render(&[group.elements(help)])
    }

    /// Locations of one file with the lines around them.
    fn snippet<'a>(
        &'a self,
        located: &[(AnnotationKind, Location, &str)],
    ) -> Option<Snippet<'a, Annotation<'a>>> {
        let locations = || located.iter().map(|(_, at, _)| *at);
        let (start, end) =
            (locations().map(|at| at.start).min()?, locations().map(|at| at.end).max()?);
        let file = self.sources.files.get(locations().next()?.file)?;
        let excerpt = Excerpt::of(&file.text, start, end)?;
        let annotations = located.iter().map(|(kind, at, label)| {
            let span = at.start - excerpt.offset..at.end - excerpt.offset;
            kind.span(span).label(printable(label))
        });
        let annotations: Vec<_> = annotations.collect();
        Some(
            // Terminals and logs are no place for what a URL may contain.
            Snippet::source(blanked(excerpt.text, Url::Path))
                .line_start(excerpt.line)
                .path(file.path.display().to_string())
                .annotations(annotations),
        )
    }

    fn fault_json(&self, fault: &Fault) -> Value {
        let mut object =
            json!({ "message": fault.message, "label": fault.label, "help": fault.help });
        if let Some(at) = fault.at {
            merge(&mut object, self.location_json(at));
        }
        if let Some((at, label)) = &fault.related {
            let mut related = json!({ "label": label });
            merge(&mut related, self.location_json(*at));
            merge(&mut object, json!({ "related": related }));
        }
        object
    }

    fn location_json(&self, at: Location) -> Value {
        let Some(file) = self.sources.files.get(at.file) else { return Value::Null };
        let (line, column) = position(file, at.start);
        let (end_line, end_column) = position(file, at.end);
        let mut object = json!({
            "file": file.path,
            "line": line,
            "column": column,
            "end_line": end_line,
            "end_column": end_column,
            "text": file.text.get(at.span()).map(|text| blanked(text, Url::Path)),
        });
        if let Some(of) = &file.object {
            let pointer = pointer_to(&file.text, of.name.kind, at.span());
            merge(&mut object, json!({ "pointer": pointer }));
        }
        object
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// Whole lines of a file. Rendering all of it for each fault would be slow in large ones.
struct Excerpt<'a> {
    text: &'a str,
    line: usize,
    offset: usize,
}

impl<'a> Excerpt<'a> {
    fn of(text: &'a str, start: usize, end: usize) -> Option<Self> {
        let (before, after) = (text.get(..start)?, text.get(end..)?);
        let offset = before.rfind('\n').map_or(0, |newline| newline + 1);
        let end = after.find('\n').map_or(text.len(), |newline| end + newline);
        Some(Self { text: text.get(offset..end)?, line: before.matches('\n').count() + 1, offset })
    }
}

/// Line and column, counted from 1, columns in characters.
fn position(file: &SourceFile, offset: usize) -> (usize, usize) {
    let before = file.text.get(..offset).unwrap_or(&file.text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// Escapes control characters, because file contents end up in messages on a terminal.
fn printable(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    text.chars().map(escape).collect()
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}
