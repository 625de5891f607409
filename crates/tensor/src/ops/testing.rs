//! Gradient checks of ops: every parameter and every input, against central differences.

use std::cell::RefCell;

use kernels::Isa;
use kernels::philox::{Key, fill_normal};

use crate::dtype::{DType, Precision};
use crate::params::{Grads, Init, Param, Params, ParamsBuilder};
use crate::tape::{Tape, Var};
use crate::value::{Device, Tensor};

pub(crate) struct Fixture {
    pub device: Device,
    pub params: Params,
    pub inputs: Vec<Tensor>,
}

impl Fixture {
    pub fn new(params: &[(&str, &[usize])], inputs: &[&[usize]]) -> Self {
        let device = Device::cpu(Isa::detect());
        let mut builder = ParamsBuilder::default();
        for (name, shape) in params {
            builder.param(name, shape, Init::Normal { std: 0.7 });
        }
        let inputs = inputs.iter().enumerate().map(|(i, shape)| {
            let mut x = device.empty(shape, DType::F32);
            let key = Key { seed: i as u64, stream: 40 };
            fill_normal(x.as_mut_slice::<f32>(), key, 0.0, 1.0);
            x
        });
        Self { params: builder.build(7), inputs: inputs.collect(), device }
    }

    fn handles(&self) -> Vec<Param> {
        self.params.entries().iter().map(|e| e.param.clone()).collect()
    }
}

/// Weights of the sum that is differentiated: every output counts differently.
fn weight(i: usize) -> f32 {
    ((i * 37 % 19) as f32 - 9.0) / 9.0
}

fn objective<F>(fixture: &Fixture, inputs: &[Tensor], f: &F) -> f64
where
    F: for<'a> Fn(&Tape<'a>, &[Param], &[Var]) -> Var,
{
    let tape = Tape::new(&fixture.device, &fixture.params, Precision::F32);
    let inputs: Vec<Var> = inputs.iter().map(|x| Var::constant(x.clone())).collect();
    let y = f(&tape, &fixture.handles(), &inputs);
    y.value().to_vec().iter().enumerate().map(|(i, &y)| f64::from(y) * f64::from(weight(i))).sum()
}

/// Holds the gradients of `f`, summed with fixed weights, against central differences.
///
/// The kernels compute in f32, so the differences are wide (`h` = 0.02) and the bound is 1 % of the
/// largest gradient: it finds a wrong formula; the kernels' own tests hold the digits.
#[track_caller]
pub(crate) fn check<F>(fixture: &Fixture, f: F)
where
    F: for<'a> Fn(&Tape<'a>, &[Param], &[Var]) -> Var,
{
    let grads = RefCell::new(Grads::new(&fixture.params));
    let analytic_inputs = {
        let tape = Tape::recording(&fixture.device, &fixture.params, Precision::F32, &grads);
        let inputs: Vec<Var> = fixture.inputs.iter().map(|x| tape.input(x.clone())).collect();
        let y = f(&tape, &fixture.handles(), &inputs);
        let n = y.value().n_elements();
        let dy: Vec<f32> = (0..n).map(weight).collect();
        tape.seed(&y, fixture.device.tensor(y.value().shape(), &dy));
        tape.gradients(&inputs)
    };
    let mut fixture = Fixture {
        device: fixture.device.clone(),
        params: copy(&fixture.params),
        inputs: fixture.inputs.clone(),
    };
    for entry in fixture.params.entries().to_vec() {
        let analytic = grads.borrow().get(&entry.param).expect("written").to_vec();
        let mut numeric = vec![0.0; analytic.len()];
        for (i, slot) in numeric.iter_mut().enumerate() {
            *slot = central(|h| {
                let old = fixture.params.get(&entry.param)[i];
                fixture.params.get_mut(&entry.param)[i] = old + h;
                let y = objective(&fixture, &fixture.inputs, &f);
                fixture.params.get_mut(&entry.param)[i] = old;
                y
            });
        }
        close(&entry.name, &analytic, &numeric);
    }
    for (at, analytic) in analytic_inputs.into_iter().enumerate() {
        let values = fixture.inputs[at].to_vec();
        let numeric: Vec<f64> = (0..values.len())
            .map(|i| {
                central(|h| {
                    let mut moved = values.clone();
                    moved[i] += h;
                    let mut inputs = fixture.inputs.clone();
                    inputs[at] = fixture.device.tensor(inputs[at].shape(), &moved);
                    objective(&fixture, &inputs, &f)
                })
            })
            .collect();
        close("input", &analytic.expect("a gradient").to_vec(), &numeric);
    }
}

fn copy(params: &Params) -> Params {
    let mut builder = ParamsBuilder::default();
    for e in params.entries() {
        builder.param(&e.name, e.param.shape(), Init::Zeros);
    }
    let mut copy = builder.build_zeroed();
    copy.values_mut().copy_from_slice(params.values());
    copy
}

fn central(mut f: impl FnMut(f32) -> f64) -> f64 {
    const H: f32 = 0.02;
    // Richardson's step takes the third derivative out.
    let wide = (f(H) - f(-H)) / f64::from(2.0 * H);
    let narrow = (f(H / 2.0) - f(-H / 2.0)) / f64::from(H);
    (4.0 * narrow - wide) / 3.0
}

#[track_caller]
fn close(name: &str, analytic: &[f32], numeric: &[f64]) {
    let scale = numeric.iter().fold(1e-3_f64, |m, x| m.max(x.abs()));
    for (i, (&a, &n)) in analytic.iter().zip(numeric).enumerate() {
        let error = (f64::from(a) - n).abs() / scale;
        assert!(error < 0.01, "gradient of {name}[{i}]: analytic {a}, numeric {n}");
    }
}
