//! Small houses, each with one fault or none.

use super::*;

const RULES: Rules = Rules {
    folder: "house",
    order: &["ground", "first", "roof", "lib", "main"],
    exceptions: &[("first/maps", "first/operations")],
};

const LIB: (&str, &str) = ("lib.rs", "pub mod ground; pub mod first; pub mod roof;");

fn house(files: &[(&str, &str)]) -> House<'static> {
    let mut all: BTreeMap<String, String> = ["ground.rs", "first.rs", "roof.rs"]
        .map(|room| (format!("house/src/{room}"), String::new()))
        .into();
    for (path, text) in std::iter::once(&LIB).chain(files) {
        if let Some(room) = path.strip_suffix("/mod.rs") {
            all.remove(&format!("house/src/{room}.rs"));
        }
        all.insert(format!("house/src/{path}"), (*text).to_owned());
    }
    House::new(&RULES, "", all).expect("the test's house can be read")
}

fn findings(files: &[(&str, &str)]) -> Vec<String> {
    let shown =
        |one: Finding| format!("{}:{}: {}", one.file, one.line.unwrap_or_default(), one.message);
    house(files).findings().into_iter().map(shown).collect()
}

#[test]
fn an_import_along_the_order_is_no_fault() {
    let files = [("roof.rs", "use crate::{first::A, ground};\nfn f() { ground::g() }")];
    assert_eq!(findings(&files), Vec::<String>::new());
}

#[test]
fn an_import_against_the_order_is_found() {
    for import in [
        "use crate::roof::Tile;",
        "use crate::{roof::{Tile as T}};",
        "use super::roof::*;",
        "fn f() { crate::roof::lay() }",
        "fn f() { println!(\"{}\", super::roof::HEIGHT) }",
        "use crate::roof;\nfn f() { roof::lay() }",
    ] {
        let found = findings(&[("ground.rs", &format!("//! Why.\n{import}"))]);
        assert!(!found.is_empty(), "{import}");
        assert!(found[0].starts_with("house/src/ground.rs:2: "), "{found:?}");
        assert!(found[0].contains("ground -> roof runs against the order"), "{found:?}");
    }
}

#[test]
fn a_circle_of_files_is_found_with_its_chain() {
    let files = [
        ("first/mod.rs", "mod a; mod b; mod c;"),
        ("first/a.rs", "use super::b::B;\npub struct A(B);"),
        ("first/b.rs", "use super::c;\npub struct B(c::C);"),
        ("first/c.rs", "pub struct C;\nfn f() { super::a::A::new() }"),
    ];
    let found = findings(&files);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        found[0],
        "house/src/first/a.rs:1: a circle of 3 files:\n    \
         house/src/first/a.rs:1: `super::b::B` of house/src/first/b.rs\n    \
         house/src/first/b.rs:2: `c::C` of house/src/first/c.rs\n    \
         house/src/first/c.rs:2: `super::a::A::new` of house/src/first/a.rs"
    );
}

#[test]
fn a_child_that_needs_what_its_parent_defines_forms_a_circle_if_the_parent_needs_it() {
    let child = ("first/a.rs", "use super::Limit;\npub fn count() -> Limit { Limit }");
    let parent = ("first/mod.rs", "mod a;\npub struct Limit;\nfn f() { a::count() }");
    assert_eq!(findings(&[parent, child]).len(), 1);
    let declares = ("first/mod.rs", "mod a;\npub struct Limit;");
    assert_eq!(findings(&[declares, child]), Vec::<String>::new());
    let passes_on = ("first/mod.rs", "mod a;\npub use a::count;\npub struct Limit;");
    assert_eq!(findings(&[passes_on, child]), Vec::<String>::new());
    let uses_too =
        ("first/mod.rs", "mod a;\npub use a::count;\npub struct Limit;\nfn f() { count() }");
    assert_eq!(findings(&[uses_too, child]).len(), 1);
}

#[test]
fn a_reexport_hides_no_arrow() {
    let files =
        [("first/mod.rs", "pub use crate::roof::Tile;"), ("ground.rs", "use crate::first::Tile;")];
    let found = findings(&files);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("first -> roof"), "{found:?}");
    assert!(found[1].contains("ground -> roof"), "{found:?}");
}

#[test]
fn a_name_from_a_lower_room_is_not_fetched_through_a_higher_one() {
    let files = [
        ("ground.rs", "pub struct Stone;"),
        ("roof.rs", "pub use crate::ground::Stone;"),
        ("first.rs", "use crate::roof::Stone;"),
    ];
    let found = findings(&files);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("first -> roof"), "{found:?}");
    assert!(found[0].contains("name ground"), "{found:?}");
}

#[test]
fn siblings_that_meet_through_their_parent_form_no_false_circle() {
    let files = [
        ("first/mod.rs", "mod a; mod b;\npub use a::A;\npub use b::B;"),
        ("first/a.rs", "pub struct A;"),
        ("first/b.rs", "use super::A;\npub struct B(A);"),
        ("roof.rs", "use crate::first::{A, B};"),
    ];
    assert_eq!(findings(&files), Vec::<String>::new());
    let glob = ("first/b.rs", "use super::*;\npub struct B(A);");
    let with_glob = [files[0], files[1], glob, files[3]];
    assert_eq!(findings(&with_glob), Vec::<String>::new());
    let back = ("first/a.rs", "use super::*;\npub struct A(B);");
    assert_eq!(findings(&[files[0], back, glob]).len(), 1);
}

#[test]
fn tests_may_look_anywhere() {
    let files = [
        (
            "ground.rs",
            "#[cfg(test)]\nmod tests { use crate::roof::Tile; }\n#[cfg(test)]\nmod more;",
        ),
        ("ground/more.rs", "use crate::roof::Tile;"),
    ];
    assert_eq!(findings(&files), Vec::<String>::new());
}

#[test]
fn the_exception_stands_until_it_is_needless() {
    let parent = ("first/mod.rs", "mod maps; mod operations;");
    let maps =
        ("first/maps.rs", "use super::operations::count;\npub struct Maps;\nfn f() { count() }");
    let back = ("first/operations.rs", "use super::maps::Maps;\npub fn count() {}");
    assert_eq!(findings(&[parent, maps, back]), Vec::<String>::new());
    let without = ("first/operations.rs", "pub fn count() {}");
    let found = findings(&[parent, maps, without]);
    assert!(found.len() == 1 && found[0].contains("no circle any more"), "{found:?}");
}

#[test]
fn programs_import_the_library_by_its_name() {
    let files = [("main.rs", "use house::roof::Tile;"), ("roof.rs", "pub struct Tile;")];
    let house = house(&files);
    assert_eq!(house.findings(), []);
    assert!(house.arrows.iter().any(|arrow| arrow.to == "house/src/roof.rs"));
}

#[test]
fn a_room_without_a_place_in_the_order_is_refused() {
    let found = findings(&[("lib.rs", "mod cellar;"), ("cellar.rs", "")]);
    assert!(found.len() == 1 && found[0].contains("`cellar` is a new room"), "{found:?}");
}

#[test]
fn a_macro_counts_where_it_is_defined() {
    let files = [
        ("roof.rs", "macro_rules! tile { () => {} }\npub(crate) use tile;"),
        ("ground.rs", "fn f() { tile!() }"),
    ];
    let found = findings(&files);
    assert!(found.len() == 1 && found[0].contains("ground -> roof"), "{found:?}");
}

#[test]
fn the_summary_counts_rooms_files_and_arrows() {
    let text =
        house(&[("roof.rs", "use crate::ground::A;"), ("ground.rs", "pub struct A;")]).summary();
    assert!(text.contains("4 rooms, 4 files"), "{text}");
    assert!(
        text.contains("1 arrows between rooms, 0 circles of rooms, 0 circles of files"),
        "{text}"
    );
}
