//! The back end of targets whose vectors `wide` knows: `wide::f32x8`.
//!
//! `wide` chooses its instructions when the crate is compiled: SSE2 on the default x86-64 target,
//! NEON on aarch64, simd128 on wasm where enabled. Where it would fall back to arrays,
//! [`super::scalar`] takes its place. It fuses `mul_add` only where the compile-time target has the
//! instruction, which [`Simd::FUSED`] mirrors.

use wide::{f32x8, i32x8};

use super::{BLOCK, Kernel, Pointer, Routine, Sealed, Simd};

/// Token of the portable back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portable;

impl Sealed for Portable {}

const LANES: usize = 8;

/// One step of the reduction trees: combines lane `i` with lane `i + half`, for `i < half`.
#[inline(always)]
fn fold(v: &mut [f32; LANES], half: usize, combine: impl Fn(f32, f32) -> f32) {
    for i in 0..half {
        v[i] = combine(v[i], v[i + half]);
    }
}

impl Simd for Portable {
    type F32 = f32x8;
    type I32 = i32x8;
    type Mask = f32x8;
    type Chunk = [f32; LANES];
    type Block = [f32x8; 2];
    type Half = Self;

    const LANES: usize = LANES;
    const REGISTERS: usize = if cfg!(target_arch = "aarch64") { 16 } else { 8 };
    const FUSED: bool = cfg!(any(
        all(target_feature = "sse2", target_feature = "fma"),
        all(target_arch = "aarch64", target_feature = "neon")
    ));

    #[inline(always)]
    fn half(self) -> Self {
        self
    }

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        #[inline(never)]
        fn call<K: Kernel>(token: Portable, kernel: K) -> K::Output {
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
            unsafe { R::run(Portable, plan, lhs, rhs, out, operand, scratch) }
        }
        run::<R>
    }

    #[inline(always)]
    fn chunks(self, x: &[f32]) -> (&[[f32; LANES]], &[f32]) {
        x.as_chunks()
    }
    #[inline(always)]
    fn chunks_mut(self, x: &mut [f32]) -> (&mut [[f32; LANES]], &mut [f32]) {
        x.as_chunks_mut()
    }

    #[inline(always)]
    fn splat(self, x: f32) -> f32x8 {
        f32x8::splat(x)
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> f32x8 {
        f32x8::new(*x)
    }
    #[inline(always)]
    fn store(self, v: f32x8, out: &mut [f32; LANES]) {
        *out = v.to_array();
    }
    #[inline(always)]
    fn load_tail(self, x: &[f32], fill: f32) -> f32x8 {
        let mut lanes = [fill; LANES];
        for (lane, x) in lanes.iter_mut().zip(x) {
            *lane = *x;
        }
        f32x8::new(lanes)
    }
    #[inline(always)]
    fn store_tail(self, v: f32x8, out: &mut [f32]) {
        for (out, lane) in out.iter_mut().zip(v.to_array()) {
            *out = lane;
        }
    }

    #[inline(always)]
    unsafe fn load_ptr(self, ptr: *const f32) -> f32x8 {
        // SAFETY: the caller vouches for LANES readable f32; the array has the alignment of f32.
        f32x8::new(unsafe { ptr.cast::<[f32; LANES]>().read() })
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: f32x8, ptr: *mut f32) {
        // SAFETY: the caller vouches for LANES writable f32; the array has the alignment of f32.
        unsafe { ptr.cast::<[f32; LANES]>().write(v.to_array()) }
    }
    #[inline(always)]
    unsafe fn load_ptr_first(self, ptr: *const f32, n: usize) -> f32x8 {
        // SAFETY: the caller vouches for n readable f32.
        self.load_tail(unsafe { core::slice::from_raw_parts(ptr, n) }, 0.0)
    }
    #[inline(always)]
    unsafe fn store_ptr_first(self, v: f32x8, ptr: *mut f32, n: usize) {
        for (i, lane) in v.to_array().into_iter().enumerate() {
            if i < n {
                // SAFETY: the caller vouches for n writable f32, and i < n.
                unsafe { ptr.add(i).write(lane) }
            }
        }
    }
    #[inline(always)]
    unsafe fn transpose_ptr(
        self,
        src: *const f32,
        src_stride: usize,
        rows: usize,
        cols: usize,
        dst: *mut f32,
        dst_stride: usize,
    ) {
        for j in 0..cols {
            for i in 0..LANES {
                // SAFETY: the caller vouches for `cols` values in each of `rows` source rows and
                // for LANES values in each of `cols` target rows.
                unsafe {
                    let value = if i < rows { src.add(i * src_stride + j).read() } else { 0.0 };
                    dst.add(j * dst_stride + i).write(value);
                }
            }
        }
    }
    #[inline(always)]
    fn prefetch(self, _: *const f32) {}

    #[inline(always)]
    fn add(self, a: f32x8, b: f32x8) -> f32x8 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32x8, b: f32x8) -> f32x8 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32x8, b: f32x8) -> f32x8 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32x8, b: f32x8) -> f32x8 {
        a / b
    }
    #[inline(always)]
    fn mul_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a.mul_neg_add(b, c)
    }
    #[inline(always)]
    fn sqrt(self, a: f32x8) -> f32x8 {
        a.sqrt()
    }
    #[inline(always)]
    fn max(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_gt(b).select(a, b)
    }
    #[inline(always)]
    fn min(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_lt(b).select(a, b)
    }

    #[inline(always)]
    fn lt(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_lt(b)
    }
    #[inline(always)]
    fn le(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_le(b)
    }
    #[inline(always)]
    fn eq(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_eq(b)
    }
    #[inline(always)]
    fn mask_and(self, a: f32x8, b: f32x8) -> f32x8 {
        a & b
    }
    #[inline(always)]
    fn mask_or(self, a: f32x8, b: f32x8) -> f32x8 {
        a | b
    }
    #[inline(always)]
    fn select(self, mask: f32x8, if_true: f32x8, if_false: f32x8) -> f32x8 {
        mask.select(if_true, if_false)
    }

    #[inline(always)]
    fn keep(self, mask: f32x8, a: f32x8) -> f32x8 {
        mask & a
    }
    #[inline(always)]
    fn select_sign(self, a: f32x8, if_set: f32x8, if_clear: f32x8) -> f32x8 {
        self.from_bits(self.shr_i32::<31>(self.to_bits(a))).select(if_set, if_clear)
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> i32x8 {
        i32x8::splat(x)
    }
    #[inline(always)]
    fn to_bits(self, a: f32x8) -> i32x8 {
        i32x8::new(a.to_array().map(|x| x.to_bits().cast_signed()))
    }
    #[inline(always)]
    fn from_bits(self, a: i32x8) -> f32x8 {
        f32x8::new(a.to_array().map(|x| f32::from_bits(x.cast_unsigned())))
    }
    #[inline(always)]
    fn float_i32(self, a: i32x8) -> f32x8 {
        f32x8::from_i32x8(a)
    }
    #[inline(always)]
    fn add_i32(self, a: i32x8, b: i32x8) -> i32x8 {
        a + b
    }
    #[inline(always)]
    fn sub_i32(self, a: i32x8, b: i32x8) -> i32x8 {
        a - b
    }
    #[inline(always)]
    fn and_i32(self, a: i32x8, b: i32x8) -> i32x8 {
        a & b
    }
    #[inline(always)]
    fn or_i32(self, a: i32x8, b: i32x8) -> i32x8 {
        a | b
    }
    #[inline(always)]
    fn xor_i32(self, a: i32x8, b: i32x8) -> i32x8 {
        a ^ b
    }
    #[inline(always)]
    fn shl_i32<const N: u32>(self, a: i32x8) -> i32x8 {
        a << N
    }
    #[inline(always)]
    fn shr_i32<const N: u32>(self, a: i32x8) -> i32x8 {
        a >> N
    }

    #[inline(always)]
    fn splat_block(self, x: f32) -> [f32x8; 2] {
        [self.splat(x); 2]
    }
    #[inline(always)]
    fn load_block(self, x: &[f32; BLOCK]) -> [f32x8; 2] {
        let (chunks, _) = x.as_chunks::<LANES>();
        [f32x8::new(chunks[0]), f32x8::new(chunks[1])]
    }
    #[inline(always)]
    fn load_block_tail(self, x: &[f32], fill: f32) -> [f32x8; 2] {
        let (low, high) = x.split_at(x.len().min(LANES));
        [self.load_tail(low, fill), self.load_tail(high, fill)]
    }
    #[inline(always)]
    fn sum_block(self, v: [f32x8; 2]) -> f32 {
        let mut lanes = (v[0] + v[1]).to_array();
        fold(&mut lanes, 4, |a, b| a + b);
        fold(&mut lanes, 2, |a, b| a + b);
        lanes[0] + lanes[1]
    }
    #[inline(always)]
    fn max_block(self, v: [f32x8; 2]) -> f32 {
        let greater = |a: f32, b: f32| if a > b { a } else { b };
        let mut lanes = self.max(v[0], v[1]).to_array();
        fold(&mut lanes, 4, greater);
        fold(&mut lanes, 2, greater);
        greater(lanes[0], lanes[1])
    }
}
