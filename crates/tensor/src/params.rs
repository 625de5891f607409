//! Parameters in arenas: one f32 allocation for the weights, one for their gradients. What is not
//! trained is not among them: vectors lie in an arena of their own, for matrices see
//! [`crate::Frozen`].

use std::collections::BTreeMap;
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
    place: Place,
    shape: Arc<[usize]>,
}

/// Where the values of a parameter lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// From here in the arenas of what is trained.
    Trained(usize),
    /// From here in the arena of what is not.
    Fixed(usize),
    /// As they are stored.
    Frozen,
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

    /// Its place in the arenas of weights, gradients and moments.
    ///
    /// # Panics
    /// When it is not trained.
    #[track_caller]
    pub fn range(&self) -> Range<usize> {
        assert!(self.is_trained(), "{:?} is not trained", self.shape);
        self.span()
    }

    /// Its place in the arena that it is in.
    #[track_caller]
    fn span(&self) -> Range<usize> {
        match self.place {
            Place::Trained(start) | Place::Fixed(start) => start..start + self.len(),
            Place::Frozen => panic!("a frozen matrix {:?} is in no arena", self.shape),
        }
    }

    /// Whether it learns.
    pub fn is_trained(&self) -> bool {
        matches!(self.place, Place::Trained(_))
    }

    /// Whether it is a matrix that lies outside the arenas, and no gradient is written for it.
    pub fn is_frozen(&self) -> bool {
        self.place == Place::Frozen
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

/// A change of low rank that a linear map gets beside its weight: see [`crate::LowRankArgs`].
#[derive(Clone, Debug, PartialEq)]
pub struct LowRankSpec {
    /// Whose it is: a model may have several.
    pub adapter: String,
    /// Probability of dropping from its input.
    pub dropout: f32,
    /// Of some rows of the weight each.
    pub parts: Vec<PartSpec>,
}

/// A part of such a change.
#[derive(Clone, Debug, PartialEq)]
pub struct PartSpec {
    /// Which rows of the weight; none is all.
    pub rows: Option<Range<usize>>,
    /// Rows of its `A`.
    pub rank: usize,
    /// What it is multiplied with.
    pub scale: f32,
    /// Whether lengths and directions learn apart.
    pub magnitude: bool,
}

type Trains = Box<dyn Fn(&str) -> bool>;

/// Collects the parameters of a model, before any memory is taken.
#[derive(Default)]
pub struct ParamsBuilder {
    entries: Vec<Entry>,
    scope: Vec<String>,
    /// Lengths of the arena of what is trained, and of that of what is not.
    len: usize,
    fixed_len: usize,
    /// Whether a parameter of that name learns; none is all.
    trains: Option<Trains>,
    low_rank: BTreeMap<String, Vec<LowRankSpec>>,
    maps: Vec<String>,
}

impl ParamsBuilder {
    /// A builder of which nothing learns: for models that are run.
    pub fn frozen() -> Self {
        Self::training(|_| false)
    }

    /// A builder whose parameters learn where `trains` says so of their names.
    pub fn training(trains: impl Fn(&str) -> bool + 'static) -> Self {
        Self { trains: Some(Box::new(trains)), ..Self::default() }
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

    /// Registers a matrix `[O, I]` that ops read by [`Params::rows`]: a large weight, which is
    /// frozen where it does not learn.
    ///
    /// # Panics
    /// When the name is taken.
    #[track_caller]
    pub fn matrix(&mut self, leaf: &str, shape: [usize; 2], init: Init) -> Param {
        self.register(leaf, &shape, init, true)
    }

    #[track_caller]
    fn register(&mut self, leaf: &str, shape: &[usize], init: Init, is_matrix: bool) -> Param {
        let name = self.path(leaf);
        assert!(self.entries.iter().all(|e| e.name != name), "parameter `{name}` twice");
        let room = shape.iter().product::<usize>().next_multiple_of(ALIGN);
        let place = if self.trains.as_ref().is_none_or(|trains| trains(&name)) {
            self.len += room;
            Place::Trained(self.len - room)
        } else if is_matrix {
            Place::Frozen
        } else {
            self.fixed_len += room;
            Place::Fixed(self.fixed_len - room)
        };
        let param = Param { index: self.entries.len(), place, shape: shape.into() };
        self.entries.push(Entry { name, param: param.clone(), init });
        param
    }

    /// Registers a vector that never learns.
    ///
    /// # Panics
    /// When the name is taken.
    #[track_caller]
    pub fn constant(&mut self, leaf: &str, shape: &[usize], init: Init) -> Param {
        let trains = self.trains.replace(Box::new(|_| false));
        let param = self.register(leaf, shape, init, false);
        self.trains = trains;
        param
    }

    /// Changes that linear maps will get, by the names of their weights.
    #[must_use]
    pub fn with_low_rank(mut self, specs: BTreeMap<String, Vec<LowRankSpec>>) -> Self {
        self.low_rank = specs;
        self
    }

    /// Notes that `leaf` of the current scope can be changed, and takes its changes: the weight of a
    /// linear map, or a table.
    pub fn take_low_rank(&mut self, leaf: &str) -> Vec<LowRankSpec> {
        let name = self.path(leaf);
        let specs = self.low_rank.remove(&name).unwrap_or_default();
        self.maps.push(name);
        specs
    }

    /// What can be changed, in order.
    pub fn maps(&self) -> &[String] {
        &self.maps
    }

    /// What was registered so far, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Takes the memory and draws every value, keyed by `seed` and the parameter's name alone.
    pub fn build(self, seed: u64) -> Params {
        let mut params = self.build_zeroed();
        params.draw(seed, |_| true);
        params
    }

    /// Takes the memory and leaves every value zero: for weights that are loaded.
    pub fn build_zeroed(self) -> Params {
        let frozen = vec![Frozen::default(); self.entries.len()];
        let [arena, fixed] = [self.len, self.fixed_len].map(Arena::zeros);
        Params { arena, fixed, entries: self.entries, frozen }
    }
}

impl Entry {
    /// Writes how it starts over zeros, keyed by `seed` and its name alone.
    fn fill(&self, values: &mut [f32], seed: u64) {
        let key = Key { seed, stream: hash(&[b"init", self.name.as_bytes()]) };
        match self.init {
            Init::Zeros => {}
            Init::Ones => values.fill(1.0),
            Init::Constant { value } => values.fill(value),
            Init::Normal { std } => fill_normal(values, key, 0.0, std),
            Init::NormalRows { std, rows, by } => {
                fill_normal(values, key, 0.0, std);
                let n = rows * self.param.shape()[1..].iter().product::<usize>();
                values[..n].iter_mut().for_each(|value| *value *= by);
            }
            Init::Uniform { bound } => fill_uniform(values, key, -bound, bound),
        }
    }
}

/// The weights.
pub struct Params {
    arena: Arena,
    fixed: Arena,
    entries: Vec<Entry>,
    /// By index; empty for what is in the arena.
    frozen: Vec<Frozen>,
}

impl Params {
    /// Every parameter, in order of registration.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Draws the parameters whose names `which` takes, as a fresh model of `seed` has them. They
    /// must be zero.
    pub fn draw(&mut self, seed: u64, which: impl Fn(&str) -> bool) {
        let entries = self.entries.clone();
        for entry in entries.into_iter().filter(|e| which(&e.name)) {
            if entry.param.is_frozen() {
                let mut values = vec![0.0; entry.param.len()];
                entry.fill(&mut values, seed);
                self.freeze(&entry.param, Frozen::owned(values));
            } else {
                entry.fill(self.get_mut(&entry.param), seed);
            }
        }
    }

    /// How many values there are, padding left out.
    pub fn n_values(&self) -> usize {
        self.entries.iter().map(|e| e.param.len()).sum()
    }

    /// Those that learn, in order of registration, which is that of the arena.
    pub fn trained(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|e| e.param.is_trained())
    }

    /// The values of one parameter.
    ///
    /// # Panics
    /// When it is frozen.
    #[track_caller]
    pub fn get(&self, param: &Param) -> &[f32] {
        let arena = if param.is_trained() { &self.arena } else { &self.fixed };
        &arena.as_slice()[param.span()]
    }

    /// The values of one parameter, writable.
    ///
    /// # Panics
    /// When it is frozen.
    #[track_caller]
    pub fn get_mut(&mut self, param: &Param) -> &mut [f32] {
        let arena = if param.is_trained() { &mut self.arena } else { &mut self.fixed };
        &mut arena.as_mut_slice()[param.span()]
    }

    /// The rows of a matrix as they are stored, in order: all at once where they are in the arena,
    /// part by part where they are frozen.
    pub fn rows(&self, param: &Param) -> impl Iterator<Item = Rows<'_>> {
        let in_arena = (!param.is_frozen()).then(|| Rows::in_arena(param.shape(), self.get(param)));
        in_arena.into_iter().chain(self.frozen[param.index].rows(param.shape()))
    }

    /// What a parameter takes as it is stored.
    pub fn n_bytes(&self, param: &Param) -> usize {
        let in_arena = if param.is_frozen() { 0 } else { size_of::<f32>() * param.len() };
        in_arena + self.frozen[param.index].n_bytes()
    }

    /// Gives a frozen matrix its values.
    ///
    /// # Panics
    /// When it is not frozen, or the parts do not have its size together.
    #[track_caller]
    pub fn freeze(&mut self, param: &Param, frozen: Frozen) {
        assert!(param.is_frozen(), "a matrix {:?} that is not frozen", param.shape());
        frozen.check(param.shape());
        self.frozen[param.index] = frozen;
    }

    /// The values of a frozen matrix, as they are stored.
    pub fn frozen(&self, param: &Param) -> &Frozen {
        &self.frozen[param.index]
    }

    /// Gives a parameter its values, wherever it lies.
    ///
    /// # Panics
    /// When there are more or fewer.
    #[track_caller]
    pub fn put(&mut self, param: &Param, values: Vec<f32>) {
        if param.is_frozen() {
            self.freeze(param, Frozen::owned(values));
        } else {
            self.get_mut(param).copy_from_slice(&values);
        }
    }

    /// The parameter of that name.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.name == name)
    }

    /// All values that learn, the padding between parameters included (zero, and kept zero).
    pub fn values(&self) -> &[f32] {
        self.arena.as_slice()
    }

    /// The same, writable.
    pub fn values_mut(&mut self) -> &mut [f32] {
        self.arena.as_mut_slice()
    }
}

/// The gradients: an arena of the weights' layout, and which ranges were written since the last
/// reset. Those of vectors that do not learn are written too, where an op forms them on its way,
/// and nobody reads them.
pub struct Grads {
    arena: Arena,
    fixed: Arena,
    written: Vec<bool>,
}

impl Grads {
    /// An arena for the gradients of `params`.
    pub fn new(params: &Params) -> Self {
        let fixed = Arena::zeros(params.fixed.as_slice().len());
        let arena = Arena::zeros(params.values().len());
        Self { arena, fixed, written: vec![false; params.entries().len()] }
    }

    /// Forgets what is there: the next write of each range overwrites. Touches no memory.
    pub fn reset(&mut self) {
        self.written.fill(false);
    }

    /// The range of one parameter, and whether its gradient must be added or may overwrite.
    pub fn slot(&mut self, param: &Param) -> (&mut [f32], Write) {
        let first = !std::mem::replace(&mut self.written[param.index], true);
        let write = if first { Write::Overwrite } else { Write::Add };
        let arena = if param.is_trained() { &mut self.arena } else { &mut self.fixed };
        (&mut arena.as_mut_slice()[param.span()], write)
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
        let Some(bias) = bias else { return (self.zeroed(weight), None) };
        self.zeroed(weight);
        self.zeroed(bias);
        let (arena, fixed) = (self.arena.as_mut_slice(), self.fixed.as_mut_slice());
        let (w, b) = (weight.span(), bias.span());
        match (weight.is_trained(), bias.is_trained()) {
            (true, false) => (&mut arena[w], Some(&mut fixed[b])),
            (false, true) => (&mut fixed[w], Some(&mut arena[b])),
            (trained, _) => {
                let both = if trained { arena } else { fixed };
                let [dw, db] = both.get_disjoint_mut([w, b]).expect("two parameters");
                (dw, Some(db))
            }
        }
    }

    /// The gradient of one parameter; `None` when no backward wrote it, or it does not learn.
    pub fn get(&self, param: &Param) -> Option<&[f32]> {
        let read = param.is_trained() && self.written[param.index];
        read.then(|| &self.arena.as_slice()[param.range()])
    }

    /// Names of the parameters that learn and that no backward wrote since the last reset.
    pub fn unwritten<'p>(&self, params: &'p Params) -> Vec<&'p str> {
        let unwritten = params.trained().filter(|e| !self.written[e.param.index]);
        unwritten.map(|e| e.name.as_str()).collect()
    }

    /// Zeroes what no backward wrote since the last reset: a loss that does not depend on it.
    pub fn zero_unwritten(&mut self, params: &Params) {
        for Entry { param, .. } in params.trained() {
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
