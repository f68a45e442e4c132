//! The text formats that Prometheus reads: OpenMetrics 1.0.0, and its predecessor 0.0.4.

use std::fmt::{Display, Write as _};

use super::family::{Family, MetricType};

/// One of the two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// The format 0.0.4, which every version of Prometheus reads, and people do.
    Plain,
}

impl Format {
    /// The format that the value of an `Accept` header prefers; the plain one if it prefers neither.
    pub fn preferred(accept: &str) -> Self {
        let mut open = 0.0;
        let mut plain = 0.0;
        for wish in accept.split(',') {
            let mut parts = wish.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let mut weight: f32 = 1.0;
            let mut ours = true;
            for parameter in parts {
                match parameter.split_once('=') {
                    Some(("q", text)) => weight = text.trim().parse().unwrap_or(0.0),
                    Some(("version", version)) => ours = version.trim_matches('"') == "1.0.0",
                    Some(_) | None => {}
                }
            }
            match kind {
                "application/openmetrics-text" if ours => open = weight.max(open),
                "text/plain" | "text/*" => plain = weight.max(plain),
                _ => {}
            }
        }
        if open > 0.0 && open >= plain { Self::OpenMetrics } else { Self::Plain }
    }

    /// The value of the `Content-Type` header.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A page under construction.
#[derive(Debug)]
pub struct Page {
    format: Format,
    text: String,
}

impl Page {
    /// An empty page with room for so many bytes.
    pub fn new(format: Format, capacity: usize) -> Self {
        Self { format, text: String::with_capacity(capacity) }
    }

    /// Begins the next family. Its samples must all follow before another family begins.
    pub fn family(&mut self, family: &'static Family) -> Samples<'_> {
        let (name, kind) = match (self.format, family.metric_type) {
            (Format::OpenMetrics, MetricType::Counter) => {
                (trimmed(family.name, "_total"), "counter")
            }
            (Format::OpenMetrics, MetricType::Info) => (trimmed(family.name, "_info"), "info"),
            (Format::Plain, MetricType::Counter) => (family.name, "counter"),
            (Format::Plain, MetricType::Info) | (_, MetricType::Gauge) => (family.name, "gauge"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {}\n# TYPE {name} {kind}", family.help);
        Samples { name: family.name, text: &mut self.text }
    }

    /// The whole page.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

fn trimmed<'a>(name: &'a str, suffix: &str) -> &'a str {
    name.strip_suffix(suffix).unwrap_or(name)
}

/// The samples of a family.
#[derive(Debug)]
pub struct Samples<'a> {
    name: &'static str,
    text: &'a mut String,
}

impl Samples<'_> {
    /// Adds a sample with these groups of [`labels`].
    pub fn add(&mut self, groups: &[&str], value: impl Display) {
        self.text.push_str(self.name);
        let mut open = '{';
        for group in groups.iter().filter(|group| !group.is_empty()) {
            self.text.push(open);
            self.text.push_str(group);
            open = ',';
        }
        if open == ',' {
            self.text.push('}');
        }
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, " {value}");
    }
}

/// Labels as they stand between braces.
pub fn labels(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::family::{BUILD, DROPS, READY};

    #[test]
    fn the_better_format_is_for_those_who_ask_for_it() {
        use Format::{OpenMetrics, Plain};
        let prometheus = "application/openmetrics-text;version=1.0.0,\
                          application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (prometheus, OpenMetrics),
            ("application/openmetrics-text; version=\"1.0.0\"; charset=utf-8", OpenMetrics),
            ("application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text;version=0.0.1", Plain),
            ("application/openmetrics-text;q=0.2, text/plain;q=0.3", Plain),
            ("application/openmetrics-text;q=0", Plain),
            ("*/*", Plain),
            ("", Plain),
        ] {
            assert_eq!(Format::preferred(accept), format, "{accept}");
        }
    }

    fn page(format: Format) -> String {
        let mut page = Page::new(format, 0);
        page.family(&BUILD).add(&[&labels(&[("version", "1\\2\"3\n4")])], 1);
        page.family(&READY).add(&[], 1);
        page.family(&DROPS).add(&["reason=\"no_flow\"", "more=\"1\""], u64::MAX);
        page.finish()
    }

    #[test]
    fn both_formats_are_written_as_they_are_specified() {
        let samples = "privatelink_build_info{version=\"1\\\\2\\\"3\\n4\"} 1\n";
        let plain = page(Format::Plain);
        assert!(plain.contains("# TYPE privatelink_build_info gauge\n"), "{plain}");
        assert!(plain.contains("# TYPE privatelink_drops_total counter\n"), "{plain}");
        let open = page(Format::OpenMetrics);
        assert!(open.contains("# TYPE privatelink_build info\n"), "{open}");
        assert!(open.contains("# TYPE privatelink_drops counter\n"), "{open}");
        assert!(open.ends_with("# EOF\n") && !plain.contains("EOF"), "{open}");
        for page in [plain, open] {
            assert!(page.contains(samples), "{page}");
            assert!(page.contains("\nprivatelink_ready 1\n"), "{page}");
            let drops =
                "\nprivatelink_drops_total{reason=\"no_flow\",more=\"1\"} 18446744073709551615\n";
            assert!(page.contains(drops), "{page}");
        }
    }
}
