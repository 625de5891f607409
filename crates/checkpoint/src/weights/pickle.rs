//! What `torch.save` writes: pickles, of which tensors and plain containers are read.
//!
//! ```text
//! machine  the stack machine: opcodes to values; anything that would run is refused by name
//! torch    which values are a state dict, and where in the file its tensors lie
//! zip      the members of an archive that is stored, not compressed
//! ```

mod machine;
#[cfg(test)]
mod tests;
mod torch;
mod zip;

pub(super) use self::torch::{index_legacy, index_zip};
