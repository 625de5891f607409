//! Files for tests.

use std::fs;

use tempfile::TempDir;

use crate::{BYTES_MAX, DatasetError, Loaded, Schema, Table, Task, Wanted};

/// A folder with these files in it.
pub fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// What a message says, with the folder left out of its names.
pub fn without(dir: &TempDir, message: &str) -> String {
    message.replace(&format!("{}/", dir.path().display()), "")
}

/// A file as a schema and its records.
pub fn load(name: &str, text: &str, wanted: &Wanted) -> Result<(Schema, Loaded), String> {
    load_bytes(name, text.as_bytes(), wanted)
}

/// The same of bytes. Errors with their hints.
pub fn load_bytes(name: &str, bytes: &[u8], wanted: &Wanted) -> Result<(Schema, Loaded), String> {
    let dir = folder(&[]);
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    let read = || -> Result<_, DatasetError> {
        let table = Table::open(&[path.to_string_lossy()], None)?;
        let schema = Schema::guess(&table, wanted)?;
        let loaded = schema.read(&table, BYTES_MAX)?;
        Ok((schema, loaded))
    };
    read().map_err(|error| {
        let text = format!("{error}\nhint: {}", error.hint().unwrap_or_default());
        without(&dir, &text)
    })
}

/// Settings with a task and columns.
pub fn wanted(task: Option<Task>, columns: &[(&str, &[&str])]) -> Wanted {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let columns = columns.iter().map(|(role, n)| ((*role).to_owned(), names(n))).collect();
    Wanted { task, columns, labels: vec![] }
}
