//! Rotary position embedding of one head, in f64.

use crate::rope::Pairing;

/// Rotates the channels of a head by its position; the equation is in [`crate::rope`].
pub fn rotate(head: &mut [f64], position: u32, theta: f64, pairing: Pairing) {
    let d = head.len();
    for i in 0..d / 2 {
        let (first, second) = match pairing {
            Pairing::Halves => (i, i + d / 2),
            Pairing::Interleaved => (2 * i, 2 * i + 1),
        };
        let angle = f64::from(position) * theta.powf(-2.0 * i as f64 / d as f64);
        let (a, b) = (head[first], head[second]);
        head[first] = a * angle.cos() - b * angle.sin();
        head[second] = b * angle.cos() + a * angle.sin();
    }
}
