//! The live view of `privatelink top`: samples of the API, the rows that follow from two of them, the
//! state that keys change, and the screen.

pub(super) mod rows;
pub(super) mod sample;
pub(super) mod screen;
pub(super) mod state;
