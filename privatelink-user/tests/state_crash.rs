//! A store that is killed at any instant has kept all that it said it kept.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use privatelink_user::state::{Change, Journal, Store, addresses::Lease};

/// Names the state directory to the process that is to be killed.
const VICTIM: &str = "PRIVATELINK_CRASH_VICTIM";
const KILLS: u32 = 300;
/// Short, so that the file is written anew again and again.
const COMPACT: u64 = 2_000;

fn open(directory: &Path) -> Journal {
    let journal = Journal::open(directory).unwrap_or_else(|error| panic!("{error}"));
    journal.compacting_from(COMPACT)
}

/// The number that the store holds; all its parts must agree on it.
fn number(journal: &Journal) -> u32 {
    let leases = &journal.state().addresses.leases;
    let numbers: Vec<u32> =
        leases.values().map(|lease| lease.v4.map_or(0, |address| address.to_bits())).collect();
    let first = numbers.first().copied().unwrap_or(0);
    assert!(numbers.iter().all(|number| *number == first), "half a change: {numbers:?}");
    first
}

/// Counts up in the store until it is killed, and says each number once it is kept.
#[test]
fn victim() {
    let Some(directory) = env::var_os(VICTIM) else { return };
    let mut journal = open(Path::new(&directory));
    let mut out = std::io::stdout();
    for next in number(&journal) + 1.. {
        let change = |name: &str| {
            let lease = Lease { network: "n".parse().unwrap(), v4: Some(next.into()), v6: None };
            Change::Lease(name.parse().unwrap(), Some(lease))
        };
        journal.commit(["a", "b", "c"].map(change).into()).unwrap();
        writeln!(out, "kept {next}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn nothing_that_was_acknowledged_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let mut total = 0;
    for round in 0..KILLS {
        let mut victim = Command::new(env::current_exe().unwrap())
            .args(["--exact", "victim", "--nocapture", "--test-threads=1"])
            .env(VICTIM, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(victim.stdout.take().unwrap());
        // Some are killed before they have kept anything, some in the middle of the first
        // rewriting, most while they append.
        let patience = Duration::from_micros(u64::from(round * 7919 % 25_000));
        let reader = thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            // The test's own output may stand before the first of them.
            lines.filter_map(|line| line.split_once("kept ")?.1.parse::<u32>().ok()).last()
        });
        thread::sleep(patience);
        victim.kill().unwrap();
        victim.wait().unwrap();
        let acknowledged = reader.join().unwrap();
        let journal = open(directory.path());
        let found = number(&journal);
        let least = acknowledged.unwrap_or(total);
        // One more may have been kept without the word having got out.
        assert!(
            (least..=least + 1).contains(&found),
            "round {round}: said {acknowledged:?}, held {total} before, holds {found} now"
        );
        total = found;
    }
    eprintln!("{KILLS} kills, {total} changes kept");
    assert!(total > KILLS, "only {total} changes: the kills came too early to mean anything");
}
