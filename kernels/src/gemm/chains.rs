//! The sums of a tile: where it reads A and B ([`Cursor`]), the loops over k, and what they fetch ahead.
//!
//! ```text
//! for p in 0..k:
//!     b[v]      <- B[p, v * LANES ..]          nv loads
//!     acc[i][v] += A[i, p] * b[v]              mr broadcasts
//! ```
//!
//! Rows of A are addressed from one pointer for every three (`[a]`, `[a + 4 s]`, `[a + 8 s]` are addressing modes of
//! x86-64), so that the pointers of sixteen rows fit into the integer registers, but in a few tiles that have one for
//! each ([`EACH`]) or for all ([`OF_16`]). How A lies is known beforehand in the tiles that most products are dealt out
//! to: steps of a loop have addresses then that no instruction is needed for, and multiply-adds may broadcast what is
//! there ([`Cursor::broadcasts`]).

use super::finish::{ANY, load_row};
use super::microkernel::{LINE, MAX_ROWS, SPLIT, Strip};
use crate::simd::Simd;

/// Steps of k that loops are unrolled by.
pub(super) const UNROLL: usize = 4;
// They are written out where a multiply-add broadcasts, and those that remain everywhere.
const _: () = assert!(UNROLL == 4);

/// From this k on there is time to fetch the tile of C while its sums are made, by tiles that do.
pub(super) const PREFETCH_K: usize = 128;
/// Steps of k before the end from which on it is asked for, row by row where A lies along k or across: any earlier,
/// and the rows of B that stream by would push it out of the cache again; all at once, and what the tile itself reads
/// would wait behind it (Cascade Lake: 128 cubed takes 2 % more, 784 512 128 5 %).
///
/// With fewer registers a step has half as many multiply-adds: as much time is twice as many steps, but half of all at
/// most, as rows of B are fetched before. (On Granite Rapids 1024 cubed takes 4 % less at AVX2 than with half of them, 2048
/// cubed 6 %; 784 512 128 with all of them 6 % more.)
pub(super) const fn prefetch_left(registers: usize, k: usize) -> usize {
    if registers >= 32 {
        PREFETCH_K / 2
    } else if k < 2 * PREFETCH_K {
        k / 2 / UNROLL * UNROLL
    } else {
        PREFETCH_K
    }
}
/// Rows of B to fetch ahead in the first tile of a panel, where B comes from afar: rows that are not
/// packed lie apart, and the machine does not foresee them.
const AHEAD: usize = 32;
/// The same where no tile reads them again.
const SPLIT_AHEAD: usize = 12;
// So many are left whenever there are more than `prefetch_left`. In as many a row of the next panel of B is fetched,
// which comes from afar, and slowly.
const _: () = assert!(UNROLL <= prefetch_left(32, PREFETCH_K));
// And a row of each tile of C.
const _: () = assert!(MAX_ROWS * UNROLL <= prefetch_left(32, PREFETCH_K));
/// Rows that share a pointer.
pub(super) const GROUP: usize = 3;
/// Pointers for the tallest tile, or for one of so many rows that have one [`EACH`].
const POINTERS: usize = 8;
const _: () = assert!(MAX_ROWS.div_ceil(GROUP) <= POINTERS);
// `Cursor::step` counts them.
const _: () = assert!(MAX_ROWS == 16);

/// How A lies in memory: along k, across it, or with any strides.
pub(super) const ALONG: u8 = 0;
pub(super) const ACROSS: u8 = 1;
pub(super) const STRIDED: u8 = 2;
/// Along k, in a tile of at most [`POINTERS`] rows, each with a pointer of its own: addresses of one register, which
/// Intel's processors keep in one piece with the multiply-add that broadcasts what is there.
pub(super) const EACH: u8 = 3;
/// Along k, and from one row to the next are so many values: addresses of one register and a constant for all rows.
pub(super) const OF_16: u8 = 16;
pub(super) const OF_32: u8 = 32;

/// Rows that share a pointer.
const fn rows_of_group(lhs: u8) -> usize {
    match lhs {
        EACH => 1,
        OF_16 | OF_32 => MAX_ROWS,
        _ => GROUP,
    }
}

/// From one row of A to the next and from one column to the next; a constant where `LHS` says that they are
/// neighbours.
#[inline(always)]
fn lhs_strides<const LHS: u8>(strip: &Strip) -> (usize, usize) {
    match LHS {
        ALONG | EACH => (strip.lhs_row, 1),
        OF_16 | OF_32 => (LHS.into(), 1),
        ACROSS => (1, strip.lhs_col),
        _ => (strip.lhs_row, strip.lhs_col),
    }
}

/// What a tile fetches of B while its sums are made.
#[derive(Clone, Copy)]
pub(super) enum Fetch {
    Nothing,
    /// Its own rows, ahead.
    Rows,
    /// So many rows of the next panel, from here on.
    Panel(*const f32, usize),
}

/// Asks for the cache lines of a tile of C.
#[inline(always)]
fn prefetch_tile<S: Simd, const MR: usize, const NV: usize>(s: S, out: *const f32, stride: usize) {
    for i in 0..MR {
        prefetch_row::<S, NV>(s, out.wrapping_add(i * stride));
    }
}

/// Asks for the cache lines of `NV` vectors.
#[inline(always)]
pub(super) fn prefetch_row<S: Simd, const NV: usize>(s: S, row: *const f32) {
    for line in 0..(NV * S::LANES).div_ceil(LINE) {
        s.prefetch(row.wrapping_add(line * LINE));
    }
}

/// Where a tile reads A and B.
pub(super) struct Cursor<const LHS: u8> {
    /// The first row of each group of rows of A.
    groups: [*const f32; POINTERS],
    lhs_row: usize,
    lhs_col: usize,
    pub(super) rhs: *const f32,
    pub(super) rhs_row: usize,
    /// Columns of the last vector that exist.
    last: usize,
}

impl<const LHS: u8> Cursor<LHS> {
    /// At the first column of A and the first row of B.
    #[inline(always)]
    pub(super) fn new<S: Simd>(s: S, lhs: *const f32, rhs: *const f32, strip: &Strip) -> Self {
        let (lhs_row, lhs_col) = lhs_strides::<LHS>(strip);
        let mut groups = [lhs; POINTERS];
        let mut first = lhs;
        for group in &mut groups {
            *group = first;
            first = first.wrapping_add(rows_of_group(LHS).wrapping_mul(lhs_row));
            if LHS == ALONG || LHS == EACH {
                first = s.opaque(first);
            }
        }
        Self { groups, lhs_row, lhs_col, rhs, rhs_row: strip.rhs_row, last: strip.last }
    }

    /// So many steps of k on.
    #[inline(always)]
    pub(super) fn advance<S: Simd>(&mut self, s: S, steps: usize) {
        for group in &mut self.groups {
            *group = group.wrapping_add(steps * self.lhs_col);
            if LHS == ALONG || LHS == EACH {
                *group = s.opaque(*group);
            }
        }
        self.rhs = self.rhs.wrapping_add(steps * self.rhs_row);
    }

    /// [`UNROLL`] steps, every second one from the last row of the tile up if `turns`.
    ///
    /// # Safety
    /// As for [`Self::step`], for as many rows and columns.
    #[inline(always)]
    pub(super) unsafe fn unrolled<S: Simd, const MR: usize, const NV: usize, const TAIL: bool>(
        &mut self,
        s: S,
        acc: &mut [[S::F32; NV]; MR],
        turns: bool,
    ) {
        // SAFETY: by the caller's word.
        unsafe {
            if const { Self::broadcasts::<S, NV>() } {
                // Written out: as a loop a transposed A of 32 16 32 takes 2 % more on Granite Rapids.
                self.step::<S, MR, NV, TAIL>(s, acc, 0, false);
                self.step::<S, MR, NV, TAIL>(s, acc, 1, turns);
                self.step::<S, MR, NV, TAIL>(s, acc, 2, false);
                self.step::<S, MR, NV, TAIL>(s, acc, 3, turns);
            } else {
                for ahead in 0..UNROLL {
                    self.step::<S, MR, NV, TAIL>(s, acc, ahead, turns && ahead % 2 == 1);
                }
            }
        }
        self.advance(s, UNROLL);
    }

    /// Whether multiply-adds of a tile of `NV` vectors broadcast what they read of A.
    ///
    /// That is an instruction less. Intel's processors keep it in one piece with the multiply-add where the address is
    /// a register and a constant: that of every row, across. (On Cascade Lake a transposed A of 32 16 32 takes 11 %
    /// less, on Granite Rapids 1 %.) Of several vectors each would read it anew: to do so along k for one row in three
    /// took 3 to 8 % more on Granite Rapids, and less on Cascade Lake only beside a busy neighbour.
    const fn broadcasts<S: Simd, const NV: usize>() -> bool {
        S::BROADCASTS && LHS == ACROSS && NV == 1
    }

    /// Adds the products of a row of B and that column of A, `ahead` steps on, from the first row of the tile down or
    /// from the last `up`. Returns the row of B.
    ///
    /// # Safety
    /// These are valid for reading: the row in `NV` vectors, of the last `last` lanes if `TAIL`, the column in `MR`
    /// rows.
    #[inline(always)]
    pub(super) unsafe fn step<S: Simd, const MR: usize, const NV: usize, const TAIL: bool>(
        &self,
        s: S,
        acc: &mut [[S::F32; NV]; MR],
        ahead: usize,
        up: bool,
    ) -> [S::F32; NV] {
        let Self { groups, lhs_row, lhs_col, rhs, rhs_row, last } = *self;
        // SAFETY: the caller vouches for this row of B.
        let b = unsafe { load_row::<S, NV, TAIL>(s, rhs.wrapping_add(ahead * rhs_row), last) };
        // Written out, as a loop this long would not always be unrolled.
        macro_rules! add_rows {
            ($($i:literal)*) => {$(
                if const { $i < MR } {
                    if const { Self::broadcasts::<S, NV>() } {
                        let column = groups[0].wrapping_add(ahead * lhs_col);
                        // SAFETY: the caller vouches for this value of A, so many rows below the first.
                        acc[$i][0] = unsafe { s.mul_add_at::<$i>(column, b[0], acc[$i][0]) };
                    } else {
                        let group = groups[$i / rows_of_group(LHS)];
                        let row = $i % rows_of_group(LHS) * lhs_row;
                        // SAFETY: the caller vouches for this value of A.
                        let a = unsafe { *group.add(row + ahead * lhs_col) };
                        let a = s.splat(a);
                        for (acc, b) in acc[$i].iter_mut().zip(b) {
                            *acc = s.mul_add(a, b, *acc);
                        }
                    }
                }
            )*};
        }
        if up {
            add_rows!(15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0);
        } else {
            add_rows!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        }
        b
    }
}

/// The sums of one tile, whose C at `out` is fetched meanwhile, and what `fetch` says.
///
/// # Safety
/// As for [`Tiles`](super::microkernel::Tiles); `lhs`, `rhs` and `out` are at a tile of the strip.
#[inline(always)]
pub(super) unsafe fn accumulate<
    S: Simd,
    const MR: usize,
    const NV: usize,
    const CHAINS: usize,
    const TAIL: bool,
    const STORE: usize,
    const LHS: u8,
>(
    s: S,
    lhs: *const f32,
    rhs: *const f32,
    out: *const f32,
    strip: &Strip,
    fetch: Fetch,
) -> [[S::F32; NV]; MR] {
    if STORE == ANY && strip.ahead > 0 {
        prefetch_tile::<S, MR, NV>(s, out.wrapping_add(strip.ahead), strip.out_row);
    }
    let mut cursor = Cursor::<LHS>::new(s, lhs, rhs, strip);
    let mut sums = [[s.splat(0.0); NV]; MR];
    // SAFETY: the caller vouches for `k` rows and columns, which the cursor is at the first of.
    unsafe {
        if CHAINS == SPLIT {
            split_chains::<S, MR, NV, TAIL, STORE, LHS>(s, &mut cursor, out, strip)
        } else {
            if STORE != ANY {
                short_chains::<S, MR, NV, TAIL, LHS>(s, &mut cursor, &mut sums, strip.k);
            } else if LHS == STRIDED {
                strided_chains::<S, MR, NV, TAIL, LHS>(
                    s,
                    &mut cursor,
                    &mut sums,
                    out,
                    strip,
                    fetch,
                );
            } else {
                long_chains::<S, MR, NV, TAIL, LHS>(s, &mut cursor, &mut sums, out, strip, fetch);
            }
            sums
        }
    }
}

/// One chain an element, of a k that is short: nothing is fetched.
///
/// Down and up again: ten accumulators are hardly more than two units with a latency of four keep busy, and where
/// each waits as long as every other, a tile takes 4 to 10 % longer. (Of longer loops some tiles gain by it and
/// others lose.)
///
/// # Safety
/// As for [`Cursor::step`], for `k` steps.
#[inline(always)]
unsafe fn short_chains<
    S: Simd,
    const MR: usize,
    const NV: usize,
    const TAIL: bool,
    const LHS: u8,
>(
    s: S,
    cursor: &mut Cursor<LHS>,
    sums: &mut [[S::F32; NV]; MR],
    k: usize,
) {
    let mut left = k;
    // SAFETY: so many steps are left; the caller vouches for their rows and columns.
    unsafe {
        while left >= UNROLL {
            cursor.unrolled::<S, MR, NV, TAIL>(s, sums, true);
            left -= UNROLL;
        }
        // No loop for the rest, and the last step goes up as in the loop: else 32 x 32 products of k = 29 and
        // 30 took 4 % longer, 16 x 16 ones of k = 7 and 10 14 and 7 %.
        if left & 2 != 0 {
            cursor.step::<S, MR, NV, TAIL>(s, sums, 0, false);
            cursor.step::<S, MR, NV, TAIL>(s, sums, 1, true);
            cursor.advance(s, 2);
        }
        if left & 1 != 0 {
            cursor.step::<S, MR, NV, TAIL>(s, sums, 0, true);
        }
    }
}

/// One chain an element, of any k and an A along it or across. First come steps one at a time, those that are no
/// multiple of [`UNROLL`] or beside which this tile's own rows of B are fetched; then, in one loop, those beside
/// which rows of the next panel are fetched, and those beside rows of C.
///
/// # Safety
/// As for [`Cursor::step`], for the steps of the strip.
#[inline(always)]
unsafe fn long_chains<
    S: Simd,
    const MR: usize,
    const NV: usize,
    const TAIL: bool,
    const LHS: u8,
>(
    s: S,
    cursor: &mut Cursor<LHS>,
    sums: &mut [[S::F32; NV]; MR],
    out: *const f32,
    strip: &Strip,
    fetch: Fetch,
) {
    let Strip { k, rhs_row, out_row, .. } = *strip;
    let is_long = k >= PREFETCH_K;
    let fetches_own = matches!(fetch, Fetch::Rows) && is_long;
    let left = prefetch_left(S::REGISTERS, k);
    let single = if fetches_own { k - left } else { k % UNROLL };
    for _ in 0..single {
        // Of the few that are no multiple it is not worth a question.
        prefetch_row::<S, NV>(s, cursor.rhs.wrapping_add(AHEAD * rhs_row));
        // SAFETY: a step is left; the caller vouches for its row and column.
        unsafe { cursor.step::<S, MR, NV, TAIL>(s, sums, 0, false) };
        cursor.advance(s, 1);
    }
    let next = if let Fetch::Panel(row, rows) = fetch { (row, rows) } else { (out, 0) };
    let late = if is_long { left / UNROLL } else { 0 };
    let early = (k - single) / UNROLL - late;
    let (early, late) = ((early, rhs_row, next), (late, out_row, (out, MR)));
    for (times, stride, (mut row, mut rows)) in [early, late] {
        for _ in 0..times {
            if rows > 0 {
                prefetch_row::<S, NV>(s, row);
                row = row.wrapping_add(stride);
                rows -= 1;
            }
            // SAFETY: so many steps are left; the caller vouches for their rows and columns.
            unsafe { cursor.unrolled::<S, MR, NV, TAIL>(s, sums, false) };
        }
    }
}

/// One chain an element, of any k and any A: C is fetched at once.
///
/// # Safety
/// As for [`Cursor::step`], for the steps of the strip.
#[inline(always)]
unsafe fn strided_chains<
    S: Simd,
    const MR: usize,
    const NV: usize,
    const TAIL: bool,
    const LHS: u8,
>(
    s: S,
    cursor: &mut Cursor<LHS>,
    sums: &mut [[S::F32; NV]; MR],
    out: *const f32,
    strip: &Strip,
    fetch: Fetch,
) {
    let mut left = strip.k;
    macro_rules! step {
        () => {
            // SAFETY: a step is left; the caller vouches for its row and column.
            unsafe { cursor.step::<S, MR, NV, TAIL>(s, sums, 0, false) };
            cursor.advance(s, 1);
            left -= 1;
        };
    }
    // Two loops: as one with a pause inside, small products took 3 to 8 % longer.
    if strip.k >= PREFETCH_K {
        let late = prefetch_left(S::REGISTERS, strip.k);
        match fetch {
            Fetch::Nothing => {
                while left > late {
                    step!();
                }
            }
            Fetch::Rows => {
                while left > late {
                    prefetch_row::<S, NV>(s, cursor.rhs.wrapping_add(AHEAD * cursor.rhs_row));
                    step!();
                }
            }
            Fetch::Panel(mut next, mut rows) => {
                while left > late {
                    if rows > 0 {
                        prefetch_row::<S, NV>(s, next);
                        next = next.wrapping_add(strip.rhs_row);
                        rows -= 1;
                    }
                    for _ in 0..UNROLL {
                        step!();
                    }
                }
            }
        }
        prefetch_tile::<S, MR, NV>(s, out, strip.out_row);
    }
    while left > 0 {
        step!();
    }
}

/// [`SPLIT`] chains an element.
///
/// # Safety
/// As for [`Cursor::step`], for the steps of the strip.
#[inline(always)]
unsafe fn split_chains<
    S: Simd,
    const MR: usize,
    const NV: usize,
    const TAIL: bool,
    const STORE: usize,
    const LHS: u8,
>(
    s: S,
    cursor: &mut Cursor<LHS>,
    out: *const f32,
    strip: &Strip,
) -> [[S::F32; NV]; MR] {
    let mut chains = [[[s.splat(0.0); NV]; MR]; SPLIT];
    let mut left = strip.k;
    let is_long = STORE == ANY && strip.k >= PREFETCH_K;
    macro_rules! run_until {
        ($rest:expr) => {
            while left > $rest {
                for (chain, acc) in chains.iter_mut().enumerate() {
                    if chain < left {
                        if is_long {
                            let ahead = SPLIT_AHEAD * cursor.rhs_row;
                            prefetch_row::<S, NV>(s, cursor.rhs.wrapping_add(ahead));
                        }
                        // SAFETY: a step is left; the caller vouches for its row and column.
                        unsafe { cursor.step::<S, MR, NV, TAIL>(s, acc, 0, false) };
                        cursor.advance(s, 1);
                    }
                }
                left = left.saturating_sub(SPLIT);
            }
        };
    }
    if is_long {
        run_until!(prefetch_left(S::REGISTERS, strip.k));
        prefetch_tile::<S, MR, NV>(s, out, strip.out_row);
    }
    run_until!(0);
    let [mut sums, second, third, fourth] = chains;
    for (i, row) in sums.iter_mut().enumerate() {
        for (v, sum) in row.iter_mut().enumerate() {
            *sum = s.add(s.add(*sum, second[i][v]), s.add(third[i][v], fourth[i][v]));
        }
    }
    sums
}
