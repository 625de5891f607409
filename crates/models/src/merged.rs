//! One model of several: adapters put into the weights, and means of weights.

use std::path::PathBuf;
use std::sync::Arc;

use nn::{BY, Beside, Context, Head, Input};
use tensor::{Device, Param, ParamsBuilder, Precision, Tape, Var};

use crate::adapted::Adapter;
use crate::architecture::Architecture;
use crate::error::ModelError;
use crate::import::widened;
use crate::model::Model;

impl Model {
    /// The same model, to be run, without weights yet, and without adapters.
    fn empty(&self) -> Result<Self, ModelError> {
        let config_error = |source| ModelError::Config { path: PathBuf::new(), source };
        let (architecture, builder) =
            Self::register_in(&self.config, ParamsBuilder::frozen(), Beside::Nothing)
                .map_err(config_error)?;
        let (params, adapters) = (builder.build_zeroed(), Vec::new());
        Ok(Self { config: self.config.clone(), architecture, params, adapters })
    }

    /// The mean of models that were trained from one, to be run: a uniform soup. Wortsman et al.,
    /// "Model soups", arXiv:2203.05482, section 2.
    ///
    /// # Errors
    /// Where another than the first has not what it is made of, or adapters beside it.
    ///
    /// # Panics
    /// When there is none.
    pub fn average(models: &[Self]) -> Result<Self, ModelError> {
        let first = models.first().expect("a model");
        for (number, model) in (1..).zip(models) {
            let [ours, theirs] = [first, model].map(|m| m.config.family().architecture().ok());
            let problem = if ours != theirs {
                "it is made of other parts or sizes"
            } else if first.config.head() != model.config.head() {
                "it has another head, or other labels"
            } else if !model.adapters.is_empty() {
                "it has adapters beside its weights"
            } else {
                continue;
            };
            return Err(ModelError::Average { number, problem: problem.into() });
        }
        let mut soup = first.empty()?;
        for entry in soup.params.entries().to_vec() {
            let mut sum = vec![0.0_f64; entry.param.len()];
            for Self { params, .. } in models {
                let own = &params.find(&entry.name).expect("the same parts").param;
                let values = widened(params, own);
                sum.iter_mut().zip(values.iter()).for_each(|(sum, x)| *sum += f64::from(*x));
            }
            let n = models.len() as f64;
            soup.params.put(&entry.param, sum.into_iter().map(|sum| (sum / n) as f32).collect());
        }
        Ok(soup)
    }

    /// The same model, to be run, whose weights are what adapters in use make of them; there are no
    /// adapters beside it. It may differ from this one by rounding: how far [`Model::apart`] they
    /// are on `probe` is returned, too.
    ///
    /// # Errors
    /// As there.
    pub fn merged(
        &self,
        device: &Device,
        probe: &[u32],
        tolerance: f32,
    ) -> Result<(Self, f32), ModelError> {
        for Adapter { name, config, .. } in &self.adapters {
            if config.beside() != Beside::Nothing {
                let problem = "learned tokens and bottlenecks cannot be put into weights".into();
                return Err(ModelError::Adapter { name: name.clone(), problem });
            }
        }
        let mut merged = self.empty()?;
        let params = &mut merged.params;
        for entry in params.entries().to_vec() {
            let old = &self.params.find(&entry.name).expect("the same parameters").param;
            let changing = self.adapters.iter().filter(|adapter| adapter.changes(&entry.name));
            let used = changing.filter_map(|adapter| {
                let by = self.params.find(&adapter.leaf(&entry.name, BY))?;
                Some((adapter, self.params.get(&by.param)[0]))
            });
            let changes: Vec<_> = used.filter(|(_, by)| *by != 0.0).collect();
            if changes.is_empty() && old.is_frozen() {
                params.freeze(&entry.param, self.params.frozen(old).clone());
                continue;
            }
            let mut values = widened(&self.params, old).into_owned();
            for (adapter, by) in changes {
                if let Some((a, parts)) = adapter.change(&self.params, &entry.name) {
                    self.params.merge_low_rank(device, (&mut values, old), &a, (&parts, by));
                } else if let Some((a, b, scale)) = adapter.rows(&self.params, &entry.name) {
                    self.add_rows(&mut values, [&a, &b], scale * by);
                }
            }
            params.put(&entry.param, values);
        }
        let worst = self.apart(&merged, device, probe, tolerance)?;
        Ok((merged, worst))
    }

    /// How far apart what comes out of another model is, on ids of tokens: of each head and of the
    /// trunk, relative to its largest number; that of a head is one at least, whose score may be
    /// nought.
    ///
    /// # Errors
    /// Where it is above `tolerance`, or a model does not read tokens.
    pub fn apart(
        &self,
        other: &Self,
        device: &Device,
        probe: &[u32],
        tolerance: f32,
    ) -> Result<f32, ModelError> {
        let mut worst = 0.0;
        let all = self.probe(device, probe)?.into_iter().zip(other.probe(device, probe)?);
        for (i, (one, other)) in all.enumerate() {
            let least = if i == 0 { f32::MIN_POSITIVE } else { 1.0 };
            let largest = one.iter().fold(least, |m, x| m.max(x.abs()));
            let difference = one.iter().zip(other).map(|(a, b)| (a - b).abs() / largest);
            // Not `max`, which passes over NaN.
            worst = difference.fold(worst, |m, d| if d > m || d.is_nan() { d } else { m });
        }
        if worst <= tolerance {
            return Ok(worst);
        }
        Err(ModelError::Merge { difference: worst, tolerance })
    }

    /// Adds `by b a^T` to a table `[V, D]`.
    fn add_rows(&self, values: &mut [f32], [a, b]: [&Param; 2], by: f32) {
        let (d, rank) = (a.shape()[0], a.shape()[1]);
        let (a, b) = (self.params.get(a).chunks_exact(rank), self.params.get(b));
        for (row, b) in values.chunks_exact_mut(d).zip(b.chunks_exact(rank)) {
            for (value, a) in row.iter_mut().zip(a.clone()) {
                *value += by * a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            }
        }
    }

    /// What comes out for some tokens, in f32: of the trunk, and of each head.
    fn probe(&self, device: &Device, ids: &[u32]) -> Result<Vec<Vec<f32>>, ModelError> {
        let (ids, shape): (Arc<[u32]>, _) = (ids.into(), [1, ids.len()]);
        let tape = Tape::new(device, &self.params, Precision::F32);
        let mut ctx = Context::plain(1, ids.len());
        let (stack, x): (_, Var) = match &self.architecture {
            Architecture::EncoderDecoder(pair) => {
                let memory = pair.encode(&tape, Input::Tokens(&ids, shape), ctx.call.clone());
                ctx.call.memory = Some(memory);
                (&pair.decoder, pair.decode(&tape, &ids, shape, &mut ctx))
            }
            other => {
                let stack = other
                    .stack()
                    .map_err(|source| ModelError::Config { path: PathBuf::new(), source })?;
                (stack, stack.forward(&tape, &ids, shape, &mut ctx))
            }
        };
        let scores = |(_, head): &(&str, Head)| match head {
            Head::Token(head) => Some(head.logits(&tape, &x)),
            Head::Tag(head) => Some(head.forward(&tape, &x, &ctx.call)),
            Head::Pooled(head) => Some(head.forward(&tape, &x, &head.rows(None, shape), &ctx.call)),
            // Of one that reads images, too.
            Head::Embedding(_) => None,
        };
        let heads = stack.heads.iter().filter_map(scores);
        Ok([x.clone()].into_iter().chain(heads).map(|out| out.value().to_vec()).collect())
    }
}
