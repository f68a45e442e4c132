//! Attacks on the isolation of tenants, judged by captures in every namespace.
//!
//! The judge knows nothing of the datapath: it reads what each tenant sent and what reached each
//! tenant, and explains every arrival by what was sent. What it cannot explain is a violation.

pub mod attack;
pub mod fairness;
pub mod judge;
pub mod marker;
pub mod noise;
pub mod report;
pub mod scene;
pub mod tap;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use privatelink_user::datapath::bpf::FrameSender;

use self::{
    attack::{Attack, Generator},
    judge::Judge,
    noise::Noise,
    report::{Outcome, Report},
    scene::{Held, Scene, Setting},
    tap::Seen,
};

/// Frames between two looks at the captures: fewer than a capture's buffer holds.
const BATCH: u64 = 500;
/// How long the last frames of an attack may take to arrive.
const LAST: Duration = Duration::from_millis(400);

/// How long it takes at most until a flow that a reset has ended is gone.
const ENDED: Duration = Duration::from_secs(20);

/// What to attack, how much and where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Repeats a run.
    pub seed: u64,
    /// Frames of all attacks together.
    pub frames: u64,
    /// The attacks, in the order in which they run.
    pub attacks: Vec<Attack>,
    /// The settings of the gateway's host.
    pub settings: Vec<Setting>,
    /// Where the captures of violations are written.
    pub keep: PathBuf,
}

/// Attacks, and returns what was seen.
///
/// # Errors
/// When the lab cannot be laid, or the daemon does not run.
pub fn run(plan: &Plan) -> Result<Report> {
    let rounds = (plan.settings.len() * plan.attacks.len()).max(1);
    let frames = (plan.frames / u64::try_from(rounds)?).max(1);
    let mut report = Report::new(plan.seed);
    for (number, &setting) in plan.settings.iter().enumerate() {
        for &attack in &plan.attacks {
            // New networks each: what one attack left behind is not blamed on the next.
            let scene = Scene::lay(setting)
                .with_context(|| format!("cannot lay the networks of `{}`", setting.name()))?;
            // Each round has its own numbers: one attack alone repeats what it did among others.
            let seed = plan.seed ^ (u64::try_from(number)? << 32) ^ attack.number();
            let outcome = round(&scene, plan, attack, Noise::new(seed), frames)?;
            eprintln!("{outcome}");
            report.outcomes.push(outcome);
        }
    }
    Ok(report)
}

fn round(scene: &Scene, plan: &Plan, attack: Attack, noise: Noise, frames: u64) -> Result<Outcome> {
    let begin = Instant::now();
    let mut judge = Judge::new(scene, plan.seed);
    let mut taps = scene.taps()?;
    let senders = scene.tenants.iter().map(|tenant| {
        tenant.host.run(|| FrameSender::open().context("cannot open a packet socket"))
    });
    let senders: Vec<FrameSender> = senders.collect::<Result<_>>()?;
    let held = if attack == Attack::Reset { scene.hold()? } else { Vec::new() };
    let mut generator = Generator::new(scene, attack, plan.seed, noise).against(&held);
    let before = scene.accepted()?;
    let (mut sent, mut refused) = (0, 0);
    while sent < frames {
        for _ in 0..BATCH.min(frames - sent) {
            let (tenant, frame) = generator.draw();
            let (sender, ifindex) = (&senders[tenant], scene.tenants[tenant].ifindex);
            refused += u64::from(sender.send(ifindex, &frame).is_err());
            sent += 1;
        }
        look(&mut taps, &mut judge)?;
    }
    let mut honest = scene.honest_exchange();
    // A flow that was marked as ending is gone by then.
    let end = Instant::now() + if held.is_empty() { LAST } else { ENDED };
    while Instant::now() < end {
        look(&mut taps, &mut judge)?;
        std::thread::sleep(Duration::from_millis(20));
    }
    honest.extend(held.iter().filter_map(Held::fault));
    look(&mut taps, &mut judge)?;
    let mut violations = judge.verdict();
    violations.extend(honest);
    violations.extend(scene.host_violations(&before)?);
    let lost = taps.iter_mut().map(tap::Tap::lost).sum::<Result<u64>>()?;
    let kept = if violations.is_empty() {
        None
    } else {
        let name = format!("{}-{}-{}.pcap", scene.setting.name(), attack.name(), plan.seed);
        let path = plan.keep.join(name);
        judge.keep(&path)?;
        Some(path)
    };
    Ok(Outcome {
        attack: attack.name(),
        setting: scene.setting.name(),
        frames: sent - refused,
        arrivals: judge.arrivals(),
        explained: judge.explained(),
        lost_by_captures: lost,
        violations_total: violations.len() as u64 + judge.beyond(),
        violations: violations.into_iter().take(report::SHOWN).collect(),
        kept,
        seconds: begin.elapsed().as_secs_f64(),
    })
}

/// Gives the judge what the captures hold.
fn look(taps: &mut [tap::Tap], judge: &mut Judge<'_>) -> Result<()> {
    for tap in taps {
        let tenant = tap.tenant;
        tap.drain(|frame: Seen<'_>| judge.see(tenant, &frame))?;
    }
    Ok(())
}
