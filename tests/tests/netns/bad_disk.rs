//! A state directory on a disk that is full, read-only, or cannot be read: the daemon starts, runs
//! from what it can read, refuses decisions, and loses none that it acknowledged.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::signal::{self, Signal},
    unistd::Pid,
};
use privatelink_tests::lab::wait_until;
use serde_json::Value;

use crate::fixture::{CONFIG, SOON, Scene, everything_works};

/// Kills of the daemon for each kind of bad disk, unless `PRIVATELINK_KILLS` says otherwise.
const KILLS: u32 = 5;

fn kills() -> u32 {
    env::var("PRIVATELINK_KILLS").map_or(KILLS, |text| text.parse().unwrap())
}

/// The files below a directory, with what they hold.
fn files_below(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = |path: PathBuf| {
        if path.is_dir() {
            return files_below(&path);
        }
        let content = fs::read(&path).unwrap();
        vec![(path, content)]
    };
    paths.flat_map(files).collect()
}

/// A small disk of its own in the place of the state directory.
struct Disk(PathBuf);

impl Disk {
    /// Puts it there, with what the directory holds. The daemon must not run.
    fn in_place_of(directory: &Path) -> Self {
        let files = files_below(directory);
        mount(Some("tmpfs"), directory, Some("tmpfs"), MsFlags::empty(), Some("size=8m,mode=0700"))
            .unwrap();
        for (path, content) in files {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        Self(directory.to_owned())
    }

    fn read_only(&self, read_only: bool) {
        let flags = if read_only { MsFlags::MS_RDONLY } else { MsFlags::empty() };
        mount(None::<&str>, &self.0, None::<&str>, MsFlags::MS_REMOUNT | flags, None::<&str>)
            .unwrap();
    }

    fn fill(&self) {
        let error = fs::write(self.0.join("filler"), vec![0; 16 << 20]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(28), "{error}");
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }

    fn begin(&self, mood: Mood) {
        match mood {
            Mood::Sound => {}
            Mood::Full => self.fill(),
            Mood::ReadOnly => self.read_only(true),
        }
    }

    fn end(&self, mood: Mood) {
        match mood {
            Mood::Sound => {}
            Mood::Full => self.empty(),
            Mood::ReadOnly => self.read_only(false),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).unwrap();
    }
}

fn manual() -> String {
    CONFIG.replacen("acceptance = \"automatic\"\n", "acceptance = \"manual\"\n", 1)
}

fn problems(scene: &Scene) -> Vec<String> {
    let status = scene.daemon.status().unwrap();
    let problems = status["problems"].as_array().unwrap().iter();
    problems.map(|problem| problem.as_str().unwrap().to_owned()).collect()
}

fn shows(scene: &Scene, text: &str) -> bool {
    problems(scene).iter().any(|problem| problem.contains(text))
}

fn state(scene: &Scene, endpoint: &str) -> String {
    let connection = scene.daemon.ask(&["connections", endpoint, "--json"]).unwrap();
    connection["state"].as_str().unwrap().to_owned()
}

/// What a decision said: the new state, or why it was refused.
fn decide(scene: &Scene, words: &[&str]) -> Result<Value, String> {
    let output = scene.daemon.cli().args(words).arg("--json").output().unwrap();
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// How often the daemon has logged that it cannot write.
fn complaints(scene: &Scene) -> usize {
    scene.daemon.output().lines().filter(|line| line.contains("cannot write")).count()
}

/// Kills and starts the daemon on a disk that refuses writes. `acme-web` was accepted before.
fn survives(scene: &mut Scene) {
    for kill in 1..=kills() {
        scene.daemon.kill();
        scene.daemon.run().unwrap_or_else(|error| panic!("start {kill}: {error:#}"));
        assert_eq!(state(scene, "acme-web"), "available", "after kill {kill}");
        let refused = decide(scene, &["reject", "acme-web"]).unwrap_err();
        assert!(refused.contains("full or read-only disk"), "{refused}");
        assert_eq!(state(scene, "acme-web"), "available", "a refused decision has not happened");
    }
    everything_works(scene.acme()).unwrap();
    wait_until(SOON, "the problem is shown", || shows(scene, "decisions are refused")).unwrap();
    let logged = complaints(scene);
    assert!((1..=6).contains(&logged), "{logged} lines:\n{}", scene.daemon.output());
}

/// What is new in the configuration waits for the disk, and is served as soon as it can be written.
fn recovers(scene: &Scene) {
    let quiet = || !shows(scene, "decisions are refused");
    wait_until(SOON, "the disk is used again", quiet).unwrap();
    let rejected = decide(scene, &["reject", "acme-web"]).unwrap();
    assert_eq!(rejected["state"], "rejected");
    decide(scene, &["accept", "acme-web"]).unwrap();
}

#[test]
fn a_full_or_read_only_state_directory_stops_no_start() {
    let mut scene = Scene::with(&manual()).unwrap();
    decide(&scene, &["accept", "acme-web"]).unwrap();
    scene.daemon.kill();
    let disk = Disk::in_place_of(&scene.daemon.state_dir());
    disk.fill();
    survives(&mut scene);
    disk.empty();
    recovers(&scene);

    scene.daemon.kill();
    disk.read_only(true);
    survives(&mut scene);
    // The configuration may have changed while the daemon did not run.
    scene.daemon.kill();
    let more = manual().replace("name = \"globex-web\"", "name = \"globex-other\"");
    assert_ne!(more, manual());
    scene.daemon.write_config(&more).unwrap();
    scene.daemon.run().unwrap();
    everything_works(scene.acme()).unwrap();
    disk.read_only(false);
    recovers(&scene);
    assert_eq!(state(&scene, "globex-other"), "pending-acceptance");
    scene.daemon.kill();
    drop(disk);
}

/// What the disk does while the daemon is started, decides and dies.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Sound,
    Full,
    ReadOnly,
}

/// The number that the last decision about `acme-web` has as its reason.
fn decided(scene: &Scene) -> u32 {
    let connection = scene.daemon.ask(&["connections", "acme-web", "--json"]).unwrap();
    connection["reason"].as_str().unwrap().parse().unwrap()
}

/// `PRIVATELINK_KILLS=500 cargo xtask test random_kills` is the long run: a thousand kills.
#[test]
fn random_kills_on_a_bad_disk_lose_no_acknowledged_decision() {
    let mut scene = Scene::with(&manual()).unwrap();
    decide(&scene, &["accept", "acme-web", "--reason", "0"]).unwrap();
    scene.daemon.kill();
    let disk = Disk::in_place_of(&scene.daemon.state_dir());
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = seed | 1;
    let mut below = move |limit: u64| {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (random >> 33) % limit
    };
    let (mut tried, mut acknowledged, mut refused) = (0, 0, 0);
    let mut made = 0;
    for kill in 1..=2 * kills() {
        let mood = match below(4) {
            0 => Mood::Full,
            1 => Mood::ReadOnly,
            _ => Mood::Sound,
        };
        disk.begin(mood);
        scene.daemon.run().unwrap_or_else(|error| panic!("start {kill} {mood:?}: {error:#}"));
        let found = decided(&scene);
        assert!((acknowledged..=tried).contains(&found), "kill {kill}: {found} {acknowledged}");
        // What was found is in force, and on the disk, though the caller was not told.
        acknowledged = found;
        let moment = Duration::from_millis(below(600));
        let id = Pid::from_raw(scene.daemon.id().unwrap().cast_signed());
        let deciding = AtomicBool::new(true);
        thread::scope(|scope| {
            scope.spawn(|| {
                // Any moment will do: none is waited for.
                thread::sleep(moment);
                signal::kill(id, Signal::SIGKILL).unwrap();
                deciding.store(false, Ordering::Relaxed);
            });
            while deciding.load(Ordering::Relaxed) {
                tried += 1;
                let word = if tried % 2 == 0 { "accept" } else { "reject" };
                match decide(&scene, &[word, "acme-web", "--reason", &tried.to_string()]) {
                    Ok(_) => (acknowledged, made) = (tried, made + 1),
                    Err(_) => refused += 1,
                }
            }
        });
        scene.daemon.kill();
        disk.end(mood);
    }
    println!("{} kills: {made} decisions kept, {refused} refused, none lost", 2 * kills());
    scene.daemon.run().unwrap();
    assert!((acknowledged..=tried).contains(&decided(&scene)));
    scene.daemon.kill();
    drop(disk);
}

#[test]
fn a_state_that_cannot_be_read_holds_up_decisions_and_no_packets() {
    let mut scene = Scene::with(&manual()).unwrap();
    decide(&scene, &["accept", "acme-web"]).unwrap();
    let journal = scene.daemon.state_dir().join("state.journal");
    let aside = journal.with_extension("aside");
    scene.daemon.kill();
    fs::rename(&journal, &aside).unwrap();
    fs::create_dir(&journal).unwrap();
    scene.daemon.run_unready().unwrap();
    let held = || scene.daemon.status().is_ok_and(|status| status["ready"] == false);
    wait_until(SOON, "the daemon answers", held).unwrap();
    assert!(shows(&scene, "cannot read") && shows(&scene, "forwarded as before"));
    let refused = decide(&scene, &["reject", "acme-web"]).unwrap_err();
    assert!(refused.contains("cannot read"), "{refused}");
    everything_works(scene.acme()).unwrap();
    fs::remove_dir(&journal).unwrap();
    fs::rename(&aside, &journal).unwrap();
    let ready = || scene.daemon.status().is_ok_and(|status| status["ready"] == true);
    wait_until(SOON, "the daemon is ready", ready).unwrap();
    assert_eq!(state(&scene, "acme-web"), "available");
    everything_works(scene.acme()).unwrap();
}
