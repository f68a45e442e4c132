//! What of the daemon has panicked: it is a problem in `status`, and runs again.
//!
//! A panic is a defect of this program. It must not silently end what others rely on, such as the
//! checks of all targets, so each thread and each task that runs as long as the daemon is started
//! through this file. A panic of the main loop, or of the server on the control socket, ends the
//! daemon, and the service manager starts it again; packets are forwarded meanwhile.

use std::{
    future::Future,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use log::warn;
use tokio::time::sleep;

/// How long something that has panicked waits before it runs again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a panic stays a problem.
const MEMORY: Duration = Duration::from_secs(600);
/// How many different ones are remembered.
const REMEMBERED: usize = 16;

static PANICS: AtomicU64 = AtomicU64::new(0);
static FAULTS: Mutex<Vec<Fault>> = Mutex::new(Vec::new());

/// Panics at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    place: String,
    thread: String,
    text: String,
    times: u64,
    last: Instant,
}

/// Notes every panic of this process from now on, besides printing it.
pub fn note_panics() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        note(&mut faults(), &fault(panicked));
        PANICS.fetch_add(1, Ordering::Relaxed);
        print(panicked);
    }));
}

/// How many panics there have been: problems are shown again when it has changed.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// The panics of the last minutes, as problems.
pub fn problems() -> Vec<String> {
    let now = Instant::now();
    let mut faults = faults();
    faults.retain(|fault| now.duration_since(fault.last) < MEMORY);
    faults.iter().map(|fault| fault.problem(now)).collect()
}

/// Does work that ends only when the daemon does, and does it again when it panics.
pub fn keep_working(name: &str, mut work: impl FnMut()) {
    while panic::catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
        warn!("{name} has panicked, and goes on");
        thread::sleep(PAUSE);
    }
}

/// [`keep_working`] for a task.
pub async fn keep_polling<F: Future<Output = ()>>(name: &str, mut begin: impl FnMut() -> F) {
    while AssertUnwindSafe(async { begin().await }).catch_unwind().await.is_err() {
        warn!("{name} has panicked, and goes on");
        sleep(PAUSE).await;
    }
}

/// Panics as a blocking part of a task has, so that its supervisor learns of it.
/// Returns if that part was only cancelled.
pub fn pass_on(error: tokio::task::JoinError) {
    if let Ok(payload) = error.try_into_panic() {
        panic::resume_unwind(payload);
    }
}

impl Fault {
    fn problem(&self, now: Instant) -> String {
        let Self { place, thread, text, times, last } = self;
        format!(
            "a part of the daemon has panicked and runs again (thread {thread}, {place}: {text}; \
             {times} times, the last {} s ago): report this with the log",
            now.duration_since(*last).as_secs()
        )
    }
}

fn faults() -> MutexGuard<'static, Vec<Fault>> {
    FAULTS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fault(panicked: &PanicHookInfo<'_>) -> Fault {
    let place = panicked.location().map(ToString::to_string);
    let text = panicked.payload_as_str().unwrap_or("without a message");
    Fault {
        place: place.unwrap_or_default(),
        thread: thread::current().name().unwrap_or("without a name").to_owned(),
        text: text.lines().next().unwrap_or_default().to_owned(),
        times: 1,
        last: Instant::now(),
    }
}

fn note(faults: &mut Vec<Fault>, new: &Fault) {
    let same = |one: &&mut Fault| (&one.place, &one.thread) == (&new.place, &new.thread);
    if let Some(known) = faults.iter_mut().find(same) {
        *known = Fault { times: known.times + 1, ..new.clone() };
    } else if faults.len() < REMEMBERED {
        faults.push(new.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_is_done_again_until_it_ends() {
        let mut times = 0;
        keep_working("work", || {
            times += 1;
            assert!(times > 2, "not yet");
        });
        assert_eq!(times, 3);
    }

    #[tokio::test]
    async fn a_task_that_panics_is_begun_again() {
        let times = AtomicU64::new(0);
        keep_polling("task", || async {
            let blocking = tokio::task::spawn_blocking(|| panic!("in a blocking part"));
            if times.fetch_add(1, Ordering::Relaxed) < 2 {
                pass_on(blocking.await.map(drop).unwrap_err());
            }
        })
        .await;
        assert_eq!(times.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_panic_is_a_problem_that_says_where_and_how_often() {
        note_panics();
        let before = panics();
        let worker = thread::Builder::new().name("probe".into()).spawn(|| {
            let mut times = 0;
            keep_working("probe", || {
                times += 1;
                assert!(times > 2, "a defect\nof two lines");
            });
        });
        worker.unwrap().join().unwrap();
        assert!(panics() >= before + 2);
        let problems = problems();
        let mine = problems.iter().find(|one| one.contains("thread probe")).unwrap();
        assert!(mine.contains("a defect; 2 times") && mine.contains("supervision.rs"), "{mine}");
    }

    #[test]
    fn many_panics_are_remembered_up_to_a_limit() {
        let mut faults = Vec::new();
        let new = |place: u64| Fault {
            place: place.to_string(),
            thread: "t".into(),
            text: String::new(),
            times: 1,
            last: Instant::now(),
        };
        (0..100).for_each(|place| note(&mut faults, &new(place % 50)));
        assert_eq!(faults.len(), REMEMBERED);
        assert!(faults.iter().all(|fault| fault.times == 2));
    }
}
