//! Matrix products, as their definition reads.

/// `c[i][j] = sum_p a[i][p] * b[p][j]`. Shapes: `c` `[m, n]`, `a` `[m, k]`, `b` `[k, n]`.
///
/// # Panics
/// When the lengths disagree.
pub fn gemm(c: &mut [f64], a: &[f64], b: &[f64], [m, n, k]: [usize; 3]) {
    assert_eq!((c.len(), a.len(), b.len()), (m * n, m * k, k * n), "gemm: [{m}, {n}, {k}]");
    for i in 0..m {
        for j in 0..n {
            c[i * n + j] = (0..k).map(|p| a[i * k + p] * b[p * n + j]).sum();
        }
    }
}
