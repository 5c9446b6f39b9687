//! The detection of instruction sets. The operations of the tokens are tested beside them, in
//! `src/simd/tests.rs`, as tokens cannot be had from outside.

use slimfit_kernels::Level;

#[test]
fn levels_are_listed_from_narrow_to_wide() {
    let names: Vec<_> = Level::available().map(Level::name).collect();
    assert_eq!(names[0], "portable");
    assert_eq!(Level::available().last(), Some(Level::detect()));
    assert!(
        ["portable", "avx2+fma", "avx512"].iter().filter(|name| names.contains(name)).eq(&names)
    );
}

#[test]
#[cfg(target_arch = "x86_64")]
fn detection_agrees_with_std() {
    let avx2_fma = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let avx512 = avx2_fma
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq");
    assert_eq!(Level::avx2_fma().is_some(), avx2_fma);
    assert_eq!(Level::avx512().is_some(), avx512);
}

/// NEON has a fused multiply-add; without it, the bits of the other levels would not be asked for.
#[test]
#[cfg(target_arch = "aarch64")]
fn aarch64_is_fused() {
    assert!(Level::PORTABLE.is_fused());
}

/// CI sets this to the levels it counts on, so that none is skipped unseen.
#[test]
fn expected_levels_are_there() {
    if let Ok(expected) = std::env::var("SLIMFIT_EXPECT_LEVELS") {
        let names: Vec<_> = Level::available().map(Level::name).collect();
        assert_eq!(names.join(","), expected);
    }
}
