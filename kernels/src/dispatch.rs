//! From a run-time [`Level`] to code compiled for one instruction set.
//!
//! `stamp!` turns a kernel generic over [`Simd`](crate::simd::Simd) into a public function that
//! takes a [`Level`] first. It writes one copy a level, each in a function with the target features
//! of that level, into which the generic kernel is inlined, and a `match` that picks the copy.
//! This is one predictable branch a call, a nanosecond or so.
//!
//! The branch may be inlined into other crates, the copies are not: each crate that calls them would compile them anew,
//! the tests of the losses alone for three minutes. On a microcontroller they are inlined, as what is known where a
//! kernel is called (which activation, which loss) leaves less of it to fit into a small flash.

use core::fmt;
#[cfg(target_arch = "x86_64")]
use core::sync::atomic::{AtomicU32, Ordering};

use crate::simd::Portable;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2Fma, Avx512, Caches};

#[cfg(target_arch = "x86_64")]
cpufeatures::new!(cpu_avx2_fma, "avx2", "fma");
#[cfg(target_arch = "x86_64")]
cpufeatures::new!(cpu_avx512, "avx512f", "avx512vl", "avx512bw", "avx512dq", "avx2", "fma");

/// The caches of this processor, if Intel made it. The instruction that tells is slow, on virtual machines above all:
/// later calls read what the first has noted.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn intel_caches() -> Option<Caches> {
    // An enclave may not ask.
    if cfg!(target_env = "sgx") {
        return None;
    }
    match NOTED.load(Ordering::Relaxed) {
        UNKNOWN => note_intel_caches(),
        noted => unpack(noted),
    }
}

#[cfg(target_arch = "x86_64")]
const UNKNOWN: u32 = u32::MAX;
/// What the first call found, as [`unpack`] reads it.
#[cfg(target_arch = "x86_64")]
static NOTED: AtomicU32 = AtomicU32::new(UNKNOWN);

/// Ways in the lowest eight bits, none if Intel did not make the processor; above them the second cache in kilobytes.
#[cfg(target_arch = "x86_64")]
#[inline]
fn unpack(noted: u32) -> Option<Caches> {
    const F32_OF_KILOBYTE: usize = 1024 / size_of::<f32>();
    let first_ways = noted as usize & 0xff;
    let second_len = (noted as usize >> 8) * F32_OF_KILOBYTE;
    (first_ways > 0).then_some(Caches { first_ways, second_len })
}

#[cfg(target_arch = "x86_64")]
#[cold]
#[inline(never)]
#[allow(unused_unsafe, reason = "safe in newer releases")]
fn note_intel_caches() -> Option<Caches> {
    use core::arch::x86_64::{__cpuid, __cpuid_count};

    /// The leaf of caches.
    const CACHES: u32 = 4;
    // SAFETY: every processor of this architecture has the instruction and its leaf 0.
    let vendor = unsafe { __cpuid(0) };
    let name = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
    let mut noted = 0;
    if name.as_flattened() == b"GenuineIntel" {
        // What does not tell is taken for a Cascade Lake.
        let (mut ways, mut kilobytes) = (8, 1024);
        let parts = if vendor.eax < CACHES { 0 } else { 8 };
        for part in 0..parts {
            // SAFETY: the processor has the leaf; of parts that it has not the leaf says so.
            let cache = unsafe { __cpuid_count(CACHES, part) };
            let (kind, level) = (cache.eax & 0x1f, cache.eax >> 5 & 7);
            let (data, unified) = (kind == 1, kind == 3);
            let of_ways = (cache.ebx >> 22) + 1;
            let line = ((cache.ebx >> 12 & 0x3ff) + 1) * ((cache.ebx & 0xfff) + 1);
            if data && level == 1 {
                ways = of_ways;
            } else if unified && level == 2 {
                let bytes = u64::from(of_ways) * u64::from(line) * (u64::from(cache.ecx) + 1);
                kilobytes = (bytes / 1024) as u32;
            }
        }
        noted = kilobytes.min(0xff_fffe) << 8 | ways.clamp(1, 0xff);
    }
    NOTED.store(noted, Ordering::Relaxed);
    unpack(noted)
}

/// Runs `test` as on a processor of Intel with so many ways and kilobytes, or as on one of another maker. No other unit
/// test may multiply meanwhile: a product asks more than once, and must get the same answer.
#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) fn with_intel_caches(caches: Option<(u32, u32)>, test: impl FnOnce()) {
    NOTED.store(caches.map_or(0, |(ways, kilobytes)| kilobytes << 8 | ways), Ordering::Relaxed);
    test();
    NOTED.store(UNKNOWN, Ordering::Relaxed);
}

/// An instruction set that this machine has: the first argument of every kernel.
///
/// A value other than [`Level::PORTABLE`] comes from detection only, so that a kernel may trust it.
///
/// ```
/// use slimfit_kernels::{Level, reduce};
///
/// for level in Level::available() {
///     assert_eq!(reduce::sum(level, &[1.0, 2.0, 3.0]), 6.0, "{level}");
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Level {
    /// What the crate was compiled for: SSE2, NEON, simd128, or scalar code (fused where the FPU of a
    /// Cortex-M is).
    Portable(Portable),
    /// x86-64 with AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2Fma(Avx2Fma),
    /// x86-64 with AVX-512 F, VL, BW and DQ.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Level {
    /// The level that needs no detection.
    pub const PORTABLE: Self = Self::Portable(Portable);

    /// The widest level of this machine. Detection runs once; later calls read its cached result.
    #[must_use]
    pub fn detect() -> Self {
        Self::avx512().or_else(Self::avx2_fma).unwrap_or(Self::PORTABLE)
    }

    /// Every level of this machine, the narrowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        [Some(Self::PORTABLE), Self::avx2_fma(), Self::avx512()].into_iter().flatten()
    }

    /// AVX2 with FMA, if this machine has both.
    #[must_use]
    pub fn avx2_fma() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if cpu_avx2_fma::get() {
            // SAFETY: AVX2 and FMA, and an operating system that saves their registers, were
            // detected on the line above.
            return Some(Self::Avx2Fma(unsafe { Avx2Fma::new() }));
        }
        None
    }

    /// AVX-512 (F, VL, BW, DQ), if this machine has all four.
    #[must_use]
    pub fn avx512() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if cpu_avx512::get() {
            // SAFETY: all features that the token stands for, and an operating system that saves
            // their registers, were detected on the line above.
            return Some(Self::Avx512(unsafe { Avx512::new() }));
        }
        None
    }

    /// Name of the level, as benches and messages print it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2Fma(_) => "avx2+fma",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
        }
    }

    /// Whether a multiply-add rounds once. All fused levels give the same bits.
    #[must_use]
    pub const fn is_fused(self) -> bool {
        match self {
            Self::Portable(_) => <Portable as crate::simd::Simd>::FUSED,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2Fma(_) | Self::Avx512(_) => true,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Writes the entry point of a kernel: see the [module](self).
///
/// `pub fn name(args) -> Output = kernel;` calls `kernel(token, args)`. Type parameters stand in
/// brackets, each with one bound: `pub fn name[F: Function](…)`.
macro_rules! stamp {
    ($(
        $(#[$attr:meta])*
        $vis:vis fn $name:ident $([$($gen:ident : $bound:path),+])?
            ($($arg:ident : $ty:ty),* $(,)?) $(-> $out:ty)? = $kernel:path;
    )*) => {$(
        $(#[$attr])*
        #[inline]
        $vis fn $name $(<$($gen: $bound),+>)? (level: $crate::Level, $($arg: $ty),*) $(-> $out)? {
            #[cfg_attr(not(target_os = "none"), inline(never))]
            #[cfg_attr(target_os = "none", inline(always))]
            fn portable $(<$($gen: $bound),+>)? (
                token: $crate::simd::Portable, $($arg: $ty),*
            ) $(-> $out)? {
                $kernel(token, $($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[inline(never)]
            #[target_feature(enable = "avx2,fma")]
            fn avx2_fma $(<$($gen: $bound),+>)? (
                token: $crate::simd::Avx2Fma, $($arg: $ty),*
            ) $(-> $out)? {
                $kernel(token, $($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[inline(never)]
            #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
            fn avx512 $(<$($gen: $bound),+>)? (
                token: $crate::simd::Avx512, $($arg: $ty),*
            ) $(-> $out)? {
                $kernel(token, $($arg),*)
            }
            match level {
                $crate::Level::Portable(token) => portable(token, $($arg),*),
                #[cfg(target_arch = "x86_64")]
                $crate::Level::Avx2Fma(token) => {
                    // SAFETY: the token proves the features that the function is compiled for.
                    #[allow(unsafe_code)]
                    unsafe { avx2_fma(token, $($arg),*) }
                }
                #[cfg(target_arch = "x86_64")]
                $crate::Level::Avx512(token) => {
                    // SAFETY: the token proves the features that the function is compiled for.
                    #[allow(unsafe_code)]
                    unsafe { avx512(token, $($arg),*) }
                }
            }
        }
    )*};
}
pub(crate) use stamp;
