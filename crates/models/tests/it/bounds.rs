//! What lower precision and other instructions may change.

use tensor::{Device, Isa, Precision};

use crate::families::cases;
use crate::pass::{Input, device, distance, learn, learn_in, logits, max_error, tokens};

#[test]
fn every_instruction_set_computes_the_same() {
    for case in cases() {
        let model = case.model();
        let input = Input::plain(&tokens(&model, 2 * 13, 1), 2);
        let portable = Device::cpu(Isa::Portable);
        let expected = logits((&model, &portable, Precision::F32), &input);
        let scale = expected.iter().fold(1.0_f32, |m, z| m.max(z.abs()));
        for isa in Isa::supported() {
            let found = logits((&model, &Device::cpu(isa), Precision::F32), &input);
            let error = max_error(&found, &expected) / scale;
            assert!(error < 1e-5, "{}, {isa}: {error}", case.name);
        }
    }
}

#[test]
fn sixteen_bits_are_close_to_f32() {
    // Halves of the last place are 2^-9 and 2^-12; some layers add up.
    for (precision, logit_bound, gradient_bound) in
        [(Precision::BF16, 0.03, 0.05), (Precision::F16, 0.004, 0.008)]
    {
        for case in cases() {
            let (model, device) = (case.model(), device());
            let ids = tokens(&model, 2 * 13, 1);
            let input = Input::plain(&ids, 2);
            let full = logits((&model, &device, Precision::F32), &input);
            let half = logits((&model, &device, precision), &input);
            let error = distance(&half, &full);
            assert!(error < logit_bound, "{}, {precision:?}, logits: {error}", case.name);
            assert!(error > 0.0, "{}, {precision:?}: no effect", case.name);
            let parts = [(input, tokens(&model, 2 * 13, 2))];
            let (full, half) = (learn(&model, &parts), learn_in(precision, &model, &parts));
            let error = (half.loss.sum / full.loss.sum - 1.0).abs();
            assert!(error < 0.01, "{}, {precision:?}, loss: {error}", case.name);
            let error = distance(half.values(), full.values());
            assert!(error < gradient_bound, "{}, {precision:?}, gradient: {error}", case.name);
        }
    }
}
