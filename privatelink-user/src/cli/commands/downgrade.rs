//! `privatelink prepare-downgrade`: leaves what is pinned as the release before understands it.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::down::{DownArgs, pin_dir};
use crate::{
    cli::{globals::Globals, print::print},
    datapath::bpf::Datapath,
};

#[derive(Debug, Args)]
pub struct DowngradeArgs {
    #[command(flatten)]
    place: DownArgs,
}

impl DowngradeArgs {
    pub fn run(&self, globals: &Globals, out: &mut impl Write) -> Result<()> {
        let pin_dir = pin_dir(globals, &self.place)?;
        Datapath::prepare_downgrade(&pin_dir)?;
        let done = format!(
            "{} holds what the release before understands; start that now. Until then packets are \
             forwarded, and neither grants nor idle flows end",
            pin_dir.display()
        );
        print(out, globals.json, &json!({ "pin_dir": pin_dir }), |_| done + "\n")
    }
}
