//! The modules of a crate, and which file defines what a path names.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::source::{self, Import, ModuleFile, Path, Scope};

/// A chain of re-exports is never this long; a circle of them is.
const MAX_STEPS: usize = 16;

/// The modules of a package: of its library and of its programs.
#[derive(Debug, Default)]
pub struct Tree {
    modules: Vec<Module>,
    library: Option<usize>,
    /// What programs call the library.
    library_name: String,
}

#[derive(Debug)]
struct Module {
    file: String,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    scope: Scope,
}

/// One import as written, and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrow {
    pub from: String,
    pub line: usize,
    /// The file that defines what is imported.
    pub to: String,
    /// The file of the module that the path names, which may only re-export it.
    pub named: String,
    pub path: String,
    /// Whether the file itself needs it. One that only names a module, or only re-exports, does not:
    /// the file that uses what it names has an arrow to the definition.
    pub is_needed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Module(usize),
    /// Something that this module defines.
    Item(usize),
}

impl Tree {
    /// Reads the modules below the roots, the library's first if there is one.
    ///
    /// # Errors
    /// When a file is not Rust.
    pub fn read(
        files: &BTreeMap<String, String>,
        library: Option<&str>,
        library_name: &str,
        programs: &[String],
    ) -> Result<Self> {
        let mut tree = Self { library_name: library_name.to_owned(), ..Self::default() };
        for root in library.into_iter().chain(programs.iter().map(String::as_str)) {
            let Some(text) = files.get(root) else { continue };
            let scope = source::parse(text).with_context(|| root.to_owned())?;
            let folder = parent_folder(root);
            let module = tree.add(files, root, &folder, None, scope)?;
            if library == Some(root) {
                tree.library = Some(module);
            }
        }
        Ok(tree)
    }

    /// The files in the tree, each once.
    pub fn files(&self) -> std::collections::BTreeSet<&str> {
        self.modules.iter().map(|module| module.file.as_str()).collect()
    }

    /// Every import.
    pub fn arrows(&self) -> Vec<Arrow> {
        let macros = self.macros();
        let mut arrows = Vec::new();
        for (at, module) in self.modules.iter().enumerate() {
            for import in &module.scope.imports {
                match &import.name {
                    Some(name) => arrows.extend(self.import(at, import, name)),
                    None => self.glob(at, import, &mut arrows),
                }
            }
            for path in &module.scope.paths {
                arrows.extend(self.path(at, path, &macros));
            }
            for (name, line) in &module.scope.macro_calls {
                let Some(&defined) = macros.get(name.as_str()) else { continue };
                let path = Path { segments: vec![format!("{name}!")], line: *line };
                arrows.push(self.arrow(at, &path, defined, defined, true));
            }
        }
        arrows.retain(|arrow| arrow.from != arrow.to || arrow.from != arrow.named);
        arrows
    }

    fn add(
        &mut self,
        files: &BTreeMap<String, String>,
        file: &str,
        folder: &str,
        parent: Option<usize>,
        mut scope: Scope,
    ) -> Result<usize> {
        let declared = std::mem::take(&mut scope.files);
        let blocks = std::mem::take(&mut scope.blocks);
        let at = self.modules.len();
        let file = file.to_owned();
        self.modules.push(Module { file: file.clone(), parent, children: BTreeMap::new(), scope });
        for module in declared {
            let Some((path, inner)) = locate(files, &file, folder, &module) else { continue };
            let text = files.get(&path).map(String::as_str).unwrap_or_default();
            let scope = source::parse(text).with_context(|| path.clone())?;
            let child = self.add(files, &path, &inner, Some(at), scope)?;
            self.adopt(at, module.name, child);
        }
        for (name, scope) in blocks {
            let child = self.add(files, &file, &format!("{folder}/{name}"), Some(at), scope)?;
            self.adopt(at, name, child);
        }
        Ok(at)
    }

    fn adopt(&mut self, parent: usize, name: String, child: usize) {
        if let Some(parent) = self.modules.get_mut(parent) {
            parent.children.insert(name, child);
        }
    }

    fn import(&self, at: usize, import: &Import, name: &str) -> Option<Arrow> {
        let (target, named) = self.resolve(at, &import.path.segments, true, 0)?;
        let (to, is_item) = match target {
            Target::Item(module) => (module, true),
            Target::Module(module) => (module, false),
        };
        let only_passes_on = import.is_exported
            && !self.module(at).is_some_and(|module| module.scope.mentions.contains_key(name));
        Some(self.arrow(at, &import.path, to, named, is_item && !only_passes_on))
    }

    /// A glob needs those names of the other module that are mentioned here.
    fn glob(&self, at: usize, import: &Import, arrows: &mut Vec<Arrow>) {
        let Some((target, named)) = self.resolve(at, &import.path.segments, true, 0) else {
            return;
        };
        let module = match target {
            Target::Module(module) => module,
            // The variants of an enum.
            Target::Item(module) => {
                arrows.push(self.arrow(at, &import.path, module, named, true));
                return;
            }
        };
        arrows.push(self.arrow(at, &import.path, module, named, false));
        let Some(here) = self.module(at) else { return };
        for (name, line) in &here.scope.mentions {
            let Some(Target::Item(defined)) = self.definite(module, name, true, 1) else {
                continue;
            };
            let mut path = Path { segments: import.path.segments.clone(), line: *line };
            path.segments.push(name.clone());
            arrows.push(self.arrow(at, &path, defined, module, true));
        }
    }

    fn path(&self, at: usize, path: &Path, macros: &BTreeMap<&str, usize>) -> Option<Arrow> {
        // An exported macro is named by the crate, and defined wherever it is.
        if let [root, name] = path.segments.as_slice()
            && root == "crate"
            && let Some(&defined) = macros.get(name.as_str())
        {
            return Some(self.arrow(at, path, defined, defined, true));
        }
        let (target, named) = self.resolve(at, &path.segments, false, 0)?;
        match target {
            Target::Item(module) => Some(self.arrow(at, path, module, named, true)),
            Target::Module(module) => Some(self.arrow(at, path, module, named, false)),
        }
    }

    /// Where each macro is defined that a bare name may mean.
    fn macros(&self) -> BTreeMap<&str, usize> {
        let modules = self.modules.iter().enumerate();
        let named = modules.flat_map(|(at, module)| {
            module.scope.macros.iter().map(move |name| (name.as_str(), at))
        });
        let mut found: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        named.for_each(|(name, at)| found.entry(name).or_default().push(at));
        // A name that two files use for macros of their own means nothing elsewhere.
        let single = found.into_iter().filter(|(_, places)| places.len() == 1);
        single.filter_map(|(name, places)| Some((name, *places.first()?))).collect()
    }

    fn arrow(&self, at: usize, path: &Path, to: usize, named: usize, is_needed: bool) -> Arrow {
        let file = |at: usize| self.module(at).map(|one| one.file.clone()).unwrap_or_default();
        Arrow {
            from: file(at),
            line: path.line,
            to: file(to),
            named: file(named),
            path: path.segments.join("::"),
            is_needed,
        }
    }

    fn module(&self, at: usize) -> Option<&Module> {
        self.modules.get(at)
    }

    fn root(&self, at: usize) -> usize {
        let mut root = at;
        while let Some(parent) = self.module(root).and_then(|module| module.parent) {
            root = parent;
        }
        root
    }

    /// What a path in module `at` means, and the last module that it names as such. Nothing for
    /// other crates' paths.
    fn resolve(
        &self,
        at: usize,
        segments: &[String],
        is_import: bool,
        steps: usize,
    ) -> Option<(Target, usize)> {
        if steps > MAX_STEPS {
            return None;
        }
        let (first, mut rest) = segments.split_first()?;
        let mut current = match first.as_str() {
            "crate" => self.root(at),
            "self" => at,
            "super" => self.module(at)?.parent?,
            name if Some(self.root(at)) != self.library && name == self.library_name => {
                self.library?
            }
            name => match self.definite(at, name, rest.is_empty() && is_import, steps + 1)? {
                Target::Module(module) => module,
                Target::Item(module) => return Some((Target::Item(module), module)),
            },
        };
        while let Some(after) = rest.strip_prefix(&["super".to_owned()]) {
            current = self.module(current)?.parent?;
            rest = after;
        }
        let mut named = current;
        let mut is_literal = true;
        for (index, segment) in rest.iter().enumerate() {
            let is_last = index + 1 == rest.len();
            let is_child =
                self.module(current).is_some_and(|module| module.children.contains_key(segment));
            is_literal &= is_child;
            match self.definite(current, segment, is_last, steps + 1) {
                Some(Target::Module(module)) => {
                    current = module;
                    named = if is_literal { module } else { named };
                }
                Some(Target::Item(module)) => return Some((Target::Item(module), named)),
                None => return Some((Target::Item(current), named)),
            }
        }
        Some((Target::Module(current), named))
    }

    /// What `name` is in module `at`, if that can be told: a module, something defined there, or
    /// something imported there.
    fn definite(&self, at: usize, name: &str, is_last: bool, steps: usize) -> Option<Target> {
        if steps > MAX_STEPS {
            return None;
        }
        let module = self.module(at)?;
        let child = module.children.get(name).copied().map(Target::Module);
        if child.is_some() && !is_last {
            return child;
        }
        if module.scope.items.contains(name) {
            return Some(Target::Item(at));
        }
        let mut imports = module.scope.imports.iter();
        let import = imports.find(|import| import.name.as_deref() == Some(name));
        if let Some(import) = import {
            let found = self.resolve(at, &import.path.segments, true, steps + 1);
            // `use name::name` of a module, seen from within: the module it is.
            match (found, child) {
                (Some((target, _)), _) => return Some(target),
                (None, Some(child)) => return Some(child),
                // It comes from another crate, by way of this module.
                (None, None) if is_last => return Some(Target::Item(at)),
                (None, None) => return None,
            }
        }
        let globs = module.scope.imports.iter().filter(|import| import.name.is_none());
        child.or_else(|| {
            globs
                .filter_map(|import| self.resolve(at, &import.path.segments, true, steps + 1))
                .find_map(|(target, _)| match target {
                    Target::Module(other) if other != at => {
                        self.definite(other, name, is_last, steps + 1)
                    }
                    Target::Module(_) | Target::Item(_) => None,
                })
        })
    }
}

/// The file of a declared module, and the folder of its own modules.
fn locate(
    files: &BTreeMap<String, String>,
    declaring: &str,
    folder: &str,
    module: &ModuleFile,
) -> Option<(String, String)> {
    let name = &module.name;
    let candidates = match &module.path {
        Some(path) => {
            let path = format!("{}/{path}", parent_folder(declaring));
            vec![(path.clone(), parent_folder(&path))]
        }
        None => vec![
            (format!("{folder}/{name}.rs"), format!("{folder}/{name}")),
            (format!("{folder}/{name}/mod.rs"), format!("{folder}/{name}")),
        ],
    };
    candidates.into_iter().find(|(path, _)| files.contains_key(path))
}

fn parent_folder(file: &str) -> String {
    file.rsplit_once('/').map(|(folder, _)| folder.to_owned()).unwrap_or_default()
}
