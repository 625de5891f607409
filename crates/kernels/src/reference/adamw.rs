//! `AdamW` in f64, as its paper writes it.

use crate::adamw::AdamW;

/// One update in place; the equations are in [`crate::adamw`].
pub fn step(w: &mut [f64], g: &[f64], m: &mut [f64], v: &mut [f64], rule: AdamW) {
    let [lr, beta1, beta2] = [rule.lr, rule.beta1, rule.beta2].map(f64::from);
    let [eps, decay, scale] = [rule.eps, rule.weight_decay, rule.grad_scale].map(f64::from);
    let t = rule.step as f64;
    for i in 0..w.len() {
        let g = scale * g[i];
        m[i] = beta1 * m[i] + (1.0 - beta1) * g;
        v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
        let (m_hat, v_hat) = (m[i] / (1.0 - beta1.powf(t)), v[i] / (1.0 - beta2.powf(t)));
        w[i] -= lr * (m_hat / (v_hat.sqrt() + eps) + decay * w[i]);
    }
}
