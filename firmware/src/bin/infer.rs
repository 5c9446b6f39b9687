//! The least program that infers: to see what that takes.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::hint::black_box;

use slimfit_firmware::cancer;

slimfit_firmware::program!(infer);

static PARAMS: [f32; cancer::PARAMETERS] = [0.0; cancer::PARAMETERS];
static FEATURES: [f32; cancer::INPUTS] = [0.0; cancer::INPUTS];

fn infer() -> bool {
    let mut out = [0.0];
    let mut workspace = [0.0; cancer::NETWORK.predict_len(1)];
    let (params, features) = (black_box(&PARAMS), black_box(&FEATURES));
    cancer::predict(params, features, &mut out, &mut workspace).is_ok() && black_box(out) == [0.5]
}
