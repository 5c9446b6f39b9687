//! Every operation of every token against scalar f32 and i32.

use std::vec;
use std::vec::Vec;

use super::scalar::Scalar;
use super::{BLOCK, Simd};
use crate::Level;
use crate::dispatch::stamp;

/// What lanes are filled with: zeros, subnormals, limits, infinities, NaN and plain numbers.
const SPECIAL: [f32; 19] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1.5,
    -2.75,
    1e-45,
    -1e-40,
    f32::MIN_POSITIVE,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    1.000_000_1,
    0.333_333_34,
    16_777_215.0,
    -3.0e-20,
    7.0e19,
];

/// What a place that must not be written holds.
const CANARY: f32 = -7.25;

/// All lanes of a register.
#[inline(always)]
fn lanes<S: Simd>(s: S, v: S::F32) -> Vec<f32> {
    let mut out = vec![CANARY; S::LANES];
    s.store_tail(v, &mut out);
    out
}

/// All lanes of a register of integers.
#[inline(always)]
fn whole<S: Simd>(s: S, v: S::I32) -> Vec<i32> {
    lanes(s, s.from_bits(v)).into_iter().map(|x| x.to_bits().cast_signed()).collect()
}

/// `LANES` numbers from place `start` of the special ones on, `step` apart, round and round.
#[inline(always)]
fn some<S: Simd>(start: usize, step: usize) -> Vec<f32> {
    (0..S::LANES).map(|i| SPECIAL[(start + i * step) % SPECIAL.len()]).collect()
}

/// Equal bits, or NaN both.
#[track_caller]
fn assert_same(what: &str, found: &[f32], expected: impl Iterator<Item = f32>) {
    let mut expected = expected.fuse();
    for (i, found) in found.iter().enumerate() {
        let expected = expected.next().unwrap();
        assert!(
            found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
            "{what}: lane {i} is {found:e} ({:#x}), not {expected:e}",
            found.to_bits()
        );
    }
}

stamp! {
    fn float_operations() = float_operations_in;
    fn comparisons() = comparisons_in;
    fn integer_operations() = integer_operations_in;
    fn scaling() = scaling_in;
    fn logarithms() = logarithms_in;
    fn memory() = memory_in;
    fn pointers() = pointers_in;
    fn transposes() = transposes_in;
    fn tiles() = tiles_in;
    fn loaded_columns() = loaded_columns_in;
    fn columns() = columns_in;
    fn blocks() = blocks_in;
}

/// Runs at every level.
fn at_every_level(test: fn(Level)) {
    Level::available().for_each(test);
}

/// The token without vectors, which is no level of this machine.
#[test]
fn one_number_a_register() {
    float_operations_in(Scalar);
    comparisons_in(Scalar);
    integer_operations_in(Scalar);
    scaling_in(Scalar);
    logarithms_in(Scalar);
    memory_in(Scalar);
    pointers_in(Scalar);
    transposes_in(Scalar);
    tiles_in(Scalar);
    columns_in(Scalar);
    blocks_in(Scalar);
}

#[test]
fn float_operations_are_those_of_f32() {
    at_every_level(float_operations);
}

#[inline(always)]
fn float_operations_in<S: Simd>(s: S) {
    for start in 0..SPECIAL.len() {
        for step in 1..SPECIAL.len() {
            let (a, b, c) = (some::<S>(start, 1), some::<S>(0, step), some::<S>(step, 7));
            let [x, y, z] = [&a, &b, &c].map(|x| s.load_tail(x, 0.0));
            let pairs = || a.iter().zip(&b);
            let check = |what, found, f: fn(f32, f32) -> f32| {
                assert_same(what, &lanes(s, found), pairs().map(|(a, b)| f(*a, *b)));
            };
            check("add", s.add(x, y), |a, b| a + b);
            check("sub", s.sub(x, y), |a, b| a - b);
            check("mul", s.mul(x, y), |a, b| a * b);
            check("div", s.div(x, y), |a, b| a / b);
            // The second where either is a NaN, and of equal ones.
            check("max", s.max(x, y), |a, b| if a > b { a } else { b });
            check("min", s.min(x, y), |a, b| if a < b { a } else { b });
            check("copysign", s.copysign(x, y), f32::copysign);
            check("sqrt", s.sqrt(x), |a, _| a.sqrt());
            check("abs", s.abs(x), |a, _| a.abs());
            check("neg", s.neg(x), |a, _| -a);
            check("unit_step", s.unit_step(x), |a, _| match a {
                _ if a.is_nan() => a,
                _ if a > 0.0 => 1.0,
                _ => 0.0,
            });
            let fused = |sign: f32| {
                pairs().zip(&c).map(move |((a, b), c)| {
                    if S::FUSED { (sign * a).mul_add(*b, *c) } else { sign * a * b + c }
                })
            };
            assert_same("mul_add", &lanes(s, s.mul_add(x, y, z)), fused(1.0));
            assert_same("neg_mul_add", &lanes(s, s.neg_mul_add(x, y, z)), fused(-1.0));
            // SAFETY: `a` has the number.
            let found = unsafe { s.mul_add_at::<0>(a.as_ptr(), y, z) };
            let expected = s.mul_add(s.splat(a[0]), y, z);
            assert_same("mul_add_at", &lanes(s, found), lanes(s, expected).into_iter());
        }
    }
    assert_same("splat", &lanes(s, s.splat(1.5)), [1.5; BLOCK].into_iter());
    // SAFETY: there are three numbers behind the first.
    let third = unsafe { s.mul_add_at::<3>(SPECIAL.as_ptr(), s.splat(2.0), s.splat(5.0)) };
    assert_same("mul_add_at", &lanes(s, third), [2.0 * SPECIAL[3] + 5.0; BLOCK].into_iter());
}

#[test]
fn a_comparison_with_nan_is_false() {
    at_every_level(comparisons);
}

#[inline(always)]
fn comparisons_in<S: Simd>(s: S) {
    for start in 0..SPECIAL.len() {
        for step in 1..SPECIAL.len() {
            let (a, b) = (some::<S>(start, 1), some::<S>(0, step));
            let (x, y) = (s.load_tail(&a, 0.0), s.load_tail(&b, 0.0));
            let check = |what, mask, f: fn(f32, f32) -> bool| {
                // Both sides keep their bits, NaN included.
                let expected = a.iter().zip(&b).map(|(a, b)| if f(*a, *b) { *a } else { *b });
                assert_same(what, &lanes(s, s.select(mask, x, y)), expected);
            };
            let (less, equal) = (s.lt(x, y), s.eq(x, y));
            check("lt", less, |a, b| a < b);
            check("le", s.le(x, y), |a, b| a <= b);
            let kept = a.iter().zip(&b).map(|(a, b)| if a < b { *a } else { 0.0 });
            assert_same("keep", &lanes(s, s.keep(less, x)), kept);
            let by_sign = a.iter().zip(&b).map(|(a, b)| if a.is_sign_negative() { *b } else { *a });
            assert_same("select_sign", &lanes(s, s.select_sign(x, y, x)), by_sign);
            check("eq", equal, |a, b| a == b);
            check("or", s.mask_or(less, equal), |a, b| a <= b);
            check("and", s.mask_and(s.le(x, y), s.le(y, x)), |a, b| a == b);
        }
    }
}

#[test]
fn exponents_are_split_off_and_limits_known() {
    at_every_level(logarithms);
}

#[inline(always)]
fn logarithms_in<S: Simd>(s: S) {
    // Every exponent, with mantissas on both sides of 3/2; the subnormal ones down to the last bit.
    let numbers = (0..=254u32 << 3).map(|i| f32::from_bits((i << 20) + 1));
    let tiny = (0..23).flat_map(|i| [1, 3].map(|odd| f32::from_bits(odd << i)));
    for x in numbers.chain(tiny).chain([f32::MAX, 0.75, 1.5, 0.749_999_94, 1.499_999_9]) {
        let (k, m) = s.split_exponent(s.splat(x));
        let (k, m) = (lanes(s, k)[0], lanes(s, m)[0]);
        assert!((0.75..1.5).contains(&m), "{x:e} = {m} * 2^{k}");
        assert_eq!(f64::from(m) * libm::exp2(f64::from(k)), f64::from(x), "{x:e} = {m} * 2^{k}");
    }
    for start in 0..SPECIAL.len() {
        let x = some::<S>(start, 1);
        let found = lanes(s, s.ln_limits(s.load_tail(&x, 0.0), s.splat(7.0)));
        let expected = x.iter().map(|&x| match x {
            0.0 => f32::NEG_INFINITY,
            f32::INFINITY => x,
            _ if x > 0.0 => 7.0,
            _ => f32::NAN,
        });
        assert_same("ln_limits", &found, expected);
    }
}

#[test]
fn integer_operations_are_those_of_i32() {
    at_every_level(integer_operations);
}

#[inline(always)]
fn integer_operations_in<S: Simd>(s: S) {
    let numbers = [0, 1, -1, i32::MIN, i32::MAX, 0x1234_5678, -0x1234_5678, 0x7f80_0001];
    for start in 0..numbers.len() {
        let at = |step: usize| -> Vec<i32> {
            (0..S::LANES).map(|i| numbers[(start + i * step) % numbers.len()]).collect()
        };
        let (a, b) = (at(1), at(3));
        let load = |x: &[i32]| {
            let floats: Vec<_> = x.iter().map(|x| f32::from_bits(x.cast_unsigned())).collect();
            s.to_bits(s.load_tail(&floats, 0.0))
        };
        let (x, y) = (load(&a), load(&b));
        let check = |what, found, f: fn(i32, i32) -> i32| {
            let expected: Vec<_> = a.iter().zip(&b).map(|(a, b)| f(*a, *b)).collect();
            assert_eq!(whole(s, found), expected, "{what}");
        };
        check("add_i32", s.add_i32(x, y), i32::wrapping_add);
        check("sub_i32", s.sub_i32(x, y), i32::wrapping_sub);
        check("and_i32", s.and_i32(x, y), |a, b| a & b);
        check("or_i32", s.or_i32(x, y), |a, b| a | b);
        check("xor_i32", s.xor_i32(x, y), |a, b| a ^ b);
        assert_same("float_i32", &lanes(s, s.float_i32(x)), a.iter().map(|a| *a as f32));
        check("shl_i32", s.shl_i32::<1>(x), |a, _| a << 1);
        check("shl_i32", s.shl_i32::<23>(x), |a, _| a << 23);
        check("shl_i32", s.shl_i32::<31>(x), |a, _| a << 31);
        check("shr_i32", s.shr_i32::<1>(x), |a, _| a >> 1);
        check("shr_i32", s.shr_i32::<23>(x), |a, _| a >> 23);
        check("shr_i32", s.shr_i32::<31>(x), |a, _| a >> 31);
    }
    assert_eq!(whole(s, s.splat_i32(-5)), vec![-5; S::LANES]);
}

#[test]
fn scale_rounds_once_from_edge_to_edge() {
    at_every_level(scaling);
}

#[inline(always)]
fn scaling_in<S: Simd>(s: S) {
    for n in -252..=254 {
        for a in [1.0, -1.0, 1.5, 0.0, -0.0, 1.999_999_9, 65_536.0, 0.000_015_258_789, 1.234_567] {
            // Exact in f64, and so rounded once.
            let expected = (f64::from(a) * 2f64.powi(n)) as f32;
            let found = s.scale(s.splat(a), s.splat(n as f32));
            let what = std::format!("{a} * 2^{n}");
            assert_same(&what, &lanes(s, found), [expected; BLOCK].into_iter());
        }
    }
}

#[test]
fn tails_are_filled_and_nothing_else_is_written() {
    at_every_level(memory);
}

#[inline(always)]
fn memory_in<S: Simd>(s: S) {
    let data: Vec<f32> = (0..40).map(|i| i as f32 + 0.5).collect();
    for len in 0..=2 * S::LANES {
        let x = &data[1..=len];
        let expected =
            |fill| (0..S::LANES).map(move |i| if i < len { i as f32 + 1.5 } else { fill });
        for fill in [0.0, -0.0, f32::NEG_INFINITY, f32::NAN] {
            assert_same("load_tail", &lanes(s, s.load_tail(x, fill)), expected(fill));
        }
        let mut out = [CANARY; 40];
        s.store_tail(s.load_tail(&data, 0.0), &mut out[1..=len]);
        let written = len.min(S::LANES);
        assert_eq!(out[1..=written], data[..written]);
        assert!(out[..1].iter().chain(&out[1 + written..]).all(|x| *x == CANARY), "{len}");

        let (chunks, tail) = s.chunks(x);
        assert_eq!((chunks.len(), tail.len()), (len / S::LANES, len % S::LANES));
        for (chunk, expected) in chunks.iter().zip(x.chunks(S::LANES)) {
            assert_eq!(lanes(s, s.load(chunk)), expected);
        }
        assert_eq!(tail, &x[len - len % S::LANES..]);
        let mut out = [CANARY; 40];
        let (chunks, tail) = s.chunks_mut(&mut out[1..=len]);
        for chunk in chunks {
            s.store(s.load_tail(&data, 0.0), chunk);
        }
        assert_eq!(tail.len(), len % S::LANES);
        let written = len - len % S::LANES;
        for chunk in out[1..=written].chunks(S::LANES) {
            assert_eq!(*chunk, data[..S::LANES]);
        }
        assert!(out[..1].iter().chain(&out[1 + written..]).all(|x| *x == CANARY), "{len}");
    }
}

#[test]
fn pointers_reach_so_many_values_and_no_more() {
    at_every_level(pointers);
}

#[inline(always)]
fn pointers_in<S: Simd>(s: S) {
    let data: Vec<f32> = (0..S::LANES).map(|i| i as f32 + 0.5).collect();
    // SAFETY: the slice has LANES values.
    let v = unsafe { s.load_ptr(data.as_ptr()) };
    assert_eq!(lanes(s, v), data);
    let mut out = [CANARY; BLOCK + 2];
    // SAFETY: LANES values fit behind the first.
    unsafe { s.store_ptr(v, out.as_mut_ptr().add(1)) };
    assert_eq!(out[1..=S::LANES], data);
    assert!(out[..1].iter().chain(&out[1 + S::LANES..]).all(|x| *x == CANARY));
    for n in 0..=S::LANES {
        // A slice of its own, so that a sanitizer sees what is read past it.
        let first = data[..n].to_vec();
        // SAFETY: the slice has n values.
        let found = unsafe { s.load_ptr_first(first.as_ptr(), n) };
        let expected = (0..S::LANES).map(|i| if i < n { data[i] } else { 0.0 });
        assert_same("load_ptr_first", &lanes(s, found), expected);
        let mut out = [CANARY; BLOCK + 2];
        // SAFETY: n <= LANES values fit behind the first.
        unsafe { s.store_ptr_first(v, out.as_mut_ptr().add(1), n) };
        assert_eq!(out[1..=n], data[..n]);
        assert!(out[..1].iter().chain(&out[1 + n..]).all(|x| *x == CANARY), "{n}");
    }
    s.prefetch(core::ptr::null());
    s.prefetch(data.as_ptr());
}

#[test]
fn transposes_of_all_shapes() {
    at_every_level(transposes);
}

#[inline(always)]
fn transposes_in<S: Simd>(s: S) {
    for rows in 0..=S::LANES {
        for cols in 0..=S::LANES {
            let (src_stride, dst_stride) = (cols + 3, S::LANES + 2);
            // Ends with the last element, so that a sanitizer sees what is read past it.
            let span = if rows == 0 { 0 } else { (rows - 1) * src_stride + cols };
            let src: Vec<f32> = (0..span).map(|i| i as f32 + 0.5).collect();
            let mut dst = vec![CANARY; cols * dst_stride + 1];
            // SAFETY: the source has `rows` rows of `cols` values, the target `cols` of LANES.
            unsafe {
                let (src, dst) = (src.as_ptr(), dst.as_mut_ptr());
                s.transpose_ptr(src, src_stride, rows, cols, dst, dst_stride);
            }
            for (index, found) in dst.iter().enumerate() {
                let (j, i) = (index / dst_stride, index % dst_stride);
                let expected = if j == cols || i >= S::LANES {
                    CANARY
                } else if i < rows {
                    src[i * src_stride + j]
                } else {
                    0.0
                };
                assert_eq!(found.to_bits(), expected.to_bits(), "{rows} x {cols}: ({j}, {i})");
            }
        }
    }
}

#[test]
fn small_matrices_are_transposed_or_left() {
    at_every_level(tiles);
}

#[inline(always)]
fn tiles_in<S: Simd>(s: S) {
    for rows in 0..=BLOCK + 1 {
        for cols in 0..=BLOCK + 1 {
            for stride in [cols, cols + 1, BLOCK, BLOCK + 1] {
                let span = rows.saturating_sub(1) * stride + cols;
                let src: Vec<f32> = (0..span).map(|i| i as f32 + 0.5).collect();
                for missing in 0..=span.min(1) {
                    let mut dst = [[CANARY; BLOCK]; BLOCK];
                    s.transpose(&src[missing..], stride, (rows, cols), &mut dst);
                    if missing > 0 || rows.max(cols).max(stride) > BLOCK {
                        assert_eq!(dst, [[CANARY; BLOCK]; BLOCK], "{rows} x {cols}, {stride}");
                        continue;
                    }
                    for (j, column) in dst.iter().enumerate().take(cols) {
                        for (i, found) in column.iter().enumerate().take(rows) {
                            assert_eq!(*found, src[i * stride + j], "{rows} x {cols}: ({j}, {i})");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn columns_become_registers() {
    at_every_level(loaded_columns);
}

#[inline(always)]
fn loaded_columns_in<S: Simd>(s: S) {
    for stride in [4, 5, 33] {
        // Ends with the last element, so that a sanitizer sees what is read past it.
        let len = (S::LANES - 1) * stride + 4;
        let data: Vec<f32> = (0..len).map(|i| i as f32 + 0.5).collect();
        // SAFETY: four values at every multiple of the stride below LANES.
        let columns = unsafe { s.load_columns(data.as_ptr(), stride) };
        for (t, column) in columns.into_iter().enumerate() {
            let expected = (0..S::LANES).map(|l| data[l * stride + t]);
            assert_same("load_columns", &lanes(s, column), expected.clone());
            // SAFETY: value t of these four.
            let column = unsafe { s.load_apart(data.as_ptr().add(t), stride) };
            assert_same("load_apart", &lanes(s, column), expected);
        }
    }
}

#[test]
fn registers_become_columns() {
    at_every_level(columns);
}

#[inline(always)]
fn columns_in<S: Simd>(s: S) {
    for count in 0..=4 {
        for stride in [count, 4, 10] {
            let value = |i: usize, l: usize| (i * S::LANES + l) as f32 + 0.5;
            let rows = [0, 1, 2, 3].map(|i| {
                let row: Vec<f32> = (0..S::LANES).map(|l| value(i, l)).collect();
                // SAFETY: LANES values.
                unsafe { s.load_ptr(row.as_ptr()) }
            });
            // Ends with the last element, so that a sanitizer sees what is written past it.
            let mut dst = vec![CANARY; (S::LANES - 1) * stride + count];
            // SAFETY: `count` values at every multiple of the stride below LANES.
            unsafe { s.store_columns(rows, count, dst.as_mut_ptr(), stride) };
            for (index, found) in dst.iter().enumerate() {
                let (l, i) = (index / stride, index % stride);
                let expected = if i < count { value(i, l) } else { CANARY };
                assert_eq!(found.to_bits(), expected.to_bits(), "{count}, {stride}: ({l}, {i})");
            }
        }
    }
}

#[test]
fn blocks_fold_by_the_fixed_tree() {
    at_every_level(blocks);
}

#[inline(always)]
fn blocks_in<S: Simd>(s: S) {
    let tree = |mut lanes: [f32; BLOCK], f: fn(f32, f32) -> f32| {
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                lanes[i] = f(lanes[i], lanes[i + half]);
            }
        }
        [lanes[0]].into_iter()
    };
    let all = |block: S::Block| -> Vec<f32> {
        block.as_ref().iter().flat_map(|v| lanes(s, *v)).collect()
    };
    for step in 1..SPECIAL.len() {
        for start in 0..SPECIAL.len() {
            let special = core::array::from_fn(|i| SPECIAL[(start + i * step) % SPECIAL.len()]);
            // Of sizes that make each order of additions round in its own way.
            let plain = core::array::from_fn(|i| {
                ((i * step + start) % 17) as f32 / 3.0 * if i % 3 == 0 { -1e3 } else { 1.0 }
            });
            for x in [special, plain] {
                let block = s.load_block(&x);
                assert_same("load_block", &all(block), x.into_iter());
                assert_same("sum_block", &[s.sum_block(block)], tree(x, |a, b| a + b));
                let greater = |a, b| if a > b { a } else { b };
                assert_same("max_block", &[s.max_block(block)], tree(x, greater));
            }
        }
    }
    assert_same("splat_block", &all(s.splat_block(2.5)), [2.5; BLOCK].into_iter());
    let data: Vec<f32> = (0..20).map(|i| i as f32 + 0.5).collect();
    for len in 0..=20 {
        for fill in [0.0, f32::NEG_INFINITY] {
            let expected = (0..BLOCK).map(|i| if i < len { data[i] } else { fill });
            assert_same("load_block_tail", &all(s.load_block_tail(&data[..len], fill)), expected);
        }
    }
}
