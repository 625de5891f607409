//! Parameters in arenas: one f32 allocation for the weights, one for their gradients. Frozen
//! matrices are not in the arena: see [`crate::Frozen`].

use std::ops::Range;
use std::sync::Arc;

use kernels::gemm::Write;
use kernels::philox::{Key, fill_normal, fill_uniform};
use rayon::prelude::*;

use crate::arena::{ALIGN, Arena};
use crate::frozen::{Frozen, Rows};
use crate::rng::hash;

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All zero.
    Zeros,
    /// All one.
    Ones,
    /// All the same.
    Constant {
        /// That.
        value: f32,
    },
    /// Normal around zero.
    Normal {
        /// Standard deviation.
        std: f32,
    },
    /// The same, but for the first rows, which start smaller or larger by a factor.
    NormalRows {
        /// Standard deviation of the rest.
        std: f32,
        /// How many rows.
        rows: usize,
        /// The factor.
        by: f32,
    },
    /// Uniform in `[-bound, bound)`.
    Uniform {
        /// Half the width.
        bound: f32,
    },
}

/// A parameter's handle: where it lies in the arenas. Cheap to clone; a tied weight is one handle
/// held twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    index: usize,
    start: usize,
    shape: Arc<[usize]>,
    frozen: bool,
}

impl Param {
    /// Length of every axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many values it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether an axis has length zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its place in every arena.
    ///
    /// # Panics
    /// When it is frozen.
    #[track_caller]
    pub fn range(&self) -> Range<usize> {
        assert!(!self.frozen, "a frozen matrix {:?} is in no arena", self.shape);
        self.start..self.start + self.len()
    }

    /// Whether it lies outside the arenas and no gradient is written for it.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }
}

/// A named parameter.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The project's own name: `blocks.0.attn.query_key_value.weight`.
    pub name: String,
    /// Its handle.
    pub param: Param,
    /// How it starts.
    pub init: Init,
}

/// Collects the parameters of a model, before any memory is taken.
#[derive(Default)]
pub struct ParamsBuilder {
    entries: Vec<Entry>,
    scope: Vec<String>,
    len: usize,
    frozen: bool,
}

impl ParamsBuilder {
    /// A builder whose matrices are frozen: for models that are not trained.
    pub fn frozen() -> Self {
        Self { frozen: true, ..Self::default() }
    }

    /// Runs `build` with `name` in front of every name it registers.
    pub fn scope<T>(&mut self, name: impl Into<String>, build: impl FnOnce(&mut Self) -> T) -> T {
        self.scope.push(name.into());
        let built = build(self);
        self.scope.pop();
        built
    }

    /// The full name of `leaf` in the current scope.
    pub fn path(&self, leaf: &str) -> String {
        let mut path = self.scope.join(".");
        if !path.is_empty() && !leaf.is_empty() {
            path.push('.');
        }
        path + leaf
    }

    /// A key for what happens at `leaf` in the current scope: where dropout draws from.
    pub fn site(&self, leaf: &str) -> u64 {
        hash(&[b"site", self.path(leaf).as_bytes()])
    }

    /// Registers a parameter.
    ///
    /// # Panics
    /// When the name is taken.
    #[track_caller]
    pub fn param(&mut self, leaf: &str, shape: &[usize], init: Init) -> Param {
        self.register(leaf, shape, init, false)
    }

    /// Registers a matrix `[O, I]` that ops read by [`Params::rows`]: a large weight, which may be
    /// frozen.
    ///
    /// # Panics
    /// When the name is taken.
    #[track_caller]
    pub fn matrix(&mut self, leaf: &str, shape: [usize; 2], init: Init) -> Param {
        self.register(leaf, &shape, init, self.frozen)
    }

    #[track_caller]
    fn register(&mut self, leaf: &str, shape: &[usize], init: Init, frozen: bool) -> Param {
        let name = self.path(leaf);
        assert!(self.entries.iter().all(|e| e.name != name), "parameter `{name}` twice");
        let (index, start) = (self.entries.len(), self.len);
        let param = Param { index, start, shape: shape.into(), frozen };
        if !frozen {
            self.len += param.len().next_multiple_of(ALIGN);
        }
        self.entries.push(Entry { name, param: param.clone(), init });
        param
    }

    /// What was registered so far, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Takes the memory and draws every value, keyed by `seed` and the parameter's name alone.
    pub fn build(self, seed: u64) -> Params {
        let mut params = self.build_zeroed();
        for Entry { name, param, init } in params.entries.clone() {
            assert!(!param.frozen, "`{name}` is frozen, and not drawn");
            let key = Key { seed, stream: hash(&[b"init", name.as_bytes()]) };
            let values = params.get_mut(&param);
            match init {
                Init::Zeros => {}
                Init::Ones => values.fill(1.0),
                Init::Constant { value } => values.fill(value),
                Init::Normal { std } => fill_normal(values, key, 0.0, std),
                Init::NormalRows { std, rows, by } => {
                    fill_normal(values, key, 0.0, std);
                    let n = rows * param.shape()[1..].iter().product::<usize>();
                    values[..n].iter_mut().for_each(|value| *value *= by);
                }
                Init::Uniform { bound } => fill_uniform(values, key, -bound, bound),
            }
        }
        params
    }

    /// Takes the memory and leaves every value zero: for weights that are loaded.
    pub fn build_zeroed(self) -> Params {
        let frozen = vec![Frozen::default(); self.entries.len()];
        Params { arena: Arena::zeros(self.len), entries: self.entries, frozen }
    }
}

/// The weights.
pub struct Params {
    arena: Arena,
    entries: Vec<Entry>,
    /// By index; empty for what is in the arena.
    frozen: Vec<Frozen>,
}

impl Params {
    /// Every parameter, in order of registration.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many values there are, padding left out.
    pub fn n_values(&self) -> usize {
        self.entries.iter().map(|e| e.param.len()).sum()
    }

    /// The values of one parameter.
    pub fn get(&self, param: &Param) -> &[f32] {
        &self.arena.as_slice()[param.range()]
    }

    /// The values of one parameter, writable.
    pub fn get_mut(&mut self, param: &Param) -> &mut [f32] {
        &mut self.arena.as_mut_slice()[param.range()]
    }

    /// The rows of a matrix as they are stored, in order: all at once where they are in the arena,
    /// part by part where they are frozen.
    pub fn rows(&self, param: &Param) -> impl Iterator<Item = Rows<'_>> {
        let in_arena = (!param.frozen).then(|| Rows::in_arena(param.shape(), self.get(param)));
        in_arena.into_iter().chain(self.frozen[param.index].rows(param.shape()))
    }

    /// What a parameter takes as it is stored.
    pub fn n_bytes(&self, param: &Param) -> usize {
        let in_arena = if param.frozen { 0 } else { size_of::<f32>() * param.len() };
        in_arena + self.frozen[param.index].n_bytes()
    }

    /// Gives a frozen matrix its values.
    ///
    /// # Panics
    /// When it is not frozen, or the parts do not have its size together.
    #[track_caller]
    pub fn freeze(&mut self, param: &Param, frozen: Frozen) {
        assert!(param.frozen, "a matrix {:?} that is not frozen", param.shape());
        frozen.check(param.shape());
        self.frozen[param.index] = frozen;
    }

    /// The parameter of that name.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.name == name)
    }

    /// All values, the padding between parameters included (zero, and kept zero).
    pub fn values(&self) -> &[f32] {
        self.arena.as_slice()
    }

    /// All values, writable.
    pub fn values_mut(&mut self) -> &mut [f32] {
        self.arena.as_mut_slice()
    }
}

/// The gradients: an arena of the weights' layout, and which ranges were written since the last
/// reset.
pub struct Grads {
    arena: Arena,
    written: Vec<bool>,
}

impl Grads {
    /// An arena for the gradients of `params`.
    pub fn new(params: &Params) -> Self {
        let arena = Arena::zeros(params.values().len());
        Self { arena, written: vec![false; params.entries().len()] }
    }

    /// Forgets what is there: the next write of each range overwrites. Touches no memory.
    pub fn reset(&mut self) {
        self.written.fill(false);
    }

    /// The range of one parameter, and whether its gradient must be added or may overwrite.
    pub fn slot(&mut self, param: &Param) -> (&mut [f32], Write) {
        let first = !std::mem::replace(&mut self.written[param.index], true);
        let write = if first { Write::Overwrite } else { Write::Add };
        (&mut self.arena.as_mut_slice()[param.range()], write)
    }

    /// The range of one parameter, zeroed if this is its first write: for ops that can only add.
    pub fn zeroed(&mut self, param: &Param) -> &mut [f32] {
        let (values, write) = self.slot(param);
        if matches!(write, Write::Overwrite) {
            values.par_chunks_mut(1 << 16).for_each(|chunk| chunk.fill(0.0));
        }
        values
    }

    /// [`Grads::zeroed`] of two parameters at once: the weight of a norm and its bias.
    pub fn zeroed_pair(
        &mut self,
        weight: &Param,
        bias: Option<&Param>,
    ) -> (&mut [f32], Option<&mut [f32]>) {
        self.zeroed(weight);
        let Some(bias) = bias else {
            return (&mut self.arena.as_mut_slice()[weight.range()], None);
        };
        self.zeroed(bias);
        let ranges = [weight.range(), bias.range()];
        let [dw, db] = self.arena.as_mut_slice().get_disjoint_mut(ranges).expect("two parameters");
        (dw, Some(db))
    }

    /// The gradient of one parameter; `None` when no backward wrote it.
    pub fn get(&self, param: &Param) -> Option<&[f32]> {
        self.written[param.index].then(|| &self.arena.as_slice()[param.range()])
    }

    /// Names of the parameters that no backward wrote since the last reset.
    pub fn unwritten<'p>(&self, params: &'p Params) -> Vec<&'p str> {
        let entries = params.entries().iter().zip(&self.written);
        entries.filter(|(_, written)| !**written).map(|(e, _)| e.name.as_str()).collect()
    }

    /// Zeroes what no backward wrote since the last reset: a loss that does not depend on it.
    pub fn zero_unwritten(&mut self, params: &Params) {
        for Entry { param, .. } in params.entries() {
            if !self.written[param.index] {
                self.zeroed(param);
            }
        }
    }

    /// All gradients. Ranges that were not written hold stale values.
    pub fn values(&self) -> &[f32] {
        self.arena.as_slice()
    }

    /// All gradients, writable.
    pub fn values_mut(&mut self) -> &mut [f32] {
        self.arena.as_mut_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (Param, Params) {
        let mut builder = ParamsBuilder::default();
        let a = builder.scope("a", |b| b.param("weight", &[3, 5], Init::Normal { std: 1.0 }));
        builder.param("b", &[7], Init::Ones);
        (a, builder.build(1))
    }

    #[test]
    fn a_value_depends_on_seed_and_name_alone() {
        let (a, params) = two();
        let mut builder = ParamsBuilder::default();
        builder.param("first", &[100], Init::Zeros);
        let moved = builder.param("a.weight", &[3, 5], Init::Normal { std: 1.0 });
        assert_eq!(builder.build(1).get(&moved), params.get(&a));
        assert_eq!((params.n_values(), params.entries()[1].param.range()), (22, 16..23));
    }

    #[test]
    fn the_first_write_overwrites_and_the_audit_names_the_rest() {
        let (a, params) = two();
        let mut grads = Grads::new(&params);
        assert!(matches!(grads.slot(&a).1, Write::Overwrite));
        assert!(matches!(grads.slot(&a).1, Write::Add));
        assert_eq!(grads.unwritten(&params), ["b"]);
        grads.slot(&a).0.fill(3.0);
        grads.reset();
        assert!(grads.get(&a).is_none());
        grads.zero_unwritten(&params);
        assert_eq!(grads.get(&a), Some(&[0.0; 15][..]));
    }
}
