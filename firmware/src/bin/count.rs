//! Counts the instructions of a step and of an inference, and the bytes of stack that they take.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::hint::black_box;

use slimfit_firmware::{board, cancer, line};

slimfit_firmware::program!(count);

/// A thousand turns of two instructions.
fn known_loop() {
    #[cfg(target_arch = "arm")]
    // SAFETY: counts a register down.
    unsafe {
        core::arch::asm!("2: subs {n}, #1", "bne 2b", n = inout(reg) 1000 => _);
    }
    #[cfg(target_arch = "riscv32")]
    // SAFETY: counts a register down.
    unsafe {
        core::arch::asm!("2: addi {n}, {n}, -1", "bnez {n}, 2b", n = inout(reg) 1000 => _);
    }
}

fn count() -> bool {
    static mut TRAINER: cancer::Trainer<{ cancer::WORKSPACE }> = cancer::Trainer::new();
    let trainer = &raw mut TRAINER;
    // SAFETY: there is one thread, which runs this function once.
    let trainer = unsafe { &mut *trainer };
    let mut fine = trainer.init(42).is_ok();
    line!("loop of 2000: ", board::instructions(known_loop));
    for rows in [1, 8, 32] {
        let (features, targets) = black_box(cancer::rows(rows));
        fine &= trainer.step(features, targets).is_ok();
        let step = board::instructions(|| fine &= trainer.step(features, targets).is_ok());
        line!("step of ", rows as u32, ": ", step);
    }
    let (features, _) = black_box(cancer::rows(1));
    let inference = board::instructions(|| {
        fine &= cancer::predict_row(&trainer.params, features, &mut trainer.workspace).is_ok();
    });
    line!("inference of 1: ", inference);
    let (features, _) = black_box(cancer::rows(32));
    let mut out = [0.0; 32];
    let inference = board::instructions(|| {
        fine &=
            cancer::predict(&trainer.params, features, &mut out, &mut trainer.workspace).is_ok();
    });
    line!("inference of 32: ", inference);
    let (features, targets) = black_box(cancer::rows(32));
    let step = board::stack(|| fine &= trainer.step(features, targets).is_ok());
    let (features, _) = black_box(cancer::rows(1));
    let inference = board::stack(|| {
        fine &= cancer::predict_row(&trainer.params, features, &mut trainer.workspace).is_ok();
    });
    let (Some(step), Some(inference)) = (step, inference) else {
        line!("the stack goes deeper than it is watched");
        return false;
    };
    line!("stack of a step: ", step);
    line!("stack of an inference: ", inference);
    fine
}
