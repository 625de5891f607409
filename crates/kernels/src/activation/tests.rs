use super::*;
use crate::element::bf16;
use crate::reference::activation as reference;
use crate::reference::cast::{round, widen};
use testing::{EDGE_SIZES, Numbers, Tolerance, assert_close, same_for_any_threads};

/// Rounding of the stored value, and 1e-6 of the arithmetic.
fn tolerance<Y: Element>() -> Tolerance {
    if Y::NAME == "BF16" {
        Tolerance { abs: 2e-6, rel: 4e-3 }
    } else {
        Tolerance { abs: 1e-6, rel: 1e-6 }
    }
}

fn case<X: Element, G: Element, Y: Element>(isa: Isa, act: Activation, n: usize) {
    let mut numbers = Numbers::new(n as u64);
    let x: Vec<X> = round(&numbers.uniform(n, -8.0, 8.0));
    let dy: Vec<G> = round(&numbers.normal(n));
    let what = format!("{isa} {act:?} {n} {} {}", X::NAME, Y::NAME);

    let mut y = vec![Y::from_f32(7.0); n];
    forward(isa, act, &mut y, &x);
    let expected: Vec<f64> = widen(&x).iter().map(|&x| reference::apply(act, x)).collect();
    assert_close(&what, &widen(&y), &expected, tolerance::<Y>());

    let mut dx = vec![Y::from_f32(7.0); n];
    backward(isa, act, &mut dx, &dy, &x);
    let pairs = widen(&x).into_iter().zip(widen(&dy));
    let expected: Vec<f64> = pairs.map(|(x, dy)| dy * reference::derivative(act, x)).collect();
    let tol = tolerance::<Y>();
    assert_close(&what, &widen(&dx), &expected, Tolerance { abs: 4e-6, ..tol });
}

fn gated_case<X: Element>(isa: Isa, act: Activation, n_rows: usize, d_ff: usize) {
    let mut numbers = Numbers::new(d_ff as u64);
    let x: Vec<X> = round(&numbers.uniform(2 * n_rows * d_ff, -4.0, 4.0));
    let dy = numbers.normal(n_rows * d_ff);
    let what = format!("{isa} {act:?} {n_rows} x {d_ff} {}", X::NAME);

    let mut y = vec![X::from_f32(7.0); dy.len()];
    gated_forward(isa, act, &mut y, &x, d_ff);
    let expected = reference::gated_forward(act, &widen(&x), d_ff);
    assert_close(&what, &widen(&y), &expected, Tolerance { abs: 8e-6, ..tolerance::<X>() });

    let mut dx = vec![X::from_f32(7.0); x.len()];
    gated_backward(isa, act, &mut dx, &dy, &x, d_ff);
    let expected = reference::gated_backward(act, &widen(&dy), &widen(&x), d_ff);
    assert_close(&what, &widen(&dx), &expected, Tolerance { abs: 3e-5, ..tolerance::<X>() });
}

#[test]
fn equals_the_reference() {
    for isa in Isa::supported() {
        for act in Activation::ALL {
            for n in EDGE_SIZES {
                case::<f32, f32, f32>(isa, act, n);
                case::<bf16, bf16, bf16>(isa, act, n);
            }
            case::<bf16, f32, f32>(isa, act, 33);
        }
    }
}

#[test]
fn gated_equals_the_reference() {
    for isa in Isa::supported() {
        for act in Activation::ALL {
            for (n_rows, d_ff) in [(0, 4), (1, 1), (3, 15), (2, 16), (5, 17), (1, 257), (40, 1031)]
            {
                gated_case::<f32>(isa, act, n_rows, d_ff);
                gated_case::<bf16>(isa, act, n_rows, d_ff);
            }
        }
    }
}

#[test]
fn extremes_do_not_make_nan_and_nan_stays() {
    for isa in Isa::supported() {
        for act in Activation::ALL {
            let x = [-1e30, -200.0, 200.0, 1e30, f32::NAN];
            let (mut y, mut dx) = ([0.0_f32; 5], [0.0_f32; 5]);
            forward(isa, act, &mut y, &x);
            backward(isa, act, &mut dx, &[1.0_f32; 5], &x);
            let (expected, slopes) = match act {
                Activation::Tanh => ([-1.0, -1.0, 1.0, 1.0], [0.0; 4]),
                _ => ([0.0, 0.0, 200.0, 1e30], [0.0, 0.0, 1.0, 1.0]),
            };
            assert_eq!(y[..4], expected, "{isa} {act:?}");
            assert_eq!(dx[..4], slopes, "{isa} {act:?}");
            assert!(y[4].is_nan(), "{isa} {act:?}");
        }
    }
}

#[test]
fn threads_change_nothing() {
    let d_ff = 1031;
    let (x, dy) = (Numbers::new(1).normal(100 * d_ff), Numbers::new(2).normal(100 * d_ff));
    for isa in Isa::supported() {
        for act in Activation::ALL {
            same_for_any_threads(|| {
                let [mut y, mut dx, mut dx_gated] = [(); 3].map(|()| vec![0.0_f32; x.len()]);
                let mut y_gated = vec![0.0_f32; x.len() / 2];
                forward(isa, act, &mut y, &x);
                backward(isa, act, &mut dx, &dy, &x);
                gated_forward(isa, act, &mut y_gated, &x, d_ff);
                gated_backward(isa, act, &mut dx_gated, &dy[..x.len() / 2], &x, d_ff);
                [y, dx, y_gated, dx_gated]
            });
        }
    }
}
