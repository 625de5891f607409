//! How the program stands to who runs it: what it is told, what it says, how it ends.
//!
//! ```text
//! environment  the variables that are read, and what follows from them
//! failure      how a command ends: the message, its causes, a hint, the exit code
//! machine      what the program runs on
//! stop         Ctrl-C, SIGTERM and SIGHUP
//! progress     how a training run stands, on standard error
//! table        rows and facts, for people and for programs
//! ```

pub mod environment;
pub mod failure;
pub mod machine;
pub mod progress;
pub mod stop;
pub mod table;
