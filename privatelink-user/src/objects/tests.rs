//! Who may write what, and what results.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::{
    access::{Caller, Rights},
    config::{self, Loaded},
    interface::types::ObjectSet,
    state::{
        connection::Author,
        objects::{Content, Kind, ObjectName, Objects},
    },
    timestamp::Timestamp,
};

/// The files of the operator: `web` and `mail` of the vendor, one endpoint of each consumer.
const FILES: &str = include_str!("../desired/tests.toml");

fn caller(principals: &[&str]) -> Caller {
    let author = Author::User { uid: 7, name: Some("ann".into()) };
    let names = principals.iter().map(|name| name.parse().unwrap());
    Caller { author, rights: Rights::Of(names.collect()) }
}

pub(super) fn operator() -> Caller {
    Caller { author: Author::User { uid: 0, name: None }, rights: Rights::All }
}

pub(super) fn name(kind: Kind, name: &str) -> ObjectName {
    ObjectName { kind, name: name.parse().unwrap() }
}

pub(super) fn content(value: serde_json::Value) -> Content {
    value.as_object().cloned().unwrap()
}

/// A gateway without maps: files, objects, and the configuration that both make.
pub(super) struct World {
    pub files: String,
    pub objects: Objects,
    pub loaded: Loaded,
}

impl World {
    pub fn new() -> Self {
        let files = FILES.replace("# rules", "allow = [\"acme\"]");
        Self::of(&files.replace("allow = [\"*\"]", "allow = [\"globex\"]"))
    }

    pub fn of(files: &str) -> Self {
        let loaded = config::from_text("gw.toml", files).unwrap_or_else(|wrong| panic!("{wrong}"));
        Self { files: files.into(), objects: Objects::new(), loaded }
    }

    pub fn try_write(
        &self,
        caller: &Caller,
        steps: Vec<Step>,
        condition: &Condition,
    ) -> Result<Writing, WriteError> {
        let writer = Writer {
            model: &self.loaded.model,
            origins: &self.loaded.origins,
            objects: &self.objects,
            caller,
            now: Timestamp::from_millis(5),
        };
        writer.write(steps, condition)
    }

    /// Writes, and lowers the outcome.
    pub fn write(&mut self, caller: &Caller, steps: Vec<Step>) -> Result<Writing, String> {
        let writing = self.try_write(caller, steps, &Condition::default());
        let writing = writing.map_err(|error| error.to_string())?;
        let sources = self.loaded.sources.with_objects(&writing.objects, &writing.names());
        self.loaded = sources.load().map_err(|wrong| wrong.render(false))?;
        self.objects = writing.objects.clone();
        Ok(writing)
    }

    /// The objects as a file.
    pub fn exported(&self) -> String {
        let of = |wanted: Kind| {
            let objects = self.objects.iter().filter(move |(name, _)| name.kind == wanted);
            objects.map(|(_, object)| object.content.clone()).collect()
        };
        config::document(&ObjectSet { service: of(Kind::Service), endpoint: of(Kind::Endpoint) })
    }

    /// Reloads other files, if they fit the objects.
    pub fn reload(&mut self, files: &str) -> Result<(), String> {
        let sources = config::files_of([("gw.toml".into(), files.to_owned())]);
        let sources = sources.with_objects(&self.objects, &BTreeSet::new());
        self.loaded = sources.load().map_err(|wrong| wrong.render(false))?;
        self.files = files.into();
        Ok(())
    }
}

pub(super) fn service(port: u16) -> Content {
    content(json!({
        "network": "vendor",
        "acceptance": "manual",
        "allow": ["acme"],
        "source_addresses": ["10.0.0.224/30"],
        "listener": [{ "protocol": "tcp", "port": port }],
        "target": [{ "address": "10.0.0.30" }, { "address": "10.0.0.31", "weight": 7 }],
    }))
}

fn put_service(object: &str) -> Step {
    Step::Put(name(Kind::Service, object), service(443))
}

fn put_endpoint(object: &str, service: &str) -> Step {
    let keys = json!({ "service": service, "network": "acme" });
    Step::Put(name(Kind::Endpoint, object), content(keys))
}

fn delete(kind: Kind, object: &str) -> Step {
    Step::Delete(name(kind, object))
}

#[test]
fn a_tenant_publishes_and_another_one_asks() {
    let mut world = World::new();
    let written = world.write(&caller(&["vendor"]), vec![put_service("pay")]).unwrap();
    assert_eq!(written.outcomes[&name(Kind::Service, "pay")], Outcome::Added);
    world.write(&caller(&["acme"]), vec![put_endpoint("acme-pay", "pay")]).unwrap();
    let model = &world.loaded.model;
    assert_eq!(model.services()["pay"].principal.as_str(), "vendor");
    assert_eq!(model.endpoints()["acme-pay"].service.as_str(), "pay");
    let place =
        |kind, object: &str| world.loaded.origins.find(&name(kind, object)).unwrap().to_string();
    assert_eq!(place(Kind::Service, "pay"), "api");
    assert!(place(Kind::Service, "web").starts_with("gw.toml:"));
    // Written once more, nothing is written.
    let again = world.write(&caller(&["vendor"]), vec![put_service("pay")]).unwrap();
    assert!(again.is_empty());
}

#[test]
fn the_same_content_is_the_same_model_wherever_it_stands() {
    let mut world = World::new();
    world.write(&operator(), vec![put_service("pay"), put_endpoint("acme-pay", "pay")]).unwrap();
    let text = format!("{}\n{}", world.files, world.exported());
    let loaded = config::from_text("gw.toml", &text).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(loaded.model, world.loaded.model);
}

#[test]
fn what_a_file_declares_is_changed_there() {
    let mut world = World::new();
    for (who, step) in [
        (operator(), put_service("web")),
        (caller(&["vendor"]), put_service("web")),
        (operator(), delete(Kind::Service, "web")),
        (caller(&["acme"]), delete(Kind::Endpoint, "acme-web")),
        (caller(&["vendor"]), Step::Deregister("web".parse().unwrap(), "10.0.0.10".into())),
    ] {
        let said = world.write(&who, vec![step]).unwrap_err();
        assert!(said.contains("is declared in gw.toml:"), "{said}");
    }
    // The other way round, both places are shown.
    world.write(&operator(), vec![put_service("pay")]).unwrap();
    let text = format!("{}\n{}", world.files, world.exported());
    let said = world.reload(&text).unwrap_err();
    assert!(said.contains("the service `pay` is defined twice"), "{said}");
    assert!(said.contains("api:service/pay") && said.contains("gw.toml"), "{said}");
}

#[test]
fn a_reload_that_would_break_objects_is_refused_and_lists_them() {
    let mut world = World::new();
    world.write(&operator(), vec![put_service("pay"), put_endpoint("acme-pay", "pay")]).unwrap();
    let without = world.files.replace("10.0.0.0/16", "10.9.0.0/16");
    let said = world.reload(&without).unwrap_err();
    assert!(said.contains("api:service/pay"), "{said}");
    // The owner of the network has changed, and the endpoint was not the new one's to make.
    let mut world = World::new();
    world.write(&caller(&["acme"]), vec![put_endpoint("acme-two", "web")]).unwrap();
    let sold = world.files.replace("principal = \"acme\"", "principal = \"other\"");
    let said = world.reload(&sold).unwrap_err();
    assert!(said.contains("api:endpoint/acme-two"), "{said}");
    assert!(said.contains("but this object speaks for `acme`"), "{said}");
}

/// A change that a caller may not make, and the same one of what does not exist.
#[test]
fn foreign_and_unknown_names_answer_alike() {
    let mut world = World::new();
    let vendor = caller(&["vendor"]);
    world.write(&vendor, vec![put_service("pay")]).unwrap();
    let alike = |who: &Caller, foreign: Step, unknown: Step, from: &str, to: &str| {
        let said = |step| {
            let condition = Condition::default();
            world.try_write(who, vec![step], &condition).unwrap_err().to_string()
        };
        assert_eq!(said(foreign).replace(from, to), said(unknown));
    };
    let acme = caller(&["acme"]);
    alike(&acme, delete(Kind::Service, "pay"), delete(Kind::Service, "none"), "pay", "none");
    alike(&acme, delete(Kind::Service, "web"), delete(Kind::Service, "none"), "web", "none");
    let register =
        |name: &str| Step::Register(name.parse().unwrap(), "10.0.0.3".into(), content(json!({})));
    alike(&acme, register("pay"), register("none"), "pay", "none");
    // `mail` is not offered to acme, and globex's network is not acme's.
    alike(&acme, put_endpoint("e", "mail"), put_endpoint("e", "none"), "mail", "none");
    let within = |network: &str| {
        let keys = json!({ "service": "web", "network": network });
        Step::Put(name(Kind::Endpoint, "e"), content(keys))
    };
    alike(&acme, within("globex"), within("nowhere"), "globex", "nowhere");
    let published = |network: &str| {
        let mut content = service(443);
        content.insert("network".into(), network.into());
        Step::Put(name(Kind::Service, "s"), content)
    };
    alike(&acme, published("vendor"), published("nowhere"), "vendor", "nowhere");
    let of = |principal: &str| {
        let mut content = service(443);
        content.insert("principal".into(), principal.into());
        Step::Put(name(Kind::Service, "s"), content)
    };
    alike(&acme, of("vendor"), of("nobody"), "vendor", "nobody");
    // Names are the gateway's, so a taken one cannot be had; that is all that is said.
    let condition = Condition::default();
    let taken = world.try_write(&acme, vec![put_service("pay")], &condition).unwrap_err();
    assert_eq!(taken, WriteError::Taken(name(Kind::Service, "pay")));
}

#[test]
fn a_tenant_names_no_files_and_sets_no_weight() {
    let mut world = World::new();
    let vendor = caller(&["vendor"]);
    let mut keys = service(443);
    keys.insert("targets_file".into(), "/etc/shadow".into());
    keys.insert("health_check".into(), json!({ "protocol": "https", "ca_file": "/root/x" }));
    let step = || Step::Put(name(Kind::Service, "pay"), keys.clone());
    let refused = world.try_write(&vendor, vec![step()], &Condition::default()).unwrap_err();
    let WriteError::Faulty { faults, written } = refused else { panic!("{refused}") };
    let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/targets_file", "/health_check/ca_file"]);
    // What else is wrong is found, too.
    assert!(config::faults_of(&written).is_ok() && written.len() == 1);
    assert!(world.try_write(&operator(), vec![step()], &Condition::default()).is_ok());
    let keys = json!({ "service": "web", "network": "acme", "weight": 9 });
    let heavy = Step::Put(name(Kind::Endpoint, "heavy"), content(keys));
    let said = world.write(&caller(&["acme"]), vec![heavy.clone()]).unwrap_err();
    assert!(said.contains("the operator says how endpoints share the gateway"), "{said}");
    world.write(&operator(), vec![heavy]).unwrap();
}

#[test]
fn the_example_of_self_service_is_valid() {
    let world = World::of(include_str!("../../../examples/self-service.toml"));
    let quotas = world.loaded.model.principals().values().map(|one| one.quota.endpoints.is_some());
    assert_eq!(quotas.collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_quota_holds_for_the_api_too() {
    let quota = "[[principal]]\nname = \"acme\"\nquota = { endpoints = 2 }\n";
    let mut world = World::of(&format!("{}{quota}", World::new().files));
    let acme = caller(&["acme"]);
    world.write(&acme, vec![put_endpoint("second", "web")]).unwrap();
    let said = world.write(&acme, vec![put_endpoint("third", "web")]).unwrap_err();
    assert!(said.contains("has 3 endpoints with this, and its quota is 2"), "{said}");
    assert!(said.contains("api:endpoint/third"), "{said}");
    world
        .write(&acme, vec![delete(Kind::Endpoint, "second"), put_endpoint("third", "web")])
        .unwrap();
}

#[test]
fn targets_come_and_go_by_address() {
    let mut world = World::new();
    let vendor = caller(&["vendor"]);
    world.write(&vendor, vec![put_service("pay")]).unwrap();
    let pay: crate::model::Name = "pay".parse().unwrap();
    let register = |address: &str, weight: u32| {
        Step::Register(pay.clone(), address.into(), content(json!({ "weight": weight })))
    };
    world.write(&vendor, vec![register("10.0.0.32", 3), register("10.0.0.30", 5)]).unwrap();
    let targets = |world: &World| -> Vec<(String, u32)> {
        let targets = &world.loaded.model.services()["pay"].targets;
        targets.iter().map(|one| (one.address.to_string(), one.weight.get())).collect()
    };
    let expected = [("10.0.0.30", 5), ("10.0.0.31", 7), ("10.0.0.32", 3)];
    assert_eq!(targets(&world), expected.map(|(address, weight)| (address.to_owned(), weight)));
    let gone = Step::Deregister(pay.clone(), "10.0.0.31".into());
    world.write(&vendor, vec![gone.clone()]).unwrap();
    assert_eq!(targets(&world).len(), 2);
    let said = world.write(&vendor, vec![gone]).unwrap_err();
    assert!(said.contains("has no target `10.0.0.31`"), "{said}");
}

#[test]
fn a_service_in_use_stays() {
    let mut world = World::new();
    world.write(&operator(), vec![put_service("pay"), put_endpoint("acme-pay", "pay")]).unwrap();
    let said = world.write(&caller(&["vendor"]), vec![delete(Kind::Service, "pay")]).unwrap_err();
    assert!(said.contains("`acme-pay`"), "{said}");
    let both = vec![delete(Kind::Service, "pay"), delete(Kind::Endpoint, "acme-pay")];
    world.write(&operator(), both).unwrap();
    assert_eq!(world.objects.len(), 0);
}

#[test]
fn conditions_are_kept() {
    let mut world = World::new();
    let step = || vec![put_service("pay")];
    let refused = |world: &World, condition: Condition| {
        world.try_write(&operator(), step(), &condition).is_err()
    };
    let absent = || Condition { absent: true, ..Condition::default() };
    let exists = || Condition { exists: true, ..Condition::default() };
    let tagged = |tag: &str| Condition { tags: Some(vec![tag.into()]), ..Condition::default() };
    assert!(!refused(&world, absent()) && refused(&world, exists()));
    assert!(refused(&world, tagged("x")));
    let written = world.write(&operator(), step()).unwrap();
    let tag = written.objects[&name(Kind::Service, "pay")].tag();
    assert!(refused(&world, absent()) && !refused(&world, exists()));
    assert!(refused(&world, tagged("x")) && !refused(&world, tagged(&tag)));
}

#[test]
fn a_name_in_the_content_is_that_of_the_path() {
    let mut keys = service(443);
    keys.insert("name".into(), "other".into());
    let step = Step::Put(name(Kind::Service, "pay"), keys);
    let said = World::new().write(&operator(), vec![step]).unwrap_err();
    assert!(said.contains("`name` is not `pay`"), "{said}");
}

/// What is wrong with an object is said of its place in it, and of nothing that is others'.
#[test]
fn a_principal_is_told_of_its_own_objects_alone() {
    let mut world = World::new();
    world.write(&operator(), vec![put_service("pay")]).unwrap();
    let acme = caller(&["acme"]);
    let keys =
        json!({ "service": "web", "network": "acme", "addresses": ["10.1.0.50"], "wait": 1 });
    let step = Step::Put(name(Kind::Endpoint, "mine"), content(keys));
    let writing = world.try_write(&acme, vec![step], &Condition::default()).unwrap();
    let load = |own: &[&str]| {
        let sources = world.loaded.sources.with_objects(&writing.objects, &writing.names());
        let faults = sources.load().unwrap_err();
        faults.for_author(|object| own.contains(&object.name.as_str())).to_json()
    };
    let faults = load(&["mine"]);
    let pointers: Vec<_> = faults.iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/addresses/0", "/wait"], "{faults:?}");
    assert!(!format!("{faults:?}").contains("acme-web"), "{faults:?}");
    assert_eq!(load(&[]).len(), 1);
}
