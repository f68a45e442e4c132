//! What of the flow table and of the source ports an endpoint may count on.

use std::collections::BTreeMap;

use super::{PARTS, compute_from, host, model, state};
use crate::desired::share::{self, SourcePorts};

#[test]
fn an_endpoint_of_three_times_the_weight_may_count_on_three_times_the_flows() {
    let model = model(&PARTS.replace("name = \"acme-web\"", "name = \"acme-web\"\nweight = 3"));
    let ids = state(&model).ids;
    let shares = share::of_endpoints(&model, &ids);
    let index = |name: &str| ids.endpoint(&model.endpoints()[name]).unwrap();
    let flows = |name| shares[&index(name)].flows;
    assert_eq!(flows("acme-web") / flows("globex-mail"), 3);
    // Each is the only endpoint of its service, and has all ports of each of its source addresses.
    let pools = share::port_pools(&model, &ids, &shares);
    for name in ["acme-web", "globex-mail"] {
        let (index, of_one) = (index(name), u64::from(privatelink_common::share::PORTS));
        let ports = SourcePorts::of(index, &pools[&index], &BTreeMap::new());
        assert!(ports.share >= of_one && ports.share.is_multiple_of(of_one), "{ports:?}");
        assert_eq!((ports.used, ports.borrowed), (0, 0));
    }
}

#[test]
fn ports_of_one_family_are_borrowed_whatever_is_left_of_the_other() {
    let model = model(PARTS);
    let ids = state(&model).ids;
    let shares = share::of_endpoints(&model, &ids);
    let index = ids.endpoint(&model.endpoints()["globex-mail"]).unwrap();
    let pools = &share::port_pools(&model, &ids, &shares)[&index];
    assert_eq!(pools.len(), 2, "{pools:?}");
    // Of every table: each pool has its share and as much again.
    let all: BTreeMap<_, _> = (0..256).map(|table| ((index, table), 1_000_000)).collect();
    let ports = SourcePorts::of(index, &pools[..1], &all);
    assert!(ports.used > ports.share && ports.borrowed == ports.used - ports.share, "{ports:?}");
    let both = SourcePorts::of(index, pools, &all);
    assert!(both.borrowed > ports.borrowed && both.share > ports.share, "{both:?}");
}

#[test]
fn a_quota_of_flows_is_shared_by_the_endpoints_of_its_principal() {
    let quota = "[[principal]]\nname = \"acme\"\nquota = { flows = 100 }\n";
    let second = "[[endpoint]]\nname = \"second\"\nservice = \"web\"\nnetwork = \"acme\"\n\
                  [[endpoint]]\nname = \"third\"\nservice = \"web\"\nnetwork = \"acme\"\n\
                  limits = { flows = 40 }\n";
    let flows = |text: &str, name: &str| {
        let model = model(text);
        let state = state(&model);
        let index = state.ids.endpoint(&model.endpoints()[name]).unwrap();
        compute_from(&model, &state, &host()).limits.get(&index).map(|limits| limits.flows)
    };
    let alone = format!("{PARTS}{quota}");
    assert_eq!(flows(&alone, "acme-web"), Some(100));
    assert_eq!(flows(&alone, "globex-mail"), None, "another principal");
    let three = format!("{alone}{second}");
    assert_eq!(
        ["acme-web", "second", "third"].map(|name| flows(&three, name)),
        [Some(30), Some(30), Some(40)]
    );
}
