//! AVX-512 (F, VL, BW, DQ): sixteen lanes, thirty-two registers, tails by mask registers.

use core::arch::x86_64::{
    __m512, __m512i, __mmask16, _CMP_EQ_OQ, _CMP_LE_OQ, _CMP_LT_OQ, _MM_HINT_T0,
    _MM_MANT_NORM_P75_1P5, _MM_MANT_SIGN_ZERO, _mm_cvtsi32_si128, _mm_loadu_ps, _mm_maskz_loadu_ps,
    _mm_prefetch, _mm_setzero_ps, _mm_storeu_ps, _mm256_add_ps, _mm256_max_ps, _mm512_add_epi32,
    _mm512_add_ps, _mm512_and_si512, _mm512_castps_si512, _mm512_castps128_ps512,
    _mm512_castps512_ps128, _mm512_castps512_ps256, _mm512_castsi512_ps, _mm512_cmp_ps_mask,
    _mm512_cvtepi32_ps, _mm512_div_ps, _mm512_extractf32x4_ps, _mm512_extractf32x8_ps,
    _mm512_fixupimm_ps, _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_getexp_ps, _mm512_getmant_ps,
    _mm512_insertf32x4, _mm512_loadu_ps, _mm512_mask_blend_ps, _mm512_mask_loadu_ps,
    _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_maskz_mov_ps, _mm512_max_ps,
    _mm512_min_ps, _mm512_movepi32_mask, _mm512_mul_ps, _mm512_or_si512, _mm512_scalef_ps,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_shuffle_f32x4, _mm512_shuffle_ps, _mm512_sll_epi32,
    _mm512_sqrt_ps, _mm512_sra_epi32, _mm512_storeu_ps, _mm512_sub_epi32, _mm512_sub_ps,
    _mm512_unpackhi_ps, _mm512_unpacklo_ps, _mm512_xor_si512,
};

use super::{Avx2Fma, BLOCK, Caches, Kernel, Pointer, Routine, Sealed, Simd};

/// Proof that AVX-512 F, VL, BW and DQ are there, and with them AVX2 and FMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512 {
    half: Avx2Fma,
}

impl Sealed for Avx512 {}

const LANES: usize = 16;

/// An expression of intrinsics that ask for nothing but the instruction set.
macro_rules! proven {
    ($intrinsics:expr) => {
        // SAFETY: the caller holds an `Avx512` token (it is `self`), which exists only where
        // all those features were detected; the intrinsics named touch registers only.
        unsafe { $intrinsics }
    };
}

impl Avx512 {
    /// Makes the token.
    ///
    /// # Safety
    /// The machine runs AVX-512 F, VL, BW, DQ, AVX2 and FMA instructions.
    #[inline(always)]
    pub(crate) const unsafe fn new() -> Self {
        // SAFETY: the caller vouches for AVX2 and FMA.
        Self { half: unsafe { Avx2Fma::new() } }
    }

    /// Transposes each quarter of four registers, 4 x 4: pairs of two rows, then quads.
    #[inline(always)]
    fn turn_quarters(self, v: [__m512; 4]) -> [__m512; 4] {
        let pairs = |a, b| proven!((_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
        let (low, high) = pairs(v[0], v[1]);
        let (next_low, next_high) = pairs(v[2], v[3]);
        proven!([
            _mm512_shuffle_ps::<0x44>(low, next_low),
            _mm512_shuffle_ps::<0xee>(low, next_low),
            _mm512_shuffle_ps::<0x44>(high, next_high),
            _mm512_shuffle_ps::<0xee>(high, next_high),
        ])
    }
}

/// The mask of the first `min(n, LANES)` lanes.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    if n < LANES { (1 << n) - 1 } else { !0 }
}

/// `x * b + acc`, x read `OFFSET` f32 behind `ptr` and broadcast by the multiply-add. Of intrinsics the compiler
/// makes that too where x is used once, but at an address of its own choice, in which there may be two registers.
///
/// # Safety
/// x is valid for reading.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn fmadd_broadcast<const OFFSET: usize>(
    ptr: *const f32,
    b: __m512,
    mut acc: __m512,
) -> __m512 {
    // SAFETY: nothing is read but x, nothing written but the register of `acc` and the flags of the arithmetic.
    unsafe {
        core::arch::asm!(
            "vfmadd231ps {acc}, {b}, dword ptr [{ptr} + {offset}]{{1to16}}",
            acc = inout(zmm_reg) acc,
            b = in(zmm_reg) b,
            ptr = in(reg) ptr,
            offset = const OFFSET * size_of::<f32>(),
            options(pure, readonly, nostack)
        );
    }
    acc
}

impl Simd for Avx512 {
    type F32 = __m512;
    type I32 = __m512i;
    type Mask = __mmask16;
    type Chunk = [f32; LANES];
    type Block = [__m512; 1];
    type Half = Avx2Fma;

    const LANES: usize = LANES;
    const REGISTERS: usize = 32;
    const FUSED: bool = true;
    const LOADS_COLUMNS: bool = true;
    // Addresses of half a register would need another form.
    const BROADCASTS: bool = cfg!(target_pointer_width = "64");

    /// What was measured is Cascade Lake: twice as many multiply-adds a cycle as Zen 4 beside a like second cache, and
    /// a shorter look-ahead. 512 cubed takes half the time there if B is packed, which Zen 4 has nothing of. On Granite
    /// Rapids, whose caches are larger, the same products gain less by it, but gain: others of its maker are taken to
    /// be like these.
    #[inline(always)]
    fn outruns_caches() -> bool {
        Self::caches().is_some()
    }

    #[inline(always)]
    fn caches() -> Option<Caches> {
        crate::dispatch::intel_caches()
    }

    #[inline(always)]
    fn half(self) -> Avx2Fma {
        self.half
    }

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
        fn call<K: Kernel>(token: Avx512, kernel: K) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: the token proves the features that the function is compiled for.
        unsafe { call(self, kernel) }
    }

    #[inline(always)]
    fn pointer<R: Routine>(self) -> Pointer<R::Plan> {
        #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
        unsafe fn run<R: Routine>(
            plan: &R::Plan,
            lhs: *const f32,
            rhs: *const f32,
            out: *mut f32,
            operand: *const f32,
            scratch: *mut f32,
        ) {
            // SAFETY: `pointer` hands the function out to the holder of a token alone; the caller
            // vouches for the rest.
            unsafe { R::run(Avx512::new(), plan, lhs, rhs, out, operand, scratch) }
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
    fn splat(self, x: f32) -> __m512 {
        proven!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> __m512 {
        // SAFETY: AVX-512 by the token; the reference covers LANES f32.
        unsafe { _mm512_loadu_ps(x.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, v: __m512, out: &mut [f32; LANES]) {
        // SAFETY: AVX-512 by the token; the reference covers LANES f32.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn load_tail(self, x: &[f32], fill: f32) -> __m512 {
        // SAFETY: AVX-512 by the token; the mask covers min(x.len(), LANES) lanes, all inside `x`,
        // and a lane that is masked off is not read.
        unsafe { _mm512_mask_loadu_ps(_mm512_set1_ps(fill), first(x.len()), x.as_ptr()) }
    }
    #[inline(always)]
    fn store_tail(self, v: __m512, out: &mut [f32]) {
        // SAFETY: AVX-512 by the token; the mask covers min(out.len(), LANES) lanes, all inside
        // `out`, and a lane that is masked off is not written.
        unsafe { _mm512_mask_storeu_ps(out.as_mut_ptr(), first(out.len()), v) }
    }

    #[inline(always)]
    unsafe fn load_ptr(self, ptr: *const f32) -> __m512 {
        // SAFETY: AVX-512 by the token; the caller vouches for LANES readable f32.
        unsafe { _mm512_loadu_ps(ptr) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: __m512, ptr: *mut f32) {
        // SAFETY: AVX-512 by the token; the caller vouches for LANES writable f32.
        unsafe { _mm512_storeu_ps(ptr, v) }
    }
    #[inline(always)]
    unsafe fn load_ptr_first(self, ptr: *const f32, n: usize) -> __m512 {
        // SAFETY: AVX-512 by the token; only the n lanes that the caller vouches for are read.
        unsafe { _mm512_maskz_loadu_ps(first(n), ptr) }
    }
    #[inline(always)]
    unsafe fn store_ptr_first(self, v: __m512, ptr: *mut f32, n: usize) {
        // SAFETY: AVX-512 by the token; only the n lanes that the caller vouches for are written.
        unsafe { _mm512_mask_storeu_ps(ptr, first(n), v) }
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
        const HALF: usize = LANES / 2;
        // Four quarters: loads put rows into halves of registers there, which spares half of the shuffles.
        for row in [0, HALF] {
            for col in [0, HALF] {
                let src = src.wrapping_add(row.wrapping_mul(src_stride)).wrapping_add(col);
                let dst = dst.wrapping_add(col.wrapping_mul(dst_stride)).wrapping_add(row);
                let rows = rows.saturating_sub(row).min(HALF);
                let cols = cols.saturating_sub(col).min(HALF);
                // SAFETY: a part of the matrix, by the caller's word, and of the LANES values in each of its
                // columns.
                unsafe { self.half.transpose_ptr(src, src_stride, rows, cols, dst, dst_stride) };
            }
        }
    }
    #[inline(always)]
    unsafe fn load_columns(self, ptr: *const f32, stride: usize) -> [__m512; 4] {
        // Quarter q of register i is row 4 q + i. A pointer for each quarter: rows behind it are addressing modes.
        let mut quarters = [ptr; 4];
        let mut first = ptr;
        for quarter in &mut quarters {
            *quarter = first;
            first = self.opaque(first.wrapping_add(4_usize.wrapping_mul(stride)));
        }
        let mut v = [self.splat(0.0); 4];
        for (i, v) in v.iter_mut().enumerate() {
            let row = i.wrapping_mul(stride);
            // SAFETY: AVX-512 by the token; the caller vouches for four values in every row.
            *v = unsafe {
                let first = _mm512_castps128_ps512(_mm_loadu_ps(quarters[0].wrapping_add(row)));
                let v = _mm_loadu_ps(quarters[1].wrapping_add(row));
                let two = _mm512_insertf32x4::<1>(first, v);
                let v = _mm_loadu_ps(quarters[2].wrapping_add(row));
                let three = _mm512_insertf32x4::<2>(two, v);
                let v = _mm_loadu_ps(quarters[3].wrapping_add(row));
                _mm512_insertf32x4::<3>(three, v)
            };
        }
        self.turn_quarters(v)
    }
    #[inline(always)]
    unsafe fn store_columns(self, v: [__m512; 4], count: usize, ptr: *mut f32, stride: usize) {
        if count < 4 {
            // Two halves of eight columns.
            let low = v.map(|v| proven!(_mm512_castps512_ps256(v)));
            let high = v.map(|v| proven!(_mm512_extractf32x8_ps::<1>(v)));
            // SAFETY: by the caller's word for columns 0 to 8 and 8 to 16.
            unsafe {
                self.half.store_columns(low, count, ptr, stride);
                self.half.store_columns(high, count, ptr.wrapping_add(LANES / 2 * stride), stride);
            }
            return;
        }
        let quads = self.turn_quarters(v);
        // From the first column to the last: in another order it took longer.
        let columns = [
            quads.map(|v| proven!(_mm512_castps512_ps128(v))),
            quads.map(|v| proven!(_mm512_extractf32x4_ps::<1>(v))),
            quads.map(|v| proven!(_mm512_extractf32x4_ps::<2>(v))),
            quads.map(|v| proven!(_mm512_extractf32x4_ps::<3>(v))),
        ];
        for (l, column) in columns.as_flattened().iter().enumerate() {
            // SAFETY: AVX-512 by the token; the caller vouches for four values at column l.
            unsafe { _mm_storeu_ps(ptr.wrapping_add(l * stride), *column) };
        }
    }
    #[inline(always)]
    unsafe fn mul_add_at<const OFFSET: usize>(
        self,
        ptr: *const f32,
        b: __m512,
        acc: __m512,
    ) -> __m512 {
        // SAFETY: AVX-512 by the token; the caller vouches for the number.
        unsafe { fmadd_broadcast::<OFFSET>(ptr, b, acc) }
    }
    #[inline(always)]
    fn prefetch(self, ptr: *const f32) {
        // A prefetch of an address that is not mapped does nothing.
        proven!(_mm_prefetch::<_MM_HINT_T0>(ptr.cast()));
    }
    #[inline(always)]
    #[allow(clippy::pointers_in_nomem_asm_block, reason = "the pointer is not followed")]
    fn opaque(self, mut ptr: *const f32) -> *const f32 {
        // SAFETY: there is no instruction in it; the pointer comes out of the register it went into.
        unsafe {
            core::arch::asm!(
                "/* {0} */",
                inout(reg) ptr,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        ptr
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        proven!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn neg_mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        proven!(_mm512_fnmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn scale(self, a: __m512, n: __m512) -> __m512 {
        proven!(_mm512_scalef_ps(a, n))
    }
    #[inline(always)]
    fn split_exponent(self, x: __m512) -> (__m512, __m512) {
        proven!({
            let mantissa = _mm512_getmant_ps::<_MM_MANT_NORM_P75_1P5, _MM_MANT_SIGN_ZERO>(x);
            // That of a mantissa below 1 is -1.
            let k = _mm512_sub_ps(_mm512_getexp_ps(x), _mm512_getexp_ps(mantissa));
            (k, mantissa)
        })
    }
    #[inline(always)]
    fn unit_step(self, x: __m512) -> __m512 {
        // As below: 1 keeps x, 8 is zero, 10 is one.
        const KINDS: i32 = 0xa8a8_a811_u32.cast_signed();
        proven!(_mm512_fixupimm_ps::<0>(x, x, _mm512_set1_epi32(KINDS)))
    }
    #[inline(always)]
    fn ln_limits(self, x: __m512, y: __m512) -> __m512 {
        // Four bits for each kind of x, the lowest first: quiet NaN, signalling NaN, zero, one, -∞, +∞, other
        // negative, other positive. 0 keeps y, 2 is the quiet NaN of x, 3 a NaN, 4 is -∞, 5 is +∞.
        const KINDS: i32 = 0x0353_0422;
        proven!(_mm512_fixupimm_ps::<0>(y, x, _mm512_set1_epi32(KINDS)))
    }
    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        proven!(_mm512_sqrt_ps(a))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn lt(self, a: __m512, b: __m512) -> __mmask16 {
        proven!(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b))
    }
    #[inline(always)]
    fn le(self, a: __m512, b: __m512) -> __mmask16 {
        proven!(_mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b))
    }
    #[inline(always)]
    fn eq(self, a: __m512, b: __m512) -> __mmask16 {
        proven!(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b))
    }
    #[inline(always)]
    fn mask_and(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a & b
    }
    #[inline(always)]
    fn mask_or(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a | b
    }
    #[inline(always)]
    fn select(self, mask: __mmask16, if_true: __m512, if_false: __m512) -> __m512 {
        proven!(_mm512_mask_blend_ps(mask, if_false, if_true))
    }

    #[inline(always)]
    fn keep(self, mask: __mmask16, a: __m512) -> __m512 {
        proven!(_mm512_maskz_mov_ps(mask, a))
    }
    #[inline(always)]
    fn select_sign(self, a: __m512, if_set: __m512, if_clear: __m512) -> __m512 {
        self.select(proven!(_mm512_movepi32_mask(_mm512_castps_si512(a))), if_set, if_clear)
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m512i {
        proven!(_mm512_set1_epi32(x))
    }
    #[inline(always)]
    fn to_bits(self, a: __m512) -> __m512i {
        proven!(_mm512_castps_si512(a))
    }
    #[inline(always)]
    fn from_bits(self, a: __m512i) -> __m512 {
        proven!(_mm512_castsi512_ps(a))
    }
    #[inline(always)]
    fn float_i32(self, a: __m512i) -> __m512 {
        proven!(_mm512_cvtepi32_ps(a))
    }
    #[inline(always)]
    fn add_i32(self, a: __m512i, b: __m512i) -> __m512i {
        proven!(_mm512_add_epi32(a, b))
    }
    #[inline(always)]
    fn sub_i32(self, a: __m512i, b: __m512i) -> __m512i {
        proven!(_mm512_sub_epi32(a, b))
    }
    #[inline(always)]
    fn and_i32(self, a: __m512i, b: __m512i) -> __m512i {
        proven!(_mm512_and_si512(a, b))
    }
    #[inline(always)]
    fn or_i32(self, a: __m512i, b: __m512i) -> __m512i {
        proven!(_mm512_or_si512(a, b))
    }
    #[inline(always)]
    fn xor_i32(self, a: __m512i, b: __m512i) -> __m512i {
        proven!(_mm512_xor_si512(a, b))
    }
    #[inline(always)]
    fn shl_i32<const N: u32>(self, a: __m512i) -> __m512i {
        proven!(_mm512_sll_epi32(a, _mm_cvtsi32_si128(N.cast_signed())))
    }
    #[inline(always)]
    fn shr_i32<const N: u32>(self, a: __m512i) -> __m512i {
        proven!(_mm512_sra_epi32(a, _mm_cvtsi32_si128(N.cast_signed())))
    }

    #[inline(always)]
    fn splat_block(self, x: f32) -> [__m512; 1] {
        [self.splat(x)]
    }
    #[inline(always)]
    fn load_block(self, x: &[f32; BLOCK]) -> [__m512; 1] {
        [self.load(x)]
    }
    #[inline(always)]
    fn load_block_tail(self, x: &[f32], fill: f32) -> [__m512; 1] {
        [self.load_tail(x, fill)]
    }
    #[inline(always)]
    fn sum_block(self, v: [__m512; 1]) -> f32 {
        let [v] = v;
        self.half.sum_lanes(proven!(_mm256_add_ps(
            _mm512_castps512_ps256(v),
            _mm512_extractf32x8_ps::<1>(v)
        )))
    }
    #[inline(always)]
    fn sum_blocks(self, v: &[[__m512; 1]; BLOCK]) -> [__m512; 1] {
        // Each round adds the halves of what is left of two rows and puts the sums side by side:
        // the tree of `sum_block` on all rows at a time. Quarters first, of rows 4 apart, then 8.
        let mut pairs = [self.splat(0.0); 8];
        for (i, pair) in pairs.iter_mut().enumerate() {
            let row = i + i / 4 * 4;
            let (a, b) = (v[row][0], v[row + 4][0]);
            *pair = proven!(_mm512_add_ps(
                _mm512_shuffle_f32x4::<0x44>(a, b),
                _mm512_shuffle_f32x4::<0xee>(a, b)
            ));
        }
        let mut quads = [self.splat(0.0); 4];
        for (i, quad) in quads.iter_mut().enumerate() {
            let (a, b) = (pairs[i], pairs[i + 4]);
            *quad = proven!(_mm512_add_ps(
                _mm512_shuffle_f32x4::<0x88>(a, b),
                _mm512_shuffle_f32x4::<0xdd>(a, b)
            ));
        }
        // Quarter q of quads[i] is left of row 4 q + i: within the quarters the same two rounds.
        let halves = [[quads[0], quads[1]], [quads[2], quads[3]]].map(|[a, b]| {
            proven!(_mm512_add_ps(_mm512_shuffle_ps::<0x44>(a, b), _mm512_shuffle_ps::<0xee>(a, b)))
        });
        let [a, b] = halves;
        [proven!(_mm512_add_ps(_mm512_shuffle_ps::<0x88>(a, b), _mm512_shuffle_ps::<0xdd>(a, b)))]
    }
    #[inline(always)]
    unsafe fn transpose_tile(
        self,
        src: *const f32,
        stride: usize,
        (rows, cols): (usize, usize),
        dst: &mut [[f32; BLOCK]; BLOCK],
    ) {
        // Four columns at a time, so that whole registers are stored: they are loaded again at once, and Intel's
        // processors make those wait that were stored in halves.
        for (quad, dst) in dst.chunks_exact_mut(4).enumerate().take(cols.div_ceil(4)) {
            let col = 4 * quad;
            let mut rows_of_quarters = [self.splat(0.0); 4];
            for (i, v) in rows_of_quarters.iter_mut().enumerate() {
                let mut quarters = [proven!(_mm_setzero_ps()); 4];
                for (q, quarter) in quarters.iter_mut().enumerate() {
                    let row = 4 * q + i;
                    if row < rows {
                        let width = first(cols - col) as u8;
                        // SAFETY: AVX-512 by the token; no more is read than is left of a row, which the caller vouches
                        // for.
                        *quarter =
                            unsafe { _mm_maskz_loadu_ps(width, src.add(row * stride + col)) };
                    }
                }
                let [one, two, three, four] = quarters;
                *v = proven!({
                    let v = _mm512_insertf32x4::<1>(_mm512_castps128_ps512(one), two);
                    _mm512_insertf32x4::<3>(_mm512_insertf32x4::<2>(v, three), four)
                });
            }
            for (column, dst) in self.turn_quarters(rows_of_quarters).into_iter().zip(dst) {
                self.store(column, dst);
            }
        }
    }
    #[inline(always)]
    fn max_block(self, v: [__m512; 1]) -> f32 {
        let [v] = v;
        self.half.max_lanes(proven!(_mm256_max_ps(
            _mm512_castps512_ps256(v),
            _mm512_extractf32x8_ps::<1>(v)
        )))
    }
}
