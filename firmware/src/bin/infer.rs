//! The least program that infers one sample at a time: to see what that takes.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::hint::black_box;

use slimfit_firmware::cancer;

slimfit_firmware::program!(infer);

fn infer() -> bool {
    // Written to by nobody, but in RAM, so that the flash is that of the code.
    static mut PARAMS: [f32; cancer::PARAMETERS] = [0.0; cancer::PARAMETERS];
    static mut FEATURES: [f32; cancer::INPUTS] = [0.0; cancer::INPUTS];
    static mut WORKSPACE: [f32; cancer::NETWORK.predict_len(1)] =
        [0.0; cancer::NETWORK.predict_len(1)];
    let (params, features, workspace) = (&raw mut PARAMS, &raw mut FEATURES, &raw mut WORKSPACE);
    // SAFETY: there is one thread, which runs this function once.
    let (params, features, workspace) = unsafe { (&mut *params, &mut *features, &mut *workspace) };
    let (params, features) = (black_box(params), black_box(features));
    cancer::predict_row(params, features, workspace).is_ok_and(|p| p == 0.5)
}
