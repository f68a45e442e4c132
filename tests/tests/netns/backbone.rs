//! Encrypted links between sites.

mod scene;

use privatelink_tests::lab::client;

use self::scene::{SOON, Scene};
use crate::fixture::{ENDPOINT, at};

#[test]
fn a_consumer_reaches_the_service_of_another_site_once_its_provider_accepts() {
    let scene = Scene::linked().unwrap();
    scene.a.wait_for_state("pending-acceptance").unwrap();
    let acme = scene.a.acme();
    // Admission is the provider's: the consumer's gateway lets it through, the provider's does not.
    acme.run(|| client::http_get(at(ENDPOINT[0], 80), SOON)).unwrap_err();
    scene.b.accept("a-payments").unwrap();
    scene.a.wait_for_state("available").unwrap();
    for endpoint in ENDPOINT {
        acme.run(|| {
            client::http_get(at(endpoint, 80), SOON)?;
            client::tcp_echo(at(endpoint, 7), 1_000_000, 1, SOON)?;
            client::udp_echo(at(endpoint, 7), b"ping", SOON)
        })
        .unwrap_or_else(|error| panic!("{endpoint}: {error:#}\n{}", scene.a.links()));
    }
    assert_eq!(scene.a.provider.seen(), [], "the provider with the same address here");
    assert_eq!(scene.b.provider.seen().len(), 6);
    assert_eq!(scene.a.problems().unwrap(), [""; 0]);
    assert_eq!(scene.b.problems().unwrap(), [""; 0]);
    scene.b.decide("reject", "a-payments").unwrap();
    acme.run(|| client::http_get(at(ENDPOINT[0], 80), SOON)).unwrap_err();
    scene.a.wait_for_state("rejected").unwrap();
}
