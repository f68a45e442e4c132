//! The packet path as a black box: frames in, verdicts and frames out.
//!
//! Frames are built and judged by etherparse, which shares no code with what is tested here.

#[cfg(test)]
mod adoption;
#[cfg(test)]
mod answers;
#[cfg(test)]
mod counting;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod flow_table;
#[cfg(test)]
mod fragments;
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod host;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod neighbours;
#[cfg(test)]
mod packets;
#[cfg(test)]
mod pressure;
#[cfg(test)]
mod reasons;
#[cfg(test)]
mod robustness;
#[cfg(test)]
mod secrets;
mod shares;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod translation;
