//! Whether the flow table is as large as the configuration asks.

use privatelink_common::flow::{REGION_SLOTS, regions_for};

use crate::{
    events::{Event, Kind},
    model::Gateway,
};

/// The problem that `max_flows` has changed since the table was made, if it has.
pub(in crate::daemon) fn problem(gateway: &Gateway, regions: u32) -> Option<String> {
    let wanted = gateway.max_flows.get();
    (regions_for(wanted) != regions).then(|| {
        format!(
            "`max_flows` is {wanted}, and the flow table was made for another number: run \
             `privatelink reload --grow`, which replaces it and keeps the flows, or restart the \
             daemon"
        )
    })
}

/// The event that a new flow table has begun without some flows of the one before, if there are any.
pub(in crate::daemon) fn left_behind(flows: usize) -> Option<Event> {
    (flows != 0).then(|| {
        let text = format!(
            "{flows} flows of the flow table before have ended: their endpoint, target or source \
             address is gone or another one"
        );
        Event::new(Kind::FlowsLeftBehind, text)
    })
}

/// How many flows the table has room for.
pub(in crate::daemon) fn of(gateway: &Gateway, regions: u32) -> u64 {
    let wanted = gateway.max_flows.get();
    // Two slots for each flow, half of them free.
    let made = u64::from(regions) * u64::from(REGION_SLOTS) / 4;
    if regions_for(wanted) == regions { wanted.into() } else { made }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_text;

    #[test]
    fn a_table_of_another_size_is_a_problem_and_shows_its_own() {
        let text = "[gateway]\nname = \"gw-a\"\nmax_flows = 1000\n";
        let model = from_text("gateway.toml", text).unwrap().model;
        let gateway = model.gateway();
        assert_eq!((problem(gateway, 16), of(gateway, 16)), (None, 1000));
        assert!(problem(gateway, 32).unwrap().contains("reload --grow"));
        assert_eq!(of(gateway, 32), 2048);
    }
}
