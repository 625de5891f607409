//! `lyceum completions` and `lyceum man`: made from the declaration of the command line.

use clap::CommandFactory;

use super::print;
use crate::cli::Cli;
use crate::failure::{Exit, Failure};

/// Prints the completions of a shell.
///
/// # Errors
/// Where standard output does.
pub fn run(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = vec![];
    clap_complete::generate(shell, &mut Cli::command(), "lyceum", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Prints the manual page, every command's own after the first.
///
/// # Errors
/// Where standard output does.
pub fn man() -> Result<Exit, Failure> {
    let mut cli = Cli::command();
    cli.build();
    let mut page = vec![];
    clap_mangen::Man::new(cli.clone()).render(&mut page)?;
    for command in cli.get_subcommands().filter(|command| command.get_name() != "help") {
        clap_mangen::Man::new(command.clone()).render(&mut page)?;
    }
    print(&String::from_utf8_lossy(&page))
}
