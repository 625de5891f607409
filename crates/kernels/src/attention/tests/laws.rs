//! Laws that hold whatever the numbers are: bits, masks, NaN, views, splits of a prompt.

use super::CAUSAL;
use super::case::{Case, Inputs, Segments, close, random, wide};
use crate::attention::{AttnSpec, Heads, Pattern, Qkv, QkvGrads, Saved, backward, forward};
use crate::gemm::Multiply;
use crate::reference::attention as reference;
use crate::{Element, Isa, bf16};

/// A call that crosses blocks of keys and of queries.
const LONG: Case = Case { shape: [2, 530, 530, 4, 2, 16], ..CAUSAL };

fn run_forward<T: Element>(qkv: Qkv<'_, T>, spec: &AttnSpec<'_>) -> (Vec<T>, Vec<f32>) {
    let mut out = vec![T::zeroed(); spec.shape.out_len()];
    let mut lse = vec![0.0; spec.shape.lse_len()];
    let multiply = if T::NAME == "BF16" { Multiply::Bf16 } else { Multiply::F32 };
    forward(Isa::detect(), multiply, &mut out, &mut lse, qkv, spec);
    (out, lse)
}

fn assert_same_bits<T: Element>(a: &[T], b: &[T], what: &str) {
    let bits = |x: &[T]| -> Vec<u8> { bytemuck::cast_slice(x).to_vec() };
    assert!(bits(a) == bits(b), "{what}: bits differ");
}

#[test]
fn threads_change_no_bit() {
    let decode = Case { shape: [2, 1, 1700, 4, 2, 16], q_start: 1699, ..CAUSAL };
    for case in [Case { bias: true, dropout: 0.1, ..LONG }, Case { bias: true, ..decode }] {
        let inputs = case.inputs::<bf16>();
        let with_threads = |n| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            pool.install(|| inputs.run(Isa::detect(), Multiply::Bf16))
        };
        let one = with_threads(1);
        for n in [2, 3, 7] {
            assert_eq!(one, with_threads(n), "{n} threads, {case:?}");
        }
    }
}

#[test]
fn a_row_has_the_same_bits_in_any_batch() {
    for q_len in [1, 13, 530] {
        let case = Case { shape: [3, q_len, 530, 4, 2, 16], q_start: 530 - q_len, ..CAUSAL };
        let Inputs { q, kv, .. } = case.inputs::<f32>();
        let spec = AttnSpec { q_start: case.q_start, ..AttnSpec::new(case.shape(), case.pattern) };
        let (out, lse) = run_forward(Qkv::split(&q, &kv, &spec.shape), &spec);
        let mut alone = spec;
        alone.shape.batch = 1;
        for b in 0..3 {
            let part = |x: &[f32]| x[b * x.len() / 3..(b + 1) * x.len() / 3].to_vec();
            let (q, kv) = (part(&q), part(&kv));
            let (out_b, lse_b) = run_forward(Qkv::split(&q, &kv, &alone.shape), &alone);
            assert_same_bits(&out_b, &part(&out), "out");
            assert_same_bits(&lse_b, &part(&lse), "lse");
        }
    }
}

/// More than one query: the same bits. A single one takes another path: within 2e-6 of the largest
/// entry in f32; in bf16 within 2^-7, of which its own rounding is 2^-9, that of the probabilities,
/// which the other path rounds, 2^-9, and the rest is room.
fn prompt_splits<T: Element>(bound: f64) {
    for pattern in [Pattern::Causal, Pattern::Window { size: 77 }, Pattern::Prefix { len: 40 }] {
        let shape = [1, 530, 530, 4, 2, 16];
        let case = Case { shape, pattern, ..CAUSAL };
        let Inputs { q, kv, .. } = case.inputs::<T>();
        let whole = AttnSpec::new(case.shape(), pattern);
        let (out, _) = run_forward(Qkv::split(&q, &kv, &whole.shape), &whole);
        let row = 4 * 16;
        for (start, len) in [(1, 7), (7, 12), (19, 400), (200, 2), (511, 19), (529, 1), (512, 1)] {
            let mut part = whole;
            (part.q_start, part.shape.q_len, part.shape.k_len) = (start, len, start + len);
            // A prefix is fully seen once it is there, so all of it comes before the split.
            if pattern == (Pattern::Prefix { len: 40 }) && start < 40 {
                continue;
            }
            let q = &q[start * row..(start + len) * row];
            let (part, _) = run_forward(Qkv::split(q, &kv, &part.shape), &part);
            let expected = &out[start * row..(start + len) * row];
            if len > 1 {
                assert_same_bits(&part, expected, "part of a prompt");
            }
            close(&wide(&part), &wide(expected), bound, &format!("{pattern:?} from {start}"));
        }
    }
}

#[test]
fn a_prompt_can_be_split_anywhere() {
    prompt_splits::<f32>(2e-6);
    prompt_splits::<bf16>(f64::powi(2.0, -7));
}

#[test]
fn views_of_one_head_are_alike() {
    let case = Case { shape: [2, 37, 37, 4, 2, 16], ..CAUSAL };
    let Inputs { q, kv, d_out, .. } = case.inputs::<bf16>();
    let spec = AttnSpec::new(case.shape(), case.pattern);
    let split = Qkv::split(&q, &kv, &spec.shape);
    let (out, lse) = run_forward(split, &spec);

    let rows = q.chunks(64).zip(kv.chunks(64));
    let packed: Vec<bf16> = rows.flat_map(|(q, kv)| [q, kv].concat()).collect();
    let packed_qkv = Qkv::packed(&packed, &spec.shape);
    let (packed_out, _) = run_forward(packed_qkv, &spec);
    assert_same_bits(&packed_out, &out, "packed");

    // Head-major keys in a cache with room for 50: [B, K, 50, H].
    let [k, v] = [split.k, split.v].map(|from| {
        let mut cache = vec![bf16::NAN; 2 * 2 * 50 * 16];
        for (b, n, t) in (0..2 * 2 * 37).map(|i| (i / 74, i / 37 % 2, i % 37)) {
            cache[((b * 2 + n) * 50 + t) * 16..][..16].copy_from_slice(from.row(b, t, n, 16));
        }
        cache
    });
    let [k, v] = [&k, &v].map(|data| Heads {
        data,
        offset: 0,
        batch_stride: 2 * 50 * 16,
        row_stride: 16,
        head_stride: 50 * 16,
    });
    let (cached, _) = run_forward(Qkv { q: split.q, k, v }, &spec);
    assert_same_bits(&cached, &out, "cache");

    let saved = Saved { out: &out, lse: &lse, d_out: &d_out };
    let (mut dq, mut dkv) = (q.clone(), kv.clone());
    let grads = QkvGrads::Split { q: &mut dq, kv: &mut dkv };
    backward(Isa::detect(), Multiply::Bf16, grads, None, saved, split, &spec);
    let mut dqkv = packed.clone();
    let grads = QkvGrads::Packed(&mut dqkv);
    backward(Isa::detect(), Multiply::Bf16, grads, None, saved, packed_qkv, &spec);
    let rows = dq.chunks(64).zip(dkv.chunks(64));
    let expected: Vec<bf16> = rows.flat_map(|(q, kv)| [q, kv].concat()).collect();
    assert_same_bits(&dqkv, &expected, "packed gradients");
}

#[test]
fn a_row_that_sees_no_key_is_zero() {
    for q_len in [1, 41] {
        for isa in Isa::supported() {
            let case = Case {
                shape: [2, q_len, 41, 2, 1, 8],
                segments: Segments::AllPadding,
                q_start: 41 - q_len,
                ..CAUSAL
            };
            let results = case.inputs::<f32>().run(isa, Multiply::F32);
            // Row 0 of the batch is padding alone.
            let zeros = |x: &[f32]| x[..x.len() / 2].iter().all(|x| *x == 0.0);
            assert!(zeros(&results.out) && zeros(&results.dq) && zeros(&results.dkv), "{isa}");
            let (padding, rest) = results.lse.split_at(results.lse.len() / 2);
            assert!(padding.iter().all(|x| *x == f32::NEG_INFINITY), "{isa}");
            assert!(rest.iter().all(|x| x.is_finite()), "{isa}");
        }
    }
}

#[test]
fn a_nan_reaches_the_rows_that_see_it_and_no_others() {
    for isa in Isa::supported() {
        for (shape, q_start) in [([1, 41, 41, 1, 1, 8], 0), ([1, 1, 41, 1, 1, 8], 40)] {
            let case = Case { shape, q_start, segments: Segments::Packed, bias: true, ..CAUSAL };
            let mut inputs = case.inputs::<f32>();
            if shape[1] > 1 {
                inputs.q[5 * 8] = f32::NAN;
            }
            inputs.kv[30 * 16] = f32::NAN; // Of key 30.
            let results = inputs.run(isa, Multiply::F32);
            let spec = inputs.spec();
            for t in 0..shape[1] {
                let expected = (shape[1] > 1 && t == 5) || spec.sees(0, t, 30);
                let row = &results.out[t * 8..][..8];
                assert!(row.iter().all(|x| x.is_nan() == expected), "{isa}: row {t}: {row:?}");
                assert_eq!(results.lse[t].is_nan(), expected, "{isa}: lse {t}");
            }
            assert!(results.dq.iter().any(|x| x.is_nan()), "{isa}: gradients lose the NaN");
        }
    }
}

#[test]
fn a_micro_batch_sees_the_dropout_of_its_rows() {
    let case = Case { shape: [3, 20, 20, 2, 1, 8], dropout: 0.3, ..CAUSAL };
    let inputs = case.inputs::<f32>();
    let spec = inputs.spec();
    let (out, _) = run_forward(Qkv::split(&inputs.q, &inputs.kv, &spec.shape), &spec);
    let mut last = spec;
    last.shape.batch = 1;
    last.dropout.as_mut().unwrap().offset += 2;
    let tail = |x: &[f32]| x[x.len() / 3 * 2..].to_vec();
    let (q, kv) = (tail(&inputs.q), tail(&inputs.kv));
    let (out_last, _) = run_forward(Qkv::split(&q, &kv, &last.shape), &last);
    assert_same_bits(&out_last, &tail(&out), "row 2");
}

#[test]
fn dropout_keeps_its_share_and_its_mean() {
    let case = Case { shape: [4, 64, 64, 2, 2, 8], dropout: 0.25, ..CAUSAL };
    let inputs = case.inputs::<f32>();
    let spec = inputs.spec();
    let all = 4 * 2 * 64 * 64;
    let at = |i: usize| [i / 8192, i / 4096 % 2, i / 64 % 64, i % 64];
    let kept = (0..all).filter(|&i| spec.multiplier(at(i)) > 0.0).count();
    let share = kept as f64 / all as f64;
    // Four standard deviations of a binomial share.
    assert!((share - 0.75).abs() < 4.0 * (0.75 * 0.25 / all as f64).sqrt(), "kept {share}");
    let sum: f64 = (0..all).map(|i| f64::from(spec.multiplier(at(i)))).sum();
    assert!((sum - kept as f64 / 0.75).abs() < 1e-2, "sum {sum}");
}

/// The reference's gradients against central differences of `sum(out * d_out)`, in f64.
fn check_reference_gradients(case: Case) {
    const STEP: f64 = 1e-5;
    let inputs = case.inputs::<f32>();
    let (spec, shape) = (inputs.spec(), case.shape());
    let slow = inputs.reference();
    let bias: Vec<f32> = if case.bias { random(shape.bias_len(), 4) } else { Vec::new() };
    let mut x = [wide(&inputs.q), wide(&inputs.kv), wide(&bias)];
    let d_out = wide(&inputs.d_out);
    let loss = |x: &[Vec<f64>; 3]| -> f64 {
        let qkv = Qkv::split(&x[0], &x[1], &shape);
        let bias = case.bias.then_some(&x[2][..]);
        let (mut out, mut lse) = (vec![0.0; d_out.len()], vec![0.0; shape.lse_len()]);
        reference::forward(&mut out, &mut lse, &reference::Problem { spec: &spec, qkv, bias });
        out.iter().zip(&d_out).map(|(a, b)| a * b).sum()
    };
    for (which, grad) in [&slow.dq, &slow.dkv, &slow.dbias].into_iter().enumerate() {
        for i in 0..grad.len() {
            let at = x[which][i];
            let mut shifted = |by| {
                x[which][i] = at + by;
                let value = loss(&x);
                x[which][i] = at;
                value
            };
            let numeric = (shifted(STEP) - shifted(-STEP)) / (2.0 * STEP);
            let error = (numeric - grad[i]).abs();
            assert!(error < 1e-8, "{case:?}, operand {which}, {i}: {} != {numeric}", grad[i]);
        }
    }
}

#[test]
fn the_reference_has_the_gradient_of_its_forward() {
    let small = Case { shape: [2, 5, 5, 4, 2, 3], ..CAUSAL };
    check_reference_gradients(small);
    check_reference_gradients(Case { bias: true, dropout: 0.3, ..small });
    check_reference_gradients(Case { segments: Segments::Holes, bias: true, ..small });
    let cross = Case { shape: [1, 3, 6, 2, 1, 3], pattern: Pattern::Full, ..small };
    check_reference_gradients(Case { segments: Segments::Memory, ..cross });
    check_reference_gradients(Case { pattern: Pattern::Window { size: 2 }, q_start: 3, ..cross });
    check_reference_gradients(Case { pattern: Pattern::Prefix { len: 4 }, bias: true, ..cross });
}
