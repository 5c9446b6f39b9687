//! Rows of a matrix by their indices, one after the other: a batch out of a shuffled data set.
//!
//! A short row costs more as a call of `memcpy` than as the two or three registers that it fills, and
//! the rows of most tables are short.

use crate::Error;
use crate::dispatch::stamp;
use crate::error::check_len;
use crate::simd::Simd;

stamp! {
    /// Copies the rows of `data`, `cols` numbers each, that have these indices, in their order;
    /// an index may be there more than once.
    ///
    /// # Errors
    /// [`Error::Length`] if `data` is not whole rows of `cols` numbers, has no such row, or `out` is not
    /// as long as the rows that are asked for; `out` is as it was then.
    ///
    /// ```
    /// use slimfit_kernels::{Level, gather_rows};
    ///
    /// let (data, mut out) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.0; 4]);
    /// gather_rows(Level::detect(), &data, 2, &[2, 0], &mut out)?;
    /// assert_eq!(out, [5.0, 6.0, 1.0, 2.0]);
    /// # Ok::<(), slimfit_kernels::Error>(())
    /// ```
    pub fn gather_rows(data: &[f32], cols: usize, rows: &[usize], out: &mut [f32])
        -> Result<(), Error> = gather_rows_in;
}

#[inline(always)]
fn gather_rows_in<S: Simd>(
    _: S,
    data: &[f32],
    cols: usize,
    rows: &[usize],
    out: &mut [f32],
) -> Result<(), Error> {
    let count = data.len().checked_div(cols).unwrap_or(0);
    check_len("data in whole rows", data.len(), count * cols)?;
    check_len("gathered rows", out.len(), rows.len().saturating_mul(cols))?;
    // One comparison for all: a branch a row would end the loop's vectors.
    let last = rows.iter().fold(0, |last, &row| if row > last { row } else { last });
    if !rows.is_empty() && last >= count {
        let (what, expected) = ("rows to gather from (at least)", last.saturating_add(1));
        return Err(Error::Length { what, expected, found: count });
    }
    match cols {
        0 | 1 => copy_rows(data, cols, rows, out, copy_ends::<1>),
        2..=4 => copy_rows(data, cols, rows, out, copy_ends::<2>),
        5..=8 => copy_rows(data, cols, rows, out, copy_ends::<4>),
        9..=16 => copy_rows(data, cols, rows, out, copy_ends::<8>),
        17..=32 => copy_rows(data, cols, rows, out, copy_ends::<16>),
        33..=64 => copy_rows(data, cols, rows, out, copy_ends::<32>),
        _ => copy_rows(data, cols, rows, out, <[f32]>::copy_from_slice),
    }
    Ok(())
}

/// Copies the rows, all of which exist, by a function for one row.
#[inline(always)]
fn copy_rows(
    data: &[f32],
    cols: usize,
    rows: &[usize],
    out: &mut [f32],
    copy: impl Fn(&mut [f32], &[f32]),
) {
    for (to, &row) in out.chunks_exact_mut(cols.max(1)).zip(rows) {
        if let Some(from) = data.get(row * cols..).and_then(|rest| rest.get(..cols)) {
            copy(to, from);
        }
    }
}

/// Copies a row of N to 2 N numbers: the first N and the last N, which may overlap. A loop along the
/// row would be compiled to a call of `memcpy`.
#[inline(always)]
fn copy_ends<const N: usize>(to: &mut [f32], from: &[f32]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk()) {
        *to = *from;
    }
}
