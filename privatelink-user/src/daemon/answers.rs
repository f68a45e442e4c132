//! Responses to the requests of the API: each is checked for the caller's rights, then answered.

use std::collections::BTreeSet;

use tokio::{sync::watch, task::spawn_blocking};

use super::{
    adoption,
    error::Error,
    gateway::Gateway,
    scrape,
    snapshot::{Snapshot, failed},
};
use crate::{
    access::{Caller, Identity},
    api::{
        action::Action,
        request::{Call, Refused, Reply, Request},
    },
    config::{self, Diagnostics},
    datapath::bpf,
    interface::types::{Configuration, Difference, Problem},
    view::flows::FlowCounts,
};

/// How many clients may follow events at a time.
const FOLLOWERS: usize = 16;

/// What the loop does after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It goes on.
    GoOn,
    /// It ends: forwarding has been stopped.
    End,
    /// It ends, and the daemon starts again.
    Restart,
}

/// Answers a request, if the caller has the right to make it.
pub(super) async fn answer(gateway: &mut Gateway, call: Call) -> Next {
    let Call { from, outcome, request } = call;
    let action = Action::of(&request);
    let caller = gateway.caller(&from, action.is_some()).map_err(Refused::from);
    let attempt = match (action, &caller) {
        (Some(action), Ok(caller)) => match gateway.begin((&from, caller), (&request, action)) {
            Ok(attempt) => Some(attempt),
            Err(refused) => {
                request.refuse(refused);
                return Next::GoOn;
            }
        },
        // Whoever has no rights is on record already.
        (Some(_), Err(_)) | (None, _) => None,
    };
    let next = carry_out(gateway, &from, caller, request).await;
    if let Some(attempt) = attempt {
        gateway.finish(attempt, outcome.known());
    }
    next
}

#[expect(clippy::too_many_lines, reason = "one arm for each request, and nothing else")]
async fn carry_out(
    gateway: &mut Gateway,
    from: &Identity,
    caller: Result<Caller, Refused>,
    request: Request,
) -> Next {
    let now = gateway.snapshot();
    match request {
        Request::Reader(to) => to.send(caller.map(|_| Some(now.reader()))),
        Request::Status(counts, to) => {
            to.send(caller.and_then(|caller| now.status(&caller, counts)));
        }
        Request::Networks(to) => {
            to.send(caller.map(|one| now.view(&one.rights, &FlowCounts::default()).networks()));
        }
        Request::Names(network, to) => {
            to.send(caller.and_then(|caller| now.names(&caller.rights, &network)));
        }
        Request::Services(counts, to) => {
            let counts = now.counts(counts);
            to.send(caller.map(|caller| now.view(&caller.rights, &counts).services()));
        }
        Request::Catalogue(to) => {
            to.send(caller.map(|one| now.view(&one.rights, &FlowCounts::default()).catalogue()));
        }
        Request::Endpoints(to) => {
            let counts = || now.endpoint_counts();
            to.send(caller.and_then(|caller| now.endpoints(&caller.rights, &counts())));
        }
        Request::Service(name, counts, to) => {
            let counts = now.counts(counts);
            to.send(caller.and_then(|one| now.service(&one.rights, &name, &counts)));
        }
        Request::Endpoint(name, to) => {
            to.send(caller.and_then(|one| now.endpoint(&one.rights, &name)));
        }
        Request::Test(name, query, to) => {
            to.send(caller.and_then(|one| gateway.prepare_trial(&one, &name, &query)));
        }
        Request::Objects(to) => to.send(caller.map(|one| now.objects(&one.rights))),
        Request::Write(write, to) => {
            let written = match caller {
                Ok(caller) => gateway.write(&caller, write).await,
                Err(refused) => Err(refused),
            };
            reply_once_in_force(to, written);
        }
        Request::Targets(counts, to) => {
            let counts = now.counts(counts);
            to.send(caller.map(|caller| now.view(&caller.rights, &counts).all_targets()));
        }
        Request::Flows(query, filter, to) => {
            to.send(administrator(caller).and_then(|()| now.flows(&query, filter)));
        }
        Request::Whois(asked, to) => {
            to.send(caller.and_then(|caller| now.whois(asked, caller.rights)));
        }
        Request::Fleet(to) => {
            to.send(administrator(caller).and_then(|()| gateway.fleet()));
        }
        Request::Connections(to) => {
            to.send(caller.map(|caller| now.connections().list(&caller.rights)));
        }
        Request::Connection(name, to) => {
            to.send(caller.and_then(|one| now.connections().describe(&one.rights, &name)));
        }
        Request::Events(wanted, to) => {
            to.send(caller.map(|caller| now.events.find(&wanted, &caller.rights)));
        }
        Request::Metrics(accept, to) => scrape::answer(&now, caller, &accept, to),
        Request::Follow(to) => to.send(caller.and_then(|caller| follow(&now, &caller))),
        Request::Plan(configuration, to) => {
            let plan = || plan(gateway, configuration).map_err(Refused::from);
            to.send(administrator(caller).and_then(|()| plan()));
        }
        Request::Decide(name, decision, reason, to) => {
            let decide = |caller| gateway.decide(&caller, &name, decision, reason);
            let decided = caller.and_then(decide);
            match gateway.confirmation() {
                Some(confirmation) => confirmation.reply(to, decided),
                None => reply_once_in_force(to, decided),
            }
        }
        Request::Reload(adopt, to) => {
            let result = match administrator(caller) {
                Ok(()) => gateway.reload(adopt).await.map_err(Refused::from),
                Err(refused) => Err(refused),
            };
            to.send(result);
        }
        Request::Grow(to) => {
            let allowed = administrator(caller);
            let restarts = allowed.is_ok() && now.is_of_other_capacity();
            to.send(allowed);
            return if restarts { Next::Restart } else { Next::GoOn };
        }
        Request::Audit(to) => {
            to.send(caller.map(|caller| (gateway.audit_reader(), caller.rights)));
        }
        Request::Sites(to) => {
            to.send(administrator(caller).and_then(|()| now.backbone.describe(now.model)));
        }
        Request::RotateSiteKey(force, to) => {
            let result = match administrator(caller) {
                Ok(()) => now.backbone.rotate(force).await,
                Err(refused) => Err(refused),
            };
            to.send(result);
        }
        Request::Keys(to) => to.send(caller.map(|caller| gateway.access_keys(&caller))),
        Request::MakeKey(wanted, to) => {
            to.send(caller.and_then(|caller| gateway.make_key(&caller, from, &wanted)));
        }
        Request::RevokeKey(id, to) => {
            to.send(caller.and_then(|caller| gateway.revoke_key(&caller, &id)));
        }
        Request::Down(to) => {
            let stopped = match administrator(caller) {
                Ok(()) => gateway.stop_forwarding().await.map_err(failed),
                Err(denied) => Err(denied),
            };
            let next = if stopped.is_ok() { Next::End } else { Next::GoOn };
            to.send(stopped);
            return next;
        }
    }
    Next::GoOn
}

/// Sends a response once no packet meets the old decision any more: packets under way may have read
/// it before the maps were written.
fn reply_once_in_force<T: Send + 'static>(to: Reply<T>, response: Result<T, Refused>) {
    to.note(&response);
    spawn_blocking(move || {
        bpf::quiesce();
        to.send(response);
    });
}

/// Refuses every caller who is not an administrator.
fn administrator(caller: Result<Caller, Refused>) -> Result<(), Refused> {
    Ok(caller?.administrates()?)
}

fn follow(now: &Snapshot<'_>, caller: &Caller) -> Result<watch::Receiver<u64>, Refused> {
    // Half of the places are left for administrators.
    let places = if caller.administrates().is_ok() { FOLLOWERS } else { FOLLOWERS / 2 };
    if now.events.followers() >= places {
        return Err(Refused::Failed("too many follow already; try again later".into()));
    }
    Ok(now.events.follow())
}

/// What the configuration on disk would change, or the one that the caller sent.
fn plan(gateway: &Gateway, configuration: Configuration) -> Result<Difference, Error> {
    let loaded = match configuration.files {
        None => gateway.read_configuration()?,
        Some(files) => {
            let files = files.into_iter().map(|file| (file.path.into(), file.text));
            config::files_of(files).with_objects(gateway.objects(), &BTreeSet::new()).load()?
        }
    };
    let now = gateway.snapshot();
    let next = adoption::prepare(&now, loaded, now.state.objects.clone())?;
    Ok(adoption::compare(&now, &next))
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        if let Error::Config(diagnostics) = &error { diagnostics.into() } else { failed(error) }
    }
}

impl From<&Diagnostics> for Refused {
    fn from(diagnostics: &Diagnostics) -> Self {
        Self::Faulty(Problem { error: diagnostics.render(false), faults: diagnostics.to_json() })
    }
}
