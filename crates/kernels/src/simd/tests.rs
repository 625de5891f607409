use super::{Block, Simd, for_blocks, math, simd_fn};
use crate::element::{Element, bf16, f16};
use crate::{Isa, reference};
use testing::{Numbers, Tolerance, assert_close, assert_same_bits};

simd_fn! {
    fn exp_all(y: &mut [f32], x: &[f32]) = exp_body;
}
#[inline(always)]
fn exp_body<S: Simd>(s: S, y: &mut [f32], x: &[f32]) {
    for_blocks!(x.len(), |at| {
        at.store(s, y, math::exp_down(s, at.load(s, x)));
    });
}

simd_fn! {
    fn normal_all(phi: &mut [f32], density: &mut [f32], x: &[f32]) = normal_body;
}
#[inline(always)]
fn normal_body<S: Simd>(s: S, integral: &mut [f32], density: &mut [f32], x: &[f32]) {
    for_blocks!(x.len(), |at| {
        let (phi, d) = math::normal(s, at.load(s, x));
        at.store(s, integral, phi);
        at.store(s, density, d);
    });
}

simd_fn! {
    fn copy<X: Element, Y: Element>(y: &mut [Y], x: &[X]) = copy_body;
}
#[inline(always)]
fn copy_body<S: Simd, X: Element, Y: Element>(s: S, y: &mut [Y], x: &[X]) {
    for_blocks!(x.len(), |at| {
        at.store(s, y, at.load(s, x));
    });
}

simd_fn! {
    fn reduce(x: [f32; 16], n: usize) -> [f32; 3] = reduce_body;
}
#[inline(always)]
fn reduce_body<S: Simd>(s: S, x: [f32; 16], n: usize) -> [f32; 3] {
    let x = s.from_array(x);
    let first = s.select(s.first(n), x, s.splat(0.0));
    [s.reduce_add(x), s.reduce_max(x), s.reduce_add(first)]
}

#[test]
fn exp_is_within_two_ulp_of_f64() {
    let x: Vec<f32> = (-86_990..88_000).map(|i| i as f32 * 1e-3).collect();
    let expected: Vec<f64> = x.iter().map(|&x| f64::from(x).exp()).collect();
    for isa in Isa::supported() {
        let mut y = vec![0.0; x.len()];
        exp_all(isa, &mut y, &x);
        assert_close(isa.name(), &y, &expected, Tolerance::rel(1.3e-7));
    }
}

#[test]
fn exp_at_the_ends() {
    let x = [f32::NEG_INFINITY, -1e30, -87.01, 0.0, f32::NAN];
    let expected = [0.0, 0.0, 0.0, 1.0, f32::NAN];
    for isa in Isa::supported() {
        let mut y = [7.0; 5];
        exp_all(isa, &mut y, &x);
        assert_close(isa.name(), &y, &expected, Tolerance::rel(0.0));
        // A NaN with a payload must not be shifted into a number.
        exp_all(isa, &mut y[..1], &[f32::from_bits(0x7fc0_0001)]);
        assert!(y[0].is_nan());
    }
}

#[test]
fn normal_is_accurate_in_its_tail() {
    let x: Vec<f32> = (-12_900..12_900).map(|i| i as f32 * 1e-3).collect();
    let x_f64: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let expected: Vec<f64> = x_f64.iter().map(|&x| reference::activation::normal(x)).collect();
    let density = |x: &f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
    let densities: Vec<f64> = x_f64.iter().map(density).collect();
    for isa in Isa::supported() {
        let (mut phi, mut d) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        normal_all(isa, &mut phi, &mut d, &x);
        // Without a fused multiply-add the rounding of x^2 is not seen: up to 4e-6 far out.
        let tol = Tolerance { abs: 1e-37, rel: if isa == Isa::Portable { 6e-6 } else { 1e-6 } };
        assert_close(isa.name(), &phi, &expected, tol);
        assert_close(isa.name(), &d, &densities, tol);
    }
}

#[test]
fn normal_at_the_ends() {
    for isa in Isa::supported() {
        let (mut phi, mut d) = ([7.0; 3], [7.0; 3]);
        normal_all(isa, &mut phi, &mut d, &[f32::NEG_INFINITY, f32::INFINITY, f32::NAN]);
        assert_eq!((phi[0], phi[1], d[0], d[1]), (0.0, 1.0, 0.0, 0.0), "{isa}");
        assert!(phi[2].is_nan() && d[2].is_nan(), "{isa}");
    }
}

#[test]
fn every_length_is_copied_and_no_more() {
    for isa in Isa::supported() {
        for n in 0..40 {
            let x = Numbers::new(n as u64).normal(n);
            let check = |y: &[f32]| {
                assert_eq!(y[..n], x[..], "{isa} {n}");
                assert!(y[n..].iter().all(|&y| y == 7.0), "{isa} {n}");
            };
            let mut y = [7.0_f32; 64];
            copy(isa, &mut y[..n], &x);
            check(&y);
            let halves: Vec<f16> = x.iter().map(|&x| f16::from_f32(x)).collect();
            let mut y = [f16::from_f32(7.0); 64];
            copy(isa, &mut y[..n], &halves);
            assert_eq!(y[..n], halves[..], "{isa} {n}");
            assert!(y[n..].iter().all(|y| y.to_f32() == 7.0), "{isa} {n}");
            let halves: Vec<bf16> = x.iter().map(|&x| bf16::from_f32(x)).collect();
            let mut y = [bf16::from_f32(7.0); 64];
            copy(isa, &mut y[..n], &halves);
            assert_eq!(y[..n], halves[..], "{isa} {n}");
            assert!(y[n..].iter().all(|y| y.to_f32() == 7.0), "{isa} {n}");
        }
    }
}

#[test]
fn halves_round_to_nearest_even() {
    let mut numbers = Numbers::new(1);
    let any = (0..100_003).map(|_| f32::from_bits(numbers.bits() as u32));
    // Ties of bf16, in both directions; the rest is every kind of number there is.
    let ties = [0x3f80_8000, 0x3f81_8000, 0x7f7f_8000, 0x7f80_0001, 0xff80_0000, 0x8000_0000];
    let x: Vec<f32> = any.chain(ties.map(f32::from_bits)).filter(|x| !x.is_subnormal()).collect();
    for isa in Isa::supported() {
        let mut y = vec![bf16::ZERO; x.len()];
        copy(isa, &mut y, &x);
        let mut z = vec![f16::ZERO; x.len()];
        copy(isa, &mut z, &x);
        for i in 0..x.len() {
            assert_eq!(y[i].is_nan(), x[i].is_nan());
            assert_eq!(z[i].is_nan(), x[i].is_nan());
            if !x[i].is_nan() {
                assert_eq!(y[i].to_bits(), bf16::from_f32(x[i]).to_bits(), "{isa} {}", x[i]);
                assert_eq!(z[i].to_bits(), f16::from_f32(x[i]).to_bits(), "{isa} {}", x[i]);
            }
        }
    }
}

#[test]
fn reductions_have_the_same_bits_everywhere() {
    let x: [f32; 16] = Numbers::new(5).normal(16).try_into().expect("16 numbers");
    let largest = x.iter().copied().fold(f32::MIN, f32::max);
    for n in 0..=16 {
        let expected = reduce(Isa::Portable, x, n);
        assert_eq!(expected[1], largest);
        let sum: f32 = x[..n].iter().sum();
        assert!((expected[2] - sum).abs() < 1e-5, "{n}");
        for isa in Isa::supported() {
            assert_same_bits(isa.name(), &reduce(isa, x, n), &expected);
        }
    }
}
