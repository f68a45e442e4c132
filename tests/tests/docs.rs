//! The pages are correct: their commands and configurations work, and their links exist. No
//! privilege.
#![expect(clippy::expect_used, reason = "a page that cannot be read fails the test")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Parser as _;
use privatelink_common::Reason;
use privatelink_user::{
    cli::args::Cli,
    config::{self, unsupported},
};

/// A page, by its path from the root of the repository.
struct Page {
    path: PathBuf,
    text: String,
}

/// Text between fences, and the word after the opening one.
struct Block {
    mark: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(path: impl Into<PathBuf>) -> Page {
    let path = path.into();
    let text = fs::read_to_string(root().join(&path)).expect("the page can be read");
    Page { path, text }
}

/// Every page of the root and of `docs`.
fn pages() -> Vec<Page> {
    let mut pages = Vec::new();
    let mut folders = vec![PathBuf::new(), PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("the folder can be read") {
            let entry = entry.expect("the folder can be read");
            let path = folder.join(entry.file_name());
            if folder.starts_with("docs") && entry.path().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(page(path));
            }
        }
    }
    assert!(pages.len() > 5, "only {} pages", pages.len());
    pages.sort_by(|a, b| a.path.cmp(&b.path));
    pages
}

impl Page {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The page's blocks, and what is left without them.
    fn split(&self) -> (Vec<Block>, String) {
        let mut blocks = Vec::new();
        let mut prose = String::new();
        let mut open: Option<Block> = None;
        for line in self.text.lines() {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(mark), None) => {
                    open = Some(Block { mark: mark.trim().to_owned(), text: String::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => block.text.extend([line, "\n"]),
                (None, None) => prose.extend([line, "\n"]),
            }
        }
        assert!(open.is_none(), "{}: a block without an end", self.name());
        (blocks, prose)
    }

    /// Every command that a reader may type: lines of shell blocks, and `code` in the prose.
    fn commands(&self) -> Vec<String> {
        let (blocks, prose) = self.split();
        let shell = blocks.iter().filter(|block| ["sh", "console"].contains(&block.mark.as_str()));
        let lines = shell.flat_map(|block| {
            let console = block.mark == "console";
            block.text.lines().map(move |line| typed(line, console))
        });
        lines.flatten().chain(spans(&prose)).collect()
    }
}

/// The command in a line, without prompt and comment.
fn typed(line: &str, console: bool) -> Option<String> {
    let line =
        if console { line.strip_prefix("$ ").or_else(|| line.strip_prefix("# "))? } else { line };
    let line = line.split(" #").next().unwrap_or_default().trim();
    (!line.is_empty() && !line.starts_with('#')).then(|| line.to_owned())
}

/// The `code` of each line.
fn spans(text: &str) -> Vec<String> {
    let codes = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    codes.map(str::to_owned).collect()
}

#[test]
fn configurations_are_accepted_and_supported() {
    let mut seen = 0;
    for page in pages() {
        // The reference has its own test, beside the code that it describes. The page about sites shows
        // parts of two configurations, which the test that walks through it puts together.
        let others = ["docs/configuration.md", "docs/backbone.md"];
        if others.iter().any(|other| page.path == Path::new(other)) {
            continue;
        }
        let name = page.name();
        for block in page.split().0.iter().filter(|block| block.mark.starts_with("toml")) {
            assert_eq!(block.mark, "toml", "{name}: only whole configurations can be checked");
            let loaded = config::from_text(&name, &block.text);
            let loaded = loaded.unwrap_or_else(|faults| panic!("{faults}"));
            let warnings = unsupported::review(&loaded).unwrap_or_else(|faults| panic!("{faults}"));
            assert_eq!(warnings, [], "{name}");
            seen += 1;
        }
    }
    assert!(seen > 0, "no configuration is shown");
}

/// The words of the first command in a line, as a shell reads them.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut quote = None;
    for c in line.chars() {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('|' | '>' | '<' | ';' | '&', None) => {
                // The number of a stream is no word.
                word = word.filter(|word| !word.chars().all(|c| c.is_ascii_digit()));
                break;
            }
            (_, None) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn commands_of_privatelink_are_understood() {
    let mut seen = 0;
    for page in pages() {
        for command in page.commands() {
            let words = words(&command);
            let words: Vec<&str> =
                words.iter().map(String::as_str).skip_while(|word| *word == "sudo").collect();
            let program = words.first().map(Path::new).and_then(Path::file_name);
            // The program's name alone is not a command.
            if program.is_none_or(|program| program != "privatelink") || words.len() < 2 {
                continue;
            }
            if let Err(error) = Cli::try_parse_from(&words) {
                // Help is an error, with an exit code of 0.
                assert_eq!(error.exit_code(), 0, "{}: `{command}`: {error}", page.name());
            }
            seen += 1;
        }
    }
    assert!(seen > 0, "no command is shown");
}

/// The subcommands of `cargo xtask`, as its sources declare them.
fn tasks() -> Vec<String> {
    let source = page("xtask/src/main.rs").text;
    let (_, rest) = source.split_once("\nenum Task {\n").expect("xtask has its tasks in an enum");
    let (body, _) = rest.split_once("\n}").expect("the enum ends");
    let variants = body.lines().filter_map(|line| line.strip_prefix("    "));
    variants
        .filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()))
        .map(|line| {
            let name = line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            let kebab = name.char_indices().flat_map(|(at, letter)| {
                let hyphen = (at > 0 && letter.is_ascii_uppercase()).then_some('-');
                hyphen.into_iter().chain([letter.to_ascii_lowercase()])
            });
            kebab.collect()
        })
        .collect()
}

#[test]
fn tasks_exist() {
    let tasks = tasks();
    assert!(["run", "check-elf"].iter().all(|task| tasks.iter().any(|t| t == task)), "{tasks:?}");
    for page in pages() {
        for place in page.text.split("cargo xtask ").skip(1) {
            let end = place.find(|c: char| !c.is_ascii_lowercase() && c != '-');
            let task = place.get(..end.unwrap_or(place.len())).unwrap_or_default();
            let known = task.starts_with("--") || tasks.iter().any(|name| name == task);
            assert!(known, "{}: `cargo xtask {task}` is none of {tasks:?}", page.name());
        }
    }
}

#[test]
fn the_readme_begins_with_two_commands() {
    let (blocks, _) = page("README.md").split();
    let shell = blocks.iter().filter(|block| block.mark == "sh");
    let commands = shell.flat_map(|block| block.text.lines().filter_map(|line| typed(line, false)));
    let first: Vec<String> = commands.take(2).collect();
    assert_eq!(first, ["cargo xtask run", "cargo xtask test"]);
}

#[test]
fn links_exist() {
    for page in pages() {
        let folder = page.path.parent().unwrap_or(Path::new("")).to_owned();
        for place in page.split().1.split("](").skip(1) {
            let (link, _) = place.split_once(')').expect("a link ends");
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
                continue;
            }
            let there = root().join(&folder).join(file).exists();
            assert!(there, "{}: nothing is at `{link}`", page.name());
        }
    }
}

/// A heading with a folder in code, such as "### `xtask/src/`", is the base of the files in the
/// tables below it; elsewhere a file is named from the root of the repository.
#[test]
fn the_map_names_files_that_exist() {
    let page = page("ARCHITECTURE.md");
    let mut folder = PathBuf::new();
    let mut seen = 0;
    for line in page.split().1.lines() {
        if line.starts_with('#') {
            folder = spans(line).first().map(PathBuf::from).unwrap_or_default();
            assert!(root().join(&folder).is_dir(), "no folder `{}`", folder.display());
            continue;
        }
        let cell = line.strip_prefix("| ").and_then(|row| row.split(" |").next());
        let (base, text) = cell.map_or((Path::new(""), line), |cell| (folder.as_path(), cell));
        let is_file = |code: &String| {
            let named = |end| code.ends_with(end) && code.len() > str::len(end);
            [".rs", ".md", ".toml", ".c", "/"].into_iter().any(named) && !code.starts_with('/')
        };
        for code in spans(text).into_iter().filter(is_file) {
            let path = base.join(code);
            assert!(root().join(&path).exists(), "{} does not exist", path.display());
            seen += 1;
        }
    }
    assert!(seen > 30, "the map names only {seen} files");
}

#[test]
fn every_drop_reason_is_described() {
    let page = page("docs/drop-reasons.md");
    let rows = page.text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let described: Vec<&str> = rows.collect();
    let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(described, reasons, "docs/drop-reasons.md: one row each, in the order of the enum");
}

#[test]
fn tests_that_the_page_about_security_names_exist() {
    let mut sources = String::new();
    let mut folders: Vec<PathBuf> =
        ["tests", "privatelink-common", "privatelink-ebpf", "privatelink-user", "xtask"]
            .map(|name| root().join(name))
            .into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&fs::read_to_string(&path).expect("the source can be read"));
            }
        }
    }
    let page = page("docs/security.md");
    let (mut named, mut is_table) = (0, false);
    for line in page.text.lines() {
        let Some(cells) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else {
            is_table = false;
            continue;
        };
        let last = cells.rsplit('|').next().unwrap_or_default().trim();
        if last == "test" || last.starts_with("---") {
            is_table |= last == "test";
            continue;
        }
        if !is_table {
            continue;
        }
        let names = spans(last);
        assert!(!names.is_empty() || last == "*open*", "neither a test nor *open*: {line}");
        for name in names {
            assert!(sources.contains(&format!("fn {name}(")), "there is no test `{name}`");
            named += 1;
        }
    }
    assert!(named > 3, "only {named} tests are named");
}

/// An alert that leads nowhere is worse at night than none.
#[test]
fn alerts_lead_to_sections_of_the_page_about_symptoms() {
    const BASE: &str = "/blob/main/docs/troubleshooting.md#";
    let page = page("docs/troubleshooting.md");
    let headings = page.text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title.chars().filter(|c| c.is_alphanumeric() || *c == ' ').collect::<String>()
    };
    let anchors: Vec<String> = headings.map(|line| anchor(line).replace(' ', "-")).collect();
    let rules = root().join("packaging/prometheus/privatelink.rules.yml");
    let rules = fs::read_to_string(rules).expect("the rules can be read");
    let alerts = rules.matches("- alert: ").count();
    let links = rules.lines().filter_map(|line| line.split_once(BASE));
    let linked: Vec<&str> = links.map(|(_, rest)| rest.trim_end_matches('"')).collect();
    assert_eq!(linked.len(), alerts, "each alert has a `runbook_url`");
    for link in linked {
        assert!(anchors.iter().any(|anchor| anchor == link), "no section #{link}");
    }
    // The table at the top of the page leads to sections, too.
    for place in page.text.split("](#").skip(1) {
        let link = place.split(')').next().unwrap_or_default();
        assert!(anchors.iter().any(|anchor| anchor == link), "no section #{link}");
    }
}
