//! Layer norm and RMS norm in f64. The equations are in [`crate::layer_norm`] and
//! [`crate::rms_norm`]; `centered` says which: RMS norm is layer norm about zero.

/// What [`forward`] returns.
pub struct Forward {
    /// `[R, D]`.
    pub y: Vec<f64>,
    /// `[R]`, zero when not centered.
    pub mean: Vec<f64>,
    /// `[R]`.
    pub rstd: Vec<f64>,
}

/// What [`backward`] returns.
pub struct Backward {
    /// `[R, D]`.
    pub dx: Vec<f64>,
    /// `[D]`.
    pub dw: Vec<f64>,
    /// `[D]`.
    pub db: Vec<f64>,
}

/// Rows of `x` scaled to unit size, times `w`, plus `b`.
pub fn forward(x: &[f64], w: &[f64], b: &[f64], eps: f64, centered: bool) -> Forward {
    let d = w.len();
    let mut out = Forward { y: Vec::new(), mean: Vec::new(), rstd: Vec::new() };
    for x in x.chunks_exact(d) {
        let mean = if centered { x.iter().sum::<f64>() / d as f64 } else { 0.0 };
        let var = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / d as f64;
        let rstd = (var + eps).sqrt().recip();
        out.y.extend((0..d).map(|i| (x[i] - mean) * rstd * w[i] + b[i]));
        out.mean.push(mean);
        out.rstd.push(rstd);
    }
    out
}

/// The gradients of [`forward`].
pub fn backward(dy: &[f64], x: &[f64], w: &[f64], eps: f64, centered: bool) -> Backward {
    let d = w.len();
    let stats = forward(x, w, &vec![0.0; d], eps, centered);
    let mut out = Backward { dx: Vec::new(), dw: vec![0.0; d], db: vec![0.0; d] };
    for (r, (dy, x)) in dy.chunks_exact(d).zip(x.chunks_exact(d)).enumerate() {
        let u: Vec<f64> = x.iter().map(|x| (x - stats.mean[r]) * stats.rstd[r]).collect();
        let g: Vec<f64> = dy.iter().zip(w).map(|(dy, w)| dy * w).collect();
        let mean_g = if centered { g.iter().sum::<f64>() / d as f64 } else { 0.0 };
        let mean_gu = g.iter().zip(&u).map(|(g, u)| g * u).sum::<f64>() / d as f64;
        out.dx.extend((0..d).map(|i| stats.rstd[r] * (g[i] - mean_g - u[i] * mean_gu)));
        for i in 0..d {
            out.dw[i] += dy[i] * u[i];
            out.db[i] += dy[i];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use testing::{Numbers, check_gradient};

    #[test]
    fn backward_is_the_gradient() {
        let (n_rows, d, eps) = (3, 5, 1e-5);
        let mut numbers = Numbers::new(1);
        let mut draw = |n| numbers.normal(n).into_iter().map(f64::from).collect::<Vec<_>>();
        let (x, dy, w, b) = (draw(n_rows * d), draw(n_rows * d), draw(d), draw(d));
        let dot = |y: &[f64]| y.iter().zip(&dy).map(|(y, dy)| y * dy).sum();
        for centered in [true, false] {
            let grads = backward(&dy, &x, &w, eps, centered);
            check_gradient(|x| dot(&forward(x, &w, &b, eps, centered).y), &x, &grads.dx, 1e-7);
            check_gradient(|w| dot(&forward(&x, w, &b, eps, centered).y), &w, &grads.dw, 1e-7);
            check_gradient(|b| dot(&forward(&x, &w, b, eps, centered).y), &b, &grads.db, 1e-7);
        }
    }
}
