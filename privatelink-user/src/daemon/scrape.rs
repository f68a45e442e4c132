//! Metrics on the control socket: everything for administrators, and for principals what is theirs.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::snapshot::{Snapshot, failed};
use crate::{
    access::Caller,
    api::request::{MetricsPage, Refused, Reply},
    metrics::{Detail, Format, Inventory},
    view::flows::FlowCounts,
};

/// Answers with the page that the caller may see, written on a thread that may take its time.
pub(super) fn answer(
    now: &Snapshot<'_>,
    caller: Result<Caller, Refused>,
    accept: &str,
    to: Reply<MetricsPage>,
) {
    let caller = match caller {
        Ok(caller) => caller,
        Err(refused) => return to.send(Err(refused)),
    };
    let problems = now.readiness.problems().len();
    let progress = now.publisher.progress(now.readiness.is_ready(), problems);
    let counts = FlowCounts::default();
    let inventory = Inventory::of(&now.view(&caller.rights, &counts), progress);
    let detail = if caller.administrates().is_ok() { Detail::Everything } else { Detail::Tenants };
    let format = Format::preferred(accept);
    let source = Arc::clone(now.publisher.source());
    spawn_blocking(move || {
        let text = source.page_of(format, &inventory, detail).map_err(failed);
        to.send(text.map(|text| MetricsPage { content_type: format.content_type(), text }));
    });
}
