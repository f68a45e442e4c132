//! The house as a table: what `cargo xtask tidy --rooms` prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::House;
use super::circles::{self, Graph};

#[derive(Default)]
struct Room<'a> {
    files: usize,
    lines: usize,
    imports: BTreeSet<&'a str>,
}

impl House<'_> {
    /// Rooms with their files, lines and imports; then the sums, and every circle.
    pub(super) fn summary(&self) -> String {
        let rooms = self.rooms();
        let mut text = format!("{}\n", self.rules.folder);
        for (name, room) in &rooms {
            let imports: Vec<&str> = room.imports.iter().copied().collect();
            let Room { files, lines, .. } = room;
            let imports = imports.join(" ");
            let _written = writeln!(text, "  {name:14} {files:3} files {lines:6} lines  {imports}");
        }
        let graph: Graph<'_> =
            rooms.iter().map(|(name, room)| (*name, room.imports.clone())).collect();
        let arrows: usize = rooms.values().map(|room| room.imports.len()).sum();
        let files: usize = rooms.values().map(|room| room.files).sum();
        let lines: usize = rooms.values().map(|room| room.lines).sum();
        let between = circles::knots(&graph);
        let of_files = circles::knots(&self.graph());
        let _written = writeln!(
            text,
            "  {} rooms, {files} files, {lines} lines, {arrows} arrows between rooms, {} circles of \
             rooms, {} circles of files",
            rooms.len(),
            between.len(),
            of_files.len(),
        );
        for (kind, knots) in [("rooms", between), ("files", of_files)] {
            for knot in knots {
                let members: Vec<&str> = knot.iter().map(|member| self.inside(member)).collect();
                let _written =
                    writeln!(text, "  circle of {} {kind}: {}", knot.len(), members.join(" "));
                if kind == "files" {
                    self.list_arrows(&knot, &mut text);
                }
            }
        }
        text
    }

    /// Every file counts, tests too; arrows are those of code that is not only tests.
    fn rooms(&self) -> BTreeMap<&str, Room<'_>> {
        let mut rooms: BTreeMap<&str, Room<'_>> = BTreeMap::new();
        for (file, text) in &self.files {
            let room = rooms.entry(self.room(file)).or_default();
            room.files += 1;
            room.lines += text.lines().count();
        }
        for arrow in &self.arrows {
            let (from, to) = (self.room(&arrow.from), self.room(&arrow.to));
            // The list of modules in `lib.rs` re-exports, and needs nothing.
            if from != to && from != "lib" {
                rooms.entry(from).or_default().imports.insert(to);
            }
        }
        rooms
    }

    /// What ties the files of a knot together.
    fn list_arrows(&self, knot: &BTreeSet<&str>, text: &mut String) {
        let mut listed = BTreeSet::new();
        for arrow in self.arrows.iter().filter(|arrow| arrow.is_needed) {
            let (from, to) = (arrow.from.as_str(), arrow.to.as_str());
            let is_inside = knot.contains(from) && knot.contains(to) && from != to;
            if is_inside && self.exception(arrow).is_none() && listed.insert((from, to)) {
                let to = self.inside(to);
                let _written =
                    writeln!(text, "    {from}:{}: `{}` of {to}", arrow.line, arrow.path);
            }
        }
    }
}
