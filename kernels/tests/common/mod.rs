//! What several test files share.
#![allow(dead_code)]

/// Distance of two f32 in units in the last place of `want`; NaN equals NaN. Infinity counts as
/// 2^128, so that the step beyond the largest float is judged like any other.
pub fn ulp_error(got: f32, want: f64) -> f64 {
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
pub fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// Every exponent with both signs: the boundaries, and `per_exponent` mantissas spread over each.
pub fn stratified(per_exponent: u32) -> Vec<f32> {
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
