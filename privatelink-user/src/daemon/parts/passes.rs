//! Sweeps of the whole flow table: what they are for, how far they are, whose flows they ended.
//!
//! A record that flows rely on is marked as gone before it is removed. Once the sweep has passed
//! over the whole table *since then*, it has no flows any more. A pass over a large table takes
//! long, and the loop does other things in between.
//!
//! Only a pass asks the security rules of every flow; the periodic sweep does not.

use privatelink_common::{Admission, Endpoint, Source, Target, TargetState};

use crate::datapath::{tables::MapTables, teardown::Marks};

/// The passes over the flow table.
#[derive(Debug)]
pub(in crate::daemon) struct Passes {
    running: Option<Pass>,
    /// What has been marked since the running pass began.
    queued: Option<Marks>,
    /// Records whose flows have ended.
    ended: Marks,
    /// Whether there may be flows that their endpoint's security rules no longer allow, and that
    /// no requested pass will ask.
    rules_due: bool,
}

impl Default for Passes {
    /// A daemon that begins does not know what the one before it has finished.
    fn default() -> Self {
        Self { running: None, queued: None, ended: Marks::default(), rules_due: true }
    }
}

#[derive(Debug)]
struct Pass {
    next: u32,
    marks: Marks,
}

impl Passes {
    /// Asks for a pass that begins from now on, for what these maps hold.
    pub fn request(&mut self, contents: &MapTables) {
        self.rules_due = false;
        let marks = marks(contents);
        if self.running.is_some() {
            self.queued = Some(marks);
        } else {
            self.running = Some(Pass { next: 0, marks });
        }
    }

    /// Endpoints' rules are about to change: a pass has to be requested after that.
    pub fn ask_rules(&mut self) {
        self.rules_due = true;
    }

    /// Whether a pass has to be requested for the sake of security rules.
    pub fn rules_due(&self) -> bool {
        self.rules_due
    }

    /// The region with which the running pass goes on; `None` if none runs.
    pub fn next(&self) -> Option<u32> {
        self.running.as_ref().map(|pass| pass.next)
    }

    /// The running pass has swept the regions before `next`, of this many.
    pub fn swept_to(&mut self, next: u32, regions: u32) {
        let Some(pass) = &mut self.running else { return };
        pass.next = next;
        if next >= regions
            && let Some(Pass { marks, .. }) = self.running.take()
        {
            self.ended = marks;
            self.running = self.queued.take().map(|marks| Pass { next: 0, marks });
        }
    }

    /// The records whose flows have ended.
    pub fn ended(&self) -> &Marks {
        &self.ended
    }

    /// The maps hold this from now on. What is not marked any more may get flows again.
    pub fn wrote(&mut self, contents: &MapTables) {
        self.ended.keep_of(contents);
        if let Some(pass) = &mut self.running {
            pass.marks.keep_of(contents);
        }
    }

    /// What the maps hold is not known, so any record may have flows.
    pub fn forget(&mut self) {
        self.ended = Marks::default();
        if let Some(pass) = &mut self.running {
            pass.marks = Marks::default();
        }
        self.queued = self.queued.take().map(|_| Marks::default());
    }
}

/// The records that no flow may rely on.
fn marks(contents: &MapTables) -> Marks {
    let shut = |endpoint: &Endpoint| !Admission::carries(endpoint.admission);
    let gone = |target: &Target| target.state == TargetState::Gone as u32;
    let source_gone = |source: &Source| source.gone != 0;
    Marks {
        endpoints: contents.endpoints.iter().filter(|(_, it)| shut(it)).map(copy).collect(),
        targets: contents.targets.iter().filter(|(_, it)| gone(it)).map(copy).collect(),
        sources: contents.sources.iter().filter(|(_, it)| source_gone(it)).map(copy).collect(),
    }
}

fn copy<T: Copy>((index, record): (&u32, &T)) -> (u32, T) {
    (*index, *record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(index: u32) -> MapTables {
        let target = Target { state: TargetState::Gone as u32, ..Target::default() };
        MapTables { targets: [(index, target)].into(), ..MapTables::default() }
    }

    #[test]
    fn only_what_was_marked_before_a_pass_began_has_no_flows_after_it() {
        let mut passes = Passes::default();
        passes.request(&gone(1));
        passes.swept_to(5, 10);
        passes.request(&gone(2));
        assert_eq!(passes.next(), Some(5));
        passes.swept_to(10, 10);
        assert!(
            passes.ended().targets.contains_key(&1) && !passes.ended().targets.contains_key(&2)
        );
        assert_eq!(passes.next(), Some(0), "what was marked meanwhile needs a pass of its own");
        passes.swept_to(10, 10);
        assert!(passes.ended().targets.contains_key(&2));
        assert_eq!(passes.next(), None);
    }

    #[test]
    fn what_was_there_again_in_between_may_have_flows() {
        let mut passes = Passes::default();
        passes.request(&gone(1));
        passes.swept_to(5, 10);
        passes.wrote(&MapTables::default());
        passes.wrote(&gone(1));
        passes.swept_to(10, 10);
        assert_eq!(passes.ended(), &Marks::default());
        passes.request(&gone(1));
        passes.swept_to(10, 10);
        passes.forget();
        assert_eq!(passes.ended(), &Marks::default());
    }
}
