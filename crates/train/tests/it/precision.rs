//! Training in sixteen bits.

use optim::Schedule;
use tasks::TextObjective as _;
use tensor::{DType, Device, Isa, Precision};
use testing::assert_same_bits;
use train::{StepConfig, Trainer};

use crate::families::{Case, cases};
use crate::steps::batch;
use crate::support::{NEXT, step_config};

fn trainer(case: &Case, precision: Precision) -> Trainer<'static> {
    // The same at every step: one that an overflow skips must not shift a schedule.
    let schedule = Schedule::Constant { peak_lr: 2e-3 };
    let config = StepConfig { precision, schedule, ..step_config() };
    Trainer::new(case.model(), &NEXT, Device::cpu(Isa::detect()), config)
}

#[test]
fn sixteen_bits_learn_as_f32_does() {
    for case in cases() {
        let case = case.without_dropout();
        let batch = batch(&case, 4);
        let losses = |precision| {
            let mut trainer = trainer(&case, precision);
            // Steps that an overflow skips learn nothing, and are not counted.
            let reports =
                std::iter::repeat_with(|| trainer.step(&NEXT.examples(&batch, 0)).unwrap());
            let done = reports.filter(|report| !report.skipped).take(12);
            done.map(|report| report.losses.mean().unwrap()).collect::<Vec<_>>()
        };
        let full = losses(Precision::F32);
        assert!(full[11] < full[0] - 0.3, "{}: {full:?}", case.name);
        for precision in [Precision::BF16, Precision::F16] {
            let half = losses(precision);
            let close = half.iter().zip(&full).all(|(h, f)| (h - f).abs() < 0.03 * f);
            assert!(close, "{}, {precision:?}: {half:?} and {full:?}", case.name);
        }
    }
}

#[test]
fn an_overflow_skips_the_step_and_halves_the_scale() {
    let case = &cases()[0];
    let batch = batch(case, 4);
    let mut trainer = trainer(case, Precision::F16);
    while trainer.step(&NEXT.examples(&batch, 0)).unwrap().skipped {}
    let (state, weights) = (trainer.state.clone(), trainer.model.params.values().to_vec());
    let moments = trainer.moments().map(<[f32]>::to_vec);
    trainer.state.loss_scale = 1e30;
    let report = trainer.step(&NEXT.examples(&batch, 0)).unwrap();
    assert!(report.skipped && report.losses.mean().unwrap().is_finite());
    assert!(!report.grad_norm.is_finite());
    assert_eq!((trainer.state.loss_scale, trainer.state.steps_at_scale), (5e29, 0));
    assert_eq!((trainer.state.step, trainer.state.updates), (state.step + 1, state.updates));
    assert_same_bits("weights", trainer.model.params.values(), &weights);
    for (now, before) in trainer.moments().iter().zip(&moments) {
        assert_same_bits("moments", now, before);
    }
    // And it finds its way back.
    while trainer.step(&NEXT.examples(&batch, 0)).unwrap().skipped {}
    assert_eq!(trainer.state.updates, state.updates + 1);
    assert!(trainer.state.loss_scale < 1e6, "{}", trainer.state.loss_scale);
}

#[test]
fn the_scale_doubles_when_all_is_well() {
    let case = &cases()[0];
    let batch = batch(case, 4);
    let mut trainer = trainer(case, Precision::F16);
    trainer.state.loss_scale = 64.0;
    trainer.state.steps_at_scale = 1999;
    assert!(!trainer.step(&NEXT.examples(&batch, 0)).unwrap().skipped);
    assert_eq!((trainer.state.loss_scale, trainer.state.steps_at_scale), (128.0, 0));
}

#[test]
fn only_f16_is_scaled() {
    for precision in [Precision::F32, Precision::BF16, Precision::F16] {
        let scale = trainer(&cases()[0], precision).state.loss_scale;
        assert_eq!(scale > 1.0, precision.compute == DType::F16);
    }
}
