use testing::{Numbers, same_for_any_threads};

use super::tile::TileMut;
use super::{Epilogue, Layout, Mat, MatMut, Multiply, PackedB, Write, gemm, gemm_packed, pack_b};
use crate::activation::{self, Activation};
use crate::{Element, Isa, bf16, f16, reference};

/// `[m, n, k]`: nothing, one, around a tile of 3, 6, 12 rows and 16, 32 columns, odd and prime,
/// over a block of `k`, and more columns than rows and the other way round.
const SIZES: [[usize; 3]; 24] = [
    [0, 5, 3],
    [5, 0, 3],
    [5, 7, 0],
    [1, 1, 1],
    [1, 33, 2],
    [2, 16, 15],
    [3, 15, 16],
    [4, 17, 17],
    [5, 31, 31],
    [6, 32, 33],
    [7, 1, 64],
    [8, 130, 65],
    [9, 33, 3],
    [11, 63, 5],
    [12, 64, 8],
    [13, 65, 1],
    [23, 31, 40],
    [24, 95, 37],
    [25, 97, 100],
    [97, 25, 101],
    [131, 13, 7],
    [29, 37, 2049],
    [37, 29, 2500],
    [3, 20, 4099],
];

/// A matrix of random numbers, and the same widened in row-major order.
struct Operand<T> {
    data: Vec<T>,
    rows: usize,
    cols: usize,
    layout: Layout,
    stride: usize,
}

impl<T: Element> Operand<T> {
    fn new(numbers: &mut Numbers, [rows, cols]: [usize; 2], layout: Layout, gap: usize) -> Self {
        let (lines, len) = if layout == Layout::RowMajor { (rows, cols) } else { (cols, rows) };
        let stride = len + gap;
        // What lies between the lines must not be read.
        let mut data = vec![T::from_f32(f32::NAN); lines * stride];
        for line in data.chunks_mut(stride.max(1)) {
            line[..len].iter_mut().for_each(|x| *x = T::from_f32(numbers.normal(1)[0]));
        }
        Self { data, rows, cols, layout, stride }
    }

    fn view(&self) -> Mat<'_, T> {
        match self.layout {
            Layout::RowMajor => Mat::new(&self.data, self.rows, self.cols).with_stride(self.stride),
            Layout::ColMajor => {
                Mat::new(&self.data, self.cols, self.rows).with_stride(self.stride).t()
            }
        }
    }

    fn at(&self, i: usize, j: usize) -> T {
        match self.layout {
            Layout::RowMajor => self.data[i * self.stride + j],
            Layout::ColMajor => self.data[j * self.stride + i],
        }
    }

    /// What is multiplied, in f64.
    fn wide(&self, multiply: Multiply) -> Vec<f64> {
        let at = |i, j| match multiply {
            Multiply::F32 => self.at(i, j).to_f32(),
            Multiply::Bf16 => bf16::from_f32(self.at(i, j).to_f32()).to_f32(),
        };
        let index = |i| (0..self.cols).map(move |j| f64::from(at(i, j)));
        (0..self.rows).flat_map(index).collect()
    }
}

/// How far a number of one type may be from a real one that it was rounded from.
fn unit_roundoff<T: Element>() -> f64 {
    match T::NAME {
        "BF16" => 2f64.powi(-8),
        "F16" => 2f64.powi(-10),
        _ => 2f64.powi(-24),
    }
}

/// The product in f64, and of the magnitudes: what the rounding of sums is relative to.
fn product<A: Element, B: Element>(
    multiply: Multiply,
    a: &Operand<A>,
    b: &Operand<B>,
) -> (Vec<f64>, Vec<f64>) {
    let dims = [a.rows, b.cols, a.cols];
    let (a, b) = (a.wide(multiply), b.wide(multiply));
    let magnitude = |x: &[f64]| x.iter().map(|x| x.abs()).collect::<Vec<_>>();
    let mut c = vec![0.0; dims[0] * dims[1]];
    let mut scale = c.clone();
    reference::gemm::gemm(&mut c, &a, &b, dims);
    reference::gemm::gemm(&mut scale, &magnitude(&a), &magnitude(&b), dims);
    (c, scale)
}

/// Asserts that sums of `k` products are as close as f32 sums in any order are.
#[track_caller]
fn assert_sums<C: Element>(
    what: &str,
    c: &[C],
    k: usize,
    (expected, scale): &(Vec<f64>, Vec<f64>),
) {
    let sum_error = (k + 4) as f64 * unit_roundoff::<f32>();
    for (i, (c, (expected, scale))) in c.iter().zip(expected.iter().zip(scale)).enumerate() {
        let c = f64::from(c.to_f32());
        let bound = sum_error * (scale + 1.0) + unit_roundoff::<C>() * (expected.abs() + 1e-3);
        assert!((c - expected).abs() <= bound, "{what}: [{i}] = {c}, expected {expected}");
    }
}

fn layouts() -> impl Iterator<Item = [Layout; 2]> {
    let all = [Layout::RowMajor, Layout::ColMajor];
    all.into_iter().flat_map(move |a| all.map(|b| [a, b]))
}

fn kernels() -> impl Iterator<Item = (Isa, Multiply)> {
    Isa::supported().into_iter().flat_map(|isa| [(isa, Multiply::F32), (isa, Multiply::Bf16)])
}

/// Every size, layout and kernel against the reference, for three element types.
fn agrees<A: Element, B: Element, C: Element>(gap: usize) {
    let mut numbers = Numbers::new(1);
    for [m, n, k] in SIZES {
        for [a_layout, b_layout] in layouts() {
            let a = Operand::<A>::new(&mut numbers, [m, k], a_layout, gap);
            let b = Operand::<B>::new(&mut numbers, [k, n], b_layout, gap);
            for multiply in [Multiply::F32, Multiply::Bf16] {
                let expected = product(multiply, &a, &b);
                for isa in Isa::supported() {
                    let what =
                        format!("{isa} {multiply:?} [{m}, {n}, {k}] {a_layout:?} {b_layout:?}");
                    let mut c = vec![C::from_f32(f32::NAN); m * n];
                    let to = MatMut::new(&mut c, m, n);
                    gemm(isa, multiply, to, a.view(), b.view(), Epilogue::default());
                    assert_sums(&what, &c, k, &expected);
                }
            }
        }
    }
}

#[test]
fn f32_agrees_with_the_reference() {
    agrees::<f32, f32, f32>(0);
}

#[test]
fn bf16_agrees_with_the_reference() {
    agrees::<bf16, bf16, bf16>(0);
    agrees::<bf16, bf16, f32>(3);
}

#[test]
fn f16_agrees_with_the_reference() {
    agrees::<f16, f16, f16>(1);
    agrees::<f16, f32, f32>(0);
}

#[test]
fn mixed_operands_agree_with_the_reference() {
    agrees::<bf16, f32, bf16>(0);
    agrees::<f32, bf16, f32>(5);
    agrees::<f32, f32, bf16>(0);
}

#[test]
fn packed_products_have_the_bits_of_unpacked_ones() {
    let mut numbers = Numbers::new(2);
    let mut packed = PackedB::new();
    for (isa, multiply) in kernels() {
        // More than a few rows, or the order of the sums is another.
        for [m, n, k] in [[12, 7, 5], [25, 97, 100], [33, 130, 2100], [9, 0, 4], [10, 4, 0]] {
            let a = Operand::<bf16>::new(&mut numbers, [m, k], Layout::RowMajor, 0);
            let b = Operand::<f32>::new(&mut numbers, [k, n], Layout::ColMajor, 1);
            let [mut c, mut c_packed] = [(); 2].map(|()| vec![0f32; m * n]);
            gemm(isa, multiply, MatMut::new(&mut c, m, n), a.view(), b.view(), Epilogue::default());
            pack_b(isa, multiply, b.view(), &mut packed);
            assert_eq!(packed.dims(), [k, n]);
            let to = MatMut::new(&mut c_packed, m, n);
            gemm_packed(isa, to, a.view(), &packed, Epilogue::default());
            assert_eq!(c, c_packed, "{isa} {multiply:?} [{m}, {n}, {k}]");
        }
    }
}

/// Any combination of the four parts of an epilogue, for results of one type.
fn epilogue_agrees<C: Element>([m, n, k]: [usize; 3], (isa, multiply): (Isa, Multiply)) {
    let mut numbers = Numbers::new(3);
    let a = Operand::<bf16>::new(&mut numbers, [m, k], Layout::RowMajor, 0);
    let b = Operand::<bf16>::new(&mut numbers, [k, n], Layout::ColMajor, 0);
    let (bias, residual) = (numbers.normal(n), numbers.normal(m * n));
    let before: Vec<C> = numbers.normal(m * n).into_iter().map(C::from_f32).collect();
    let (sums, scale) = product(multiply, &a, &b);
    for parts in 0..16 {
        let has = |part: usize| parts >> part & 1 == 1;
        let stride = n + 2;
        let mut c = vec![C::from_f32(f32::NAN); m * stride];
        for (c, before) in c.chunks_mut(stride).zip(before.chunks(n)) {
            c[..n].copy_from_slice(before);
        }
        let mut y = vec![C::from_f32(f32::NAN); m * n];
        let activated = has(3).then(|| (Activation::GeluTanh, MatMut::new(&mut y, m, n)));
        let epilogue = Epilogue {
            write: if has(0) { Write::Add } else { Write::Overwrite },
            bias: has(1).then_some(&bias[..]),
            residual: has(2).then_some(&residual[..]),
            activated,
        };
        let to = MatMut::new(&mut c, m, n).with_stride(stride);
        gemm(isa, multiply, to, a.view(), b.view(), epilogue);

        let what = format!("{isa} {multiply:?} [{m}, {n}, {k}] parts {parts:04b} {}", C::NAME);
        let add = |i: usize| {
            let before = if has(0) { before[i].to_f32() } else { 0.0 };
            let bias = if has(1) { bias[i % n] } else { 0.0 };
            let residual = if has(2) { residual[i] } else { 0.0 };
            [before, bias, residual].map(f64::from)
        };
        let sum = |i: usize| sums[i] + add(i).iter().sum::<f64>();
        let scale = |i: usize| scale[i] + add(i).iter().map(|x| x.abs()).sum::<f64>();
        let expected = ((0..m * n).map(sum).collect(), (0..m * n).map(scale).collect());
        assert!(c.chunks(stride).all(|c| c[n..].iter().all(|x| x.to_f32().is_nan())), "{what}");
        let c: Vec<C> = c.chunks(stride).flat_map(|c| &c[..n]).copied().collect();
        assert_sums(&what, &c, k + 3, &expected);
        if has(3) {
            let mut separate = vec![C::from_f32(0.0); m * n];
            activation::forward(isa, Activation::GeluTanh, &mut separate, &c);
            assert_eq!(bytes(&y), bytes(&separate), "{what}: activated");
        }
    }
}

fn bytes<T: bytemuck::Pod>(x: &[T]) -> &[u8] {
    bytemuck::cast_slice(x)
}

#[test]
fn every_epilogue_agrees_with_the_reference() {
    for kernel in kernels() {
        for size in
            [[2, 40, 33], [26, 45, 64], [45, 26, 7], [37, 70, 2101], [40, 70, 0], [70, 40, 0]]
        {
            epilogue_agrees::<f32>(size, kernel);
            epilogue_agrees::<bf16>(size, kernel);
            epilogue_agrees::<f16>(size, kernel);
        }
    }
}

#[test]
fn an_element_depends_on_its_row_and_column_alone() {
    let mut numbers = Numbers::new(4);
    let [m, n, k] = [77, 101, 2300];
    let a = Operand::<f32>::new(&mut numbers, [m, k], Layout::RowMajor, 0);
    let b = Operand::<f32>::new(&mut numbers, [k, n], Layout::ColMajor, 0);
    let compute = |isa, multiply, rows: [usize; 2], cols: [usize; 2]| {
        let (m, n) = (rows[1] - rows[0], cols[1] - cols[0]);
        let mut c = vec![0f32; m * n];
        let a = Mat::new(&a.data[rows[0] * k..rows[1] * k], m, k);
        let b = Mat::new(&b.data[cols[0] * k..cols[1] * k], n, k).t();
        gemm(isa, multiply, MatMut::new(&mut c, m, n), a, b, Epilogue::default());
        c
    };
    for (isa, multiply) in kernels() {
        let whole = compute(isa, multiply, [0, m], [0, n]);
        let part = compute(isa, multiply, [5, 42], [9, 100]);
        let rows = part.chunks(91).zip(whole.chunks(n).skip(5));
        assert!(rows.into_iter().all(|(part, whole)| *part == whole[9..100]), "{isa} {multiply:?}");
        let few = compute(isa, multiply, [5, 13], [0, n]);
        let one = compute(isa, multiply, [9, 10], [30, 77]);
        assert_eq!(one, few[4 * n + 30..4 * n + 77], "{isa} {multiply:?}, a few rows");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let mut numbers = Numbers::new(5);
    for [m, n, k] in [[300, 70, 513], [70, 300, 2600], [5, 900, 700]] {
        let a = Operand::<bf16>::new(&mut numbers, [m, k], Layout::RowMajor, 0);
        let b = Operand::<bf16>::new(&mut numbers, [k, n], Layout::ColMajor, 0);
        for (isa, multiply) in kernels() {
            same_for_any_threads(|| {
                let mut c = vec![bf16::ZERO; m * n];
                let to = MatMut::new(&mut c, m, n);
                gemm(isa, multiply, to, a.view(), b.view(), Epilogue::default());
                c
            });
            same_for_any_threads(|| {
                let (mut c, mut packed) = (vec![bf16::ZERO; m * n], PackedB::new());
                pack_b(isa, multiply, b.view(), &mut packed);
                let to = MatMut::new(&mut c, m, n);
                gemm_packed(isa, to, a.view(), &packed, Epilogue::default());
                c
            });
        }
    }
}

#[test]
fn nan_and_infinity_reach_their_row_and_column_alone() {
    let mut numbers = Numbers::new(6);
    for [m, n, k] in [[4, 35, 41], [30, 35, 41], [35, 30, 2100]] {
        let mut a = Operand::<f32>::new(&mut numbers, [m, k], Layout::RowMajor, 0);
        let mut b = Operand::<f32>::new(&mut numbers, [k, n], Layout::RowMajor, 0);
        a.data[2 * k + k - 1] = f32::NAN;
        b.data[(k - 1) * n + 3] = f32::INFINITY;
        for (isa, multiply) in kernels() {
            let mut c = vec![0f32; m * n];
            gemm(isa, multiply, MatMut::new(&mut c, m, n), a.view(), b.view(), Epilogue::default());
            for (i, c) in c.iter().enumerate() {
                let (row, col) = (i / n, i % n);
                assert_eq!(c.is_nan(), row == 2, "{isa} {multiply:?} [{row}, {col}] = {c}");
                assert_eq!(c.is_infinite(), row != 2 && col == 3, "{isa} [{row}, {col}] = {c}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "gemm: [2, 3] = [2, 4] x [5, 3]")]
fn shapes_that_disagree_are_a_bug() {
    let (mut c, a, b) = ([0f32; 6], [0f32; 8], [0f32; 15]);
    let (a, b) = (Mat::new(&a, 2, 4), Mat::new(&b, 5, 3));
    gemm(Isa::Portable, Multiply::F32, MatMut::new(&mut c, 2, 3), a, b, Epilogue::default());
}

#[test]
fn sizes_that_no_slice_has_are_refused() {
    let huge = usize::MAX / 2 + 2;
    let views: [fn(usize); 4] = [
        |huge| _ = Mat::new(&[0f32; 4], huge, 2),
        |huge| _ = MatMut::new(&mut [0f32; 4], 2, huge),
        |huge| _ = Mat::new(&[0f32; 4], 3, 1).with_stride(huge),
        |huge| _ = TileMut::strided(&mut [0f32; 4], 3, 1, huge),
    ];
    for (i, view) in views.into_iter().enumerate() {
        assert!(std::panic::catch_unwind(|| view(huge)).is_err(), "view {i}");
    }
}

#[test]
#[should_panic(expected = "3 lines of 4, 5 apart, in a slice of 13")]
fn a_stride_past_the_slice_is_a_bug() {
    let _ = Mat::new(&[0f32; 13], 3, 4).with_stride(5);
}
