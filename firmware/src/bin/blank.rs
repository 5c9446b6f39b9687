//! Does nothing: what the start-up code takes, to subtract from the others.
#![cfg_attr(target_os = "none", no_std, no_main)]

slimfit_firmware::program!(nothing);

fn nothing() -> bool {
    core::hint::black_box(true)
}
