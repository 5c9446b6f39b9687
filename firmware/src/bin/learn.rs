//! The least program that trains, in batches of 32: to see what that takes.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::hint::black_box;

use slimfit_firmware::cancer::{self, BATCH, INPUTS, Trainer};

slimfit_firmware::program!(learn);

fn learn() -> bool {
    static mut TRAINER: Trainer<{ cancer::WORKSPACE }> = Trainer::new();
    static mut FEATURES: [f32; BATCH * INPUTS] = [0.0; BATCH * INPUTS];
    let (trainer, features) = (&raw mut TRAINER, &raw const FEATURES);
    // SAFETY: there is one thread, which runs this function once.
    let (trainer, features) = unsafe { (&mut *trainer, &*features) };
    let targets = [0.0; BATCH];
    trainer.init(42).is_ok() && trainer.step(black_box(features), black_box(&targets)).is_ok()
}
