//! The least program that infers batches of any number of rows: to see what that takes.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::hint::black_box;

use slimfit_firmware::cancer;

slimfit_firmware::program!(batch);

fn batch() -> bool {
    const WORKSPACE: usize = cancer::NETWORK.predict_len(cancer::BATCH);
    // As in `infer`.
    static mut PARAMS: [f32; cancer::PARAMETERS] = [0.0; cancer::PARAMETERS];
    static mut FEATURES: [f32; cancer::BATCH * cancer::INPUTS] =
        [0.0; cancer::BATCH * cancer::INPUTS];
    static mut OUT: [f32; cancer::BATCH] = [0.0; cancer::BATCH];
    static mut SPACE: [f32; WORKSPACE] = [0.0; WORKSPACE];
    let (params, features) = (&raw const PARAMS, &raw const FEATURES);
    let (out, space) = (&raw mut OUT, &raw mut SPACE);
    // SAFETY: there is one thread, which runs this function once.
    let (params, features, out, space) = unsafe { (&*params, &*features, &mut *out, &mut *space) };
    cancer::predict(black_box(params), black_box(features), out, space).is_ok()
        && black_box(out) == &[0.5; cancer::BATCH]
}
