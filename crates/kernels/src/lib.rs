//! The computing kernels of Lyceum: slices in, slices out.
//!
//! `reference` is the specification: naive and readable, the oracle of every test. Everything else
//! is fast: generic over the element type ([`Element`]), compiled once per instruction set, and
//! chosen by the [`Isa`] value that every fast kernel takes first. Work is cut by size and never by
//! the number of threads, and sums have a fixed order, so results have the same bits for any
//! rayon pool.
//!
//! This crate knows no tensor, no file and no global state. Lengths that disagree are bugs of the
//! caller and panic with the name of the op and the shapes.
#![allow(unsafe_code)]

pub mod activation;
pub mod adamw;
pub mod attention;
pub mod cast;
pub mod cross_entropy;
mod cut;
pub mod dropout;
pub mod element;
pub mod embedding;
pub mod gemm;
pub mod head_norm;
mod heads;
pub mod isa;
pub mod layer_norm;
mod norm;
pub mod philox;
pub mod reduce;
pub mod reference;
pub mod rms_norm;
pub mod roof;
pub mod rope;
mod simd;
pub mod softmax;

pub use element::{Element, bf16, f16};
pub use heads::HeadRows;
pub use isa::Isa;
