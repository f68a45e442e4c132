//! What a principal is told of a configuration that was refused: everything about what it wrote,
//! and nothing about what is others'.

use super::{
    diagnostic::{Diagnostics, Fault},
    source::Location,
};
use crate::state::objects::ObjectName;

impl Diagnostics {
    /// These faults for a caller who has written `shown`, and may see no other source.
    ///
    /// A fault of two sources names both, so where one of them is not shown, the caller is told
    /// only which of its own values is in use elsewhere.
    #[must_use]
    pub fn for_author(self, shown: impl Fn(&ObjectName) -> bool) -> Self {
        let is_shown = |at: &Location| {
            let source = self.sources().files.get(at.file);
            source.and_then(|source| source.object.as_ref()).is_some_and(|of| shown(&of.name))
        };
        let mut faults = Vec::new();
        for fault in self.faults() {
            match (&fault.at, &fault.related) {
                (Some(at), None) if is_shown(at) => faults.push(fault.clone()),
                (Some(at), Some((other, _))) if is_shown(at) && is_shown(other) => {
                    faults.push(fault.clone());
                }
                (Some(at), Some((other, _))) if is_shown(at) || is_shown(other) => {
                    let own = if is_shown(at) { *at } else { *other };
                    faults.push(
                        Fault::new("this is used by another principal, or by another object")
                            .at(own)
                            .help("choose another value"),
                    );
                }
                (None | Some(_), _) => {}
            }
        }
        if faults.is_empty() {
            faults.push(
                Fault::new("other objects of this gateway do not permit it")
                    .help("ask the gateway's operator what stands against it"),
            );
        }
        self.replaced(faults)
    }
}
