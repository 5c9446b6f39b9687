//! AVX2 with FMA: eight lanes, sixteen registers.

use core::arch::x86_64::{
    __m128, __m256, __m256i, _CMP_EQ_OQ, _CMP_LE_OQ, _CMP_LT_OQ, _MM_HINT_T0, _mm_add_ps,
    _mm_add_ss, _mm_cvtsi32_si128, _mm_cvtss_f32, _mm_loadu_ps, _mm_max_ps, _mm_max_ss,
    _mm_movehl_ps, _mm_prefetch, _mm_shuffle_ps, _mm_storeu_ps, _mm256_add_epi32, _mm256_add_ps,
    _mm256_and_ps, _mm256_and_si256, _mm256_blendv_ps, _mm256_castps_si256, _mm256_castps128_ps256,
    _mm256_castps256_ps128, _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_cvtepi32_ps, _mm256_div_ps,
    _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_fnmadd_ps, _mm256_insertf128_ps,
    _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_ps, _mm256_maskstore_ps, _mm256_max_ps,
    _mm256_min_ps, _mm256_mul_ps, _mm256_or_ps, _mm256_or_si256, _mm256_permute2f128_ps,
    _mm256_set1_epi32, _mm256_set1_ps, _mm256_shuffle_ps, _mm256_sll_epi32, _mm256_sqrt_ps,
    _mm256_sra_epi32, _mm256_storeu_ps, _mm256_sub_epi32, _mm256_sub_ps, _mm256_unpackhi_ps,
    _mm256_unpacklo_ps, _mm256_xor_si256,
};

use super::{BLOCK, Caches, Kernel, Pointer, Routine, Sealed, Simd};

/// Proof that AVX2 and FMA are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2Fma(());

impl Sealed for Avx2Fma {}

const LANES: usize = 8;

/// A window of eight words that starts at `LANES - n` has its first `n` words set.
static MASKS: [i32; 2 * LANES] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// An expression of intrinsics that ask for nothing but the instruction set.
macro_rules! proven {
    ($intrinsics:expr) => {
        // SAFETY: the caller holds an `Avx2Fma` token (it is `self`), which exists only where
        // AVX2 and FMA were detected; the intrinsics named touch registers only.
        unsafe { $intrinsics }
    };
}

impl Avx2Fma {
    /// Makes the token.
    ///
    /// # Safety
    /// The machine runs AVX2 and FMA instructions.
    #[inline(always)]
    pub(crate) const unsafe fn new() -> Self {
        Self(())
    }

    /// The mask that `maskload` takes: set in the first `min(n, LANES)` lanes.
    #[inline(always)]
    fn first(self, n: usize) -> __m256i {
        let start = LANES - if n < LANES { n } else { LANES };
        // SAFETY: AVX2 is there by the token; start <= LANES, so eight words from it lie in MASKS.
        unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(start).cast()) }
    }

    /// Transposes each half of four registers, 4 x 4: pairs of two rows, then quads.
    #[inline(always)]
    fn turn_halves(self, v: [__m256; 4]) -> [__m256; 4] {
        let pairs = |a, b| proven!((_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)));
        let (low, high) = pairs(v[0], v[1]);
        let (next_low, next_high) = pairs(v[2], v[3]);
        proven!([
            _mm256_shuffle_ps::<0x44>(low, next_low),
            _mm256_shuffle_ps::<0xee>(low, next_low),
            _mm256_shuffle_ps::<0x44>(high, next_high),
            _mm256_shuffle_ps::<0xee>(high, next_high),
        ])
    }

    /// The last two steps of the reduction trees, on four lanes.
    #[inline(always)]
    fn sum_quad(self, v: __m128) -> f32 {
        proven!({
            let pair = _mm_add_ps(v, _mm_movehl_ps(v, v));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
        })
    }

    /// Sum of eight lanes by the fixed tree: 4, 2, 1 apart.
    #[inline(always)]
    pub(super) fn sum_lanes(self, v: __m256) -> f32 {
        self.sum_quad(proven!(_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v))))
    }

    /// Largest of eight lanes by the fixed tree.
    #[inline(always)]
    pub(super) fn max_lanes(self, v: __m256) -> f32 {
        proven!({
            let quad = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let pair = _mm_max_ps(quad, _mm_movehl_ps(quad, quad));
            _mm_cvtss_f32(_mm_max_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
        })
    }
}

impl Simd for Avx2Fma {
    type F32 = __m256;
    type I32 = __m256i;
    type Mask = __m256;
    type Chunk = [f32; LANES];
    type Block = [__m256; 2];
    type Half = Self;

    const LANES: usize = LANES;
    const REGISTERS: usize = 16;
    const FUSED: bool = true;
    const LOADS_COLUMNS: bool = true;

    #[inline(always)]
    fn caches() -> Option<Caches> {
        crate::dispatch::intel_caches()
    }

    #[inline(always)]
    fn half(self) -> Self {
        self
    }

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma")]
        fn call<K: Kernel>(token: Avx2Fma, kernel: K) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: the token proves the features that the function is compiled for.
        unsafe { call(self, kernel) }
    }

    #[inline(always)]
    fn pointer<R: Routine>(self) -> Pointer<R::Plan> {
        #[target_feature(enable = "avx2,fma")]
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
            unsafe { R::run(Avx2Fma::new(), plan, lhs, rhs, out, operand, scratch) }
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
    fn splat(self, x: f32) -> __m256 {
        proven!(_mm256_set1_ps(x))
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> __m256 {
        // SAFETY: AVX by the token; the reference covers LANES f32.
        unsafe { _mm256_loadu_ps(x.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, v: __m256, out: &mut [f32; LANES]) {
        // SAFETY: AVX by the token; the reference covers LANES f32.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn load_tail(self, x: &[f32], fill: f32) -> __m256 {
        let mask = self.first(x.len());
        // SAFETY: AVX by the token; the mask covers min(x.len(), LANES) lanes, all inside `x`, and
        // a lane that is masked off is not read.
        let loaded = unsafe { _mm256_maskload_ps(x.as_ptr(), mask) };
        proven!(_mm256_blendv_ps(_mm256_set1_ps(fill), loaded, _mm256_castsi256_ps(mask)))
    }
    #[inline(always)]
    fn store_tail(self, v: __m256, out: &mut [f32]) {
        let mask = self.first(out.len());
        // SAFETY: AVX by the token; the mask covers min(out.len(), LANES) lanes, all inside `out`,
        // and a lane that is masked off is not written.
        unsafe { _mm256_maskstore_ps(out.as_mut_ptr(), mask, v) }
    }

    #[inline(always)]
    unsafe fn load_ptr(self, ptr: *const f32) -> __m256 {
        // SAFETY: AVX by the token; the caller vouches for LANES readable f32.
        unsafe { _mm256_loadu_ps(ptr) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: __m256, ptr: *mut f32) {
        // SAFETY: AVX by the token; the caller vouches for LANES writable f32.
        unsafe { _mm256_storeu_ps(ptr, v) }
    }
    #[inline(always)]
    unsafe fn load_ptr_first(self, ptr: *const f32, n: usize) -> __m256 {
        // SAFETY: AVX by the token; only the n lanes that the caller vouches for are read.
        unsafe { _mm256_maskload_ps(ptr, self.first(n)) }
    }
    #[inline(always)]
    unsafe fn store_ptr_first(self, v: __m256, ptr: *mut f32, n: usize) {
        // SAFETY: AVX by the token; only the n lanes that the caller vouches for are written.
        unsafe { _mm256_maskstore_ps(ptr, self.first(n), v) }
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
        // Halves of rows i and i + 4 side by side: the first halves, then the second.
        let mut v = [self.splat(0.0); LANES];
        if rows == LANES && cols == LANES {
            // Loads put them there, which takes no shuffle.
            for (i, v) in v.iter_mut().enumerate() {
                let first = src.wrapping_add(i % 4 * src_stride + i / 4 * 4);
                // SAFETY: AVX by the token; the caller vouches for LANES values in as many rows.
                *v = unsafe {
                    let low = _mm256_castps128_ps256(_mm_loadu_ps(first));
                    _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(first.wrapping_add(4 * src_stride)))
                };
            }
        } else {
            let mut t = v;
            for (i, t) in t.iter_mut().enumerate() {
                if i < rows {
                    // SAFETY: the caller vouches for `cols <= LANES` values in each of `rows` rows.
                    *t = unsafe { self.load_ptr_first(src.wrapping_add(i * src_stride), cols) };
                }
            }
            for i in 0..4 {
                v[i] = proven!(_mm256_permute2f128_ps::<0x20>(t[i], t[i + 4]));
                v[i + 4] = proven!(_mm256_permute2f128_ps::<0x31>(t[i], t[i + 4]));
            }
        }
        // (No closure: it would not be compiled for AVX.)
        let columns = [
            self.turn_halves([v[0], v[1], v[2], v[3]]),
            self.turn_halves([v[4], v[5], v[6], v[7]]),
        ];
        for (j, v) in columns.as_flattened().iter().enumerate() {
            if j < cols {
                // SAFETY: the caller vouches for LANES values in each of `cols` rows.
                unsafe { self.store_ptr(*v, dst.wrapping_add(j * dst_stride)) }
            }
        }
    }
    #[inline(always)]
    unsafe fn load_columns(self, ptr: *const f32, stride: usize) -> [__m256; 4] {
        // Halves of register i are rows i and i + 4.
        let lower = self.opaque(ptr.wrapping_add(4_usize.wrapping_mul(stride)));
        let mut v = [self.splat(0.0); 4];
        for (i, v) in v.iter_mut().enumerate() {
            let row = i.wrapping_mul(stride);
            // SAFETY: AVX by the token; the caller vouches for four values in every row.
            *v = unsafe {
                let half = _mm256_castps128_ps256(_mm_loadu_ps(ptr.wrapping_add(row)));
                _mm256_insertf128_ps::<1>(half, _mm_loadu_ps(lower.wrapping_add(row)))
            };
        }
        self.turn_halves(v)
    }
    #[inline(always)]
    unsafe fn store_columns(self, v: [__m256; 4], count: usize, ptr: *mut f32, stride: usize) {
        let column = |l: usize| ptr.wrapping_add(l * stride);
        // SAFETY: AVX by the token; each store is of no more than `count` values at a column, which the caller
        // vouches for.
        unsafe {
            if count == 4 {
                for (l, quad) in self.turn_halves(v).into_iter().enumerate() {
                    _mm_storeu_ps(column(l), _mm256_castps256_ps128(quad));
                    _mm_storeu_ps(column(l + 4), _mm256_extractf128_ps::<1>(quad));
                }
                return;
            }
            if count >= 2 {
                // In each half, pairs of two rows: of columns 0 and 1, and of 2 and 3.
                let (low, high) = (_mm256_unpacklo_ps(v[0], v[1]), _mm256_unpackhi_ps(v[0], v[1]));
                for (l, pairs) in [(0, low), (2, high)] {
                    for (l, half) in [
                        (l, _mm256_castps256_ps128(pairs)),
                        (l + 4, _mm256_extractf128_ps::<1>(pairs)),
                    ] {
                        // As numbers that need not be aligned to their size.
                        let [first, second] = core::mem::transmute::<__m128, [f64; 2]>(half);
                        column(l).cast::<f64>().write_unaligned(first);
                        column(l + 1).cast::<f64>().write_unaligned(second);
                    }
                }
            }
            if count % 2 == 1 {
                self.store_apart(v[count - 1], column(0).wrapping_add(count - 1), stride);
            }
        }
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
    fn add(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        proven!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn neg_mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        proven!(_mm256_fnmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        proven!(_mm256_sqrt_ps(a))
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_min_ps(a, b))
    }

    #[inline(always)]
    fn lt(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b))
    }
    #[inline(always)]
    fn le(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_cmp_ps::<_CMP_LE_OQ>(a, b))
    }
    #[inline(always)]
    fn eq(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b))
    }
    #[inline(always)]
    fn mask_and(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_and_ps(a, b))
    }
    #[inline(always)]
    fn mask_or(self, a: __m256, b: __m256) -> __m256 {
        proven!(_mm256_or_ps(a, b))
    }
    #[inline(always)]
    fn select(self, mask: __m256, if_true: __m256, if_false: __m256) -> __m256 {
        proven!(_mm256_blendv_ps(if_false, if_true, mask))
    }

    #[inline(always)]
    fn keep(self, mask: __m256, a: __m256) -> __m256 {
        proven!(_mm256_and_ps(mask, a))
    }
    #[inline(always)]
    fn select_sign(self, a: __m256, if_set: __m256, if_clear: __m256) -> __m256 {
        proven!(_mm256_blendv_ps(if_clear, if_set, a))
    }

    #[inline(always)]
    fn splat_i32(self, x: i32) -> __m256i {
        proven!(_mm256_set1_epi32(x))
    }
    #[inline(always)]
    fn to_bits(self, a: __m256) -> __m256i {
        proven!(_mm256_castps_si256(a))
    }
    #[inline(always)]
    fn from_bits(self, a: __m256i) -> __m256 {
        proven!(_mm256_castsi256_ps(a))
    }
    #[inline(always)]
    fn float_i32(self, a: __m256i) -> __m256 {
        proven!(_mm256_cvtepi32_ps(a))
    }
    #[inline(always)]
    fn add_i32(self, a: __m256i, b: __m256i) -> __m256i {
        proven!(_mm256_add_epi32(a, b))
    }
    #[inline(always)]
    fn sub_i32(self, a: __m256i, b: __m256i) -> __m256i {
        proven!(_mm256_sub_epi32(a, b))
    }
    #[inline(always)]
    fn and_i32(self, a: __m256i, b: __m256i) -> __m256i {
        proven!(_mm256_and_si256(a, b))
    }
    #[inline(always)]
    fn or_i32(self, a: __m256i, b: __m256i) -> __m256i {
        proven!(_mm256_or_si256(a, b))
    }
    #[inline(always)]
    fn xor_i32(self, a: __m256i, b: __m256i) -> __m256i {
        proven!(_mm256_xor_si256(a, b))
    }
    #[inline(always)]
    fn shl_i32<const N: u32>(self, a: __m256i) -> __m256i {
        proven!(_mm256_sll_epi32(a, _mm_cvtsi32_si128(N.cast_signed())))
    }
    #[inline(always)]
    fn shr_i32<const N: u32>(self, a: __m256i) -> __m256i {
        proven!(_mm256_sra_epi32(a, _mm_cvtsi32_si128(N.cast_signed())))
    }

    #[inline(always)]
    fn splat_block(self, x: f32) -> [__m256; 2] {
        [self.splat(x); 2]
    }
    #[inline(always)]
    fn load_block(self, x: &[f32; BLOCK]) -> [__m256; 2] {
        // SAFETY: AVX by the token; both halves lie in the sixteen f32 of the reference.
        unsafe { [_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(x.as_ptr().add(LANES))] }
    }
    #[inline(always)]
    fn load_block_tail(self, x: &[f32], fill: f32) -> [__m256; 2] {
        let (low, high) = x.split_at(x.len().min(LANES));
        [self.load_tail(low, fill), self.load_tail(high, fill)]
    }
    #[inline(always)]
    fn sum_block(self, v: [__m256; 2]) -> f32 {
        self.sum_lanes(self.add(v[0], v[1]))
    }
    #[inline(always)]
    fn sum_blocks(self, v: &[[__m256; 2]; BLOCK]) -> [__m256; 2] {
        // Each round adds the halves of what is left of two rows and puts the sums side by side:
        // the tree of `sum_block` on eight rows at a time.
        let mut sums = [self.splat(0.0); 2];
        for (g, sum) in sums.iter_mut().enumerate() {
            let mut quads = [self.splat(0.0); 4];
            for (i, quad) in quads.iter_mut().enumerate() {
                let (a, b) = (v[8 * g + i], v[8 * g + i + 4]);
                let (a, b) = (self.add(a[0], a[1]), self.add(b[0], b[1]));
                *quad = proven!(_mm256_add_ps(
                    _mm256_permute2f128_ps::<0x20>(a, b),
                    _mm256_permute2f128_ps::<0x31>(a, b)
                ));
            }
            // Half h of quads[i] is left of row 4 h + i.
            let halves = [[quads[0], quads[1]], [quads[2], quads[3]]].map(|[a, b]| {
                proven!(_mm256_add_ps(
                    _mm256_shuffle_ps::<0x44>(a, b),
                    _mm256_shuffle_ps::<0xee>(a, b)
                ))
            });
            let [a, b] = halves;
            *sum = proven!(_mm256_add_ps(
                _mm256_shuffle_ps::<0x88>(a, b),
                _mm256_shuffle_ps::<0xdd>(a, b)
            ));
        }
        sums
    }
    #[inline(always)]
    fn max_block(self, v: [__m256; 2]) -> f32 {
        self.max_lanes(self.max(v[0], v[1]))
    }
}
