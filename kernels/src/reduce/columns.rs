//! Reductions down the columns of a matrix: bias gradients, and what a scaler learns of its data.
//!
//! Sixteen neighbouring columns make a strip, and a strip goes down all rows at once; columns do
//! not mix. The rows come in groups of sixteen: a group is added up four rows at a time as
//! `(r0 + r1) + (r2 + r3)`, then what is left row by row, and the groups' sums go to a total with
//! their rounding errors carried along (two-sum). So the order depends on the number of rows only,
//! neither on the layout in memory nor on the level, and the error stays below about
//! `9u·Σ|x|`, u = 2^-24, for any number of rows.

use super::Total;
use crate::dispatch::stamp;
use crate::error::check_len;
use crate::simd::{BLOCK, Simd};
use crate::{Error, MatRef};

/// Rows between two compensated additions.
const GROUP: usize = 16;

/// Strips that the column sums of a wide matrix take side by side: two kilobytes of a row.
const PANEL: usize = 32;

stamp! {
    /// Sums of the columns of `x`, one for each: `out[j] = Σ_i x[i, j]`.
    ///
    /// This is the gradient of a bias. A matrix without rows has zero sums.
    ///
    /// # Errors
    /// [`Error::Length`] if `out` does not have one element a column.
    ///
    /// ```
    /// use slimfit_kernels::{Level, MatRef, reduce};
    ///
    /// let mut sums = [0.0; 2];
    /// let x = MatRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, 2)?;
    /// reduce::column_sums(Level::detect(), x, &mut sums)?;
    /// assert_eq!(sums, [9.0, 12.0]);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn column_sums(x: MatRef<'_>, out: &mut [f32]) -> Result<(), Error> = column_sums_in;

    /// Mean and population variance (divided by the number of rows) of each column of `x`.
    ///
    /// Two passes: the mean, as the first row plus the mean difference to it; then the deviations
    /// from that mean, whose own sum corrects both the mean and the variance for the rounding of
    /// the first pass (Chan et al., "Algorithms for computing the sample variance", 1983,
    /// the corrected two-pass algorithm). The relative error of a variance is a few u as long as
    /// the standard deviation is well above u times the mean. A column of equal values has them as
    /// its mean, and a variance of zero, exactly. A column with a NaN or an infinity, or with
    /// squared deviations whose sum exceeds f32, has no finite variance; one in which the sum of the
    /// differences to the first row exceeds f32 has no finite mean either.
    ///
    /// # Errors
    /// [`Error::Length`] if `mean` or `variance` does not have one element a column, or if there
    /// is no row.
    ///
    /// ```
    /// use slimfit_kernels::{Level, MatRef, reduce};
    ///
    /// let (mut mean, mut variance) = ([0.0; 2], [0.0; 2]);
    /// let x = MatRef::new(&[1.0, 5.0, 3.0, 5.0], 2, 2)?;
    /// reduce::column_moments(Level::detect(), x, &mut mean, &mut variance)?;
    /// assert_eq!((mean, variance), ([2.0, 5.0], [1.0, 0.0]));
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn column_moments(x: MatRef<'_>, mean: &mut [f32], variance: &mut [f32])
        -> Result<(), Error> = column_moments_in;

    /// Smallest and largest element of each column of `x`; both NaN if the column has a NaN.
    ///
    /// # Errors
    /// [`Error::Length`] if `min` or `max` does not have one element a column, or if there is no
    /// row.
    ///
    /// ```
    /// use slimfit_kernels::{Level, MatRef, reduce};
    ///
    /// let (mut min, mut max) = ([0.0; 2], [0.0; 2]);
    /// let x = MatRef::new(&[1.0, 5.0, 3.0, -5.0], 2, 2)?;
    /// reduce::column_extremes(Level::detect(), x, &mut min, &mut max)?;
    /// assert_eq!((min, max), ([1.0, -5.0], [3.0, 5.0]));
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn column_extremes(x: MatRef<'_>, min: &mut [f32], max: &mut [f32])
        -> Result<(), Error> = column_extremes_in;
}

#[inline(always)]
fn column_sums_in<S: Simd>(s: S, x: MatRef<'_>, out: &mut [f32]) -> Result<(), Error> {
    check_len("column sums", out.len(), x.cols())?;
    if S::LANES == 1 {
        for (col, out) in out.iter_mut().enumerate() {
            *out = sum_column(x, col);
        }
        return Ok(());
    }
    // A panel takes six kilobytes of stack, which a machine with few registers may not have.
    if x.cols() <= BLOCK || S::REGISTERS < 16 {
        for (strip, out) in strips(x).zip(out.chunks_mut(BLOCK)) {
            let [sum] = sum_rows(s, strip, Plain);
            store_block(s, &sum, out);
        }
        return Ok(());
    }
    for (panel, out) in out.chunks_mut(PANEL * BLOCK).enumerate() {
        sum_panel(s, &strips(x).skip(panel * PANEL).take(PANEL), x.rows(), out);
    }
    Ok(())
}

/// Sum of one column, in the order of this file: sixteen at once would not fit into registers that
/// hold one number each.
#[inline(always)]
fn sum_column(x: MatRef<'_>, col: usize) -> f32 {
    // The view has checked that its last element lies in the slice, so this does not overflow.
    let mut rest = x.data().get(col * x.col_stride()..).unwrap_or(&[]);
    let rows = x.rows();
    let (mut pair, mut low, mut group) = (0.0, 0.0, 0.0);
    let mut total = Total::default();
    for row in 0..rows {
        let next = rest.first().copied().unwrap_or(0.0);
        rest = rest.get(x.row_stride()..).unwrap_or(&[]);
        if row | 3 >= rows {
            // After the last four.
            group += next;
        } else {
            pair = if row % 2 == 0 { next } else { pair + next };
            match row % 4 {
                1 => low = pair,
                3 => group += low + pair,
                _ => {}
            }
        }
        if row % GROUP == GROUP - 1 || row + 1 == rows {
            total.add(group);
            group = 0.0;
        }
    }
    total.value()
}

/// Sums of the columns of at most [`PANEL`] strips. The strips take turns every four rows, so that
/// memory is read in runs; columns do not mix, and each is summed in the order of this file.
#[inline(always)]
fn sum_panel<'a, S: Simd>(
    s: S,
    strips: &(impl Iterator<Item = Strip<'a>> + Clone),
    rows: usize,
    out: &mut [f32],
) {
    let mut sums = [s.splat_block(0.0); PANEL];
    let mut losses = sums;
    for start in (0..rows).step_by(GROUP) {
        let end = rows.min(start.saturating_add(GROUP));
        let mut groups = [s.splat_block(0.0); PANEL];
        let mut row = start;
        while end - row >= 4 {
            for (group, strip) in groups.iter_mut().zip(strips.clone()) {
                [*group] = add(s, [*group], four_rows(s, strip, Plain, row));
            }
            row += 4;
        }
        for row in row..end {
            for (group, strip) in groups.iter_mut().zip(strips.clone()) {
                [*group] = add(s, [*group], [strip.load(s, row)]);
            }
        }
        let totals = sums.iter_mut().zip(&mut losses).zip(&groups);
        for (((sum, lost), group), _) in totals.zip(strips.clone()) {
            carry(s, sum, lost, group);
        }
    }
    for ((sum, lost), out) in sums.iter_mut().zip(&losses).zip(out.chunks_mut(BLOCK)) {
        settle(s, sum, lost);
        store_block(s, sum, out);
    }
}

#[inline(always)]
fn column_moments_in<S: Simd>(
    s: S,
    x: MatRef<'_>,
    mean: &mut [f32],
    variance: &mut [f32],
) -> Result<(), Error> {
    check_len("column means", mean.len(), x.cols())?;
    check_len("column variances", variance.len(), x.cols())?;
    check_rows(x)?;
    let rows = s.splat(x.rows() as f32);
    let out = mean.chunks_mut(BLOCK).zip(variance.chunks_mut(BLOCK));
    for (strip, (mean_out, variance_out)) in strips(x).zip(out) {
        let first = strip.load(s, 0);
        let [mut mean] = sum_rows(s, strip, Deviation { center: first });
        for (mean, first) in mean.as_mut().iter_mut().zip(first.as_ref()) {
            *mean = s.add(*first, s.div(*mean, rows));
        }
        let [rest, mut variance] = sum_rows(s, strip, Deviation { center: mean });
        let moments = mean.as_mut().iter_mut().zip(variance.as_mut());
        for ((mean, variance), rest) in moments.zip(rest.as_ref()) {
            let shift = s.div(*rest, rows);
            *mean = s.add(*mean, shift);
            let corrected = s.sub(s.div(*variance, rows), s.mul(shift, shift));
            // Rounding may leave a hair below zero; a NaN stands second and stays.
            *variance = s.max(s.splat(0.0), corrected);
        }
        store_block(s, &mean, mean_out);
        store_block(s, &variance, variance_out);
    }
    Ok(())
}

#[inline(always)]
fn column_extremes_in<S: Simd>(
    s: S,
    x: MatRef<'_>,
    min: &mut [f32],
    max: &mut [f32],
) -> Result<(), Error> {
    check_len("column minima", min.len(), x.cols())?;
    check_len("column maxima", max.len(), x.cols())?;
    check_rows(x)?;
    for (strip, (min_out, max_out)) in
        strips(x).zip(min.chunks_mut(BLOCK).zip(max.chunks_mut(BLOCK)))
    {
        let mut min = s.splat_block(f32::INFINITY);
        let mut max = s.splat_block(f32::NEG_INFINITY);
        for row in 0..x.rows() {
            let extremes = min.as_mut().iter_mut().zip(max.as_mut());
            for ((min, max), x) in extremes.zip(strip.load(s, row).as_ref()) {
                // A NaN in `x` replaces the extreme, and as the second argument it then stays.
                let number = s.eq(*x, *x);
                *min = s.select(number, s.min(*x, *min), *x);
                *max = s.select(number, s.max(*x, *max), *x);
            }
        }
        store_block(s, &min, min_out);
        store_block(s, &max, max_out);
    }
    Ok(())
}

fn check_rows(x: MatRef<'_>) -> Result<(), Error> {
    check_len("rows (at least)", x.rows().min(1), 1)
}

/// At most sixteen neighbouring columns of a matrix.
#[derive(Clone, Copy)]
struct Strip<'a> {
    x: MatRef<'a>,
    col: usize,
    width: usize,
}

#[inline(always)]
fn strips(x: MatRef<'_>) -> impl Iterator<Item = Strip<'_>> + Clone {
    (0..x.cols()).step_by(BLOCK).map(move |col| Strip {
        x,
        col,
        width: (x.cols() - col).min(BLOCK),
    })
}

impl Strip<'_> {
    /// The elements of one row; lanes past the last column are zero.
    #[inline(always)]
    fn load<S: Simd>(self, s: S, row: usize) -> S::Block {
        // The view has checked that its last element lies in the slice, so this does not overflow.
        let start = row * self.x.row_stride() + self.col * self.x.col_stride();
        let data = self.x.data().get(start..).unwrap_or(&[]);
        if self.x.col_stride() == 1 {
            match data.first_chunk() {
                Some(block) if self.width == BLOCK => s.load_block(block),
                _ => s.load_block_tail(data.get(..self.width).unwrap_or(&[]), 0.0),
            }
        } else {
            let mut lanes = [0.0; BLOCK];
            for (j, lane) in lanes.iter_mut().enumerate().take(self.width) {
                *lane = data.get(j * self.x.col_stride()).copied().unwrap_or(0.0);
            }
            s.load_block(&lanes)
        }
    }
}

/// What is summed down the rows: `N` blocks of terms made of what one row has in a strip.
trait Terms<S: Simd, const N: usize>: Copy {
    fn at(self, s: S, strip: Strip<'_>, row: usize) -> [S::Block; N];
}

/// `x`
#[derive(Clone, Copy)]
struct Plain;
impl<S: Simd> Terms<S, 1> for Plain {
    #[inline(always)]
    fn at(self, s: S, strip: Strip<'_>, row: usize) -> [S::Block; 1] {
        [strip.load(s, row)]
    }
}

/// `x - center`, alone or with its square.
#[derive(Clone, Copy)]
struct Deviation<S: Simd> {
    center: S::Block,
}
impl<S: Simd> Terms<S, 1> for Deviation<S> {
    #[inline(always)]
    fn at(self, s: S, strip: Strip<'_>, row: usize) -> [S::Block; 1] {
        let mut x = strip.load(s, row);
        for (x, center) in x.as_mut().iter_mut().zip(self.center.as_ref()) {
            *x = s.sub(*x, *center);
        }
        [x]
    }
}
impl<S: Simd> Terms<S, 2> for Deviation<S> {
    #[inline(always)]
    fn at(self, s: S, strip: Strip<'_>, row: usize) -> [S::Block; 2] {
        let [deviation]: [S::Block; 1] = self.at(s, strip, row);
        let mut square = deviation;
        for x in square.as_mut() {
            *x = s.mul(*x, *x);
        }
        [deviation, square]
    }
}

/// Sums of the terms of all rows of a strip, in the order of this file.
#[inline(always)]
fn sum_rows<S: Simd, T: Terms<S, N>, const N: usize>(
    s: S,
    strip: Strip<'_>,
    terms: T,
) -> [S::Block; N] {
    let rows = strip.x.rows();
    let mut sum = [s.splat_block(0.0); N];
    let mut lost = sum;
    for start in (0..rows).step_by(GROUP) {
        let end = rows.min(start.saturating_add(GROUP));
        let mut group = [s.splat_block(0.0); N];
        let mut row = start;
        while end - row >= 4 {
            group = add(s, group, four_rows(s, strip, terms, row));
            row += 4;
        }
        for row in row..end {
            group = add(s, group, terms.at(s, strip, row));
        }
        for ((sum, lost), group) in sum.iter_mut().zip(&mut lost).zip(&group) {
            carry(s, sum, lost, group);
        }
    }
    for (sum, lost) in sum.iter_mut().zip(&lost) {
        settle(s, sum, lost);
    }
    sum
}

/// Sum of the terms of four rows from `row` on.
#[inline(always)]
fn four_rows<S: Simd, T: Terms<S, N>, const N: usize>(
    s: S,
    strip: Strip<'_>,
    terms: T,
    row: usize,
) -> [S::Block; N] {
    let low = add(s, terms.at(s, strip, row), terms.at(s, strip, row + 1));
    let high = add(s, terms.at(s, strip, row + 2), terms.at(s, strip, row + 3));
    add(s, low, high)
}

#[inline(always)]
fn add<S: Simd, const N: usize>(s: S, mut a: [S::Block; N], b: [S::Block; N]) -> [S::Block; N] {
    for (a, b) in a.iter_mut().zip(&b) {
        for (a, b) in a.as_mut().iter_mut().zip(b.as_ref()) {
            *a = s.add(*a, *b);
        }
    }
    a
}

/// Adds the sum of a group to a total, and the rounding error of that to what was lost before.
#[inline(always)]
fn carry<S: Simd>(s: S, sum: &mut S::Block, lost: &mut S::Block, group: &S::Block) {
    let sum = sum.as_mut().iter_mut();
    for ((sum, lost), x) in sum.zip(lost.as_mut()).zip(group.as_ref()) {
        let next = s.add(*sum, *x);
        let added = s.sub(next, *sum);
        let error = s.add(s.sub(*sum, s.sub(next, added)), s.sub(*x, added));
        *lost = s.add(*lost, error);
        *sum = next;
    }
}

/// Adds to a total what was lost.
#[inline(always)]
fn settle<S: Simd>(s: S, sum: &mut S::Block, lost: &S::Block) {
    for (sum, lost) in sum.as_mut().iter_mut().zip(lost.as_ref()) {
        // Once the sum is infinite, the loss is a NaN that says nothing.
        *sum = s.select(s.eq(*lost, *lost), s.add(*sum, *lost), *sum);
    }
}

#[inline(always)]
fn store_block<S: Simd>(s: S, v: &S::Block, out: &mut [f32]) {
    for (v, out) in v.as_ref().iter().zip(out.chunks_mut(S::LANES)) {
        s.store_tail(*v, out);
    }
}
