//! Laws over all families, and the numbers of other implementations.

mod bounds;
mod families;
mod files;
mod golden;
mod gradients;
mod masks;
mod pass;
mod same_bits;
