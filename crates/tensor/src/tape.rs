//! The tape: runs ops, remembers how to go back over them, and frees what it saved as it goes.

use std::cell::{Cell, RefCell, RefMut};

use kernels::reduce;

use crate::dtype::{DType, Precision, by_dtype};
use crate::params::{Grads, Param, Params};
use crate::value::{Device, Tensor};
use crate::watch::{Capture, NotFinite, Path, path_name};

/// A value on a tape: the tensor, and where its gradient goes.
#[derive(Clone)]
pub struct Var {
    pub(crate) value: Tensor,
    pub(crate) slot: Option<usize>,
}

impl Var {
    /// A value through which no gradient flows.
    pub fn constant(value: Tensor) -> Self {
        Self { value, slot: None }
    }

    /// Whether a gradient of it is asked for.
    pub fn flows(&self) -> bool {
        self.slot.is_some()
    }

    /// The tensor.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// The tensor, without the tape.
    pub fn into_value(self) -> Tensor {
        self.value
    }

    /// The same elements under another shape.
    #[must_use]
    #[track_caller]
    pub fn reshape(self, shape: &[usize]) -> Self {
        Self { value: self.value.reshape(shape), slot: self.slot }
    }
}

/// What every op of a computation shares.
#[derive(Clone, Copy)]
struct Env<'a> {
    device: &'a Device,
    params: &'a Params,
    precision: Precision,
    grads: Option<&'a RefCell<Grads>>,
    capture: Option<&'a Capture>,
    checks: Option<&'a Cell<Option<NotFinite>>>,
    loss_scale: f32,
    rows_min: usize,
}

impl Env<'_> {
    /// Notes who is the first of which not all numbers are `finite`, where somebody asks.
    fn check(&self, at: (&'static str, &Path), backward: bool, finite: impl FnOnce() -> bool) {
        let Some(cell) = self.checks else { return };
        let found = cell.take();
        let (op, path) = at;
        let bad = || (!finite()).then(|| NotFinite { op, path: path_name(path), backward });
        cell.set(found.or_else(bad));
    }

    fn is_finite(&self, value: &Tensor) -> bool {
        by_dtype!(value.dtype(), T => reduce::all_finite(self.device.isa, value.as_slice::<T>()))
    }

    /// Whether the gradient of `param` is, or there is none.
    fn is_gradient_finite(&self, param: &Param) -> bool {
        let grads = self.grads.map(RefCell::borrow);
        let values = grads.as_ref().and_then(|grads| grads.get(param));
        values.is_none_or(|values| reduce::all_finite(self.device.isa, values))
    }
}

type Backward<'a> = Box<dyn FnOnce(&mut Sweep<'a>, Tensor) + 'a>;

struct Node<'a> {
    slot: usize,
    op: &'static str,
    path: Path,
    backward: Backward<'a>,
}

/// Runs ops; when it records, [`Tape::backward`] adds every parameter's gradient into the arena.
pub struct Tape<'a> {
    env: Env<'a>,
    recording: bool,
    nodes: RefCell<Vec<Node<'a>>>,
    seeds: RefCell<Vec<(usize, Tensor)>>,
    n_slots: Cell<usize>,
    path: RefCell<Path>,
    /// Whether an op has something to learn, recorded or not.
    learns: Cell<bool>,
}

impl<'a> Tape<'a> {
    /// A tape that only computes.
    pub fn new(device: &'a Device, params: &'a Params, precision: Precision) -> Self {
        let env = Env {
            device,
            params,
            precision,
            grads: None,
            capture: None,
            checks: None,
            loss_scale: 1.0,
            rows_min: 0,
        };
        Self::from_env(env, false, Path::new())
    }

    /// A tape that also records, and whose backward pass writes into `grads`.
    pub fn recording(
        device: &'a Device,
        params: &'a Params,
        precision: Precision,
        grads: &'a RefCell<Grads>,
    ) -> Self {
        let mut tape = Self::new(device, params, precision);
        tape.env.grads = Some(grads);
        tape.recording = true;
        tape
    }

    /// Offers every named intermediate to `capture`.
    #[must_use]
    pub fn with_capture(mut self, capture: &'a Capture) -> Self {
        self.env.capture = Some(capture);
        self
    }

    /// Looks at every result and stores the first op whose value or gradient is not finite.
    #[must_use]
    pub fn with_checks(mut self, found: &'a Cell<Option<NotFinite>>) -> Self {
        self.env.checks = Some(found);
        self
    }

    /// Multiplies what losses send back: keeps small gradients from vanishing in f16.
    #[must_use]
    pub fn with_loss_scale(mut self, scale: f32) -> Self {
        self.env.loss_scale = scale;
        self
    }

    /// Products sum as those of so many rows at least: what a row comes to does not tell whether
    /// there are few.
    #[must_use]
    pub fn among(mut self, rows: usize) -> Self {
        self.env.rows_min = rows;
        self
    }

    fn from_env(env: Env<'a>, recording: bool, path: Path) -> Self {
        Self {
            env,
            recording,
            nodes: RefCell::default(),
            seeds: RefCell::default(),
            n_slots: Cell::new(0),
            path: RefCell::new(path),
            learns: Cell::new(false),
        }
    }

    /// Where it computes.
    pub fn device(&self) -> &'a Device {
        self.env.device
    }

    /// The weights.
    pub fn params(&self) -> &'a Params {
        self.env.params
    }

    /// The precision policy.
    pub fn precision(&self) -> Precision {
        self.env.precision
    }

    /// Storage of activations inside a block.
    pub fn compute(&self) -> DType {
        self.env.precision.compute
    }

    /// Whether it records.
    pub fn is_recording(&self) -> bool {
        self.recording
    }

    /// What losses multiply their gradient with.
    pub fn loss_scale(&self) -> f32 {
        self.env.loss_scale
    }

    /// The rows that a product of `n` sums as one of.
    pub(crate) fn rows_of(&self, n: usize) -> usize {
        n.max(self.env.rows_min)
    }

    pub(crate) fn grads(&self) -> Option<RefMut<'a, Grads>> {
        self.env.grads.map(RefCell::borrow_mut)
    }

    /// Runs `f` inside the module `name`, for messages and captures.
    pub fn scope<T>(&self, name: &'static str, index: Option<usize>, f: impl FnOnce() -> T) -> T {
        self.path.borrow_mut().push((name, index));
        let out = f();
        self.path.borrow_mut().pop();
        out
    }

    /// Whether somebody wants an intermediate of that name: an op may have to compute it.
    pub fn wants(&self, name: &str) -> bool {
        self.env.capture.is_some_and(|c| c.wants(name))
    }

    /// Offers an intermediate under the current path and `name`.
    pub fn capture(&self, name: &'static str, value: &Tensor) {
        if let Some(capture) = self.env.capture.filter(|c| c.wants(name)) {
            let mut path = self.path.borrow().clone();
            path.push((name, None));
            capture.keep(path_name(&path), value.clone());
        }
    }

    /// A value whose gradient can be asked for: the input of a recomputed block, or of a test.
    pub fn input(&self, value: Tensor) -> Var {
        Var { value, slot: self.recording.then(|| self.new_slot()) }
    }

    /// What `x` is elsewhere: an input, or a constant.
    fn again(&self, x: &Var) -> Var {
        if x.flows() { self.input(x.value.clone()) } else { Var::constant(x.value.clone()) }
    }

    fn new_slot(&self) -> usize {
        let slot = self.n_slots.get();
        self.n_slots.set(slot + 1);
        slot
    }

    /// Ends an op: its value, and how its gradient goes on. The closure holds what must be saved; a
    /// tape that does not record drops it at once, and so does any where nothing `flows`: no input
    /// has a gradient, and no parameter of the op is trained.
    pub fn finish(
        &self,
        op: &'static str,
        flows: bool,
        value: Tensor,
        backward: impl FnOnce(&mut Sweep<'a>, Tensor) + 'a,
    ) -> Var {
        self.env.check((op, &self.path.borrow()), false, || self.env.is_finite(&value));
        self.learns.set(self.learns.get() || flows);
        if !self.recording || !flows {
            return Var::constant(value);
        }
        let slot = self.new_slot();
        let path = self.path.borrow().clone();
        self.nodes.borrow_mut().push(Node { slot, op, path, backward: Box::new(backward) });
        Var { value, slot: Some(slot) }
    }

    /// What [`Tape::finish`] and [`Sweep`] look at for others, for an op that is its own backward
    /// pass: its losses, the gradient of its input, and its parameter's, where it has one.
    pub(crate) fn check_objective(
        &self,
        op: &'static str,
        loss: f64,
        d_input: Option<&Tensor>,
        param: Option<&Param>,
    ) {
        let (env, path) = (&self.env, self.path.borrow());
        env.check((op, &path), false, || loss.is_finite());
        env.check((op, &path), true, || {
            let is_finite = |dx| env.is_finite(dx);
            d_input.is_none_or(is_finite) && param.is_none_or(|p| env.is_gradient_finite(p))
        });
    }

    /// Starts the backward pass at `var` with its gradient: what an objective does.
    ///
    /// # Panics
    /// When the gradient's shape is not the value's.
    #[track_caller]
    pub fn seed(&self, var: &Var, grad: Tensor) {
        assert_eq!(var.value.shape(), grad.shape(), "seed: the gradient of another shape");
        if let (Some(slot), true) = (var.slot, self.recording) {
            self.seeds.borrow_mut().push((slot, grad));
        }
    }

    /// Ends in a loss that was computed by hand of `scores`, in f32, with its gradient, which has
    /// their shape and is multiplied with [`Tape::loss_scale`] here.
    ///
    /// # Panics
    /// When there are not as many numbers.
    #[track_caller]
    pub fn end_in(&self, op: &'static str, scores: &Var, (loss, gradient): (f64, &[f32])) {
        let scaled: Vec<f32> = gradient.iter().map(|g| g * self.loss_scale()).collect();
        let gradient = self.recording.then(|| self.device().tensor(scores.value.shape(), &scaled));
        self.check_objective(op, loss, gradient.as_ref(), None);
        if let Some(gradient) = gradient {
            self.seed(scores, gradient);
        }
    }

    /// Runs `f` without saving anything but `inputs`, and again, recording, when the gradient comes
    /// back.
    ///
    /// Same bits as without: the same ops run on the same values, and randomness is keyed, not
    /// drawn. Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174.
    pub fn recompute(&self, inputs: &[Var], f: impl Fn(&Tape<'a>, &[Var]) -> Var + 'a) -> Var {
        if !self.recording {
            return f(self, inputs);
        }
        let path = self.path.borrow().clone();
        let silent = Tape::from_env(self.env, false, path.clone());
        let constants: Vec<_> = inputs.iter().map(|x| Var::constant(x.value.clone())).collect();
        let value = f(&silent, &constants).into_value();
        let (env, saved) = (self.env, inputs.to_vec());
        let flows = silent.learns.get() || inputs.iter().any(Var::flows);
        self.finish("recompute", flows, value, move |sweep, d_out| {
            let inner = Tape::from_env(env, true, path);
            let inputs: Vec<_> = saved.iter().map(|x| inner.again(x)).collect();
            let y = f(&inner, &inputs);
            inner.seed(&y, d_out);
            drop(y);
            for (x, dx) in saved.into_iter().zip(inner.gradients(&inputs)) {
                if let Some(dx) = dx {
                    sweep.give(x.slot, dx);
                }
            }
        })
    }

    /// Goes back over everything: parameters' gradients land in the arena.
    pub fn backward(self) {
        self.sweep();
    }

    /// The same, and returns the gradients that reached `inputs`.
    pub fn gradients(self, inputs: &[Var]) -> Vec<Option<Tensor>> {
        let mut sweep = self.sweep();
        inputs.iter().map(|x| x.slot.and_then(|slot| sweep.slots[slot].take())).collect()
    }

    fn sweep(self) -> Sweep<'a> {
        let slots = vec![None; self.n_slots.get()];
        let mut sweep = Sweep { env: self.env, slots, at: ("seed", Path::new()) };
        for (slot, grad) in self.seeds.into_inner() {
            sweep.give(Some(slot), grad);
        }
        for node in self.nodes.into_inner().into_iter().rev() {
            if let Some(d_out) = sweep.slots[node.slot].take() {
                sweep.at = (node.op, node.path);
                (node.backward)(&mut sweep, d_out);
            }
        }
        sweep
    }
}

/// The backward pass under way: gradients of values still to come, and the parameters' arena.
pub struct Sweep<'a> {
    env: Env<'a>,
    slots: Vec<Option<Tensor>>,
    at: (&'static str, Path),
}

impl<'a> Sweep<'a> {
    /// Where it computes.
    pub fn device(&self) -> &'a Device {
        self.env.device
    }

    /// The weights.
    pub fn params(&self) -> &'a Params {
        self.env.params
    }

    /// The precision policy.
    pub fn precision(&self) -> Precision {
        self.env.precision
    }

    /// The gradient arena.
    ///
    /// # Panics
    /// When the tape was not made with one.
    pub fn grads(&self) -> RefMut<'a, Grads> {
        self.env.grads.expect("backward: a tape without a gradient arena").borrow_mut()
    }

    /// Adds to the gradient of a value.
    pub fn give(&mut self, slot: Option<usize>, grad: Tensor) {
        let Some(slot) = slot else { return };
        self.check(&grad);
        self.slots[slot] = Some(match self.slots[slot].take() {
            None => grad,
            Some(sum) => add(self.env.device, sum, &grad),
        });
    }

    /// Takes the gradient gathered so far, if an op can add to it in place. Give it back with
    /// [`Sweep::put`].
    pub fn take_for_adding(&mut self, slot: Option<usize>) -> Option<Tensor> {
        let held = &mut self.slots[slot?];
        held.as_ref().is_some_and(Tensor::is_unshared).then(|| held.take())?
    }

    /// Puts a gradient in place that already contains what was gathered.
    pub fn put(&mut self, slot: Option<usize>, grad: Tensor) {
        match slot {
            Some(at) if self.slots[at].is_none() => {
                self.check(&grad);
                self.slots[at] = Some(grad);
            }
            _ => self.give(slot, grad),
        }
    }

    /// Notes that the gradient of `param` was written by the current op.
    pub fn wrote(&self, param: &Param) {
        self.env.check((self.at.0, &self.at.1), true, || self.env.is_gradient_finite(param));
    }

    fn check(&self, grad: &Tensor) {
        self.env.check((self.at.0, &self.at.1), true, || self.env.is_finite(grad));
    }
}

fn add(device: &Device, sum: Tensor, grad: &Tensor) -> Tensor {
    assert_eq!(sum.shape(), grad.shape(), "gradients of one value differ in shape");
    assert_eq!(sum.dtype(), grad.dtype(), "gradients of one value differ in type");
    by_dtype!(grad.dtype(), T => {
        let mut out = device.unshared(sum);
        kernels::cast::add_assign(device.isa, out.as_mut_slice::<T>(), grad.as_slice::<T>());
        out
    })
}
