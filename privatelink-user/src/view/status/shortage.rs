//! Limited things that are nearly used up.

use crate::view::usage::Usage;

/// The share in use from which on it is reported as a problem.
const NEARLY: f64 = 0.8;

/// The problems to show for the flow table and for each service's source ports.
pub fn shortages(flows: Usage, ports: &[(String, Usage)]) -> Vec<String> {
    let percent = |of: Usage| of.ratio() * 100.0;
    let mut found = Vec::new();
    if flows.ratio() >= NEARLY {
        found.push(format!(
            "the flow table is {:.0}% full: raise `max_flows`, or limit the flows of endpoints",
            percent(flows)
        ));
    }
    for (service, used) in ports.iter().filter(|(_, used)| used.ratio() >= NEARLY) {
        found.push(format!(
            "service {service}: {:.0}% of its source ports are in use towards one target; add \
             source addresses or targets",
            percent(*used)
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearly_used_up_is_told() {
        let of = |used| Usage { used, of: 100 };
        let ports = |a, b| [("a".to_owned(), of(a)), ("b".to_owned(), of(b))];
        assert!(shortages(of(79), &ports(0, 79)).is_empty());
        let found = shortages(of(80), &ports(0, 95));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("80% full") && found[1].contains("service b: 95%"), "{found:?}");
    }
}
