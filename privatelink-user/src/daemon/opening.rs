//! What a gateway begins with: what is kept on disk, pinned in the kernel, and there on the host.

use std::{collections::BTreeSet, path::Path};

use log::{error, info, warn};

use super::{commit::commit, error::Error};
use crate::{
    chain::Chain,
    datapath::bpf::Datapath,
    events::{Bus, Event, Kind},
    host::{Events, Host},
    model::Model,
    state::{AnyStore, State, Store},
    timestamp::Moment,
};

/// What a gateway begins with.
pub(super) struct Opened {
    /// Where the state is kept.
    pub store: AnyStore,
    /// The state under the configuration, kept already.
    pub state: State,
    /// The host.
    pub host: Host,
    /// How the host changes from now on.
    pub host_events: Events,
    /// The programs and maps.
    pub datapath: Datapath,
    /// Where events are published.
    pub events: Bus,
}

/// Opens it all, and makes the state follow the configuration.
pub(super) async fn open(
    model: &Model,
    mut store: AnyStore,
    socket: &Path,
    at: Moment,
) -> Result<Opened, Error> {
    let gateway = model.gateway();
    let (host, host_events) = Host::open().await?;
    let mut state = store.state().clone();
    let known = state.inputs.clone();
    let beside = store.as_ref().beside(None, BTreeSet::new());
    state.follow_beside(model, host.facts(), &known, at.now, &beside)?;
    let datapath = open_datapath(model, store.state().ids.is_empty())?;
    let events = Bus::open(&gateway.state_dir);
    let text = format!("privatelink {} has started", env!("CARGO_PKG_VERSION"));
    events.subscribe(&gateway.subscriptions, socket);
    events.publish(Event::new(Kind::GatewayStarted, text));
    match commit(store.as_mut(), &datapath, &state, at.ahead) {
        Ok(changes) => events.publish_all(changes),
        Err(Error::State(error)) => {
            error!("starting from what can be read: {}", Chain(&error));
            state = unkept(store.as_mut(), state);
        }
        Err(error) => return Err(error),
    }
    Ok(Opened { store, state, host, host_events, datapath, events })
}

/// The state to run with if the disk does not keep `wanted`.
///
/// Flows outlive the daemon and name things by index, so nothing is given an index that the next
/// daemon would not know: what is new in the configuration waits. Where nothing at all is kept, the
/// next daemon ends all flows (see [`open_datapath`]), so all indices may be new.
fn unkept(store: &mut dyn Store, wanted: State) -> State {
    if store.state().ids.is_empty() {
        store.assume(wanted.clone());
        return wanted;
    }
    State { inputs: wanted.inputs, ..store.state().clone() }
}

/// Opens the datapath on what is pinned, if the daemon still knows what the flows there mean.
fn open_datapath(model: &Model, forgotten: bool) -> Result<Datapath, Error> {
    let gateway = model.gateway();
    let (pins, max_flows) = (&gateway.pin_dir, gateway.max_flows.get());
    let (datapath, adoption) = Datapath::open(pins, max_flows)?;
    info!("{adoption}");
    if !forgotten || adoption.is_fresh() {
        if adoption.lost_flows() {
            warn!("the flow table was replaced: all its flows end");
        }
        return Ok(datapath);
    }
    // Indices would change their meaning, and flows would reach the services of others.
    warn!(
        "{} does not describe the flows pinned in {}: they end",
        gateway.state_dir.display(),
        pins.display()
    );
    drop(datapath);
    Datapath::down(pins)?;
    Ok(Datapath::open(pins, max_flows)?.0)
}
