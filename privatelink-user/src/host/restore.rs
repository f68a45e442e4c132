//! The host's interfaces as they were before the first start.

use std::path::Path;

use futures_util::TryStreamExt as _;
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourExtFlags};
use rtnetlink::{Handle, LinkUnspec, new_connection};

use super::{footprint::Footprint, groups};

/// Undoes what daemons with this state directory have changed about interfaces. Returns what does
/// not work.
pub async fn restore(state_dir: &Path) -> Vec<String> {
    let record = Footprint::open(state_dir).take();
    let mut problems = Vec::new();
    if record.interfaces.is_empty() {
        return problems;
    }
    let handle = match new_connection() {
        Ok((connection, handle, _)) => {
            tokio::spawn(connection);
            Some(handle)
        }
        Err(error) => {
            problems.push(format!("cannot open a netlink socket: {error}"));
            None
        }
    };
    for (index, before) in &record.interfaces {
        problems.extend(before.restore(*index));
        if let Some(handle) = &handle
            && before.filtered
        {
            let message = LinkUnspec::new_with_index(*index).allmulticast(false).build();
            // An interface that is gone needs nothing.
            let _ = handle.link().set(message).execute().await;
        }
    }
    if let Some(handle) = &handle
        && let Err(error) = forget(handle, |index| record.interfaces.contains_key(&index)).await
    {
        problems.push(format!("cannot remove the neighbours that were added: {error}"));
    }
    problems
}

/// Removes the neighbours that the kernel keeps resolved on these interfaces, or whose groups it
/// listens to.
async fn forget(handle: &Handle, is_ours: impl Fn(u32) -> bool) -> Result<(), rtnetlink::Error> {
    let managed = |attribute: &NeighbourAttribute| {
        matches!(attribute, NeighbourAttribute::ExtFlags(flags)
            if flags.contains(NeighbourExtFlags::Managed))
    };
    let mut found = groups::marked(handle).await?;
    found.retain(|neighbour| is_ours(neighbour.header.ifindex));
    let mut neighbours = std::pin::pin!(handle.neighbours().get().execute());
    while let Some(neighbour) = neighbours.try_next().await? {
        if is_ours(neighbour.header.ifindex) && neighbour.attributes.iter().any(managed) {
            found.push(neighbour);
        }
    }
    for neighbour in found {
        // One that has gone meanwhile is what was wanted.
        let _ = handle.neighbours().del(neighbour).execute().await;
    }
    Ok(())
}
