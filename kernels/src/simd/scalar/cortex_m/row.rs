//! One row of A: several chains of products an element, or sixteen virtual lanes.
//!
//! Sixteen columns are computed chain by chain, with all sixteen sums of a chain in registers, fewer
//! columns four at a time, with all four chains: so a product takes 1.34 or 1.75 instructions.

use core::arch::asm;
use core::mem::MaybeUninit;

use super::bytes;
use crate::simd::Tile;

/// Adds one of the last products of each column to a chain, if there is one.
macro_rules! along_left {
    ($s0:literal, $s1:literal, $s2:literal, $s3:literal) => {
        concat!(
            "subs {left}, {left}, #1\n",
            "blt 4f\n",
            "vldmia {a}!, {{s16}}\n",
            "vldmia {b0}!, {{s20}}\n",
            "vldmia {b1}!, {{s21}}\n",
            "vldmia {b2}!, {{s22}}\n",
            "vldmia {b3}!, {{s23}}\n",
            "vfma.f32 ",
            $s0,
            ", s16, s20\n",
            "vfma.f32 ",
            $s1,
            ", s16, s21\n",
            "vfma.f32 ",
            $s2,
            ", s16, s22\n",
            "vfma.f32 ",
            $s3,
            ", s16, s23"
        )
    };
}

/// Four sums of the four of each chain.
macro_rules! store_row {
    () => {
        "vadd.f32 s0, s0, s4
        vadd.f32 s1, s1, s5
        vadd.f32 s2, s2, s6
        vadd.f32 s3, s3, s7
        vadd.f32 s8, s8, s12
        vadd.f32 s9, s9, s13
        vadd.f32 s10, s10, s14
        vadd.f32 s11, s11, s15
        vadd.f32 s0, s0, s8
        vadd.f32 s1, s1, s9
        vadd.f32 s2, s2, s10
        vadd.f32 s3, s3, s11
        vstmia {out}, {{s0-s3}}"
    };
}

/// Adds the products of one step and chain, of s16 and sixteen numbers at `b`.
macro_rules! add_sixteen {
    () => {
        "vldmia {b}!, {{s24-s31}}
        vfma.f32 s0, s16, s24
        vfma.f32 s1, s16, s25
        vfma.f32 s2, s16, s26
        vfma.f32 s3, s16, s27
        vfma.f32 s4, s16, s28
        vfma.f32 s5, s16, s29
        vfma.f32 s6, s16, s30
        vfma.f32 s7, s16, s31
        vldmia {b}, {{s24-s31}}
        add {b}, {b}, {b_next}
        vfma.f32 s8, s16, s24
        vfma.f32 s9, s16, s25
        vfma.f32 s10, s16, s26
        vfma.f32 s11, s16, s27
        vfma.f32 s12, s16, s28
        vfma.f32 s13, s16, s29
        vfma.f32 s14, s16, s30
        vfma.f32 s15, s16, s31"
    };
}

/// One row of A times sixteen columns of B, one chain after the other, two steps of it a turn. The
/// sums of the chains are added as the digits of a counter are.
///
/// # Safety
/// As for [`row`]; `a` points at the row, and `a_next` is 32, or at eight copies of its one number,
/// and `a_next` is 0.
#[inline(always)]
unsafe fn sixteen(
    a: *const f32,
    a_next: usize,
    b: *const f32,
    b_row: usize,
    k: usize,
    out: *mut f32,
) {
    /// Chains whose sum is not complete, at most three; where to comes from memory, as the general
    /// registers are few.
    #[repr(C)]
    struct Chains {
        sums: [MaybeUninit<f32>; 48],
        out: *mut f32,
    }
    let mut chains = Chains { sums: [MaybeUninit::uninit(); 48], out };
    // SAFETY: by the caller's word.
    unsafe {
        fpu!(
            "1:
            mov {n}, #0",
            no_sums!("{n}"),
            "mov {a}, {a0}
            add {a0}, {a0}, #4
            mov {b}, {b0}
            add {b0}, {b0}, {b_row}
            lsrs {n}, {k}, #3
            sub {k}, {k}, #1
            bcc 5f
            sub {a}, {a}, {a_next}, lsr #1
            add {n}, {n}, #1
            b 3f
            5:
            beq 4f
            2:
            vldr s16, [{a}]",
            add_sixteen!(),
            "3:
            vldr s16, [{a}, #16]",
            add_sixteen!(),
            "add {a}, {a}, {a_next}
            subs {n}, {n}, #1
            bne 2b
            4:
            mov {n}, {chain}
            6:
            lsrs {n}, {n}, #1
            bcc 7f
            vldmdb {sums}!, {{s16-s31}}
            vadd.f32 s0, s16, s0
            vadd.f32 s1, s17, s1
            vadd.f32 s2, s18, s2
            vadd.f32 s3, s19, s3
            vadd.f32 s4, s20, s4
            vadd.f32 s5, s21, s5
            vadd.f32 s6, s22, s6
            vadd.f32 s7, s23, s7
            vadd.f32 s8, s24, s8
            vadd.f32 s9, s25, s9
            vadd.f32 s10, s26, s10
            vadd.f32 s11, s27, s11
            vadd.f32 s12, s28, s12
            vadd.f32 s13, s29, s13
            vadd.f32 s14, s30, s14
            vadd.f32 s15, s31, s15
            b 6b
            7:
            vstmia {sums}!, {{s0-s15}}
            add {chain}, {chain}, #1
            cmp {chain}, #4
            bne 1b
            ldr {n}, [{sums}, #128]
            vstmia {n}, {{s0-s15}}";
            n = out(reg) _, chain = inout(reg) 0 => _, sums = inout(reg) &raw mut chains => _,
            k = inout(reg) k + 3 => _, a = out(reg) _, a0 = inout(reg) a => _, a_next = in(reg) a_next,
            b = out(reg) _, b0 = inout(reg) b => _, b_row = in(reg) b_row,
            b_next = in(reg) b_row.wrapping_mul(4).wrapping_sub(32),
        );
    }
}

/// One row of A times four columns of B for each of `tiles`, side by side; four chains of products an
/// element, p modulo four. Says whether it did so. Inlined, so that who knows how B lies links one loop.
///
/// # Safety
/// As for [`grid`], with one row, and four columns of B and of `out` a tile.
#[inline(always)]
pub(crate) unsafe fn row(tile: &Tile, tiles: usize) -> bool {
    let Tile { a_col, b_row, b_col, .. } = *tile;
    // SAFETY: by the caller's word.
    unsafe {
        if b_col == 1 && a_col <= 1 {
            row_across(tile, tiles);
        } else if b_row == 1 && a_col == 1 {
            row_along(tile, tiles);
        } else {
            return false;
        }
    }
    true
}

/// [`row`] where rows of B are contiguous.
///
/// # Safety
/// As for [`row`].
#[inline(never)]
unsafe fn row_across(tile: &Tile, tiles: usize) {
    let Tile { a, a_col, mut b, b_row, k, mut out, .. } = *tile;
    // A single number instead of a row is read again and again from its copies.
    // SAFETY: the first element of A.
    let copies = unsafe { [*a; 8] };
    let (a, a_next) = if a_col == 0 { (copies.as_ptr(), 0) } else { (a, bytes(4)) };
    for _ in 0..tiles / 4 {
        // SAFETY: by the caller's word there are sixteen columns of B and of `out`; there are eight
        // copies.
        unsafe { sixteen(a, 2 * a_next, b, bytes(b_row), k, out) };
        b = b.wrapping_add(16);
        out = out.wrapping_add(16);
    }
    for _ in 0..tiles % 4 {
        // SAFETY: as in `grid`.
        unsafe {
            fpu!(
                no_sums!(),
                "cmp {k}, #0
            beq 3f
            2:
            vldmia {a}, {{s16-s19}}
            add {a}, {a}, {a_next}
            vldmia {b}, {{s20-s23}}
            add {b}, {b}, {b_row}
            vldmia {b}, {{s24-s27}}
            add {b}, {b}, {b_row}
            vfma.f32 s0, s16, s20
            vfma.f32 s1, s16, s21
            vfma.f32 s2, s16, s22
            vfma.f32 s3, s16, s23
            vfma.f32 s4, s17, s24
            vfma.f32 s5, s17, s25
            vfma.f32 s6, s17, s26
            vfma.f32 s7, s17, s27
            vldmia {b}, {{s20-s23}}
            add {b}, {b}, {b_row}
            vldmia {b}, {{s24-s27}}
            add {b}, {b}, {b_row}
            vfma.f32 s8, s18, s20
            vfma.f32 s9, s18, s21
            vfma.f32 s10, s18, s22
            vfma.f32 s11, s18, s23
            vfma.f32 s12, s19, s24
            vfma.f32 s13, s19, s25
            vfma.f32 s14, s19, s26
            vfma.f32 s15, s19, s27
            subs {k}, {k}, #1
            bne 2b
            3:
            subs {left}, {left}, #1
            blt 4f
            vldmia {a}!, {{s16}}
            vldmia {b}, {{s20-s23}}
            add {b}, {b}, {b_row}
            vfma.f32 s0, s16, s20
            vfma.f32 s1, s16, s21
            vfma.f32 s2, s16, s22
            vfma.f32 s3, s16, s23
            subs {left}, {left}, #1
            blt 4f
            vldmia {a}!, {{s16}}
            vldmia {b}, {{s20-s23}}
            add {b}, {b}, {b_row}
            vfma.f32 s4, s16, s20
            vfma.f32 s5, s16, s21
            vfma.f32 s6, s16, s22
            vfma.f32 s7, s16, s23
            subs {left}, {left}, #1
            blt 4f
            vldmia {a}, {{s16}}
            vldmia {b}, {{s20-s23}}
            vfma.f32 s8, s16, s20
            vfma.f32 s9, s16, s21
            vfma.f32 s10, s16, s22
            vfma.f32 s11, s16, s23
            4:",
                store_row!();
                t = out(reg) _, k = inout(reg) k / 4 => _, left = inout(reg) k % 4 => _,
                a = inout(reg) a => _, a_next = in(reg) a_next,
                b = inout(reg) b => _, b_row = in(reg) bytes(b_row), out = in(reg) out,
            );
        }
        b = b.wrapping_add(4);
        out = out.wrapping_add(4);
    }
}

/// [`row`] where the row of A and the columns of B are contiguous.
///
/// # Safety
/// As for [`row`].
#[inline(never)]
unsafe fn row_along(tile: &Tile, tiles: usize) {
    let Tile { a, mut b, b_col, k, mut out, .. } = *tile;
    for _ in 0..tiles {
        let column = |j: usize| b.wrapping_add(j * b_col);
        // SAFETY: as in `grid`.
        unsafe {
            fpu!(
                no_sums!(),
                "cmp {k}, #0
            beq 3f
            2:
            vldmia {a}!, {{s16-s19}}
            vldmia {b0}!, {{s20-s23}}
            vldmia {b1}!, {{s24-s27}}
            vldmia {b2}!, {{s28-s31}}
            vfma.f32 s0, s16, s20
            vfma.f32 s4, s17, s21
            vfma.f32 s8, s18, s22
            vfma.f32 s12, s19, s23
            vldmia {b3}!, {{s20-s23}}
            vfma.f32 s1, s16, s24
            vfma.f32 s5, s17, s25
            vfma.f32 s9, s18, s26
            vfma.f32 s13, s19, s27
            vfma.f32 s2, s16, s28
            vfma.f32 s6, s17, s29
            vfma.f32 s10, s18, s30
            vfma.f32 s14, s19, s31
            vfma.f32 s3, s16, s20
            vfma.f32 s7, s17, s21
            vfma.f32 s11, s18, s22
            vfma.f32 s15, s19, s23
            subs {k}, {k}, #1
            bne 2b
            3:",
                along_left!("s0", "s1", "s2", "s3"),
                along_left!("s4", "s5", "s6", "s7"),
                along_left!("s8", "s9", "s10", "s11"),
                "4:",
                store_row!();
                t = out(reg) _, k = inout(reg) k / 4 => _, left = inout(reg) k % 4 => _,
                a = inout(reg) a => _, b0 = inout(reg) b => _, b1 = inout(reg) column(1) => _,
                b2 = inout(reg) column(2) => _, b3 = inout(reg) column(3) => _, out = in(reg) out,
            );
        }
        b = b.wrapping_add(4 * b_col);
        out = out.wrapping_add(4);
    }
}

/// Adds the products of eight virtual lanes.
macro_rules! add_lanes {
    ($($sum:literal, $b:literal);*) => {
        concat!(
            "vldmia {b}!, {{s24-s31}}\n",
            $("vldr s16, [{a}]\nadd {a}, {a}, {a_col}\n", "vfma.f32 ", $sum, ", s16, ", $b, "\n"),*
        )
    };
}

/// The sum of k products over sixteen virtual lanes, if there is a loop for it: where B lies along k,
/// which is a multiple of sixteen, but not zero.
///
/// # Safety
/// k numbers of A, `a_col` apart, and of B, `b_row` apart, are valid for reading.
#[inline(always)]
pub(crate) unsafe fn lanes(
    a: *const f32,
    a_col: usize,
    b: *const f32,
    b_row: usize,
    k: usize,
) -> Option<f32> {
    if b_row != 1 || k == 0 || !k.is_multiple_of(16) {
        return None;
    }
    let sum;
    // SAFETY: reads what the caller vouches for.
    unsafe {
        fpu!(
            no_sums!(),
            "2:",
            add_lanes!(
                "s0", "s24"; "s1", "s25"; "s2", "s26"; "s3", "s27";
                "s4", "s28"; "s5", "s29"; "s6", "s30"; "s7", "s31"
            ),
            add_lanes!(
                "s8", "s24"; "s9", "s25"; "s10", "s26"; "s11", "s27";
                "s12", "s28"; "s13", "s29"; "s14", "s30"; "s15", "s31"
            ),
            "subs {k}, {k}, #16
            bne 2b
            vadd.f32 s0, s0, s8
            vadd.f32 s1, s1, s9
            vadd.f32 s2, s2, s10
            vadd.f32 s3, s3, s11
            vadd.f32 s4, s4, s12
            vadd.f32 s5, s5, s13
            vadd.f32 s6, s6, s14
            vadd.f32 s7, s7, s15
            vadd.f32 s0, s0, s4
            vadd.f32 s1, s1, s5
            vadd.f32 s2, s2, s6
            vadd.f32 s3, s3, s7
            vadd.f32 s0, s0, s2
            vadd.f32 s1, s1, s3
            vadd.f32 s0, s0, s1
            vmov {t}, s0";
            t = out(reg) sum, k = inout(reg) k => _, a = inout(reg) a => _,
            a_col = in(reg) bytes(a_col), b = inout(reg) b => _,
        );
    }
    Some(f32::from_bits(sum))
}
