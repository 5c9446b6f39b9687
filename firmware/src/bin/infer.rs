//! The least program that infers: to see what that takes.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::hint::black_box;

use slimfit_firmware::cancer;

slimfit_firmware::program!(infer);

fn infer() -> bool {
    // Written to by nobody, but in RAM, so that the flash is that of the code.
    static mut PARAMS: [f32; cancer::PARAMETERS] = [0.0; cancer::PARAMETERS];
    static mut FEATURES: [f32; cancer::INPUTS] = [0.0; cancer::INPUTS];
    let mut out = [0.0];
    let mut workspace = [0.0; cancer::NETWORK.predict_len(1)];
    let (params, features) = (&raw mut PARAMS, &raw mut FEATURES);
    // SAFETY: there is one thread, which runs this function once.
    let (params, features) = unsafe { (&mut *params, &mut *features) };
    let (params, features) = (black_box(params), black_box(features));
    cancer::predict(params, features, &mut out, &mut workspace).is_ok() && black_box(out) == [0.5]
}
