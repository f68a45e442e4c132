//! etcd is away: packets go on, and nothing is granted.

use std::net::SocketAddr;

use privatelink_tests::lab::{Load, wait_until};

use crate::{ENDPOINT, SOON, Scene};

#[test]
fn traffic_goes_on_without_etcd_and_a_rejection_counts() {
    let mut scene = Scene::start();
    let address = ENDPOINT.parse().unwrap();
    assert_eq!(scene.a.decide("acme-web", "accept").0, 200);
    let echo = SocketAddr::new(address, 7);
    let loads: Vec<Load> =
        scene.sites().map(|site| Load::start(site.consumer(), &[echo]).unwrap()).collect();

    scene.etcd.kill(0);
    for site in scene.sites() {
        wait_until(SOON, "etcd is missed", || site.problems().contains("not reached")).unwrap();
    }
    scene.b.daemon.kill();
    scene.b.daemon.run().unwrap();
    assert!(scene.b.problems().contains("not reached"), "it has started from its copy");
    assert!(scene.sites().all(|site| site.is_served(address)));
    let (code, answer) = scene.b.decide("acme-web", "accept");
    assert_eq!(code, 409, "{answer}");
    assert!(answer.to_string().contains("the store of the fleet is not reached"), "{answer}");
    assert_eq!(scene.b.create("made"), 409);
    for load in loads {
        let tally = load.finish().unwrap();
        assert!(tally.datagrams > 0 && tally.lost == 0 && tally.strange == 0, "{tally:?}");
    }

    assert_eq!(scene.a.decide("acme-web", "reject").0, 200);
    assert!(scene.a.is_refused(address), "a rejection acts at once where it is made");
    assert!(scene.b.is_served(address), "the other gateway cannot know it yet");
    scene.a.daemon.terminate();
    scene.etcd.run(0).unwrap();
    // Whoever comes back first: the rejection is on A's disk.
    scene.a.daemon.run().unwrap();
    let rejected = || scene.b.state("acme-web") == "rejected";
    wait_until(SOON, "the group has learned of the rejection", rejected).unwrap();
    wait_until(SOON, "B refuses", || scene.b.is_refused(address)).unwrap();
    wait_until(SOON, "no problem is left", || {
        scene.sites().all(|site| !site.problems().contains("not reached"))
    })
    .unwrap();
    assert_eq!(scene.b.decide("acme-web", "accept").0, 200);
    assert!(scene.sites().all(|site| site.is_served(address)));
}
