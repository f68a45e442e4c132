//! Targets that get no new flows, because the configuration has removed them or given them no
//! weight: how long their flows may go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use super::{inputs::Inputs, known::addresses};
use crate::{
    model::{Model, Name, Service},
    timestamp::Timestamp,
};

/// A target of a service, on all of its ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceTarget {
    /// Name of the service.
    pub service: Name,
    /// Address of the target.
    pub address: IpAddr,
}

/// The time in which the flows of a target may end by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// When it got its last new flow.
    pub since: Timestamp,
    /// When the flows end that are left.
    pub until: Timestamp,
}

/// Every target that drains, and those without weight that have drained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drains(pub(crate) BTreeMap<ServiceTarget, Drain>);

impl Drains {
    /// Updates the drains to a configuration and what is known of targets. `known` are the
    /// services' targets until now, each with the network that it was in.
    ///
    /// A target that comes back drains no longer. A target whose service or network is removed
    /// does not drain: its flows end at once.
    pub fn follow<'a>(
        &mut self,
        known: impl Iterator<Item = (&'a str, &'a str, IpAddr)>,
        model: &Model,
        inputs: &Inputs,
        now: Timestamp,
    ) {
        let mut next = BTreeMap::new();
        let mut known: BTreeMap<&str, BTreeSet<IpAddr>> =
            known.fold(BTreeMap::new(), |mut all, (service, network, address)| {
                let service = model.services().get_key_value(service);
                if let Some((name, service)) = service
                    && service.network.as_str() == network
                {
                    all.entry(name.as_str()).or_default().insert(address);
                }
                all
            });
        for service in model.services().values() {
            let mut known = known.remove(service.name.as_str()).unwrap_or_default();
            for (address, weight) in addresses(service, inputs) {
                let had_flows = known.remove(&address);
                if weight.get() == 0 {
                    let (target, drain) = self.begin(service, address, had_flows, now);
                    next.insert(target, drain);
                }
            }
            // What is left is no longer in the service.
            let gone = known.into_iter().map(|address| self.begin(service, address, true, now));
            next.extend(gone.filter(|(_, drain)| drain.until > now));
        }
        self.0 = next;
    }

    /// The drain of a target, from now on unless it has begun before.
    fn begin(
        &self,
        service: &Service,
        address: IpAddr,
        had_flows: bool,
        now: Timestamp,
    ) -> (ServiceTarget, Drain) {
        let target = ServiceTarget { service: service.name.clone(), address };
        let begun = self.0.get(&target).copied();
        let period = service.drain.get();
        let until = if had_flows { now.after(period) } else { now };
        let mut drain = begun.unwrap_or(Drain { since: now, until });
        // A period that was made shorter since counts, a longer one does not.
        drain.until = drain.until.min(drain.since.after(period));
        (target, drain)
    }

    /// The drain of a target, if it is to get no new flows.
    pub fn of(&self, service: &Service, address: IpAddr) -> Option<Drain> {
        self.0.get(&ServiceTarget { service: service.name.clone(), address }).copied()
    }

    /// A service's targets that drain or have drained, with weight or in the service or not.
    pub fn of_service(&self, service: &Name) -> impl Iterator<Item = (IpAddr, Drain)> {
        // The least address.
        let first = ServiceTarget { service: service.clone(), address: IpAddr::from([0; 4]) };
        let range = self.0.range(first..).take_while(move |(target, _)| target.service == *service);
        range.map(|(target, drain)| (target.address, *drain))
    }

    /// Every target that drains or has drained, with its drain.
    pub fn all(&self) -> impl Iterator<Item = (&ServiceTarget, &Drain)> {
        self.0.iter()
    }

    /// Every target that drains or has drained.
    pub fn targets(&self) -> impl Iterator<Item = &ServiceTarget> {
        self.0.keys()
    }

    /// When the next drain ends.
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        self.0.values().map(|drain| drain.until).filter(|until| *until > now).min()
    }

    /// Whether some target has drained and is no longer in its service, so that its index can be
    /// freed.
    pub fn is_due(&self, model: &Model, inputs: &Inputs, now: Timestamp) -> bool {
        self.0.iter().any(|(target, drain)| {
            let service = model.services().get(&target.service);
            drain.until <= now
                && service.is_none_or(|one| !addresses(one, inputs).contains_key(&target.address))
        })
    }
}

/// Every target that needs an index: those that are known, and those that still drain.
pub fn indexed<'a>(
    model: &'a Model,
    inputs: &Inputs,
    drains: &Drains,
) -> impl Iterator<Item = (&'a Service, IpAddr)> {
    let known = model.services().values().flat_map(|service| {
        addresses(service, inputs).into_keys().map(move |address| (service, address))
    });
    let draining = drains.targets().filter_map(|ServiceTarget { service, address }| {
        Some((model.services().get(service)?, *address))
    });
    known.chain(draining)
}

/// The addresses of a service's targets whose flows may go on.
pub fn kept(
    service: &Service,
    inputs: &Inputs,
    drains: &Drains,
    now: Timestamp,
) -> BTreeSet<IpAddr> {
    let drain = drains.of_service(&service.name).filter(|(_, drain)| drain.until > now);
    addresses(service, inputs).into_keys().chain(drain.map(|(address, _)| address)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{config, host::HostFacts, state::State};

    const PARTS: &str = include_str!("../../desired/tests.toml");
    const TARGET: &str = "[[service.target]]\naddress = \"10.0.0.20\"\nweight = 50\n";

    fn model(text: &str) -> Model {
        config::from_text("test.toml", text).unwrap_or_else(|wrong| panic!("{wrong}")).model
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn follow(state: &mut State, text: &str, seconds: u64) {
        let inputs = state.inputs.clone();
        state.follow(&model(text), &HostFacts::default(), &inputs, at(seconds)).unwrap();
    }

    /// When the drain of 10.0.0.20 began and when it ends, and the index of the target.
    fn drain(state: &State) -> (Option<(u64, u64)>, Option<u32>) {
        let model = model(PARTS);
        let web = &model.services()["web"];
        let address = [10, 0, 0, 20].into();
        let seconds = |time: Timestamp| time.since(at(0)).as_secs();
        let drain = state.drains.of(web, address);
        let drain = drain.map(|drain| (seconds(drain.since), seconds(drain.until)));
        (drain, state.ids.target(web, address))
    }

    #[test]
    fn a_removed_target_keeps_its_index_until_it_has_drained() {
        let without = PARTS.replace(TARGET, "");
        let mut state = State::default();
        follow(&mut state, PARTS, 10);
        let (none, index) = drain(&state);
        assert!(none.is_none() && index.is_some());
        follow(&mut state, &without, 20);
        assert_eq!(drain(&state), (Some((20, 320)), index));
        // What else is reloaded does not prolong it, nor does a longer period.
        follow(&mut state, &without.replace("# rules", "drain = \"1h\""), 100);
        assert_eq!(drain(&state), (Some((20, 320)), index));
        assert!(!state.drains.is_due(&model(&without), &Inputs::default(), at(319)));
        assert_eq!(state.drains.deadline(at(319)), Some(at(320)));
        assert!(state.drains.is_due(&model(&without), &Inputs::default(), at(320)));
        follow(&mut state, &without, 320);
        assert_eq!(drain(&state), (None, None));
    }

    #[test]
    fn a_target_that_comes_back_goes_on() {
        let mut state = State::default();
        follow(&mut state, PARTS, 10);
        let (_, index) = drain(&state);
        follow(&mut state, &PARTS.replace(TARGET, ""), 20);
        follow(&mut state, PARTS, 30);
        assert_eq!(drain(&state), (None, index));
    }

    #[test]
    fn a_shorter_period_counts_at_once_and_none_ends_flows_at_once() {
        let without = PARTS.replace(TARGET, "");
        let mut state = State::default();
        follow(&mut state, PARTS, 10);
        let mut other = state.clone();
        follow(&mut state, &without, 20);
        follow(&mut state, &without.replace("# rules", "drain = \"60s\""), 30);
        assert_eq!(drain(&state).0, Some((20, 80)));
        follow(&mut other, &without.replace("# rules", "drain = \"0s\""), 20);
        assert_eq!(drain(&other), (None, None));
    }

    #[test]
    fn a_target_without_weight_drains_and_stays_drained() {
        let weightless = PARTS.replace("weight = 50", "weight = 0");
        let mut state = State::default();
        follow(&mut state, PARTS, 10);
        let (_, index) = drain(&state);
        follow(&mut state, &weightless, 20);
        follow(&mut state, &weightless, 1_000);
        assert_eq!(drain(&state), (Some((20, 320)), index));
        assert!(!state.drains.is_due(&model(&weightless), &Inputs::default(), at(1_000)));
        follow(&mut state, PARTS, 1_001);
        assert_eq!(drain(&state), (None, index));
        // One that never had any flow has none to wait for.
        let mut fresh = State::default();
        follow(&mut fresh, &weightless, 20);
        assert_eq!(drain(&fresh).0, Some((20, 20)));
    }

    #[test]
    fn flows_of_a_service_that_goes_or_moves_do_not_drain() {
        let mut state = State::default();
        follow(&mut state, PARTS, 10);
        let moved = PARTS.replacen(
            "principal = \"vendor\"\nnetwork = \"vendor\"\nsource_addresses = [\"10.0.0.240/29\"",
            "principal = \"acme\"\nnetwork = \"acme\"\nsource_addresses = [\"10.1.0.240/29\"",
            1,
        );
        let moved = moved.replace("\"fd00::f0/125\"", "\"fd00:1::f0/125\"");
        let moved = moved.replacen("10.0.0.10", "10.1.0.10", 1).replace("10.0.0.20", "10.1.0.20");
        follow(&mut state, &moved, 20);
        assert!(state.drains.0.is_empty(), "{:?}", state.drains);
    }

    #[test]
    fn only_the_drains_of_a_service_are_its() {
        let mut drains = Drains::default();
        let now = at(5);
        for (service, address) in [("a", [10, 0, 0, 1]), ("b", [0, 0, 0, 0]), ("b", [10, 0, 0, 9])]
        {
            let target =
                ServiceTarget { service: service.parse().unwrap(), address: address.into() };
            let until = now.after(Duration::from_secs(1));
            drains.0.insert(target, Drain { since: now, until });
        }
        let of = |name: &str| drains.of_service(&name.parse().unwrap()).count();
        assert_eq!((of("a"), of("b"), of("c")), (1, 2, 0));
    }
}
