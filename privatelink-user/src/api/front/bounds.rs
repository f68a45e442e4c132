//! How many connections there may be, and how often new ones come: a handshake costs a signature.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::token_bucket::{Rate, TokenBucket};

/// Limits on connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// All of them.
    pub all: usize,
    /// Those of one IPv4 address, or of one /64.
    pub of_one: usize,
    /// New ones of one address.
    pub new: Rate,
    /// Addresses that are remembered.
    pub remembered: usize,
}

impl Limits {
    /// The limits of a process in use.
    pub const DEFAULT: Self = Self {
        all: 512,
        of_one: 32,
        new: Rate { burst: 64, refill: Duration::from_millis(50) },
        remembered: 4_096,
    };
}

/// Counts connections. Clones share the counts.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    limits: Limits,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_prefix: BTreeMap<IpAddr, (usize, TokenBucket)>,
}

/// Keeps a connection counted.
#[derive(Debug)]
pub(super) struct Place {
    prefix: IpAddr,
    counts: Arc<Mutex<Counts>>,
}

impl Bounds {
    /// No connection yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, counts: Arc::default() }
    }

    /// A place for a connection from an address, unless there are too many.
    pub fn place(&self, address: IpAddr, now: Instant) -> Option<Place> {
        let prefix = prefix(address);
        let Limits { all, of_one, new, remembered } = self.limits;
        let mut counts = locked(&self.counts);
        if counts.all >= all {
            return None;
        }
        if counts.by_prefix.len() >= remembered && !counts.by_prefix.contains_key(&prefix) {
            counts.by_prefix.retain(|_, (open, bucket)| *open != 0 || !bucket.is_full(new, now));
            if counts.by_prefix.len() >= remembered {
                return None;
            }
        }
        let entry = counts.by_prefix.entry(prefix).or_insert_with(|| (0, TokenBucket::full(now)));
        let (open, bucket) = entry;
        if *open >= of_one || !bucket.take(new, now) {
            return None;
        }
        *open += 1;
        counts.all += 1;
        Some(Place { prefix, counts: Arc::clone(&self.counts) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = locked(&self.counts);
        counts.all = counts.all.saturating_sub(1);
        if let Some((open, _)) = counts.by_prefix.get_mut(&self.prefix) {
            *open = open.saturating_sub(1);
        }
    }
}

/// What counts as one caller: whoever has a /64 has all of its addresses.
pub(in crate::api) fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

fn locked(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        all: 3,
        of_one: 2,
        new: Rate { burst: 4, refill: Duration::from_secs(1) },
        remembered: 5,
    };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_address_has_a_share_and_a_place_is_given_back() {
        let (bounds, now) = (Bounds::new(LIMITS), Instant::now());
        let first = bounds.place(ip("fd00::1"), now).unwrap();
        let _second = bounds.place(ip("fd00::2"), now).unwrap();
        assert!(bounds.place(ip("fd00::3"), now).is_none(), "the same /64");
        let _third = bounds.place(ip("10.0.0.1"), now).unwrap();
        assert!(bounds.place(ip("10.0.0.2"), now).is_none(), "no room for anybody");
        drop(first);
        assert!(bounds.place(ip("::ffff:10.0.0.2"), now).is_some());
    }

    #[test]
    fn new_connections_are_earned_with_time_and_addresses_are_forgotten() {
        let (bounds, now) = (Bounds::new(LIMITS), Instant::now());
        let opened = |now| (0..9).filter(|_| bounds.place(ip("10.0.0.1"), now).is_some()).count();
        assert_eq!(opened(now), 4);
        assert_eq!(opened(now + Duration::from_secs(2)), 2);
        let later = now + Duration::from_secs(60);
        for last in 0..40_u64 {
            let address = IpAddr::from([10, 0, 1, u8::try_from(last).unwrap()]);
            assert!(bounds.place(address, later + Duration::from_secs(last)).is_some(), "{last}");
        }
        assert!(locked(&bounds.counts).by_prefix.len() <= LIMITS.remembered);
    }
}
