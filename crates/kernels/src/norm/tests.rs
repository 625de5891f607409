use super::*;
use crate::element::{bf16, f16};
use crate::layer_norm::{self, RowStats};
use crate::reference::cast::{round, widen};
use crate::reference::norm as reference;
use crate::rms_norm;
use testing::{Numbers, Tolerance, assert_close, same_for_any_threads};

const EPS: f32 = 1e-5;
/// `(rows, width)`; the last ones are cut into several pieces and partial sums.
const SHAPES: [(usize, usize); 11] = [
    (0, 4),
    (1, 1),
    (3, 2),
    (2, 15),
    (2, 16),
    (5, 17),
    (3, 31),
    (16, 33),
    (17, 257),
    (70, 512),
    (1031, 48),
];

struct Case<X, G> {
    x: Vec<X>,
    dy: Vec<G>,
    w: Vec<f32>,
    b: Vec<f32>,
    n_rows: usize,
    d: usize,
}

impl<X: Element, G: Element> Case<X, G> {
    fn new((n_rows, d): (usize, usize)) -> Self {
        let mut numbers = Numbers::new((n_rows * d) as u64);
        Self {
            x: round(&numbers.uniform(n_rows * d, -3.0, 5.0)),
            dy: round(&numbers.normal(n_rows * d)),
            w: numbers.normal(d),
            b: numbers.normal(d),
            n_rows,
            d,
        }
    }

    fn check_forward<Y: Element>(&self, isa: Isa, tol: Tolerance) {
        let what = format!("{isa} {} x {} {} {}", self.n_rows, self.d, X::NAME, Y::NAME);
        for centered in [true, false] {
            let (mut mean, mut rstd) = (vec![7.0; self.n_rows], vec![7.0; self.n_rows]);
            let mut y = vec![Y::from_f32(7.0); self.x.len()];
            let mut b = widen(&self.b);
            if centered {
                let stats = RowStats { mean: &mut mean, rstd: &mut rstd };
                layer_norm::forward(isa, &mut y, stats, &self.x, &self.w, Some(&self.b), EPS);
            } else {
                rms_norm::forward(isa, &mut y, &mut rstd, &self.x, &self.w, EPS);
                b.fill(0.0);
                mean.fill(0.0);
            }
            let expected =
                reference::forward(&widen(&self.x), &widen(&self.w), &b, EPS.into(), centered);
            assert_close(&what, &widen(&y), &expected.y, tol);
            assert_close(&what, &mean, &expected.mean, Tolerance::both(1e-5));
            assert_close(&what, &rstd, &expected.rstd, Tolerance::both(1e-5));
        }
    }

    /// `dx`, `dw`, `db` of one backward pass onto gradients that hold `start`.
    fn backward(&self, isa: Isa, centered: bool, write: Write, start: f32) -> [Vec<f32>; 3] {
        let mut y = vec![0.0_f32; self.x.len()];
        let (mut mean, mut rstd) = (vec![0.0; self.n_rows], vec![0.0; self.n_rows]);
        let mut dx = vec![start; self.x.len()];
        let (mut dw, mut db) = (vec![start; self.d], vec![start; self.d]);
        let (dy, x, w) = (&self.dy, &self.x, &self.w);
        if centered {
            let stats = RowStats { mean: &mut mean, rstd: &mut rstd };
            layer_norm::forward(isa, &mut y, stats, x, w, None, EPS);
            let grads = NormGrads { dw: &mut dw, db: Some(&mut db) };
            layer_norm::backward(isa, &mut dx, grads, dy, x, w, (&mean, &rstd), write);
        } else {
            rms_norm::forward(isa, &mut y, &mut rstd, x, w, EPS);
            rms_norm::backward(isa, &mut dx, &mut dw, dy, x, w, &rstd, write);
        }
        [dx, dw, db]
    }

    fn check_backward(&self, isa: Isa) {
        let what = format!("{isa} {} x {} backward", self.n_rows, self.d);
        for (centered, write) in
            [(true, Write::Overwrite), (true, Write::Add), (false, Write::Overwrite)]
        {
            let [dx, dw, db] = self.backward(isa, centered, write, 0.5);
            let (dy, x, w) = (widen(&self.dy), widen(&self.x), widen(&self.w));
            let expected = reference::backward(&dy, &x, &w, EPS.into(), centered);
            let onto = if matches!(write, Write::Add) { 0.5 } else { 0.0 };
            let plus = |x: &[f64], by: f64| x.iter().map(|x| x + by).collect::<Vec<_>>();
            // With two columns the deviation may be small, and its inverse large.
            let size = 1.0 + expected.dx.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
            let tol = Tolerance::both(1e-5);
            let tol_x = Tolerance { abs: 1e-5 * size, rel: 1e-4 };
            assert_close(&what, &dx, &plus(&expected.dx, onto), tol_x);
            let scale = (self.n_rows as f64).sqrt() + 1.0;
            let tol = Tolerance { abs: tol.abs * scale, ..tol };
            assert_close(&what, &dw, &plus(&expected.dw, 0.5), tol);
            if centered {
                assert_close(&what, &db, &plus(&expected.db, 0.5), tol);
            }
        }
    }
}

#[test]
fn equals_the_reference() {
    for isa in Isa::supported() {
        for shape in SHAPES {
            let case = Case::<f32, f32>::new(shape);
            case.check_forward::<f32>(isa, Tolerance::both(2e-5));
            case.check_forward::<bf16>(isa, Tolerance::both(4e-3));
            case.check_backward(isa);
        }
        let halves = Case::<bf16, bf16>::new((19, 257));
        halves.check_forward::<bf16>(isa, Tolerance::both(4e-3));
        halves.check_backward(isa);
        Case::<f16, f16>::new((19, 33)).check_forward::<f16>(isa, Tolerance::both(1e-3));
    }
}

#[test]
fn a_row_far_from_zero_keeps_its_variance() {
    for isa in Isa::supported() {
        let x: Vec<f32> = (0..32).map(|i| 4096.0 + (i % 2) as f32).collect();
        let (mut y, mut mean, mut rstd) = ([0.0_f32; 32], [0.0], [0.0]);
        let stats = RowStats { mean: &mut mean, rstd: &mut rstd };
        layer_norm::forward(isa, &mut y, stats, &x, &[1.0; 32], None, 0.0);
        assert_eq!((mean, rstd), ([4096.5], [2.0]), "{isa}");
        assert_eq!(y[..2], [-1.0, 1.0]);
    }
}

#[test]
fn nan_stays_in_its_row() {
    for isa in Isa::supported() {
        let mut x = [1.0_f32, 2.0, 3.0, f32::NAN, 1.0, 4.0];
        for bad in [f32::NAN, f32::INFINITY] {
            x[3] = bad;
            let (mut y, mut mean, mut rstd) = ([0.0_f32; 6], [0.0; 2], [0.0; 2]);
            let stats = RowStats { mean: &mut mean, rstd: &mut rstd };
            layer_norm::forward(isa, &mut y, stats, &x, &[1.0; 3], None, EPS);
            assert!(y[..3].iter().all(|y| y.is_finite()), "{isa}");
            assert!(y[3].is_nan(), "{isa}");
        }
    }
}

#[test]
fn threads_change_nothing() {
    let case = Case::<f32, f32>::new((1031, 48));
    for isa in Isa::supported() {
        same_for_any_threads(|| case.backward(isa, true, Write::Overwrite, 0.0));
    }
}
