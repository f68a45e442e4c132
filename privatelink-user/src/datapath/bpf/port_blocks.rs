//! Blocks of source ports, on their way into the map of a new flow table.
//!
//! A port that was one endpoint's reaches no other endpoint for two minutes, also if the flow table
//! is replaced meanwhile. The flows that are entered into the new one bring their blocks along; of
//! blocks without flows there is no trace but in the map itself.

use std::path::Path;

use aya::maps::{Array, Map, MapData};
use privatelink_common::{FLOW_LAYOUT_VERSION, maps::PORT_BLOCKS, share::Block};

use super::{batch, error::Error, loaded::Datapath, settings::Settings};

impl Datapath {
    /// Copies owners and times of the blocks that are pinned at `path`, where they are of a table of
    /// this release's layout, into the map of this one, which holds none yet.
    pub(super) fn inherit_blocks(
        &self,
        path: &Path,
        settings: Option<&Settings>,
    ) -> Result<(), Error> {
        let ours = |settings: &Settings| settings.flow_version == FLOW_LAYOUT_VERSION;
        if !settings.is_some_and(ours) || !path.exists() {
            return Ok(());
        }
        let now = self.now_ticks()?;
        let fail = Error::load(PORT_BLOCKS);
        let before = MapData::from_pin(path).map_err(Error::load("pin of the blocks of ports"))?;
        let map = Map::from_map_data(self.maps.duplicate(PORT_BLOCKS)?);
        let mut after: Array<MapData, u64> =
            map.and_then(Array::try_from).map_err(Error::load(PORT_BLOCKS))?;
        let mut result = Ok(());
        batch::for_each_index(&before, |index, word: u64| {
            let block = Block(word);
            if !block.is_free(now) && result.is_ok() {
                result = after.set(index, block.without_flows(now).0, 0);
            }
        })
        .map_err(fail)?;
        result.map_err(Error::load(PORT_BLOCKS))
    }
}
