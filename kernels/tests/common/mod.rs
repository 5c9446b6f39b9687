//! What several test files share.
#![allow(dead_code, reason = "no test file uses all of it")]

use slimfit_kernels::Level;

/// Numbers that look random and are the same everywhere (splitmix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `low..high`.
    pub(crate) fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.bits() >> 40) as f32 / (1u64 << 24) as f32)
    }

    pub(crate) fn vec(&mut self, len: usize, low: f32, high: f32) -> Vec<f32> {
        (0..len).map(|_| self.uniform(low, high)).collect()
    }
}

/// The lengths that every kernel is tried with.
pub(crate) fn lengths() -> impl Iterator<Item = usize> {
    (0..=67).chain([100, 127, 129, 255, 1001])
}

/// The bits, with all NaNs as one.
pub(crate) fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

/// `f` gives the same bits at every fused level; at every level at all if `exact`.
pub(crate) fn same_bits(what: &str, exact: bool, f: impl Fn(Level) -> Vec<f32>) {
    let mut levels = Level::available().filter(|level| exact || level.is_fused());
    let Some(first) = levels.next() else { return };
    let expected = f(first);
    for level in levels {
        assert_eq!(bits(&f(level)), bits(&expected), "{what}: {level} against {first}");
    }
}

/// `found` is within `tolerance` of `expected`; NaN meets NaN, and an infinity itself.
#[track_caller]
pub(crate) fn close(found: f32, expected: f64, tolerance: f64, what: &dyn std::fmt::Display) {
    let same = f64::from(found) == expected || found.is_nan() && expected.is_nan();
    assert!(
        same || (f64::from(found) - expected).abs() <= tolerance,
        "{what}: {found:e} where {expected:e} is expected, to {tolerance:e}"
    );
}

/// Distance of two f32 in units in the last place of `want`; NaN equals NaN. Infinity counts as
/// 2^128, so that the step beyond the largest float is judged like any other.
pub(crate) fn ulp_error(got: f32, want: f64) -> f64 {
    if want.is_nan() || got.is_nan() {
        return if want.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    let limit = 2f64.powi(128);
    let got = f64::from(got).clamp(-limit, limit);
    let want = want.clamp(-limit, limit);
    if got == want {
        return 0.0;
    }
    let exponent = ((want.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let ulp = 2f64.powi(exponent.clamp(-126, 127) - 23);
    (got - want).abs() / ulp
}

/// Equal bits, or both NaN.
pub(crate) fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// Every exponent with both signs: the boundaries, and `per_exponent` mantissas spread over each.
pub(crate) fn stratified(per_exponent: u32) -> Vec<f32> {
    let mut x = Vec::new();
    for exponent in 0..=255u32 {
        for sign in [0, 1 << 31] {
            let base = sign | exponent << 23;
            for edge in [0, 1, 2, 0x40_0000, 0x35_04f3, 0x35_04f4, 0x7f_fffe, 0x7f_ffff] {
                x.push(f32::from_bits(base | edge));
            }
            // A golden-ratio walk spreads evenly without a pattern of low bits.
            let mut mantissa = exponent;
            for _ in 0..per_exponent {
                mantissa = mantissa.wrapping_add(0x9e37_79b9);
                x.push(f32::from_bits(base | mantissa >> 9));
            }
        }
    }
    x
}
