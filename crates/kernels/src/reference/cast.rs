//! Between slices of elements and the f64 of the reference.

use crate::Element;

/// Every element as f64.
pub fn widen<X: Element>(x: &[X]) -> Vec<f64> {
    x.iter().map(|x| f64::from(x.to_f32())).collect()
}

/// Every number rounded to an element.
pub fn round<X: Element>(x: &[f32]) -> Vec<X> {
    x.iter().map(|&x| X::from_f32(x)).collect()
}
