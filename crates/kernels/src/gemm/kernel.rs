//! The micro-kernel in use, and how generic code gets compiled for it.

use super::geometry::Geometry;
use super::micro::Tile;
use super::product::Product;
use crate::Isa;
use crate::element::Element;
use crate::simd::LANES;
use crate::simd::portable::Portable;
#[cfg(target_arch = "x86_64")]
use crate::simd::{avx2::Avx2, avx512::Avx512};

/// Defines a function that runs a generic body compiled for the kernel that is its first argument:
///
/// ```text
/// kernel_fn! {
///     fn pack<T: Element>(lines: Lines<T>, panel: &mut [u32]) = pack_body;
/// }
/// #[inline(always)]
/// fn pack_body<P: Product, T: Element>(p: P, lines: Lines<T>, panel: &mut [u32]) { .. }
/// ```
macro_rules! kernel_fn {
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident $(<$($g:ident: $bound:path),+>)? ($($arg:ident: $ty:ty),* $(,)?)
        = $body:path;
    ) => {
        $(#[$meta])*
        $vis fn $name$(<$($g: $bound),+>)?(kernel: $crate::gemm::kernel::Kernel, $($arg: $ty),*) {
            use $crate::gemm::kernel::Path;
            use $crate::gemm::product::Fma;
            #[cfg(target_arch = "x86_64")]
            use $crate::simd::{avx2::Avx2, avx512::Avx512};

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2$(<$($g: $bound),+>)?(round: bool, $($arg: $ty),*) {
                // SAFETY: this function is compiled for, and so only called with, these features.
                let s = unsafe { Avx2::new() };
                $body(Fma::new(s, round), $($arg),*);
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq")]
            fn avx512$(<$($g: $bound),+>)?(round: bool, $($arg: $ty),*) {
                // SAFETY: this function is compiled for, and so only called with, these features.
                let s = unsafe { Avx512::<false>::new() };
                $body(Fma::new(s, round), $($arg),*);
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(
                enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"
            )]
            fn dot$(<$($g: $bound),+>)?($($arg: $ty),*) {
                // SAFETY: this function is compiled for, and so only called with, these features.
                let s = unsafe { Avx512::<true>::new() };
                $body($crate::gemm::dot_bf16::DotBf16(s), $($arg),*);
            }
            match kernel.path() {
                // SAFETY: a `Kernel` exists only where the CPU has its features; likewise below.
                #[cfg(target_arch = "x86_64")]
                Path::Avx2 => unsafe { avx2(kernel.rounds(), $($arg),*) },
                // SAFETY: see above.
                #[cfg(target_arch = "x86_64")]
                Path::Avx512 => unsafe { avx512(kernel.rounds(), $($arg),*) },
                // SAFETY: see above.
                #[cfg(target_arch = "x86_64")]
                Path::Dot => unsafe { dot($($arg),*) },
                _ => $body(Fma::new($crate::simd::portable::Portable, kernel.rounds()), $($arg),*),
            }
        }
    };
}
pub(crate) use kernel_fn;

/// The precision of products. Sums are f32 always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Multiply {
    /// Operands as they are, widened to f32.
    F32,
    /// Operands rounded to bf16 first, to nearest, ties to even.
    Bf16,
}

/// Which micro-kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// f32 on the baseline target.
    Portable,
    /// f32 on AVX2 and FMA.
    Avx2,
    /// f32 on AVX-512.
    Avx512,
    /// Pairs of bf16 on `vdpbf16ps`.
    Dot,
}

/// A micro-kernel that this CPU can run: the proof is that one exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    path: Path,
    round: bool,
}

impl Kernel {
    /// The best one for these products.
    ///
    /// # Panics
    /// When this CPU cannot run `isa`.
    #[track_caller]
    pub fn new(isa: Isa, multiply: Multiply) -> Self {
        isa.assert_supported();
        let path = match (isa, multiply) {
            (Isa::Portable, _) => Path::Portable,
            (Isa::Avx2, _) => Path::Avx2,
            (Isa::Avx512, _) | (Isa::Avx512Bf16, Multiply::F32) => Path::Avx512,
            (Isa::Avx512Bf16, Multiply::Bf16) => Path::Dot,
        };
        Self { path, round: multiply == Multiply::Bf16 }
    }

    /// Which one.
    #[inline]
    pub fn path(self) -> Path {
        self.path
    }

    /// Whether packing rounds to bf16.
    #[inline]
    pub fn rounds(self) -> bool {
        self.round
    }

    /// Rows and vectors of a tile, and the step of its rows.
    #[inline]
    fn geometry(self) -> [usize; 3] {
        fn of<S: Geometry>() -> [usize; 3] {
            [S::ROWS, S::VECTORS, S::ROW_STEP]
        }
        match self.path {
            Path::Portable => of::<Portable>(),
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => of::<Avx2>(),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 | Path::Dot => of::<Avx512<true>>(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("not made on this target"),
        }
    }

    /// Rows of a tile: lines of a packed panel of the left operand.
    #[inline]
    pub fn rows(self) -> usize {
        self.geometry()[0]
    }

    /// Columns of a tile: lines of a packed panel of the right operand.
    #[inline]
    pub fn cols(self) -> usize {
        self.geometry()[1] * LANES
    }

    /// Rows that a micro-kernel is compiled for: `rows`, rounded up.
    #[inline]
    pub fn rows_for(self, rows: usize) -> usize {
        rows.next_multiple_of(self.geometry()[2])
    }

    /// Elements of `k` in one packed unit.
    #[inline]
    pub fn per_unit(self) -> usize {
        if self.path == Path::Dot { 2 } else { 1 }
    }

    /// Units that `k` elements are packed into.
    #[inline]
    pub fn units(self, k: usize) -> usize {
        k.div_ceil(self.per_unit())
    }

    /// Computes one tile; `tile.out` has [`Self::rows_for`] rows, and columns in
    /// steps of sixteen.
    ///
    /// # Panics
    /// When the panels are not `[units, rows]` and `[units, cols]` for one number of units, or the
    /// tile has no micro-kernel.
    #[inline]
    pub fn tile<C: Element>(self, tile: Tile<'_, C>) {
        assert_eq!(
            tile.a.len() * self.cols(),
            tile.b.len() * self.rows(),
            "gemm: panels of different depth"
        );
        run_tile(self, tile);
    }

    /// Computes a grid of whole tiles from panels of `n_units` units, one after the other. `after`
    /// says which tile comes next, counted in tiles from the first.
    ///
    /// # Panics
    /// When there are too few panels for the rows and columns of `grid.out`.
    #[inline]
    pub fn grid<C: Element>(self, n_units: usize, after: [usize; 2], grid: Tile<'_, C>) {
        run_grid(self, n_units, after, grid);
    }
}

kernel_fn! {
    fn run_grid<C: Element>(n_units: usize, after: [usize; 2], grid: Tile<'_, C>) = grid_body;
}

#[inline(always)]
#[allow(clippy::inline_always)] // Compiled with the instructions of the caller.
fn grid_body<P: Product, C: Element>(p: P, n_units: usize, after: [usize; 2], grid: Tile<'_, C>) {
    P::S::grid(p, n_units, after, grid);
}

kernel_fn! {
    fn run_tile<C: Element>(tile: Tile<'_, C>) = tile_body;
}

#[inline(always)]
#[allow(clippy::inline_always)] // Compiled with the instructions of the caller.
fn tile_body<P: Product, C: Element>(p: P, tile: Tile<'_, C>) {
    let [rows, cols] = tile.out.dims();
    P::S::tile(p, [rows, cols.div_ceil(LANES)], tile);
}
