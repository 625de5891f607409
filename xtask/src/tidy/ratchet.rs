//! The recorded maxima (`xtask/ratchet.toml`): they may only go down.

use std::path::Path;
use std::{fmt, fs};

use anyhow::{Context, Result, bail};
use toml::Table;

use super::File;
use crate::source::Function;

const PATH: &str = "xtask/ratchet.toml";
const HEADER: &str = "\
# The largest allowed today. `cargo xtask tidy --tighten` lowers them; nothing raises them.
";

/// The largest that is allowed.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratchet {
    /// Lines of a file, tests included.
    pub file_lines: usize,
    /// Lines of code of a function.
    pub function_lines: usize,
    /// Characters of a line.
    pub columns: usize,
    /// Parameters of a function.
    pub params: usize,
    /// Parameters of a kernel: slices and dimensions.
    pub kernel_params: usize,
}

/// The largest that was seen.
#[derive(Default)]
pub struct Maxima {
    file: (usize, String),
    function: (usize, String),
    params: usize,
    kernel_params: usize,
}

impl Ratchet {
    /// The limits of `STYLE.md`, above which the file may never go.
    pub const STYLE: Self =
        Self { file_lines: 600, function_lines: 70, columns: 100, params: 5, kernel_params: 8 };

    /// Reads `xtask/ratchet.toml`.
    ///
    /// # Errors
    /// When it cannot be read, or a limit is missing.
    pub fn load(root: &Path) -> Result<Self> {
        let path = root.join(PATH);
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read `{PATH}`"))?;
        Self::parse(&text).with_context(|| format!("failed to read `{PATH}`"))
    }

    fn parse(text: &str) -> Result<Self> {
        let table: Table = text.parse()?;
        let limit = |name: &str| {
            let value = table.get(name).and_then(toml::Value::as_integer);
            value.and_then(|v| usize::try_from(v).ok()).with_context(|| format!("no `{name}`"))
        };
        let ratchet = Self {
            file_lines: limit("file_lines")?,
            function_lines: limit("function_lines")?,
            columns: limit("columns")?,
            params: limit("params")?,
            kernel_params: limit("kernel_params")?,
        };
        if let Some(key) = table.keys().find(|key| ratchet.rows().iter().all(|(k, _)| k != key)) {
            bail!("unknown limit `{key}`");
        }
        Ok(ratchet)
    }

    fn rows(&self) -> [(&'static str, usize); 5] {
        [
            ("file_lines", self.file_lines),
            ("function_lines", self.function_lines),
            ("columns", self.columns),
            ("params", self.params),
            ("kernel_params", self.kernel_params),
        ]
    }

    /// The limits that were raised above the style's.
    pub fn problems(&self) -> Vec<String> {
        let rows = self.rows().into_iter().zip(Self::STYLE.rows());
        rows.filter(|((_, now), (_, style))| now > style)
            .map(|((name, now), (_, style))| format!("{PATH}:1: {name} = {now} is over {style}"))
            .collect()
    }

    /// How many parameters a function of this file may take.
    pub fn params_of(&self, file: &File) -> usize {
        if file.krate() == "kernels" { self.kernel_params } else { self.params }
    }

    /// The limits, none above what was seen.
    pub fn lowered(&self, maxima: &Maxima) -> Self {
        Self {
            file_lines: self.file_lines.min(maxima.file.0),
            function_lines: self.function_lines.min(maxima.function.0),
            columns: self.columns,
            params: self.params.min(maxima.params),
            kernel_params: self.kernel_params.min(maxima.kernel_params),
        }
    }

    /// Writes `xtask/ratchet.toml`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, root: &Path) -> Result<()> {
        let rows = self.rows().map(|(name, limit)| format!("{name} = {limit}\n"));
        fs::write(root.join(PATH), HEADER.to_owned() + &rows.concat())
            .with_context(|| format!("failed to write `{PATH}`"))
    }
}

impl Maxima {
    /// Takes one file in.
    pub fn see(&mut self, file: &File, functions: &[Function]) {
        let seen = |max: &mut (usize, String), n: usize, name: &str| {
            if n > max.0 {
                *max = (n, name.to_owned());
            }
        };
        seen(&mut self.file, file.text.lines().count(), &file.path);
        for Function { name, n_lines, n_params, .. } in functions {
            seen(&mut self.function, *n_lines, &format!("{name} in {}", file.path));
            let kernel = file.krate() == "kernels";
            let params = if kernel { &mut self.kernel_params } else { &mut self.params };
            *params = (*params).max(*n_params);
        }
    }
}

impl fmt::Display for Maxima {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let ((file, path), (function, name)) = (&self.file, &self.function);
        write!(f, "longest file {file} lines ({path}), function {function} ({name})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_round_trip_and_only_go_down() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("xtask")).unwrap();
        let text = "x\n".repeat(300);
        let mut maxima = Maxima::default();
        let function = Function { name: "f".to_owned(), line: 0, n_lines: 90, n_params: 2 };
        maxima.see(&File::new("crates/nn/src/a.rs", text), &[function]);
        let lowered = Ratchet::STYLE.lowered(&maxima);
        lowered.save(dir.path()).unwrap();
        assert_eq!(Ratchet::load(dir.path()).unwrap(), lowered);
        assert_eq!((lowered.file_lines, lowered.function_lines, lowered.params), (300, 70, 2));
        assert!(lowered.problems().is_empty());
    }

    #[test]
    fn raised_limits_are_problems() {
        let raised = Ratchet { columns: 120, ..Ratchet::STYLE };
        assert_eq!(raised.problems(), ["xtask/ratchet.toml:1: columns = 120 is over 100"]);
    }

    #[test]
    fn a_missing_or_unknown_limit_is_refused() {
        assert!(Ratchet::parse("columns = 100").is_err());
        let rows = Ratchet::STYLE.rows().map(|(name, limit)| format!("{name} = {limit}\n"));
        let error = Ratchet::parse(&(rows.concat() + "colums = 1")).unwrap_err();
        assert_eq!(error.to_string(), "unknown limit `colums`");
    }
}
