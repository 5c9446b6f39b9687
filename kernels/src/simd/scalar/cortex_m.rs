//! Products and updates on a Cortex-M with an FPU: 32 registers of one number, a multiply-add that
//! rounds once, and one instruction to load or store several neighbours.
//!
//! The inner loops are assembly, for the latter's sake: a compiler seldom finds registers in a row
//! for what it loads. They hold four rows or parameters and four or sixteen columns at a time; the
//! bits are those of the same formulas elsewhere.
//!
//! Stable Rust does not let assembly name those registers as operands where the FPU has no f64, so
//! all goes by pointers and general registers. For single numbers `--cfg slimfit_nightly` takes
//! `core`'s own functions, one instruction each, of a compiler that lets them be used.

use core::arch::asm;

use super::Tile;

/// Whether [`mul_add`] rounds once.
pub(crate) const FUSED: bool = true;

#[cfg(slimfit_nightly)]
pub(crate) use core::f32::math::{mul_add, sqrt};

/// `a * b + c`
#[cfg(not(slimfit_nightly))]
#[inline(always)]
pub(crate) fn mul_add(a: f32, b: f32, mut c: f32) -> f32 {
    // SAFETY: the FPU has the instructions, which touch these registers alone.
    unsafe {
        asm!(
            "vmov s13, {a}", "vmov s14, {b}", "vmov s15, {c}",
            "vfma.f32 s15, s13, s14", "vmov {c}, s15",
            a = in(reg) a, b = in(reg) b, c = inout(reg) c,
            out("s13") _, out("s14") _, out("s15") _,
            options(pure, nomem, nostack)
        );
    }
    c
}

/// The root, correctly rounded.
#[cfg(not(slimfit_nightly))]
#[inline(always)]
pub(crate) fn sqrt(mut a: f32) -> f32 {
    // SAFETY: as in `mul_add`.
    unsafe {
        asm!(
            "vmov s15, {a}", "vsqrt.f32 s15, s15", "vmov {a}, s15",
            a = inout(reg) a, out("s15") _,
            options(pure, nomem, nostack)
        );
    }
    a
}

/// `asm!` with all registers of the FPU for itself.
macro_rules! fpu {
    ($($line:expr),* ; $($operands:tt)*) => {
        asm!(
            $($line),*,
            $($operands)*
            out("s0") _, out("s1") _, out("s2") _, out("s3") _,
            out("s4") _, out("s5") _, out("s6") _, out("s7") _,
            out("s8") _, out("s9") _, out("s10") _, out("s11") _,
            out("s12") _, out("s13") _, out("s14") _, out("s15") _,
            out("s16") _, out("s17") _, out("s18") _, out("s19") _,
            out("s20") _, out("s21") _, out("s22") _, out("s23") _,
            out("s24") _, out("s25") _, out("s26") _, out("s27") _,
            out("s28") _, out("s29") _, out("s30") _, out("s31") _,
            options(nostack)
        )
    };
}

/// Sixteen sums of zero, s0 to s15.
macro_rules! no_sums {
    () => {
        concat!("mov {t}, #0\n", no_sums!("{t}"))
    };
    ($zero:literal) => {
        concat!(
            "vmov d0, ",
            $zero,
            ", ",
            $zero,
            "\n",
            "vmov d1, ",
            $zero,
            ", ",
            $zero,
            "\n",
            "vmov d2, ",
            $zero,
            ", ",
            $zero,
            "\n",
            "vmov d3, ",
            $zero,
            ", ",
            $zero,
            "\n",
            "vmov d4, ",
            $zero,
            ", ",
            $zero,
            "\n",
            "vmov d5, ",
            $zero,
            ", ",
            $zero,
            "\n",
            "vmov d6, ",
            $zero,
            ", ",
            $zero,
            "\n",
            "vmov d7, ",
            $zero,
            ", ",
            $zero
        )
    };
}

#[path = "cortex_m/row.rs"]
mod row;
pub(crate) use row::{lanes, row};

/// Adds the products of one step: of s16 to s19, a number a row, and s20 to s23, one a column.
macro_rules! add_products {
    () => {
        "vfma.f32 s0, s16, s20
        vfma.f32 s1, s16, s21
        vfma.f32 s2, s16, s22
        vfma.f32 s3, s16, s23
        vfma.f32 s4, s17, s20
        vfma.f32 s5, s17, s21
        vfma.f32 s6, s17, s22
        vfma.f32 s7, s17, s23
        vfma.f32 s8, s18, s20
        vfma.f32 s9, s18, s21
        vfma.f32 s10, s18, s22
        vfma.f32 s11, s18, s23
        vfma.f32 s12, s19, s20
        vfma.f32 s13, s19, s21
        vfma.f32 s14, s19, s22
        vfma.f32 s15, s19, s23
        subs {k}, {k}, #1
        bne 2b"
    };
}

/// Writes four rows of sums.
macro_rules! store_square {
    ($out:literal, $out_row:literal) => {
        concat!(
            "vstmia ",
            $out,
            ", {{s0-s3}}\n",
            "add ",
            $out,
            ", ",
            $out,
            ", ",
            $out_row,
            "\n",
            "vstmia ",
            $out,
            ", {{s4-s7}}\n",
            "add ",
            $out,
            ", ",
            $out,
            ", ",
            $out_row,
            "\n",
            "vstmia ",
            $out,
            ", {{s8-s11}}\n",
            "add ",
            $out,
            ", ",
            $out,
            ", ",
            $out_row,
            "\n",
            "vstmia ",
            $out,
            ", {{s12-s15}}"
        )
    };
}

/// `max(s8, sum + bias)`
macro_rules! raise {
    ($sum:literal, $bias:literal) => {
        concat!(
            "vadd.f32 ",
            $sum,
            ", ",
            $sum,
            ", ",
            $bias,
            "\n",
            "vcmp.f32 s8, ",
            $sum,
            "\n",
            "vmrs APSR_nzcv, fpscr\n",
            "it gt\n",
            "vmovgt.f32 ",
            $sum,
            ", s8"
        )
    };
}

/// `sum` times s8, a zero, if what was saved is at most zero, and times the latter if it is NaN.
macro_rules! close {
    ($sum:literal, $saved:literal) => {
        concat!(
            "vcmp.f32 ",
            $saved,
            ", #0\n",
            "vmrs APSR_nzcv, fpscr\n",
            "it ls\n",
            "vmulls.f32 ",
            $sum,
            ", ",
            $sum,
            ", s8\n",
            "it vs\n",
            "vmulvs.f32 ",
            $sum,
            ", ",
            $sum,
            ", ",
            $saved
        )
    };
}

/// Bytes of a stride.
#[inline(always)]
const fn bytes(stride: usize) -> usize {
    stride.wrapping_mul(size_of::<f32>())
}

/// Tiles of four rows of A times four columns of B, `strips` by `tiles` of them; one chain of k products an
/// element. Says whether it did so: where A and B lie across k.
///
/// # Safety
/// k > 0 columns of A with four rows a strip are valid for reading, so are k rows of B with four columns a
/// tile, and for writing the rows of `out` with as many numbers, `out_row` apart, which are not part
/// of A or B. There are tiles.
#[inline(never)]
pub(crate) unsafe fn grid(tile: &Tile, strips: usize, tiles: usize) -> bool {
    let Tile { mut a, a_row, a_col, b, b_row, b_col, k, mut out, out_row } = *tile;
    if a_row != 1 || b_col != 1 {
        return false;
    }
    for _ in 0..strips {
        // The general registers are few: these two are read from memory.
        let again = [k, a as usize];
        // SAFETY: reads what the caller vouches for, and writes four rows.
        unsafe {
            fpu!(
                "1:
                mov {k}, #0",
                no_sums!("{k}"),
                "ldrd {k}, {a}, [{again}]
                mov {b}, {b0}
                2:
                vldmia {a}, {{s16-s19}}
                add {a}, {a}, {a_col}
                vldmia {b}, {{s20-s23}}
                add {b}, {b}, {b_row}",
                add_products!(),
                "mov {out}, {out0}",
                store_square!("{out}", "{out_row}"),
                "add {b0}, {b0}, #16
                add {out0}, {out0}, #16
                subs {tiles}, {tiles}, #1
                bne 1b";
                again = in(reg) again.as_ptr(), tiles = inout(reg) tiles => _, k = out(reg) _,
                a = out(reg) _, a_col = in(reg) bytes(a_col),
                b = out(reg) _, b0 = inout(reg) b => _, b_row = in(reg) bytes(b_row),
                out = out(reg) _, out0 = inout(reg) out => _, out_row = in(reg) bytes(out_row),
            );
        }
        a = a.wrapping_add(4);
        out = out.wrapping_add(4 * out_row);
    }
    true
}

/// Four rows of A times four columns of B, one chain of k products an element. Says whether it did so:
/// where A lies along k.
///
/// # Safety
/// As for [`grid`], with one tile.
#[inline(never)]
pub(crate) unsafe fn square(tile: &Tile) -> bool {
    let Tile { a, a_row, a_col, b, b_row, b_col, k, out, out_row } = *tile;
    let row = |i: usize| a.wrapping_add(i * a_row);
    if a_col != 1 {
        return false;
    }
    // SAFETY: as in `grid`.
    unsafe {
        if b_col == 1 {
            fpu!(
                no_sums!(),
                "2:
                vldmia {a0}!, {{s16}}
                vldmia {a1}!, {{s17}}
                vldmia {a2}!, {{s18}}
                vldmia {a3}!, {{s19}}
                vldmia {b}, {{s20-s23}}
                add {b}, {b}, {b_row}",
                add_products!(),
                store_square!("{out}", "{out_row}");
                t = out(reg) _, k = inout(reg) k => _,
                a0 = inout(reg) a => _, a1 = inout(reg) row(1) => _,
                a2 = inout(reg) row(2) => _, a3 = inout(reg) row(3) => _,
                b = inout(reg) b => _, b_row = in(reg) bytes(b_row),
                out = inout(reg) out => _, out_row = in(reg) bytes(out_row),
            );
        } else if b_row == 1 {
            let column = |j: usize| b.wrapping_add(j * b_col);
            // Where to comes from memory: the general registers are few.
            let to = [out as usize, bytes(out_row)];
            fpu!(
                no_sums!(),
                "2:
                vldmia {a0}!, {{s16}}
                vldmia {a1}!, {{s17}}
                vldmia {a2}!, {{s18}}
                vldmia {a3}!, {{s19}}
                vldmia {b0}!, {{s20}}
                vldmia {b1}!, {{s21}}
                vldmia {b2}!, {{s22}}
                vldmia {b3}!, {{s23}}",
                add_products!(),
                "ldrd {a0}, {a1}, [{to}]",
                store_square!("{a0}", "{a1}");
                t = out(reg) _, k = inout(reg) k => _,
                a0 = inout(reg) a => _, a1 = inout(reg) row(1) => _,
                a2 = inout(reg) row(2) => _, a3 = inout(reg) row(3) => _,
                b0 = inout(reg) b => _, b1 = inout(reg) column(1) => _,
                b2 = inout(reg) column(2) => _, b3 = inout(reg) column(3) => _,
                to = in(reg) to.as_ptr(),
            );
        } else {
            return false;
        }
    }
    true
}

/// `rows` rows of four of `max(floor, sums + bias)` to `out`.
///
/// # Safety
/// The rows of `sums`, one after the other, and of `bias`, `bias_row` apart, are valid for reading, those
/// of `out` for writing; rows > 0.
#[inline(never)]
pub(crate) unsafe fn layer(
    sums: *const f32,
    rows: usize,
    (bias, bias_row): (*const f32, usize),
    floor: f32,
    (out, out_row): (*mut f32, usize),
) {
    // SAFETY: reads and writes what the caller vouches for.
    unsafe {
        fpu!(
            "vmov s8, {floor}
            2:
            vldmia {sums}!, {{s0-s3}}
            vldmia {bias}, {{s4-s7}}
            add {bias}, {bias}, {bias_row}",
            raise!("s0", "s4"),
            raise!("s1", "s5"),
            raise!("s2", "s6"),
            raise!("s3", "s7"),
            "vstmia {out}, {{s0-s3}}
            add {out}, {out}, {out_row}
            subs {rows}, {rows}, #1
            bne 2b";
            bias = inout(reg) bias => _, bias_row = in(reg) bytes(bias_row), floor = in(reg) floor.to_bits(),
            sums = inout(reg) sums => _, rows = inout(reg) rows => _,
            out = inout(reg) out => _, out_row = in(reg) bytes(out_row),
        );
    }
}

/// `rows` rows of four of `sums` to `out`, each times the derivative of relu at what it saved.
///
/// # Safety
/// As for [`layer`], with rows of `saved` instead of a bias; `saved` may be `out`.
#[inline(never)]
pub(crate) unsafe fn gate(
    sums: *const f32,
    rows: usize,
    (saved, saved_row): (*const f32, usize),
    (out, out_row): (*mut f32, usize),
) {
    // SAFETY: as in `layer`.
    unsafe {
        fpu!(
            "mov {t}, #0
            vmov s8, {t}
            2:
            vldmia {sums}!, {{s0-s3}}
            vldmia {saved}, {{s4-s7}}
            add {saved}, {saved}, {saved_row}",
            close!("s0", "s4"),
            close!("s1", "s5"),
            close!("s2", "s6"),
            close!("s3", "s7"),
            "vstmia {out}, {{s0-s3}}
            add {out}, {out}, {out_row}
            subs {rows}, {rows}, #1
            bne 2b";
            t = out(reg) _, sums = inout(reg) sums => _, rows = inout(reg) rows => _,
            saved = inout(reg) saved => _, saved_row = in(reg) bytes(saved_row),
            out = inout(reg) out => _, out_row = in(reg) bytes(out_row),
        );
    }
}

/// Updates the front of four slices as Adam does, by the scale of the gradient, 1 - beta1, beta1,
/// 1 - beta2, beta2, epsilon and rate: see [`crate::optim::adam`], whose formula this is, without
/// penalty and decay. Returns how many numbers it has updated: all but three at most.
#[inline(always)]
pub(crate) fn adam(
    factors: &[f32; 7],
    grad: &[f32],
    params: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
) -> usize {
    /// Flushes results below the normal range to zero, and reads them as zero.
    const FLUSH: u32 = 1 << 24;
    let len = grad.len().min(params.len()).min(first.len()).min(second.len()) / 4 * 4;
    if len == 0 {
        return 0;
    }
    // SAFETY: reads and writes the first `len` numbers of the slices, four at a time. The mode is
    // other only between two instructions that set it, and what it was after them: there a mean
    // gradient that is not normal becomes zero by the addition of zero, and all others stay.
    unsafe {
        fpu!(
            "vldmia {factors}, {{s24-s30}}
            mov {t}, #0
            vmov s31, {t}
            vmrs {mode}, fpscr
            orr {flush}, {mode}, {bit}
            2:
            vldmia {grad}!, {{s0-s3}}
            vldmia {first}, {{s4-s7}}
            vldmia {second}, {{s8-s11}}
            vldmia {params}, {{s12-s15}}
            cmp {one}, #0
            bne 3f
            vmul.f32 s0, s24, s0
            vmul.f32 s1, s24, s1
            vmul.f32 s2, s24, s2
            vmul.f32 s3, s24, s3
            3:
            vmul.f32 s16, s25, s0
            vmul.f32 s17, s25, s1
            vmul.f32 s18, s25, s2
            vmul.f32 s19, s25, s3
            vfma.f32 s16, s26, s4
            vfma.f32 s17, s26, s5
            vfma.f32 s18, s26, s6
            vfma.f32 s19, s26, s7
            vmul.f32 s0, s0, s0
            vmul.f32 s1, s1, s1
            vmul.f32 s2, s2, s2
            vmul.f32 s3, s3, s3
            vmul.f32 s0, s27, s0
            vmul.f32 s1, s27, s1
            vmul.f32 s2, s27, s2
            vmul.f32 s3, s27, s3
            vfma.f32 s0, s28, s8
            vfma.f32 s1, s28, s9
            vfma.f32 s2, s28, s10
            vfma.f32 s3, s28, s11
            vmsr fpscr, {flush}
            vadd.f32 s16, s16, s31
            vadd.f32 s17, s17, s31
            vadd.f32 s18, s18, s31
            vadd.f32 s19, s19, s31
            vmsr fpscr, {mode}
            vstmia {first}!, {{s16-s19}}
            vstmia {second}!, {{s0-s3}}
            vsqrt.f32 s0, s0
            vsqrt.f32 s1, s1
            vsqrt.f32 s2, s2
            vsqrt.f32 s3, s3
            vadd.f32 s0, s0, s29
            vadd.f32 s1, s1, s29
            vadd.f32 s2, s2, s29
            vadd.f32 s3, s3, s29
            vdiv.f32 s16, s16, s0
            vdiv.f32 s17, s17, s1
            vdiv.f32 s18, s18, s2
            vdiv.f32 s19, s19, s3
            vmls.f32 s12, s30, s16
            vmls.f32 s13, s30, s17
            vmls.f32 s14, s30, s18
            vmls.f32 s15, s30, s19
            vstmia {params}!, {{s12-s15}}
            subs {groups}, {groups}, #1
            bne 2b";
            factors = in(reg) factors.as_ptr(), bit = const FLUSH,
            one = in(reg) u32::from(factors[0] == 1.0),
            t = out(reg) _, mode = out(reg) _, flush = out(reg) _,
            groups = inout(reg) len / 4 => _, grad = inout(reg) grad.as_ptr() => _,
            params = inout(reg) params.as_mut_ptr() => _,
            first = inout(reg) first.as_mut_ptr() => _,
            second = inout(reg) second.as_mut_ptr() => _,
        );
    }
    len
}
