//! What a caller may see of the findings: its own side, and whether the other one passes.

use std::time::Duration;

use super::{
    finding::{Finding, Outcome, Owner, Side},
    refusal,
    stage::{Fate, Judged},
    subject::Subject,
};
use crate::interface::types::{EndpointTest, TestStep, TestWalk};

/// Whose view a report is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// That of a caller who may see both sides.
    Both,
    /// The consumer's.
    Consumer,
    /// The provider's.
    Provider,
}

impl Viewer {
    fn sees(self, side: Side) -> bool {
        match self {
            Self::Both => true,
            Self::Consumer => side != Side::Provider,
            Self::Provider => side != Side::Consumer,
        }
    }
}

/// The report for a caller.
pub fn of(
    subject: &Subject,
    viewer: Viewer,
    findings: &[Finding],
    judged: &[Judged],
    took: Duration,
) -> EndpointTest {
    let mut steps: Vec<TestStep> = Vec::new();
    for side in [Side::Consumer, Side::Gateway, Side::Provider] {
        let its = findings.iter().filter(|finding| finding.step.side() == side);
        if viewer.sees(side) {
            steps.extend(its.map(step));
        } else {
            steps.push(summary(subject, side, its));
        }
    }
    let fault = steps.iter().find(|step| step.outcome == Outcome::Failed.word()).cloned();
    EndpointTest {
        endpoint: subject.endpoint.clone(),
        service: subject.service.clone(),
        passed: fault.is_none(),
        fault,
        steps,
        walks: judged.iter().map(|judged| walk(subject, viewer, judged)).collect(),
        drops: viewer.sees(Side::Consumer).then(|| {
            let drops = subject.drops.iter().filter(|(_, count)| **count > 0);
            drops.map(|(reason, count)| (reason.name().to_owned(), *count)).collect()
        }),
        milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }
}

fn step(finding: &Finding) -> TestStep {
    let remedy = finding.remedy.as_ref();
    TestStep {
        step: finding.step.word().to_owned(),
        side: finding.step.side().word().to_owned(),
        outcome: finding.outcome.word().to_owned(),
        detail: finding.detail.clone(),
        owner: remedy.map(|(owner, _)| owner.word().to_owned()),
        remedy: remedy.map(|(_, remedy)| remedy.clone()),
    }
}

/// One step in place of all of a side that the caller may not see. It says who has to act, and
/// nothing of what was found.
fn summary<'a>(
    subject: &Subject,
    side: Side,
    mut findings: impl Iterator<Item = &'a Finding>,
) -> TestStep {
    let principal = match side {
        Side::Consumer => &subject.consumer,
        Side::Gateway | Side::Provider => &subject.provider,
    };
    let failed = findings.find(|finding| finding.outcome == Outcome::Failed);
    let owner = failed.and_then(|finding| Some(finding.remedy.as_ref()?.0));
    let (outcome, detail, remedy) = match failed {
        None => {
            let detail = format!("nothing wrong was found on the side of {principal}");
            (Outcome::Passed, detail, None)
        }
        Some(_) => {
            let whom = match owner {
                Some(Owner::Operator) => "the gateway's operator",
                Some(Owner::Consumer | Owner::Provider) | None => principal.as_str(),
            };
            let remedy = format!("ask {whom} to run `privatelink test {}`", subject.endpoint);
            let detail = format!("packets do not pass on the side of {principal}");
            (Outcome::Failed, detail, Some(remedy))
        }
    };
    TestStep {
        step: format!("{}-side", side.word()),
        side: side.word().to_owned(),
        outcome: outcome.word().to_owned(),
        detail,
        owner: owner.map(|owner| owner.word().to_owned()),
        remedy,
    }
}

fn walk(subject: &Subject, viewer: Viewer, judged: &Judged) -> TestWalk {
    let Judged { walk, fate } = judged;
    let own = viewer.sees(Side::Consumer);
    let others = viewer.sees(Side::Provider);
    let (source, target, refused) = match fate {
        Fate::Forwarded { source, target, .. } => (Some(source), Some(target), None),
        Fate::Refused(reason) => {
            let side = refusal::finding(subject, walk, *reason).step.side();
            (None, None, Some(if viewer.sees(side) { reason.name() } else { "other-side" }))
        }
        Fate::Foreign => (None, None, Some("foreign")),
    };
    TestWalk {
        protocol: walk.protocol.to_string(),
        client: own.then(|| walk.client.to_string()),
        address: own.then(|| walk.address.to_string()),
        source: source.filter(|_| others).map(ToString::to_string),
        target: target.filter(|_| others).map(ToString::to_string),
        refused: refused.map(ToOwned::to_owned),
    }
}
