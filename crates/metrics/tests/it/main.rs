//! Metrics against those who define them, laws, and hostile input.

mod classes;
mod golden;
mod laws;
mod significance;
mod tags;
mod texts;
