//! One trait, one zero-sized token per instruction set.
//!
//! A kernel is written once, as a function generic over `S: Simd` that takes the token by value.
//! Tokens cannot be made up: [`crate::Level`] hands them out after detection, so holding one *proves* that
//! its instructions exist on this machine. That proof is what makes the methods below safe.
//!
//! # Contracts
//!
//! **Fusing.** [`Simd::mul_add`] and [`Simd::neg_mul_add`] round once where [`Simd::FUSED`] is true,
//! twice elsewhere. All other operations are the IEEE 754 ones and give the same bits at every level.
//! A kernel that uses only these and a fixed order has the same bits on every fused level.
//!
//! **NaN.** Comparisons with a NaN are false. [`Simd::max`] and [`Simd::min`] return their *second*
//! argument if either is a NaN (the x86 rule): put the value whose NaN must survive second.
//!
//! **Tails.** A slice is walked as whole chunks of [`Simd::LANES`] and one shorter tail. The tail is
//! read by one masked load, whose missing lanes hold a fill value that the kernel chooses such that
//! no exception is raised, and written by one masked store. Nothing outside the slice is touched.
//!
//! **Sixteen virtual lanes.** What sums over a slice works on blocks of sixteen, [`Simd::Block`]:
//! one register of AVX-512, two of AVX2. The order of additions is then the same everywhere.
//!
//! **Inlining.** A method and everything generic over `S` must be `#[inline(always)]`: only inside
//! the stamped entry points of [`crate::dispatch`] do the intrinsics have their target feature.

#[cfg(target_arch = "x86_64")]
mod avx2_fma;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[allow(dead_code, unreachable_pub, reason = "this one or the next is the portable level")]
mod portable;
#[allow(dead_code, unreachable_pub, reason = "this one or the last is the portable level")]
mod scalar;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
pub use avx2_fma::Avx2Fma;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
// Where `wide` has vectors.
#[cfg(all(
    any(
        target_feature = "sse2",
        all(target_arch = "aarch64", target_feature = "neon"),
        target_feature = "simd128"
    ),
    not(slimfit_scalar)
))]
pub use portable::Portable;
#[cfg(not(all(
    any(
        target_feature = "sse2",
        all(target_arch = "aarch64", target_feature = "neon"),
        target_feature = "simd128"
    ),
    not(slimfit_scalar)
)))]
pub use scalar::Scalar as Portable;
pub(crate) use scalar::{Tile, machine};

/// Length of a [`Simd::Block`]: the number of virtual lanes of every reduction.
pub const BLOCK: usize = 16;

/// The bits of 3/4, where the mantissas of [`Simd::split_exponent`] begin.
pub(crate) const MANTISSA_START: i32 = 0x3f40_0000;

mod sealed {
    /// Keeps [`super::Simd`] to the tokens of this crate, whose constructors are private.
    pub trait Sealed {}
}
use sealed::Sealed;

/// Code that is compiled once for each instruction set as a function of its own: see
/// [`Simd::call`].
pub trait Kernel {
    /// What it returns.
    type Output;
    /// The code; `#[inline(always)]` like everything generic over `S`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// Code that is kept as a pointer to a function compiled for one instruction set: see
/// [`Simd::pointer`].
pub trait Routine {
    /// What it knows of its work before the operands.
    type Plan;
    /// The code; `#[inline(always)]` like everything generic over `S`.
    ///
    /// # Safety
    /// What the routine asks for.
    unsafe fn run<S: Simd>(
        s: S,
        plan: &Self::Plan,
        lhs: *const f32,
        rhs: *const f32,
        out: *mut f32,
        operand: *const f32,
        scratch: *mut f32,
    );
}

/// A [`Routine`] compiled for the instruction set of a token. As many arguments as x86-64 passes in
/// registers.
pub type Pointer<P> = unsafe fn(&P, *const f32, *const f32, *mut f32, *const f32, *mut f32);

/// What strategies ask of the caches of a core.
#[derive(Clone, Copy, Debug)]
pub struct Caches {
    /// Lines of the first, for data, that share a set.
    pub first_ways: usize,
    /// f32 that the second holds.
    pub second_len: usize,
}

/// The vector operations of one instruction set; see the [module](self) for the contracts.
pub trait Simd: Copy + Send + Sync + core::fmt::Debug + Sealed + 'static {
    /// A register of [`Self::LANES`] f32.
    type F32: Copy;
    /// A register of [`Self::LANES`] 32-bit integers; arithmetic wraps.
    type I32: Copy;
    /// One truth value a lane.
    type Mask: Copy;
    /// `[f32; LANES]`.
    type Chunk: Copy + AsRef<[f32]>;
    /// `[Self::F32; BLOCK / LANES]`: sixteen virtual lanes, in memory order.
    type Block: Copy + AsRef<[Self::F32]> + AsMut<[Self::F32]>;
    /// The token to use for at most half a register; the same token where there is none.
    type Half: Simd;

    /// f32 lanes in a register; divides [`BLOCK`].
    const LANES: usize;
    /// Vector registers that a kernel may count on.
    const REGISTERS: usize;
    /// Whether [`Self::mul_add`] rounds once.
    const FUSED: bool;
    /// Whether [`Self::load_columns`] takes little more than to load as many registers.
    const LOADS_COLUMNS: bool = false;
    /// Whether [`Self::mul_add_at`] reads memory in the multiply-add itself.
    const BROADCASTS: bool = false;

    /// Whether this processor multiplies faster at this level than its caches hand on lines that lie apart, and
    /// does not look far enough ahead to make up for it: what is read again and again is copied sooner then.
    #[inline(always)]
    #[must_use]
    fn outruns_caches() -> bool {
        false
    }

    /// The caches, where the choice is known to depend on them: those of Intel's processors.
    #[inline(always)]
    #[must_use]
    fn caches() -> Option<Caches> {
        None
    }

    /// The token of half the width, whose instructions this one implies.
    fn half(self) -> Self::Half;

    /// Runs `kernel` as a function of its own, not inlined, with the instructions of this token.
    /// For bodies that would make one function too large together.
    fn call<K: Kernel>(self, kernel: K) -> K::Output;

    /// The routine as a function of its own, compiled with the instructions of this token. To call
    /// it is safe where `R` is: the machine has the instructions, or there were no token.
    fn pointer<R: Routine>(self) -> Pointer<R::Plan>;

    /// Splits `x` into whole chunks and a tail shorter than [`Self::LANES`].
    fn chunks(self, x: &[f32]) -> (&[Self::Chunk], &[f32]);
    /// Splits `x` into whole chunks and a tail shorter than [`Self::LANES`].
    fn chunks_mut(self, x: &mut [f32]) -> (&mut [Self::Chunk], &mut [f32]);

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::F32;
    /// Loads a chunk.
    fn load(self, x: &Self::Chunk) -> Self::F32;
    /// Stores a chunk.
    fn store(self, v: Self::F32, out: &mut Self::Chunk);
    /// Loads the first `min(x.len(), LANES)` lanes from `x`; the others are `fill`.
    fn load_tail(self, x: &[f32], fill: f32) -> Self::F32;
    /// Stores the first `min(out.len(), LANES)` lanes.
    fn store_tail(self, v: Self::F32, out: &mut [f32]);

    /// Loads [`Self::LANES`] values from `ptr`.
    ///
    /// # Safety
    /// `ptr` is valid for reading [`Self::LANES`] f32; it need not be aligned beyond `f32`.
    unsafe fn load_ptr(self, ptr: *const f32) -> Self::F32;
    /// Stores [`Self::LANES`] values to `ptr`.
    ///
    /// # Safety
    /// `ptr` is valid for writing [`Self::LANES`] f32; it need not be aligned beyond `f32`.
    unsafe fn store_ptr(self, v: Self::F32, ptr: *mut f32);
    /// Loads `n` values from `ptr`; the other lanes are zero.
    ///
    /// # Safety
    /// `n <= LANES`, and `ptr` is valid for reading `n` f32.
    unsafe fn load_ptr_first(self, ptr: *const f32, n: usize) -> Self::F32;
    /// Stores the first `n` values to `ptr`.
    ///
    /// # Safety
    /// `n <= LANES`, and `ptr` is valid for writing `n` f32.
    unsafe fn store_ptr_first(self, v: Self::F32, ptr: *mut f32, n: usize);
    /// Writes the transpose of the `rows` x `cols` matrix at `src` to `dst`: `cols` rows of
    /// [`Self::LANES`] values, of which those from `rows` on are zero.
    ///
    /// # Safety
    /// `rows <= LANES`, `cols <= LANES`; every row `src + i * src_stride` is valid for reading
    /// `cols` f32, and every row `dst + j * dst_stride` for writing [`Self::LANES`], none of them in those.
    unsafe fn transpose_ptr(
        self,
        src: *const f32,
        src_stride: usize,
        rows: usize,
        cols: usize,
        dst: *mut f32,
        dst_stride: usize,
    );
    /// Loads four values of each of [`Self::LANES`] rows: lane l of register t is `ptr + l * stride + t`.
    ///
    /// # Safety
    /// For every lane l, `ptr + l * stride` is valid for reading four f32.
    #[inline(always)]
    unsafe fn load_columns(self, ptr: *const f32, stride: usize) -> [Self::F32; 4] {
        let mut columns = [self.splat(0.0); 4];
        for (t, column) in columns.iter_mut().enumerate() {
            // SAFETY: value t of every row, by the caller's word.
            *column = unsafe { self.load_apart(ptr.wrapping_add(t), stride) };
        }
        columns
    }
    /// Loads lane l from `ptr + l * stride`.
    ///
    /// # Safety
    /// All these places are valid for reading.
    #[inline(always)]
    unsafe fn load_apart(self, ptr: *const f32, stride: usize) -> Self::F32 {
        let mut lanes = [0.0_f32; BLOCK];
        for (l, x) in lanes.iter_mut().take(Self::LANES).enumerate() {
            // SAFETY: by the caller's word.
            *x = unsafe { *ptr.wrapping_add(l.wrapping_mul(stride)) };
        }
        // SAFETY: a block has LANES values.
        unsafe { self.load_ptr(lanes.as_ptr()) }
    }
    /// Writes registers as columns: lane l of register i < `count` to `ptr + l * stride + i`.
    ///
    /// # Safety
    /// `count <= 4`; for every lane l, `ptr + l * stride` is valid for writing `count` f32.
    #[inline(always)]
    unsafe fn store_columns(self, v: [Self::F32; 4], count: usize, ptr: *mut f32, stride: usize) {
        for (i, v) in v.into_iter().take(count).enumerate() {
            // SAFETY: row i < count of every column.
            unsafe { self.store_apart(v, ptr.wrapping_add(i), stride) };
        }
    }
    /// Stores lane l to `ptr + l * stride`.
    ///
    /// # Safety
    /// All these places are valid for writing.
    #[inline(always)]
    unsafe fn store_apart(self, v: Self::F32, ptr: *mut f32, stride: usize) {
        let mut lanes = [0.0_f32; BLOCK];
        // SAFETY: LANES values fit into a block; their places are valid by the caller's word.
        unsafe {
            self.store_ptr(v, lanes.as_mut_ptr());
            for (l, x) in lanes.iter().take(Self::LANES).enumerate() {
                ptr.wrapping_add(l * stride).write(*x);
            }
        }
    }
    /// `x * b + acc` for the number x that lies `OFFSET` f32 behind `ptr`.
    ///
    /// # Safety
    /// It is valid for reading.
    #[inline(always)]
    unsafe fn mul_add_at<const OFFSET: usize>(
        self,
        ptr: *const f32,
        b: Self::F32,
        acc: Self::F32,
    ) -> Self::F32 {
        // SAFETY: by the caller's word.
        self.mul_add(self.splat(unsafe { *ptr.add(OFFSET) }), b, acc)
    }
    /// Asks for the cache line at `ptr`, which may be any address.
    fn prefetch(self, ptr: *const f32);
    /// The pointer, of which the compiler is not to know where it came from: so it stays in a register of
    /// its own instead of being made of others again and again.
    #[inline(always)]
    fn opaque(self, ptr: *const f32) -> *const f32 {
        ptr
    }

    /// `a + b`
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a - b`
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b`
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a / b`
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once where [`Self::FUSED`].
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `c - a * b`, rounded once where [`Self::FUSED`].
    fn neg_mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// Square root, correctly rounded.
    fn sqrt(self, a: Self::F32) -> Self::F32;
    /// `a > b ? a : b`: the second argument if either is a NaN.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a < b ? a : b`: the second argument if either is a NaN.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// `a < b`; false if either is a NaN.
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a <= b`; false if either is a NaN.
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a == b`; false if either is a NaN.
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// Both.
    fn mask_and(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Either.
    fn mask_or(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `if_true` where the mask is set, else `if_false`.
    fn select(self, mask: Self::Mask, if_true: Self::F32, if_false: Self::F32) -> Self::F32;

    /// `a` where the mask is set, else zero.
    fn keep(self, mask: Self::Mask, a: Self::F32) -> Self::F32;
    /// `if_set` where the sign bit of `a` is set, of a zero or NaN too, else `if_clear`.
    fn select_sign(self, a: Self::F32, if_set: Self::F32, if_clear: Self::F32) -> Self::F32;

    /// All lanes `x`.
    fn splat_i32(self, x: i32) -> Self::I32;
    /// The bits of the floats.
    fn to_bits(self, a: Self::F32) -> Self::I32;
    /// The floats of the bits.
    fn from_bits(self, a: Self::I32) -> Self::F32;
    /// The integers as floats, rounded to nearest.
    fn float_i32(self, a: Self::I32) -> Self::F32;
    /// `a + b`, wrapping.
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a - b`, wrapping.
    fn sub_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Bitwise and.
    fn and_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Bitwise or.
    fn or_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Bitwise exclusive or.
    fn xor_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Shift left by `N < 32`.
    fn shl_i32<const N: u32>(self, a: Self::I32) -> Self::I32;
    /// Arithmetic shift right by `N < 32`: the sign comes in.
    fn shr_i32<const N: u32>(self, a: Self::I32) -> Self::I32;

    /// All sixteen virtual lanes `x`.
    fn splat_block(self, x: f32) -> Self::Block;
    /// Loads sixteen virtual lanes.
    fn load_block(self, x: &[f32; BLOCK]) -> Self::Block;
    /// Loads the first `min(x.len(), BLOCK)` virtual lanes; the others are `fill`.
    fn load_block_tail(self, x: &[f32], fill: f32) -> Self::Block;
    /// Sum of the sixteen virtual lanes by the fixed tree: lane i and i + 8, then 4, 2, 1 apart.
    fn sum_block(self, v: Self::Block) -> f32;
    /// Sums of sixteen times sixteen virtual lanes: lane i is [`Self::sum_block`] of `v[i]`, bit for
    /// bit.
    #[inline(always)]
    fn sum_blocks(self, v: &[Self::Block; BLOCK]) -> Self::Block {
        let mut sums = [0.0; BLOCK];
        for (sum, v) in sums.iter_mut().zip(v) {
            *sum = self.sum_block(*v);
        }
        self.load_block(&sums)
    }
    /// Largest of the sixteen virtual lanes by the same tree; `max(lane i, lane i + 8)` and so on.
    fn max_block(self, v: Self::Block) -> f32;

    /// Writes the transpose of the `rows` x `cols` matrix that `src` begins with, one row every `stride`
    /// elements, to the rows of `dst`; what is past the matrix there becomes anything. Does nothing
    /// unless `rows`, `cols` and `stride` are at most [`BLOCK`] and `src` holds the matrix.
    #[inline(always)]
    fn transpose(
        self,
        src: &[f32],
        stride: usize,
        (rows, cols): (usize, usize),
        dst: &mut [[f32; BLOCK]; BLOCK],
    ) {
        let is_small = rows <= BLOCK && cols <= BLOCK && stride <= BLOCK;
        if is_small && rows.saturating_sub(1) * stride + cols <= src.len() {
            // SAFETY: the sizes and the length of `src` were just compared.
            unsafe { self.transpose_tile(src.as_ptr(), stride, (rows, cols), dst) }
        }
    }
    /// [`Self::transpose`] of a matrix that fits.
    ///
    /// # Safety
    /// `rows`, `cols` and `stride` are at most [`BLOCK`]; every row `src + i * stride` is valid for reading `cols` f32.
    #[inline(always)]
    unsafe fn transpose_tile(
        self,
        src: *const f32,
        stride: usize,
        (rows, cols): (usize, usize),
        dst: &mut [[f32; BLOCK]; BLOCK],
    ) {
        for row in (0..rows).step_by(Self::LANES) {
            for col in (0..cols).step_by(Self::LANES) {
                let (height, width) = (rows - row, cols - col);
                let (height, width) = (height.min(Self::LANES), width.min(Self::LANES));
                // SAFETY: a part of the matrix, by the caller's word. As LANES divides BLOCK, row + LANES <= BLOCK
                // and col + width <= BLOCK: all is written inside `dst`.
                unsafe {
                    let src = src.add(row * stride + col);
                    let dst = dst.as_mut_ptr().cast::<f32>().add(col * BLOCK + row);
                    self.transpose_ptr(src, stride, height, width, dst, BLOCK);
                }
            }
        }
    }

    /// `|a|`: clears the sign, of a NaN too.
    #[inline(always)]
    fn abs(self, a: Self::F32) -> Self::F32 {
        self.from_bits(self.and_i32(self.to_bits(a), self.splat_i32(0x7fff_ffff)))
    }

    /// `-a`: flips the sign, of a NaN too.
    #[inline(always)]
    fn neg(self, a: Self::F32) -> Self::F32 {
        self.from_bits(self.xor_i32(self.to_bits(a), self.splat_i32(i32::MIN)))
    }

    /// `a * 2^n` for whole `n` from -252 to 254, rounded once provided that `a` is 0 or its size lies
    /// between 2^-16 and 2^16.
    #[inline(always)]
    fn scale(self, a: Self::F32, n: Self::F32) -> Self::F32 {
        // 1.5 * 2^23 has nine low bits to spare: the sum holds n + 254 there. It is halved into two
        // biased exponents, so that the first product is exact.
        let n = self.to_bits(self.add(n, self.splat(12_582_912.0 + 254.0)));
        let half = self.shr_i32::<1>(n);
        let first = self.from_bits(self.shl_i32::<23>(half));
        let second = self.from_bits(self.shl_i32::<23>(self.sub_i32(n, half)));
        self.mul(self.mul(a, first), second)
    }

    /// k and m with x = m * 2^k and m from 3/4 to 3/2, for a positive finite x, subnormal or not; any
    /// two numbers for others.
    #[inline(always)]
    fn split_exponent(self, x: Self::F32) -> (Self::F32, Self::F32) {
        // A subnormal is made normal: beside the bit of 2^-102 its own say how much more it is, times
        // 2^24. To a normal one, zero is added and subtracted.
        let small = self.lt(x, self.splat(f32::MIN_POSITIVE));
        let bit = self.keep(small, self.splat(1.972_152_3e-31));
        let normal = self.from_bits(self.or_i32(self.to_bits(x), self.to_bits(bit)));
        let bits = self.to_bits(self.sub(normal, bit));
        let exponent = self.sub_i32(bits, self.splat_i32(MANTISSA_START));
        let power = self.and_i32(exponent, self.splat_i32(-1 << 23));
        let mantissa = self.from_bits(self.sub_i32(bits, power));
        let k = self.float_i32(self.shr_i32::<23>(exponent));
        (self.sub(k, self.keep(small, self.splat(24.0))), mantissa)
    }

    /// 1 where `x` is positive, 0 where it is zero or negative, `x` where it is a NaN.
    #[inline(always)]
    fn unit_step(self, x: Self::F32) -> Self::F32 {
        let zero = self.splat(0.0);
        let positive = self.select(self.lt(zero, x), self.splat(1.0), x);
        self.select(self.le(x, zero), zero, positive)
    }

    /// `y` where `x` is positive and finite; else the limit of ln: -∞ at zeros, +∞, NaN below and for NaN.
    #[inline(always)]
    fn ln_limits(self, x: Self::F32, y: Self::F32) -> Self::F32 {
        let y = self.select(self.lt(x, self.splat(f32::INFINITY)), y, x);
        let y = self.select_sign(x, self.splat(f32::NAN), y);
        self.select(self.eq(x, self.splat(0.0)), self.splat(f32::NEG_INFINITY), y)
    }

    /// `magnitude` with its sign bit taken from `sign`.
    #[inline(always)]
    fn copysign(self, magnitude: Self::F32, sign: Self::F32) -> Self::F32 {
        let sign_bit = self.and_i32(self.to_bits(sign), self.splat_i32(i32::MIN));
        self.from_bits(self.or_i32(self.to_bits(self.abs(magnitude)), sign_bit))
    }
}

/// What the first lane holds.
#[inline(always)]
pub(crate) fn first_lane<S: Simd>(s: S, x: S::F32) -> f32 {
    let mut lane = [0.0];
    s.store_tail(x, &mut lane);
    lane[0]
}
