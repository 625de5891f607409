//! What a refused run leaves behind: nothing.

use std::fs;
use std::path::{Path, PathBuf};

use train::metrics::{METRICS_FILE, SAMPLES_FILE};

use recipe;

/// What a run makes in its directory before its first step.
const MADE: [&str; 6] =
    ["data", METRICS_FILE, SAMPLES_FILE, recipe::FILE_NAME, "checkpoints", ".lock"];
/// What the names of event files begin with.
const EVENTS: &str = "events.out.tfevents.";

/// A run directory under construction; dropped before [`Fresh::keep`], what was made in it goes, so
/// that the same command can be given again.
pub struct Fresh {
    path: PathBuf,
    /// Directories that were not there before, the innermost first.
    new_dirs: Vec<PathBuf>,
    armed: bool,
}

impl Fresh {
    /// Looks at `path` before anything is made there. Only where nothing is there yet will anything
    /// be removed again.
    pub fn watch(path: &Path) -> Self {
        let new_dirs = path.ancestors().take_while(|dir| !dir.exists() && *dir != Path::new(""));
        let new_dirs: Vec<PathBuf> = new_dirs.map(Path::to_owned).collect();
        let is_empty = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        Self { path: path.to_owned(), armed: is_empty || !new_dirs.is_empty(), new_dirs }
    }

    /// The run has begun: it stays.
    pub fn keep(&mut self) {
        self.armed = false;
    }

    /// Removes what was made; whether that was to be.
    pub fn remove(&self) -> bool {
        if !self.armed {
            return false;
        }
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let path = entry.path();
            // Whatever cannot be removed stays: the refusal is what counts.
            let _ = match &*name {
                "checkpoints" => fs::remove_dir(&path),
                name if !MADE.contains(&name) && !name.starts_with(EVENTS) => Ok(()),
                _ if path.is_dir() => fs::remove_dir_all(&path),
                _ => fs::remove_file(&path),
            };
        }
        for dir in &self.new_dirs {
            let _ = fs::remove_dir(dir);
        }
        true
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half_made(path: &Path) {
        fs::create_dir_all(path.join("checkpoints")).expect("made");
        fs::create_dir_all(path.join("data/tokenizer")).expect("made");
        for name in [".lock", "recipe.toml", "data/tokenizer/vocab", "events.out.tfevents.7.x"] {
            fs::write(path.join(name), "x").expect("written");
        }
    }

    #[test]
    fn a_refused_run_leaves_nothing() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("runs/a");
        let fresh = Fresh::watch(&path);
        half_made(&path);
        drop(fresh);
        assert!(!root.path().join("runs").exists());
        let fresh = Fresh::watch(root.path());
        half_made(root.path());
        drop(fresh);
        assert_eq!(fs::read_dir(root.path()).expect("still there").count(), 0);
    }

    #[test]
    fn what_was_there_stays_and_so_does_a_run_that_began() {
        let root = tempfile::tempdir().expect("a directory");
        half_made(root.path());
        drop(Fresh::watch(root.path()));
        let path = root.path().join("b");
        let fresh = Fresh::watch(&path);
        half_made(&path);
        fs::create_dir(path.join("checkpoints/step-1")).expect("made");
        fs::write(path.join("notes"), "mine").expect("written");
        drop(fresh);
        assert!(root.path().join("recipe.toml").exists());
        assert!(path.join("notes").exists() && path.join("checkpoints/step-1").exists());
        let path = root.path().join("c");
        let mut fresh = Fresh::watch(&path);
        half_made(&path);
        fresh.keep();
        drop(fresh);
        assert!(path.join("recipe.toml").exists());
    }
}
