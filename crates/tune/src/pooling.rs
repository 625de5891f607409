//! How hidden states become one vector, as the files of `sentence-transformers` say it.

use std::path::Path;

use serde_json::{Value, json};
use tasks::Pooling;

use terminal::failure::{Context, Failure};

const MODULES: &str = "modules.json";
/// Such files are small.
const MAX_BYTES: u64 = 1 << 20;

/// What becomes of a text's hidden states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Of the hidden states.
    pub pooling: Pooling,
    /// Whether it is made one long.
    pub normalize: bool,
}

impl Pool {
    /// What the model's files say, where it comes with such.
    ///
    /// # Errors
    /// Where they ask for what is not done here.
    pub fn told(dir: &Path) -> Result<Option<Self>, Failure> {
        let Some(modules) = read(&dir.join(MODULES))? else { return Ok(None) };
        let mut pool = Self { pooling: Pooling::Mean, normalize: false };
        for module in modules.as_array().into_iter().flatten() {
            let text = |key: &str| module[key].as_str().unwrap_or_default();
            match text("type").rsplit('.').next().unwrap_or_default() {
                "Transformer" => {}
                "Pooling" => pool.pooling = pooling(&dir.join(text("path")).join("config.json"))?,
                "Normalize" => pool.normalize = true,
                other => {
                    let problem = format!("`modules.json` in `{}` has a `{other}`", dir.display());
                    return Err(Failure::new(problem).hint(
                        "a transformer, a pooling and a normalization are what is done here",
                    ));
                }
            }
        }
        Ok(Some(pool))
    }

    /// The files that say it in a model's directory: those of `dir`, where it has such.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn files(self, dir: &Path) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        if dir.join(MODULES).exists() {
            let modules = read(&dir.join(MODULES))?.unwrap_or_default();
            let paths = modules.as_array().into_iter().flatten().filter_map(|m| m["path"].as_str());
            let configs = paths.filter(|path| !path.is_empty());
            let configs = configs.map(|path| format!("{path}/config.json"));
            let own = [MODULES, "config_sentence_transformers.json", "sentence_bert_config.json"];
            let names = own.into_iter().map(str::to_owned).chain(configs);
            let there = names.filter(|name| dir.join(name).exists());
            let file = |name: String| {
                let path = dir.join(&name);
                let bytes = mapped::read_small(&path, MAX_BYTES).reading(&path)?;
                Ok((name, bytes))
            };
            return there.map(file).collect();
        }
        let module = |idx: usize, path: &str, kind: &str| {
            json!({ "idx": idx, "name": idx.to_string(), "path": path,
                    "type": format!("sentence_transformers.models.{kind}") })
        };
        let mut modules = vec![module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling")];
        if self.normalize {
            modules.push(module(2, "2_Normalize", "Normalize"));
        }
        let config = json!({ "pooling_mode": self.pooling.name() });
        let text = |value: &Value| format!("{value:#}\n").into_bytes();
        let config = ("1_Pooling/config.json".to_owned(), text(&config));
        Ok(vec![(MODULES.to_owned(), text(&Value::from(modules))), config])
    }

    /// The vector of some tokens `[T, D]`.
    pub fn vector(self, tokens: &[f32], d: usize) -> Vec<f32> {
        let mut vector = self.pooling.vector(tokens, d);
        if self.normalize {
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
            for x in &mut vector {
                *x /= length;
            }
        }
        vector
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self { pooling: Pooling::Mean, normalize: true }
    }
}

fn pooling(path: &Path) -> Result<Pooling, Failure> {
    let config = read(path)?.unwrap_or_default();
    // A flag for each, or, as newer files have it, a name.
    let known = [
        ("cls_token", "cls", Some(Pooling::Cls)),
        ("max_tokens", "max", Some(Pooling::Max)),
        ("mean_tokens", "mean", Some(Pooling::Mean)),
        ("lasttoken", "lasttoken", Some(Pooling::Last)),
        ("mean_sqrt_len_tokens", "mean_sqrt_len_tokens", None),
        ("weightedmean_tokens", "weightedmean", None),
    ];
    let asked = known.into_iter().filter(|(flag, name, _)| {
        config[format!("pooling_mode_{flag}")] == true || config["pooling_mode"] == *name
    });
    if let [Some(pooling)] = asked.map(|(.., pooling)| pooling).collect::<Vec<_>>()[..] {
        return Ok(pooling);
    }
    let problem = format!("`{}` asks for another pooling than is done", path.display());
    Err(Failure::new(problem).hint("choose one of what is done with `--pooling`"))
}

fn read(path: &Path) -> Result<Option<Value>, Failure> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = mapped::read_small(path, MAX_BYTES).reading(path)?;
    Ok(Some(serde_json::from_slice(&bytes).reading(path)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pooling_is_what_it_is_called() {
        let tokens = [1.0, -2.0, 3.0, 0.0, 2.0, -1.0];
        for (pooling, expected) in [
            (Pooling::Mean, [2.0, -1.0]),
            (Pooling::Cls, [1.0, -2.0]),
            (Pooling::Max, [3.0, 0.0]),
            (Pooling::Last, [2.0, -1.0]),
        ] {
            assert_eq!(Pool { pooling, normalize: false }.vector(&tokens, 2), expected);
        }
        let unit = Pool { pooling: Pooling::Cls, normalize: true }.vector(&[3.0, 4.0], 2);
        assert!((unit[0] - 0.6).abs() < 1e-6 && (unit[1] - 0.8).abs() < 1e-6);
    }

    #[test]
    fn the_files_say_how() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(Pool::told(dir.path()).expect("fine"), None);
        std::fs::create_dir(dir.path().join("1_Pooling")).expect("made");
        let write = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).expect("written");
        };
        let modules = |more: &str| {
            format!(
                r#"[{{"type": "sentence_transformers.models.Transformer", "path": ""}},
                {{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}}{more}]"#
            )
        };
        write("modules.json", &modules(""));
        for (config, expected) in [
            (
                r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#,
                Pooling::Cls,
            ),
            (r#"{"pooling_mode": "mean"}"#, Pooling::Mean),
            (r#"{"pooling_mode_lasttoken": true}"#, Pooling::Last),
        ] {
            write("1_Pooling/config.json", config);
            let expected = Pool { pooling: expected, normalize: false };
            assert_eq!(Pool::told(dir.path()).expect("fine"), Some(expected), "{config}");
        }
        for config in [
            "{}",
            r#"{"pooling_mode_mean_sqrt_len_tokens": true}"#,
            r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}"#,
        ] {
            write("1_Pooling/config.json", config);
            let said = Pool::told(dir.path()).expect_err("refused").text(false);
            assert!(said.contains("asks for another pooling"), "{said}");
        }
        write("1_Pooling/config.json", r#"{"pooling_mode": "cls"}"#);
        write("modules.json", &modules(r#", {"type": "sentence_transformers.models.Normalize"}"#));
        assert!(Pool::told(dir.path()).expect("fine").expect("there").normalize);
        write("modules.json", &modules(r#", {"type": "sentence_transformers.models.Dense"}"#));
        assert!(Pool::told(dir.path()).expect_err("refused").text(false).contains("has a `Dense`"));
    }
}
