//! The back end where there are no vectors: one number a register.
//!
//! It stands for [`super::Portable`] on such targets. On a Cortex-M with an FPU multiply and add are
//! fused and the root is taken by one instruction each, so that the bits are those of the other fused
//! levels.
//!
//! `--cfg slimfit_scalar` makes it the portable level of any target, fused by software: slow, and for
//! tests, which then compare it with the vectors of the host.

use super::{BLOCK, Kernel, Pointer, Routine, Sealed, Simd};

/// Token of the back end without vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalar;

impl Sealed for Scalar {}

/// A part of a product for [`machine`] to compute: where A, B and the sums begin, and how far it is from
/// a row or a column to the next.
pub(crate) struct Tile {
    pub(crate) a: *const f32,
    pub(crate) a_row: usize,
    pub(crate) a_col: usize,
    pub(crate) b: *const f32,
    pub(crate) b_row: usize,
    pub(crate) b_col: usize,
    pub(crate) k: usize,
    pub(crate) out: *mut f32,
    pub(crate) out_row: usize,
}

/// What [`Simd`] has no word for: loops over several rows, columns or parameters at a time, as a machine
/// of one number a register wants them.
///
/// The condition says Cortex-M with an FPU: among the targets whose ABI passes floats in its
/// registers and that have no operating system, only M profiles have no 64-bit atomics, and all their FPUs fuse.
#[cfg(all(
    target_arch = "arm",
    target_abi = "eabihf",
    target_os = "none",
    not(target_has_atomic = "64")
))]
#[path = "scalar/cortex_m.rs"]
pub(crate) mod machine;
#[cfg(not(all(
    target_arch = "arm",
    target_abi = "eabihf",
    target_os = "none",
    not(target_has_atomic = "64")
)))]
#[path = "scalar/generic.rs"]
pub(crate) mod machine;

impl Simd for Scalar {
    type F32 = f32;
    type I32 = i32;
    type Mask = bool;
    type Chunk = [f32; 1];
    type Block = [f32; BLOCK];
    type Half = Self;

    const LANES: usize = 1;
    // Blocks of sixteen do not fit into 32 registers several at a time.
    const REGISTERS: usize = 8;
    const FUSED: bool = machine::FUSED;

    #[inline(always)]
    fn half(self) -> Self {
        self
    }

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        #[inline(never)]
        fn call<K: Kernel>(token: Scalar, kernel: K) -> K::Output {
            kernel.run(token)
        }
        call(self, kernel)
    }

    #[inline(always)]
    fn pointer<R: Routine>(self) -> Pointer<R::Plan> {
        unsafe fn run<R: Routine>(
            plan: &R::Plan,
            lhs: *const f32,
            rhs: *const f32,
            out: *mut f32,
            operand: *const f32,
            scratch: *mut f32,
        ) {
            // SAFETY: by the caller's word.
            unsafe { R::run(Scalar, plan, lhs, rhs, out, operand, scratch) }
        }
        run::<R>
    }

    #[inline(always)]
    fn chunks(self, x: &[f32]) -> (&[[f32; 1]], &[f32]) {
        x.as_chunks()
    }
    #[inline(always)]
    fn chunks_mut(self, x: &mut [f32]) -> (&mut [[f32; 1]], &mut [f32]) {
        x.as_chunks_mut()
    }

    #[inline(always)]
    fn splat(self, x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn load(self, x: &[f32; 1]) -> f32 {
        x[0]
    }
    #[inline(always)]
    fn store(self, v: f32, out: &mut [f32; 1]) {
        out[0] = v;
    }
    #[inline(always)]
    fn load_tail(self, x: &[f32], fill: f32) -> f32 {
        x.first().copied().unwrap_or(fill)
    }
    #[inline(always)]
    fn store_tail(self, v: f32, out: &mut [f32]) {
        if let Some(out) = out.first_mut() {
            *out = v;
        }
    }

    #[inline(always)]
    unsafe fn load_ptr(self, ptr: *const f32) -> f32 {
        // SAFETY: the caller vouches for one readable f32.
        unsafe { *ptr }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: f32, ptr: *mut f32) {
        // SAFETY: the caller vouches for one writable f32.
        unsafe { *ptr = v }
    }
    #[inline(always)]
    unsafe fn load_ptr_first(self, ptr: *const f32, n: usize) -> f32 {
        // SAFETY: the caller vouches for n readable f32.
        if n == 0 { 0.0 } else { unsafe { *ptr } }
    }
    #[inline(always)]
    unsafe fn store_ptr_first(self, v: f32, ptr: *mut f32, n: usize) {
        if n > 0 {
            // SAFETY: the caller vouches for n writable f32.
            unsafe { *ptr = v }
        }
    }
    #[inline(always)]
    unsafe fn transpose_ptr(
        self,
        src: *const f32,
        _: usize,
        rows: usize,
        cols: usize,
        dst: *mut f32,
        _: usize,
    ) {
        if cols > 0 {
            // SAFETY: the caller vouches for the one value there is on each side, if there is one.
            unsafe { *dst = self.load_ptr_first(src, rows) }
        }
    }
    #[inline(always)]
    fn prefetch(self, _: *const f32) {}

    #[inline(always)]
    fn add(self, a: f32, b: f32) -> f32 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32, b: f32) -> f32 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32, b: f32) -> f32 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32, b: f32) -> f32 {
        a / b
    }
    #[inline(always)]
    fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        machine::mul_add(a, b, c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        machine::mul_add(-a, b, c)
    }
    #[inline(always)]
    fn sqrt(self, a: f32) -> f32 {
        machine::sqrt(a)
    }
    #[inline(always)]
    fn max(self, a: f32, b: f32) -> f32 {
        if a > b { a } else { b }
    }
    #[inline(always)]
    fn min(self, a: f32, b: f32) -> f32 {
        if a < b { a } else { b }
    }

    #[inline(always)]
    fn lt(self, a: f32, b: f32) -> bool {
        a < b
    }
    #[inline(always)]
    fn le(self, a: f32, b: f32) -> bool {
        a <= b
    }
    #[inline(always)]
    fn eq(self, a: f32, b: f32) -> bool {
        a == b
    }
    #[inline(always)]
    fn mask_and(self, a: bool, b: bool) -> bool {
        a & b
    }
    #[inline(always)]
    fn mask_or(self, a: bool, b: bool) -> bool {
        a | b
    }
    #[inline(always)]
    fn select(self, mask: bool, if_true: f32, if_false: f32) -> f32 {
        if mask { if_true } else { if_false }
    }

    #[inline(always)]
    fn keep(self, mask: bool, a: f32) -> f32 {
        if mask { a } else { 0.0 }
    }
    #[inline(always)]
    fn select_sign(self, a: f32, if_set: f32, if_clear: f32) -> f32 {
        if a.is_sign_negative() { if_set } else { if_clear }
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> i32 {
        x
    }
    #[inline(always)]
    fn to_bits(self, a: f32) -> i32 {
        a.to_bits().cast_signed()
    }
    #[inline(always)]
    fn from_bits(self, a: i32) -> f32 {
        f32::from_bits(a.cast_unsigned())
    }
    #[inline(always)]
    fn float_i32(self, a: i32) -> f32 {
        a as f32
    }
    #[inline(always)]
    fn add_i32(self, a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    fn sub_i32(self, a: i32, b: i32) -> i32 {
        a.wrapping_sub(b)
    }
    #[inline(always)]
    fn and_i32(self, a: i32, b: i32) -> i32 {
        a & b
    }
    #[inline(always)]
    fn or_i32(self, a: i32, b: i32) -> i32 {
        a | b
    }
    #[inline(always)]
    fn xor_i32(self, a: i32, b: i32) -> i32 {
        a ^ b
    }
    #[inline(always)]
    fn shl_i32<const N: u32>(self, a: i32) -> i32 {
        a << N
    }
    #[inline(always)]
    fn shr_i32<const N: u32>(self, a: i32) -> i32 {
        a >> N
    }

    #[inline(always)]
    fn splat_block(self, x: f32) -> [f32; BLOCK] {
        [x; BLOCK]
    }
    #[inline(always)]
    fn load_block(self, x: &[f32; BLOCK]) -> [f32; BLOCK] {
        *x
    }
    #[inline(always)]
    fn load_block_tail(self, x: &[f32], fill: f32) -> [f32; BLOCK] {
        let mut lanes = [fill; BLOCK];
        for (lane, x) in lanes.iter_mut().zip(x) {
            *lane = *x;
        }
        lanes
    }
    #[inline(always)]
    fn sum_block(self, v: [f32; BLOCK]) -> f32 {
        fold(v, |a, b| a + b)
    }
    #[inline(always)]
    fn max_block(self, v: [f32; BLOCK]) -> f32 {
        fold(v, |a, b| if a > b { a } else { b })
    }
}

/// The tree of the reductions: lane i with lane i + 8, then 4, 2 and 1 apart.
#[inline(always)]
fn fold(mut v: [f32; BLOCK], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = BLOCK / 2;
    while half > 0 {
        for i in 0..half {
            // The remainders say that no index is out of bounds.
            v[i % BLOCK] = combine(v[i % BLOCK], v[(i + half) % BLOCK]);
        }
        half /= 2;
    }
    v[0]
}
