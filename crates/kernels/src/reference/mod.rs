//! The specification of every kernel: naive, readable, the oracle of the tests.

pub mod activation;
pub mod adamw;
pub mod attention;
pub mod cast;
pub mod gemm;
pub mod norm;
pub mod rope;
pub mod softmax;
