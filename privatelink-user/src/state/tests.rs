use std::{fs, path::Path, time::Duration};

use proptest::prelude::*;

use super::{
    connection::{Acceptance, Author, Decision},
    objects::{Kind, Object, ObjectName, ReplyKey, StoredReply},
    targets::Inputs,
    *,
};
use crate::{
    config,
    host::HostFacts,
    model::{Model, Name},
    timestamp::Timestamp,
};

const PARTS: &str = include_str!("../desired/tests.toml");

fn model(text: &str) -> Model {
    config::from_text("test.toml", text).unwrap_or_else(|wrong| panic!("{wrong}")).model
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn follow(store: &mut impl Store, model: &Model, now: Timestamp) {
    let mut next = store.state().clone();
    next.follow(model, &HostFacts::default(), &Inputs::default(), now).unwrap();
    let changes = store.state().changes_to(&next);
    store.commit(changes).unwrap();
}

/// A change of the connection `acme-web` that tells its second.
fn decided(state: &State, second: u64) -> Change {
    let name: Name = "acme-web".parse().unwrap();
    let mut connection = state.connections[&name].clone();
    let model = model(&PARTS.replace("# rules", "allow = [\"acme\"]"));
    let (_, rules) = connection::rules_of(&model, &model.endpoints()[&name]).unwrap();
    let decision = if second.is_multiple_of(2) {
        Decision::Reject
    } else {
        Decision::Accept { period: Some(Duration::from_secs(1_000_000)) }
    };
    let by = Author::User { uid: 7, name: None };
    connection.decide(decision, by, format!("number {second}"), &rules, at(second)).unwrap();
    Change::Connection(name, Some(Box::new(connection)))
}

/// A journal with some decisions in it, and the length of the file after each.
fn journal(directory: &Path, decisions: u64) -> (Journal, Vec<u64>) {
    let mut journal = Journal::open(directory).unwrap();
    let text = PARTS
        .replace("# rules", "allow = [\"acme\"]")
        .replace("addresses = [\"10.1.0.50\"]", "addresses = \"auto\"");
    follow(&mut journal, &model(&text), at(0));
    let length = || fs::metadata(directory.join(FILE)).unwrap().len();
    let mut lengths = vec![length()];
    for second in 1..=decisions {
        let change = decided(journal.state(), second);
        journal.commit(vec![change]).unwrap();
        lengths.push(length());
    }
    (journal, lengths)
}

#[test]
fn what_is_kept_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("state");
    let (journal, _) = journal(&place, 5);
    let state = journal.state().clone();
    let name: Name = "acme-web".parse().unwrap();
    let connection = &state.connections[&name];
    assert_eq!(connection.standing.acceptance(), Acceptance::Available);
    assert_eq!(connection.history.len(), 6);
    assert!(state.addresses.leases.contains_key(&name));
    drop(journal);
    let mut again = Journal::open(&place).unwrap();
    assert_eq!(again.state(), &state);
    follow(&mut again, &model(&PARTS.replace("acme-web", "other")), at(9));
    assert!(!again.state().connections.contains_key(&name));
    assert_eq!(Journal::open(&place).unwrap().state(), again.state());
}

/// A change that makes an object, and one that removes it.
fn object(name: &str) -> (Change, Change) {
    let content = serde_json::json!({ "name": name, "weight": 1.5, "list": [{ "a": "b" }] });
    let object = Object {
        authority: Some("acme".parse().unwrap()),
        by: Author::User { uid: 7, name: None },
        at: at(1),
        content: content.as_object().cloned().unwrap(),
    };
    let name = ObjectName { kind: Kind::Endpoint, name: name.parse().unwrap() };
    (Change::Object(name.clone(), Some(Box::new(object))), Change::Object(name, None))
}

#[test]
fn objects_are_kept_and_a_file_without_any_is_one_of_the_release_before() {
    let directory = tempfile::tempdir().unwrap();
    let version = || {
        let text = fs::read_to_string(directory.path().join(FILE)).unwrap();
        let header = text.lines().next().unwrap().split_once(' ').unwrap().1.to_owned();
        serde_json::from_str::<serde_json::Value>(&header).unwrap()["version"].as_u64().unwrap()
    };
    let (mut journal, _) = journal(directory.path(), 3);
    assert_eq!(version(), 2);
    let (one, none) = object("one");
    let reply = StoredReply { at: at(2), asked: u64::MAX, answer: serde_json::json!({ "a": 1 }) };
    let key = ReplyKey { user: "ann".into(), key: "k".into() };
    journal.commit(vec![one, object("two").0, Change::Reply(key, Some(Box::new(reply)))]).unwrap();
    assert_eq!((version(), journal.state().objects.len()), (3, 2));
    let mut again = Journal::open(directory.path()).unwrap();
    assert_eq!(again.state(), journal.state());
    again.commit(vec![none]).unwrap();
    assert_eq!((version(), again.state().objects.len()), (3, 1));
    let plain =
        State { objects: Default::default(), replies: Default::default(), ..again.state().clone() };
    let changes = again.state().changes_to(&plain);
    again.commit(changes).unwrap();
    let mut last = Journal::open(directory.path()).unwrap();
    assert_eq!(last.state(), &plain);
    last.commit(Vec::new()).unwrap();
    assert_eq!(version(), 2, "rewritten without what the release before does not know");
}

#[test]
fn a_torn_end_is_cut_off_wherever_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (_, lengths) = journal(directory.path(), 2);
    let bytes = fs::read(directory.path().join(FILE)).unwrap();
    let other = tempfile::tempdir().unwrap();
    let open = |bytes: &[u8]| {
        fs::write(other.path().join(FILE), bytes).unwrap();
        Journal::open(other.path()).unwrap()
    };
    let whole = open(&bytes).state().clone();
    let half = open(&bytes[..usize::try_from(lengths[1]).unwrap()]).state().clone();
    assert_ne!(whole, half);
    for end in usize::try_from(lengths[1]).unwrap()..bytes.len() {
        let mut torn = open(&bytes[..end]);
        assert_eq!(torn.state(), &half, "cut off at {end}");
        // A disk that got the length, but not the content.
        let mut zeros = bytes[..end].to_vec();
        zeros.resize(bytes.len(), 0);
        assert_eq!(open(&zeros).state(), &half, "zeros from {end}");
        // And life goes on behind it.
        if end.is_multiple_of(50) {
            fs::write(other.path().join(FILE), &bytes[..end]).unwrap();
            let change = decided(torn.state(), 3);
            torn.commit(vec![change]).unwrap();
            assert_eq!(Journal::open(other.path()).unwrap().state(), torn.state());
        }
    }
}

#[test]
fn damage_is_named_and_never_taken_for_something_else() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = journal(directory.path(), 3);
    let file = directory.path().join(FILE);
    let bytes = fs::read(&file).unwrap();
    let mut refused = 0;
    // The break of the last line is the one byte that a crash, too, could have left out.
    for place in (0..bytes.len() - 1).step_by(3) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        fs::write(&file, &damaged).unwrap();
        match Journal::open(directory.path()) {
            // An upper-case digit of a checksum is the same digit.
            Ok(read) => assert_eq!(read.state(), journal.state(), "byte {place}"),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(file.to_str().unwrap()), "{text}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn a_line_that_is_missing_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let (_, lengths) = journal(directory.path(), 3);
    let file = directory.path().join(FILE);
    let bytes = fs::read(&file).unwrap();
    let [from, to] = [lengths[1], lengths[2]].map(|length| usize::try_from(length).unwrap());
    fs::write(&file, [&bytes[..from], &bytes[to..]].concat()).unwrap();
    let error = Journal::open(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[test]
fn files_of_others_and_of_other_releases_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(FILE);
    let line = |json: &str| format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
    for (text, says) in [
        (line(r#"{"format":"privatelink-state","version":4}"#), "has version 4"),
        (line(r#"{"format":"shopping","version":1}"#), "not a state file of privatelink"),
        (String::new(), "damaged in line 1"),
        ("milk\n".to_owned(), "damaged in line 1"),
    ] {
        fs::write(&file, text).unwrap();
        let error = Journal::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("state.journal") && error.contains(says), "{error}");
    }
}

#[test]
fn what_the_disk_refuses_has_not_happened_and_can_be_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, _) = journal(directory.path(), 1);
    let before = journal.state().clone();
    journal.fail_next_append();
    let change = decided(&before, 2);
    let error = journal.commit(vec![change.clone()]).unwrap_err();
    assert!(error.to_string().contains("full or read-only"), "{error}");
    assert_eq!(journal.state(), &before);
    assert_eq!(Journal::open(directory.path()).unwrap().state(), &before);
    journal.commit(vec![change]).unwrap();
    assert_ne!(journal.state(), &before);
    assert_eq!(Journal::open(directory.path()).unwrap().state(), journal.state());
}

proptest! {
    #[test]
    fn whatever_the_file_holds_it_is_read_or_refused(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        lines in 0..3usize,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let json = [r#"{"format":"privatelink-state","version":1}"#, r#"{"number":1,"changes":[]}"#];
        let line = |json: &&str| format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
        let mut bytes: Vec<u8> = json.iter().take(lines).flat_map(|l| line(l).into_bytes()).collect();
        bytes.extend(&noise);
        fs::write(directory.path().join(FILE), bytes).unwrap();
        match Journal::open(directory.path()) {
            Ok(journal) => prop_assert_eq!(journal.state(), &State::default()),
            Err(error) => prop_assert!(error.to_string().contains(FILE)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn disk_and_memory_keep_the_same(
        steps in prop::collection::vec((0..4u8, 1..1_000u64), 1..30),
        short in 0..20_000u64,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let open = || Journal::open(directory.path()).unwrap().compacting_from(short);
        let mut disk = open();
        let mut memory = MemoryStore::default();
        let base = PARTS.replace("# rules", "allow = [\"acme\"]");
        let models = [
            model(&base),
            model(&base.replace("addresses = [\"10.1.0.50\"]", "addresses = \"auto\"")),
            model(&base.replace("globex-mail", "another")),
        ];
        follow(&mut disk, &models[0], at(0));
        follow(&mut memory, &models[0], at(0));
        for (kind, second) in steps {
            match models.get(usize::from(kind)) {
                Some(model) => {
                    follow(&mut disk, model, at(second));
                    follow(&mut memory, model, at(second));
                }
                None => {
                    let change = decided(memory.state(), second);
                    disk.commit(vec![change.clone()]).unwrap();
                    memory.commit(vec![change]).unwrap();
                }
            }
            prop_assert_eq!(disk.state(), memory.state());
            if second % 7 == 0 {
                disk = open();
                prop_assert_eq!(disk.state(), memory.state());
            }
        }
        let last = open();
        prop_assert_eq!(last.state(), memory.state());
    }
}
