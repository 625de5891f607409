//! Laws over all families, and the numbers of other implementations.

mod adapters;
mod assembled;
mod bases;
mod bounds;
mod encoder_decoder;
mod experts;
#[allow(dead_code)] // Shared; what is of no use here is of use there.
mod families;
mod files;
mod foreign;
mod fresh;
mod golden;
mod gradients;
mod heads;
mod masks;
mod mutations;
mod others;
mod pass;
mod same_bits;
mod soups;
