//! The client of etcd: what it reads, writes and watches, and what it does when members fail.

use std::{fs, path::Path, time::Duration};

use privatelink_tests::lab::{Etcd, etcd};
use privatelink_user::{
    etcd::{Batch, Client, Committed, Error, Event, Guard, Transaction, Watch, Write},
    host::certificates::client_config,
};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout};

/// What a request may take on a busy machine while etcd elects a leader.
const LIMIT: Duration = Duration::from_secs(20);

fn client(etcd: &Etcd) -> Client {
    let endpoints = etcd.endpoints();
    Client::new(endpoints.iter().map(|one| one.parse().unwrap()).collect(), None)
}

fn put(key: &str, value: &str) -> Write {
    Write::Put { key: key.into(), value: value.to_owned().into(), lease: 0 }
}

fn made(committed: Committed) -> i64 {
    match committed {
        Committed::Made(revision) => revision,
        Committed::Refused(found) => panic!("a guard does not hold: {found:?}"),
    }
}

async fn write(client: &mut Client, writes: Vec<Write>) -> i64 {
    let transaction = Transaction { guards: Vec::new(), writes };
    made(client.commit(transaction, LIMIT).await.unwrap())
}

/// The next changes, without the notices of how far etcd is.
async fn next(watch: &mut Watch) -> Batch {
    loop {
        let batch = timeout(LIMIT, watch.next()).await.unwrap().unwrap();
        if !batch.events.is_empty() {
            return batch;
        }
    }
}

/// Keys and values of changes; those that were removed have no value.
fn said(batch: &Batch) -> Vec<(&str, Option<&str>)> {
    let said = batch.events.iter().map(|event| match event {
        Event::Put(entry) => (entry.key.as_str(), Some(std::str::from_utf8(&entry.value).unwrap())),
        Event::Deleted { key, .. } => (key.as_str(), None),
    });
    said.collect()
}

#[tokio::test]
async fn a_key_is_created_once_and_changed_by_whoever_has_read_it() {
    let etcd = Etcd::start(1).unwrap();
    let mut client = client(&etcd);
    let create = |value| Transaction {
        guards: vec![Guard::Absent("/t/a".into())],
        writes: vec![put("/t/a", value), put("/t/b", value)],
    };
    let first = made(client.commit(create("one"), LIMIT).await.unwrap());
    let Committed::Refused(found) = client.commit(create("two"), LIMIT).await.unwrap() else {
        panic!("it was created twice");
    };
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].key.as_str(), &found[0].value[..], found[0].revision),
        ("/t/a", &b"one"[..], first)
    );

    let change =
        |at, writes| Transaction { guards: vec![Guard::Unchanged("/t/a".into(), at)], writes };
    let remove = vec![Write::Delete { key: "/t/b".into() }, put("/t/a", "three")];
    let second = made(client.commit(change(first, remove), LIMIT).await.unwrap());
    let late = client.commit(change(first, vec![put("/t/a", "late")]), LIMIT).await.unwrap();
    assert!(matches!(late, Committed::Refused(found) if found[0].revision == second));
    let snapshot = client.read("/t/", LIMIT).await.unwrap();
    let keys: Vec<&str> = snapshot.entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!((keys, snapshot.revision), (vec!["/t/a"], second));
    // A guard on what is gone does not hold.
    let gone = Transaction {
        guards: vec![Guard::Unchanged("/t/b".into(), first)],
        writes: vec![put("/t/b", "again")],
    };
    assert_eq!(client.commit(gone, LIMIT).await.unwrap(), Committed::Refused(Vec::new()));
}

#[tokio::test]
async fn pages_are_of_one_moment_and_a_watch_misses_nothing_after_it() {
    let etcd = Etcd::start(1).unwrap();
    let (mut client, mut other) = (client(&etcd), client(&etcd));
    for hundred in 0..25 {
        let keys = (0..100).map(|one| put(&format!("/t/{hundred:02}{one:02}"), "x"));
        write(&mut other, keys.collect()).await;
    }
    write(&mut other, vec![put("/s", "before"), put("/t0", "after")]).await;
    let snapshot = client.read("/t/", LIMIT).await.unwrap();
    assert_eq!(snapshot.entries.len(), 2_500);
    assert!(snapshot.entries.is_sorted_by(|a, b| a.key < b.key));

    let together =
        write(&mut other, vec![put("/t/a", "1"), put("/u", "no"), put("/t/b", "2")]).await;
    let mut watch = client.watch("/t/", snapshot.revision + 1, LIMIT).await.unwrap();
    let batch = next(&mut watch).await;
    assert_eq!(
        (said(&batch), batch.revision),
        (vec![("/t/a", Some("1")), ("/t/b", Some("2"))], together)
    );
    write(&mut other, vec![Write::Delete { key: "/t/a".into() }]).await;
    assert_eq!(said(&next(&mut watch).await), [("/t/a", None)]);
    // More than one message holds arrives whole.
    let long = "y".repeat(400_000);
    write(&mut other, (0..3).map(|n| put(&format!("/t/long{n}"), &long)).collect()).await;
    for number in 0..20 {
        write(&mut other, vec![put("/t/long0", &format!("{number}{long}"))]).await;
    }
    let mut last = String::new();
    while !last.starts_with("19") {
        for (key, value) in said(&next(&mut watch).await) {
            if key == "/t/long0" {
                last = value.unwrap().to_owned();
                assert!(last.len() >= long.len());
            }
        }
    }
}

#[tokio::test]
async fn a_watch_from_what_etcd_has_forgotten_says_so() {
    let etcd = Etcd::start(1).unwrap();
    let mut client = client(&etcd);
    let first = write(&mut client, vec![put("/t/a", "1")]).await;
    let last = write(&mut client, vec![put("/t/a", "2")]).await;
    etcd.ctl(&["compact", &last.to_string()]).unwrap();
    let begun = client.watch("/t/", first, LIMIT).await;
    let error = match begun {
        Ok(mut watch) => timeout(LIMIT, watch.next()).await.unwrap().unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, Error::Compacted { oldest } if oldest == last), "{error}");
    assert_eq!(client.read("/t/", LIMIT).await.unwrap().entries.len(), 1);
}

#[tokio::test]
async fn keys_under_a_lease_end_with_it() {
    let etcd = Etcd::start(1).unwrap();
    let mut client = client(&etcd);
    let lease = client.grant(Duration::from_secs(2), LIMIT).await.unwrap();
    assert!(lease.period >= Duration::from_secs(2), "{lease:?}");
    let other = client.grant(Duration::from_secs(60), LIMIT).await.unwrap();
    let mut watch = client.watch("/t/", 0, LIMIT).await.unwrap();
    let under = |key: &str, lease| Write::Put { key: key.into(), value: "x".into(), lease };
    write(&mut client, vec![under("/t/a", lease.id), under("/t/b", other.id)]).await;
    assert_eq!(next(&mut watch).await.events.len(), 2);
    assert!(client.keep_alive(lease.id, LIMIT).await.unwrap().is_some());
    client.revoke(other.id, LIMIT).await.unwrap();
    assert_eq!(said(&next(&mut watch).await), [("/t/b", None)]);
    // Nothing keeps the other one alive.
    assert_eq!(said(&next(&mut watch).await), [("/t/a", None)]);
    assert_eq!(client.keep_alive(lease.id, LIMIT).await.unwrap(), None);
}

#[tokio::test]
async fn another_member_answers_when_one_dies_or_falls_silent() {
    let mut etcd = Etcd::start(3).unwrap();
    let (mut client, mut other) = (client(&etcd), client(&etcd));
    let mut at = write(&mut client, vec![put("/t/n", "0")]).await;
    let mut count = async |client: &mut Client| {
        let begun = Instant::now();
        let transaction = Transaction {
            guards: vec![Guard::Unchanged("/t/n".into(), at)],
            writes: vec![put("/t/n", "more")],
        };
        at = made(client.commit(transaction, LIMIT).await.unwrap());
        begun.elapsed()
    };
    count(&mut client).await;
    let before = client.member();
    etcd.kill(0);
    let took = count(&mut client).await;
    assert_ne!(client.member(), before);
    println!("a commit after the first member was killed: {took:?}");
    let watched = other.read("/t/", LIMIT).await.unwrap().revision;
    etcd.run(0).unwrap();
    etcd.wait_until_healthy().unwrap();

    let leader = etcd.leader().unwrap();
    etcd.freeze(leader, true).unwrap();
    let took = count(&mut client).await;
    println!("a commit after the leader was stopped: {took:?}");
    etcd.freeze(leader, false).unwrap();
    let mut watch = other.watch("/t/", watched + 1, LIMIT).await.unwrap();
    assert!(!next(&mut watch).await.events.is_empty(), "what was acknowledged is in the watch");

    // Two of three: nothing is decided, and the caller learns it in time.
    etcd.kill(1);
    etcd.kill(2);
    let begun = Instant::now();
    let transaction = Transaction { guards: Vec::new(), writes: vec![put("/t/n", "no")] };
    let error = client.commit(transaction, Duration::from_secs(3)).await.unwrap_err();
    assert!(error.is_passing() && !error.is_denial(), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

fn tls(folder: &Path, user: &str) -> ClientConfig {
    let file = |name: String| folder.join(name);
    let (certificate, key) = (file(format!("{user}.pem")), file(format!("{user}.key")));
    client_config(&file("ca.pem".into()), &certificate, &key).unwrap()
}

#[tokio::test]
async fn a_certificate_names_the_user_and_its_role_ends_at_the_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, others) = (folder.path().join("ours"), folder.path().join("others"));
    for (folder, users) in [(&ours, &["root", "gw1"][..]), (&others, &["gw1"])] {
        fs::create_dir(folder).unwrap();
        etcd::certificates(folder, users, &[]).unwrap();
    }
    let cluster = Etcd::start_with_certificates(1, &ours).unwrap();
    for words in [
        "user add root --no-password",
        "role add gateways",
        "role grant-permission gateways readwrite /pl/v1/ --prefix",
        "user add gw1 --no-password",
        "user grant-role gw1 gateways",
        "auth enable",
    ] {
        cluster.ctl(&words.split(' ').collect::<Vec<_>>()).unwrap();
    }
    let endpoints: Vec<_> = cluster.endpoints().iter().map(|one| one.parse().unwrap()).collect();
    let mut client = Client::new(endpoints.clone(), Some(tls(&ours, "gw1")));
    write(&mut client, vec![put("/pl/v1/a", "1")]).await;
    assert_eq!(client.read("/pl/v1/", LIMIT).await.unwrap().entries.len(), 1);
    let mut watch = client.watch("/pl/v1/", 1, LIMIT).await.unwrap();
    assert_eq!(said(&next(&mut watch).await), [("/pl/v1/a", Some("1"))]);

    let lease = client.grant(Duration::from_secs(5), LIMIT).await.unwrap();
    assert!(client.keep_alive(lease.id, LIMIT).await.unwrap().is_some());

    let outside = Transaction { guards: Vec::new(), writes: vec![put("/other", "1")] };
    let error = client.commit(outside, LIMIT).await.unwrap_err();
    assert!(error.is_denial() && error.to_string().contains("permission denied"), "{error}");
    let error = client.read("/", LIMIT).await.unwrap_err();
    assert!(error.is_denial(), "{error}");

    // Neither a certificate of another authority nor plain text gets anywhere.
    let short = Duration::from_millis(500);
    let stranger = tls(&others, "gw1");
    let error = Client::new(endpoints.clone(), Some(stranger)).read("/", short).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    let plain = endpoints[0].to_string().replace("https", "http").parse().unwrap();
    let error = Client::new(vec![plain], None).read("/", short).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
}
