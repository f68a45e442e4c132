//! The operations on flows that are called from several places: an environment may have each once,
//! as a function of its own.

use super::{
    blocks::Place,
    table::{Arrival, Taken},
};
use crate::{environment::Tables, wire::Ip};
use privatelink_common::flow::Content;

/// What is done with flows, built on [`Tables`].
///
/// In the kernel these are global functions: the verifier looks at such a function once, however
/// often it is called, and takes its arguments and its result for any numbers. In plain memory they
/// are called directly.
pub trait Operations: Tables {
    /// [`Arrival::search`].
    fn search<I: Ip>(&self, arrival: &Arrival<I>) -> Option<u32>;

    /// [`Arrival::choice`], or with `of_client` [`Arrival::client_choice`].
    fn choice<I: Ip>(&self, arrival: &Arrival<I>, of_client: bool) -> u64;

    /// [`Arrival::insert`].
    ///
    /// # Errors
    /// Why the tuple could not be entered.
    fn insert<I: Ip>(
        &self,
        arrival: &Arrival<I>,
        word: u32,
        content: &Content,
    ) -> Result<u32, Taken>;

    /// [`remove`](super::table::remove).
    fn remove(&self, index: u32, word: u32) -> bool;

    /// [`follow`](super::phase::follow).
    fn follow(&self, index: u32, flags: u32);

    /// [`end_flow`](super::sweep::end_flow).
    fn end_flow(&self, index: u32, cause: u32) -> bool;

    /// [`reserve`](super::share::reserve).
    fn reserve(&self, endpoint: u32, made: bool) -> bool;

    /// [`make_room`](super::share::make_room).
    fn make_room(&self, endpoint: u32, place: u32) -> bool;

    /// [`Place::is_open_to`].
    fn is_open_to(&self, place: &Place, endpoint: u32) -> bool;

    /// [`Place::take`].
    fn take(&self, place: &Place, endpoint: u32) -> bool;

    /// [`give_back`](super::blocks::give_back).
    fn give_back(&self, source: u32, port: u32);

    /// [`allows`](super::rules::allows).
    fn allows(&self, index: u32) -> bool;

    /// [`report`](super::report::report).
    fn report(&self, reason: u32, endpoint: u32);
}
