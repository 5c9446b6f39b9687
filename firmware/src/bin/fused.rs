//! Says whether the level that a host trains at has the bits of an FPU that fuses.
#![cfg_attr(target_os = "none", no_std, no_main)]

use slimfit_firmware::line;

slimfit_firmware::program!(fused);

fn fused() -> bool {
    line!(if slimfit::Level::detect().is_fused() { "yes" } else { "no" });
    true
}
