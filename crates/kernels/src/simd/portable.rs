//! Sixteen lanes as an array: what the compiler makes of it on any CPU.
#![allow(clippy::inline_always)] // As in `simd`.

use super::{LANES, Simd, padded};
use crate::element::{Element, bf16, f16};
use std::array;

/// The baseline target's instructions.
#[derive(Clone, Copy)]
pub struct Portable;

/// Sixteen f32.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Lanes([f32; LANES]);

#[inline(always)]
fn map(f: impl Fn(usize) -> f32) -> Lanes {
    Lanes(array::from_fn(f))
}

#[inline(always)]
fn halve(mut a: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            a[i] = f(a[i], a[i + half]);
        }
    }
    a[0]
}

impl Simd for Portable {
    type F = Lanes;
    type M = [bool; LANES];

    #[inline(always)]
    fn splat(self, x: f32) -> Lanes {
        Lanes([x; LANES])
    }
    #[inline(always)]
    fn from_array(self, x: [f32; LANES]) -> Lanes {
        Lanes(x)
    }
    #[inline(always)]
    fn to_array(self, x: Lanes) -> [f32; LANES] {
        x.0
    }

    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        map(|i| a.0[i] + b.0[i])
    }
    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        map(|i| a.0[i] - b.0[i])
    }
    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        map(|i| a.0[i] * b.0[i])
    }
    #[inline(always)]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        map(|i| a.0[i] / b.0[i])
    }
    #[inline(always)]
    fn fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        map(|i| a.0[i] * b.0[i] + c.0[i])
    }
    #[inline(always)]
    fn fnma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        map(|i| c.0[i] - a.0[i] * b.0[i])
    }
    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        map(|i| if a.0[i] > b.0[i] { a.0[i] } else { b.0[i] })
    }
    #[inline(always)]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        map(|i| if a.0[i] < b.0[i] { a.0[i] } else { b.0[i] })
    }
    #[inline(always)]
    fn sqrt(self, a: Lanes) -> Lanes {
        map(|i| a.0[i].sqrt())
    }
    #[inline(always)]
    fn abs(self, a: Lanes) -> Lanes {
        map(|i| a.0[i].abs())
    }
    #[inline(always)]
    fn round(self, a: Lanes) -> Lanes {
        // The sum has no bits below one; `round_ties_even` would be a call on the baseline.
        const SHIFT: f32 = 12_582_912.0; // 1.5 * 2^23
        map(|i| (a.0[i] + SHIFT) - SHIFT)
    }
    #[inline(always)]
    fn scale_by_power(self, a: Lanes, n: Lanes) -> Lanes {
        // The low bits of the sum are `n`; shifting moves them onto the exponent.
        const SHIFT: f32 = 12_582_912.0;
        map(|i| {
            let power = (n.0[i] + SHIFT).to_bits() << 23;
            let scaled = f32::from_bits(a.0[i].to_bits().wrapping_add(power));
            if a.0[i].is_nan() { a.0[i] } else { scaled }
        })
    }

    #[inline(always)]
    fn lt(self, a: Lanes, b: Lanes) -> [bool; LANES] {
        array::from_fn(|i| a.0[i] < b.0[i])
    }
    #[inline(always)]
    fn select(self, mask: [bool; LANES], yes: Lanes, no: Lanes) -> Lanes {
        map(|i| if mask[i] { yes.0[i] } else { no.0[i] })
    }
    #[inline(always)]
    fn first(self, n: usize) -> [bool; LANES] {
        array::from_fn(|i| i < n)
    }

    #[inline(always)]
    fn reduce_add(self, a: Lanes) -> f32 {
        halve(a.0, |a, b| a + b)
    }
    #[inline(always)]
    fn reduce_max(self, a: Lanes) -> f32 {
        halve(a.0, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn load_f32(self, x: &[f32; LANES]) -> Lanes {
        Lanes(*x)
    }
    #[inline(always)]
    fn load_bf16(self, x: &[bf16; LANES]) -> Lanes {
        map(|i| f32::from_bits(u32::from(x[i].to_bits()) << 16))
    }
    #[inline(always)]
    fn load_f16(self, x: &[f16; LANES]) -> Lanes {
        map(|i| x[i].to_f32())
    }
    #[inline(always)]
    fn load_part_f32(self, x: &[f32]) -> Lanes {
        Lanes(padded(x))
    }
    #[inline(always)]
    fn load_part_bf16(self, x: &[bf16]) -> Lanes {
        self.load_bf16(&padded(x))
    }
    #[inline(always)]
    fn load_part_f16(self, x: &[f16]) -> Lanes {
        self.load_f16(&padded(x))
    }

    #[inline(always)]
    fn store_f32(self, y: &mut [f32; LANES], v: Lanes) {
        *y = v.0;
    }
    #[inline(always)]
    fn store_bf16(self, y: &mut [bf16; LANES], v: Lanes) {
        *y = v.0.map(|x| {
            let bits = x.to_bits();
            let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
            // The quiet bit keeps a NaN whose payload was in the lower half.
            let bits = if x.is_nan() { bits | 0x0040_0000 } else { rounded };
            bf16::from_bits((bits >> 16) as u16)
        });
    }
    #[inline(always)]
    fn store_f16(self, y: &mut [f16; LANES], v: Lanes) {
        *y = v.0.map(<f16 as Element>::from_f32);
    }
    #[inline(always)]
    fn store_part_f32(self, y: &mut [f32], v: Lanes) {
        let mut full = [0.0; LANES];
        self.store_f32(&mut full, v);
        y.copy_from_slice(&full[..y.len()]);
    }
    #[inline(always)]
    fn store_part_bf16(self, y: &mut [bf16], v: Lanes) {
        let mut full = [bf16::ZERO; LANES];
        self.store_bf16(&mut full, v);
        y.copy_from_slice(&full[..y.len()]);
    }
    #[inline(always)]
    fn store_part_f16(self, y: &mut [f16], v: Lanes) {
        let mut full = [f16::ZERO; LANES];
        self.store_f16(&mut full, v);
        y.copy_from_slice(&full[..y.len()]);
    }
}
