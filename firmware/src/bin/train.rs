//! Trains the recipe's network and XOR; ends with 0 if both have learned what they should.
#![cfg_attr(target_os = "none", no_std, no_main)]

use slimfit_firmware::{cancer, kernels, line, xor};

slimfit_firmware::program!(train);

fn train() -> bool {
    static mut TRAINER: cancer::Trainer<{ cancer::WORKSPACE }> = cancer::Trainer::new();
    let trainer = &raw mut TRAINER;
    // SAFETY: there is one thread, which runs this function once.
    let trainer = unsafe { &mut *trainer };
    let accuracy =
        cancer::train(trainer, 20, |epoch, loss| line!("cancer: epoch ", epoch, " loss ", loss));
    let Ok(accuracy) = accuracy else { return false };
    line!("cancer: accuracy ", accuracy);
    let mut hash = cancer::Fnv::default();
    hash.add(&trainer.params);
    line!("cancer: hash of the parameters ", hash.0);
    let Ok((loss, right)) = xor::train(300) else { return false };
    line!("xor: loss ", loss, " right ", right, " of 4");
    let (Ok(products), Ok(rows), Ok(dense_rows), Ok(updates)) =
        (kernels::products(), kernels::rows(), kernels::dense_rows(), kernels::updates())
    else {
        return false;
    };
    line!("hash of products ", products, ", of rows ", rows);
    line!("hash of rows through a layer ", dense_rows, " and of updates ", updates);
    accuracy > 0.95 && right == 4
}
