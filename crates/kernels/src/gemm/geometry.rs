//! The shape of a micro-kernel on each instruction set: as many sums as its registers hold.
#![allow(clippy::inline_always)] // As in `simd`: compiled with the instructions of the caller.
#![allow(clippy::wildcard_imports)] // Intrinsics: their prefix says where they are from.

use super::micro::{Tile, accumulate, accumulate_grid};
use super::product::Product;
use crate::element::Element;
use crate::simd::portable::Portable;
use crate::simd::{LANES, Simd};

/// Tile sizes of an instruction set, and what packing for them needs.
pub trait Geometry: Simd {
    /// Rows of a whole tile: lines of a packed panel of the left operand.
    const ROWS: usize;
    /// Vectors of sixteen columns of a whole tile.
    const VECTORS: usize;
    /// Tiles may have fewer rows in steps of this.
    const ROW_STEP: usize;

    /// Computes a tile of which `[rows, vectors]` are used: rows a multiple of `ROW_STEP`.
    fn tile<P: Product<S = Self>, C: Element>(p: P, used: [usize; 2], tile: Tile<'_, C>);

    /// Computes a grid of whole tiles from panels of `n_units` units.
    fn grid<P: Product<S = Self>, C: Element>(
        p: P,
        n_units: usize,
        after: [usize; 2],
        grid: Tile<'_, C>,
    );

    /// Lane j of vector i becomes lane i of vector j.
    #[inline(always)]
    fn transpose(self, x: &mut [Self::F; LANES]) {
        let mut from = [[0.0; LANES]; LANES];
        for (from, x) in from.iter_mut().zip(&*x) {
            *from = self.to_array(*x);
        }
        for (j, x) in x.iter_mut().enumerate() {
            let mut column = [0.0; LANES];
            for (lane, from) in column.iter_mut().zip(&from) {
                *lane = from[j];
            }
            *x = self.from_array(column);
        }
    }
}

/// States a tile size, and picks the micro-kernel compiled for the part that is used.
macro_rules! tile_of {
    ($rows:literal x $vectors:literal, step $step:literal, $([$r:literal, $v:literal]),+) => {
        const ROWS: usize = $rows;
        const VECTORS: usize = $vectors;
        const ROW_STEP: usize = $step;

        #[inline(always)]
        fn tile<P: Product<S = Self>, C: Element>(p: P, used: [usize; 2], tile: Tile<'_, C>) {
            match used {
                $([$r, $v] => accumulate::<P, C, $rows, $vectors, $r, $v>(p, tile),)+
                _ => unreachable!("gemm: no micro-kernel for {used:?}"),
            }
        }

        #[inline(always)]
        fn grid<P: Product<S = Self>, C: Element>(
            p: P,
            n_units: usize,
            after: [usize; 2],
            grid: Tile<'_, C>,
        ) {
            accumulate_grid::<P, C, $rows, $vectors>(p, n_units, after, grid);
        }
    };
}

impl Geometry for Portable {
    tile_of!(3 x 1, step 1, [3, 1], [2, 1], [1, 1]);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Element, Geometry, LANES, Product, Tile, accumulate, accumulate_grid};
    use crate::simd::avx2::Avx2;
    use crate::simd::avx512::Avx512;

    impl Geometry for Avx2 {
        tile_of!(6 x 1, step 2, [6, 1], [4, 1], [2, 1]);
    }

    impl<const BF16: bool> Geometry for Avx512<BF16> {
        tile_of!(12 x 2, step 4, [12, 2], [8, 2], [4, 2], [12, 1], [8, 1], [4, 1]);

        #[inline(always)]
        fn transpose(self, x: &mut [__m512; LANES]) {
            // SAFETY: `self` exists only where the CPU has AVX-512 F.
            unsafe { transpose(x) }
        }
    }

    /// Pairs of rows, then quads, then the four 128-bit blocks.
    #[inline(always)]
    unsafe fn transpose(x: &mut [__m512; LANES]) {
        // SAFETY: the caller vouches for AVX-512 F; the shuffles touch no memory.
        unsafe {
            let mut t = *x;
            for i in 0..8 {
                t[2 * i] = _mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]);
                t[2 * i + 1] = _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]);
            }
            for i in 0..4 {
                let quad = [t[4 * i], t[4 * i + 1], t[4 * i + 2], t[4 * i + 3]];
                let [a, b, c, d] = quad.map(|v| _mm512_castps_pd(v));
                x[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
                x[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
                x[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
                x[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
            }
            for i in 0..4 {
                t[i] = _mm512_shuffle_f32x4::<0x88>(x[i], x[i + 4]);
                t[i + 4] = _mm512_shuffle_f32x4::<0xdd>(x[i], x[i + 4]);
                t[i + 8] = _mm512_shuffle_f32x4::<0x88>(x[i + 8], x[i + 12]);
                t[i + 12] = _mm512_shuffle_f32x4::<0xdd>(x[i + 8], x[i + 12]);
            }
            for i in 0..4 {
                x[i] = _mm512_shuffle_f32x4::<0x88>(t[i], t[i + 8]);
                x[i + 8] = _mm512_shuffle_f32x4::<0xdd>(t[i], t[i + 8]);
                x[i + 4] = _mm512_shuffle_f32x4::<0x88>(t[i + 4], t[i + 12]);
                x[i + 12] = _mm512_shuffle_f32x4::<0xdd>(t[i + 4], t[i + 12]);
            }
        }
    }
}
