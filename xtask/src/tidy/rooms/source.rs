//! What one file imports, defines and mentions, read off its tokens.
//!
//! The lexer is the compiler's own, so comments and strings are never mistaken for code. Tokens
//! rather than a syntax tree, because the arguments of macros are tokens too, and import as much
//! as any other code. What is compiled for tests only is skipped.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow};
use proc_macro2::{Ident, TokenStream, TokenTree};

use super::tokens::{
    after_item, after_sign, is_for_tests, is_invocation, is_sign, path_separator, plain,
    restriction,
};

/// A module as its file, or its block within a file, spells it.
#[derive(Debug, Default)]
pub struct Scope {
    /// Names of the types, functions and constants that it defines.
    pub items: BTreeSet<String>,
    /// Names of the macros that it defines.
    pub macros: BTreeSet<String>,
    pub imports: Vec<Import>,
    /// Paths in code, such as `crate::model::Name` or `model::Name`.
    pub paths: Vec<Path>,
    /// Every identifier outside imports, with the line where it first stands.
    pub mentions: BTreeMap<String, usize>,
    /// Calls of macros by their bare names.
    pub macro_calls: BTreeMap<String, usize>,
    /// Modules in files of their own.
    pub files: Vec<ModuleFile>,
    /// Modules in a block of this file.
    pub blocks: Vec<(String, Scope)>,
}

/// One name, or all names of a module, that a `use` brings in.
#[derive(Debug, PartialEq, Eq)]
pub struct Import {
    pub path: Path,
    /// The name it has here; none for a glob.
    pub name: Option<String>,
    /// Whether others may import it from here: `pub use`.
    pub is_exported: bool,
}

/// Segments of a path, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub segments: Vec<String>,
    pub line: usize,
}

/// A declaration `mod name;`.
#[derive(Debug, PartialEq, Eq)]
pub struct ModuleFile {
    pub name: String,
    /// What `#[path = ".."]` says.
    pub path: Option<String>,
}

/// Reads a file.
///
/// # Errors
/// When its text is not Rust.
pub fn parse(text: &str) -> Result<Scope> {
    let tokens: TokenStream = text.parse().map_err(|error| anyhow!("it is not Rust: {error}"))?;
    let mut scope = Scope::default();
    Walk { scope: &mut scope, path_attribute: None }.tokens(tokens, true);
    Ok(scope)
}

struct Walk<'a> {
    scope: &'a mut Scope,
    path_attribute: Option<String>,
}

impl Walk<'_> {
    /// Walks a sequence of tokens; `holds_items` where they are a module's own.
    fn tokens(&mut self, tokens: TokenStream, holds_items: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = tokens.as_slice();
        let (mut is_exported, mut follows_path) = (false, false);
        while let Some((token, after)) = rest.split_first() {
            let had_pub = std::mem::take(&mut is_exported);
            let had_path = std::mem::take(&mut follows_path);
            rest = match token {
                TokenTree::Punct(sign) if sign.as_char() == '#' => self.attribute(after),
                TokenTree::Punct(sign) if sign.as_char() == ':' => {
                    follows_path = path_separator(rest).is_some();
                    path_separator(rest).unwrap_or(after)
                }
                TokenTree::Ident(word) if word == "pub" => {
                    is_exported = true;
                    restriction(after)
                }
                TokenTree::Ident(word) if !had_path => self.word(word, after, had_pub, holds_items),
                TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => after,
                TokenTree::Group(group) => {
                    self.tokens(group.stream(), false);
                    after
                }
            };
        }
    }

    /// An attribute, after its `#`; an item for tests is skipped with it.
    fn attribute<'t>(&mut self, rest: &'t [TokenTree]) -> &'t [TokenTree] {
        let rest = after_sign(rest, '!').unwrap_or(rest);
        let Some((TokenTree::Group(group), after)) = rest.split_first() else { return rest };
        let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
        if is_for_tests(&tokens) {
            return after_item(after);
        }
        let is_doc = matches!(tokens.first(), Some(TokenTree::Ident(word)) if word == "doc");
        let is_path = matches!(tokens.first(), Some(TokenTree::Ident(word)) if word == "path");
        for token in &tokens {
            let TokenTree::Literal(literal) = token else { continue };
            let text = literal.to_string().trim_matches('"').to_owned();
            if is_path {
                self.path_attribute = Some(text);
            }
        }
        if !is_doc {
            self.quoted_paths(group.stream());
            self.tokens(group.stream(), false);
        }
        after
    }

    /// Attributes name functions and modules by strings: `#[serde(with = "crate::moment")]`.
    fn quoted_paths(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.quoted_paths(group.stream()),
                TokenTree::Literal(literal) => {
                    let line = literal.span().start().line;
                    let text = literal.to_string();
                    let segments: Vec<String> =
                        text.trim_matches('"').split("::").map(str::to_owned).collect();
                    let is_name = |s: &String| {
                        !s.is_empty() && s.chars().all(|c| c.is_alphanumeric() || c == '_')
                    };
                    if segments.len() > 1 && segments.iter().all(is_name) {
                        self.scope.paths.push(Path { segments, line });
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }

    /// An identifier that begins something; returns what follows.
    fn word<'t>(
        &mut self,
        word: &Ident,
        rest: &'t [TokenTree],
        is_exported: bool,
        holds_items: bool,
    ) -> &'t [TokenTree] {
        let name = plain(word);
        match (name.as_str(), rest.first()) {
            // `impl Trait + use<'a>` imports nothing.
            ("use", Some(next)) if !is_sign(next, '<') => return self.import(rest, is_exported),
            ("mod", Some(TokenTree::Ident(module))) => return self.module(module, rest),
            ("macro_rules", _) => {
                if let [_, TokenTree::Ident(defined), ..] = rest {
                    self.scope.macros.insert(plain(defined));
                }
                return rest;
            }
            (
                "struct" | "enum" | "union" | "trait" | "type" | "fn" | "const" | "static",
                Some(TokenTree::Ident(defined)),
            ) if holds_items => {
                self.scope.items.insert(plain(defined));
                return rest;
            }
            _ => {}
        }
        self.path(word, rest, holds_items)
    }

    /// A path in code, or a single identifier.
    fn path<'t>(
        &mut self,
        first: &Ident,
        rest: &'t [TokenTree],
        holds_items: bool,
    ) -> &'t [TokenTree] {
        let line = first.span().start().line;
        let mut segments = vec![plain(first)];
        let mut rest = rest;
        while let Some([TokenTree::Ident(next), after @ ..]) = path_separator(rest) {
            segments.push(plain(next));
            rest = after;
        }
        let called = after_sign(rest, '!').filter(|after| is_invocation(after));
        if let Some(name) = segments.first()
            && segments.len() == 1
        {
            self.scope.mentions.entry(name.clone()).or_insert(line);
            if called.is_some() {
                self.scope.macro_calls.entry(name.clone()).or_insert(line);
            }
        } else {
            self.scope.mentions.entry(plain(first)).or_insert(line);
            self.scope.paths.push(Path { segments, line });
        }
        // What a macro is given beside other items may define items.
        if holds_items && let Some([TokenTree::Group(group), after @ ..]) = called {
            self.tokens(group.stream(), true);
            return after;
        }
        rest
    }

    /// `mod name;` or `mod name { .. }`, from the name on.
    fn module<'t>(&mut self, name: &Ident, rest: &'t [TokenTree]) -> &'t [TokenTree] {
        let path = self.path_attribute.take();
        let name = plain(name);
        match rest.get(1) {
            Some(TokenTree::Group(body)) => {
                let mut scope = Scope::default();
                Walk { scope: &mut scope, path_attribute: None }.tokens(body.stream(), true);
                self.scope.blocks.push((name, scope));
            }
            _ => self.scope.files.push(ModuleFile { name, path }),
        }
        rest.get(2..).unwrap_or_default()
    }

    /// The tree of a `use`, up to its semicolon.
    fn import<'t>(&mut self, rest: &'t [TokenTree], is_exported: bool) -> &'t [TokenTree] {
        let end = rest.iter().position(|token| is_sign(token, ';')).unwrap_or(rest.len());
        let (tree, after) = rest.split_at(end);
        self.use_tree(&[], tree, is_exported);
        after
    }

    fn use_tree(&mut self, prefix: &[String], tree: &[TokenTree], is_exported: bool) {
        let mut segments = prefix.to_vec();
        let mut rest = path_separator(tree).unwrap_or(tree);
        loop {
            match rest {
                [TokenTree::Ident(word), after @ ..] => {
                    let line = word.span().start().line;
                    if word != "self" || segments.is_empty() {
                        segments.push(plain(word));
                    }
                    if let Some(after) = path_separator(after) {
                        rest = after;
                        continue;
                    }
                    let name = match after {
                        [TokenTree::Ident(_as), TokenTree::Ident(name), ..] => Some(plain(name)),
                        _ => segments.last().cloned(),
                    };
                    let path = Path { segments, line };
                    self.scope.imports.push(Import { path, name, is_exported });
                }
                [TokenTree::Group(group), ..] => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for branch in inner.split(|token| is_sign(token, ',')) {
                        self.use_tree(&segments, branch, is_exported);
                    }
                }
                [TokenTree::Punct(star), ..] if star.as_char() == '*' => {
                    let path = Path { segments, line: star.span().start().line };
                    self.scope.imports.push(Import { path, name: None, is_exported });
                }
                _ => {}
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(text: &str) -> Vec<(String, Option<String>, bool)> {
        let scope = parse(text).expect("the test's text is Rust");
        let shown = |one: Import| (one.path.segments.join("::"), one.name, one.is_exported);
        scope.imports.into_iter().map(shown).collect()
    }

    fn paths(text: &str) -> Vec<String> {
        let scope = parse(text).expect("the test's text is Rust");
        scope.paths.into_iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn use_trees_are_taken_apart() {
        let text = "pub(crate) use crate::a::{self, b::{C as D, *}};\nuse super::super::x;";
        let own = |name: &str| Some(name.to_owned());
        assert_eq!(
            imports(text),
            [
                ("crate::a".to_owned(), own("a"), true),
                ("crate::a::b::C".to_owned(), own("D"), true),
                ("crate::a::b".to_owned(), None, true),
                ("super::super::x".to_owned(), own("x"), false),
            ]
        );
        assert!(imports("fn f() -> impl Sized + use<'static> { 1 }").is_empty());
    }

    #[test]
    fn comments_and_strings_import_nothing() {
        let text = "//! `crate::a::B`\n/* use crate::c; */ const X: &str = \"crate::d::E\";";
        assert!(imports(text).is_empty() && paths(text).is_empty());
    }

    #[test]
    fn paths_are_found_in_macros_and_attributes_too() {
        assert_eq!(paths("fn f() { println!(\"{}\", crate::a::B); }"), ["crate::a::B"]);
        assert_eq!(paths("#[serde(with = \"crate::moment\")] struct X;"), ["crate::moment"]);
        assert_eq!(paths("fn f() { <T as Z>::new(); a::b::<u8>::c() }"), ["a::b"]);
        assert_eq!(paths("macro_rules! m { () => { $crate::a::b!() } }"), ["crate::a::b"]);
    }

    #[test]
    fn what_is_for_tests_only_is_skipped() {
        let text = "#[cfg(test)]\nmod tests { use crate::a::B; }\n#[cfg(test)] mod more;\n\
                    #[cfg(test)] #[expect(x)] const fn f() { crate::c::d() }\n\
                    #[cfg(all(test, unix))] use crate::e::{F};\nuse crate::kept::X;";
        assert_eq!(imports(text).len(), 1);
        let scope = parse(text).expect("the test's text is Rust");
        assert!(scope.files.is_empty() && scope.blocks.is_empty() && scope.paths.is_empty());
        let text = "#[cfg(any(test, feature = \"memory\"))]\nmod memory;";
        assert_eq!(parse(text).expect("it is Rust").files.len(), 1);
    }

    #[test]
    fn lines_are_those_of_the_name() {
        let scope = parse("use crate::{\n    a::B,\n    c::D,\n};").expect("it is Rust");
        let lines: Vec<usize> = scope.imports.iter().map(|one| one.path.line).collect();
        assert_eq!(lines, [2, 3]);
    }
}
