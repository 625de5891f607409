//! Running other programs from the root of the workspace.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the workspace.
pub fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map_or_else(|| package.clone(), Path::to_path_buf)
}

/// The folder that cargo builds into.
pub fn target_dir() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The folder that the variable names, else `name` in the user's cache folder.
///
/// # Errors
/// When the environment names neither.
pub fn cache(variable: &str, name: &str) -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(variable) {
        return Ok(PathBuf::from(folder));
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = cache.or_else(home);
    let cache = cache.with_context(|| format!("neither {variable} nor HOME is set"))?;
    Ok(cache.join("lyceum").join(name))
}

/// `cargo ARGS`, in the root.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Runs with the terminal's own output.
///
/// # Errors
/// When the program does not start or does not succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let status =
        command.status().with_context(|| format!("failed to start `{}`", text(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", text(command));
    }
    Ok(())
}

/// Runs and gives standard output; what goes to standard error is shown only on failure.
///
/// # Errors
/// As `run`, and when the output is not UTF-8.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start `{}`", text(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}\n{}", text(command), output.status, stderr.trim_end());
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed no UTF-8", text(command)))
}

/// The command as one would type it.
fn text(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_holds_the_workspace() {
        assert!(root().join("xtask/Cargo.toml").is_file());
    }

    #[test]
    fn a_failure_names_the_command_and_shows_its_words() {
        let error = output(Command::new("sh").args(["-c", "echo no >&2; exit 3"])).unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains("`sh -c") && message.contains('3'), "{message}");
        assert!(message.ends_with("no"), "{message}");
    }
}
