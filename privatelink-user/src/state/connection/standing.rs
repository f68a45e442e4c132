//! The standing of a connection, and how rules, time and decisions change it. Pure.

use std::{fmt, time::Duration};

use privatelink_common::Admission;
use serde::{Deserialize, Serialize};

use super::rules::{Rule, Rules};
use crate::{model::OnDisallow, timestamp::Timestamp};

/// The standing of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It waits for the provider's decision.
    Pending {
        /// When it was requested.
        requested: Timestamp,
    },
    /// Packets pass.
    Available {
        /// When the grant ends; `None` is never.
        until: Option<Timestamp>,
    },
    /// It is refused.
    Rejected {
        /// Because the service does not allow the principal, not by a decision.
        by_rule: bool,
        /// Until when the flows that it had may go on.
        drain: Option<Timestamp>,
    },
    /// The grant has ended, or the request was not decided in time.
    Expired {
        /// Until when the flows that it had may go on.
        drain: Option<Timestamp>,
    },
}

/// The standing of a connection in one word, as the API and lists show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Acceptance {
    /// The provider has not decided yet.
    #[serde(rename = "pending-acceptance")]
    Pending,
    /// Accepted: packets pass.
    #[serde(rename = "available")]
    Available,
    /// Refused, by a decision or because the principal is not allowed.
    #[serde(rename = "rejected")]
    Rejected,
    /// The grant or the request has run out of time.
    #[serde(rename = "expired")]
    Expired,
}

impl Acceptance {
    /// Every word, in the order of lists.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Available, Self::Rejected, Self::Expired];

    /// The word, as in lists and scripts.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending-acceptance",
            Self::Available => "available",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Why a standing changed without a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The service accepts the principal without asking.
    Unasked,
    /// The service does not allow the principal.
    Disallowed,
    /// The service allows the principal again, which counts as a request.
    AllowedAgain,
    /// The grant's time is up.
    GrantEnded,
    /// The request was not decided in time.
    RequestEnded,
}

impl Cause {
    /// Whether the configuration causes it, and not time.
    pub const fn is_a_rule(self) -> bool {
        match self {
            Self::Unasked | Self::Disallowed | Self::AllowedAgain => true,
            Self::GrantEnded | Self::RequestEnded => false,
        }
    }

    /// The reason as lists show it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Unasked => "accepted without asking",
            Self::Disallowed => "the service does not allow the principal",
            Self::AllowedAgain => "the service allows the principal again",
            Self::GrantEnded => "the grant has ended",
            Self::RequestEnded => "not decided in time",
        }
    }
}

/// What a person decides about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Packets are to pass.
    Accept {
        /// For so long; `None` is without an end.
        period: Option<Duration>,
    },
    /// Packets are not to pass.
    Reject,
    /// The consumer asks once more.
    Request,
}

/// Why a decision cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impossible {
    /// The service does not allow the principal.
    NotAllowed,
    /// Only an expired connection can be requested again; this one has another standing.
    NotExpired(Acceptance),
}

impl Standing {
    /// The standing of a connection that is requested now.
    pub fn requested(now: Timestamp) -> Self {
        Self::Pending { requested: now }
    }

    /// Its word.
    pub fn acceptance(self) -> Acceptance {
        match self {
            Self::Pending { .. } => Acceptance::Pending,
            Self::Available { .. } => Acceptance::Available,
            Self::Rejected { .. } => Acceptance::Rejected,
            Self::Expired { .. } => Acceptance::Expired,
        }
    }

    /// The admission of packets.
    pub fn admission(self, now: Timestamp) -> Admission {
        let draining = |drain: Option<Timestamp>| drain.is_some_and(|until| now < until);
        match self {
            Self::Pending { .. } => Admission::Pending,
            Self::Available { .. } => Admission::Available,
            Self::Rejected { drain, .. } | Self::Expired { drain } if draining(drain) => {
                Admission::Draining
            }
            Self::Rejected { .. } => Admission::Rejected,
            Self::Expired { .. } => Admission::Expired,
        }
    }

    /// The next standing by rules and time, and why; `None` if they change nothing.
    pub fn next(self, rules: &Rules, now: Timestamp) -> Option<(Self, Cause)> {
        let over = |end: Option<Timestamp>| end.filter(|end| now >= *end);
        match (self, rules.rule) {
            (Self::Pending { .. }, Rule::Disallowed) => {
                Some((Self::Rejected { by_rule: true, drain: None }, Cause::Disallowed))
            }
            (Self::Available { .. }, Rule::Disallowed) if rules.on_disallow == OnDisallow::Cut => {
                let drain = rules.drain_from(now);
                Some((Self::Rejected { by_rule: true, drain }, Cause::Disallowed))
            }
            (Self::Pending { .. }, Rule::Unasked) => {
                Some((Self::Available { until: None }, Cause::Unasked))
            }
            (Self::Pending { .. }, Rule::Ask) => {
                over(self.end(rules)).map(|_| (Self::Expired { drain: None }, Cause::RequestEnded))
            }
            // The drain counts from the end of the grant, even if the daemon was not running then.
            (Self::Available { .. }, _) => over(self.end(rules))
                .map(|end| (Self::Expired { drain: rules.drain_from(end) }, Cause::GrantEnded)),
            (Self::Rejected { by_rule: true, .. }, Rule::Ask | Rule::Unasked) => {
                Some((Self::requested(now), Cause::AllowedAgain))
            }
            (Self::Rejected { .. } | Self::Expired { .. }, _) => None,
        }
    }

    /// The standing after a decision.
    ///
    /// # Errors
    /// When this standing does not allow the decision.
    pub fn decide(
        self,
        decision: Decision,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Self, Impossible> {
        match (decision, self) {
            (Decision::Accept { .. }, _) if rules.rule == Rule::Disallowed => {
                Err(Impossible::NotAllowed)
            }
            (Decision::Accept { period }, _) => {
                Ok(Self::Available { until: period.map(|period| now.after(period)) })
            }
            (Decision::Reject, Self::Available { .. }) => {
                Ok(Self::Rejected { by_rule: false, drain: rules.drain_from(now) })
            }
            (Decision::Reject, Self::Rejected { drain, .. } | Self::Expired { drain }) => {
                Ok(Self::Rejected { by_rule: false, drain })
            }
            (Decision::Reject, Self::Pending { .. }) => {
                Ok(Self::Rejected { by_rule: false, drain: None })
            }
            (Decision::Request, Self::Expired { .. }) if rules.rule == Rule::Disallowed => {
                Err(Impossible::NotAllowed)
            }
            (Decision::Request, Self::Expired { .. }) => Ok(Self::requested(now)),
            (Decision::Request, _) => Err(Impossible::NotExpired(self.acceptance())),
        }
    }

    /// The next moment at which time alone changes the admission.
    pub fn deadline(self, rules: &Rules, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Pending { .. } | Self::Available { .. } => self.end(rules),
            Self::Rejected { drain, .. } | Self::Expired { drain } => {
                drain.filter(|until| now < *until)
            }
        }
    }

    /// When time ends this standing, if it does.
    pub fn end(self, rules: &Rules) -> Option<Timestamp> {
        match self {
            Self::Pending { requested } if rules.rule == Rule::Ask => {
                rules.request_expiry.map(|expiry| requested.after(expiry))
            }
            Self::Available { until } => until,
            Self::Pending { .. } | Self::Rejected { .. } | Self::Expired { .. } => None,
        }
    }
}
