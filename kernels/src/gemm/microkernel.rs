//! The microkernel: a tile of C held in registers while k runs.
//!
//! ```text
//! tile (mr rows x nv vectors)        for p in 0..k:
//!                                        b[v]    <- B[p, v * LANES ..]        nv loads
//!   acc[i][v]                            acc[i][v] += A[i, p] * b[v]          mr broadcasts
//! ```
//!
//! Each element is one chain of multiply-adds over p, so neither the shape of the tile nor the
//! width of a register shows in the result. [`SPLIT`] chains, p modulo four, take the place of the
//! one where C is so small that a single chain would wait for itself; they are added in pairs.
//!
//! A is read by broadcasts and may have any strides. Rows are addressed from one pointer for every
//! three (`[a]`, `[a + 4 s]`, `[a + 8 s]` are addressing modes of x86-64), so that the pointers of
//! sixteen rows fit into the integer registers. A strip is a run of tiles of the same shape below
//! one another, and of such runs side by side: one call, one dispatch.

use crate::activation::{Elementwise, Relu};
use crate::simd::{Routine, Simd};

/// Chains an element is split into when C is very small.
pub(super) const SPLIT: usize = 4;
/// Chains of an element otherwise.
pub(super) const ONE: usize = 1;
/// Steps of k that loops are unrolled by.
pub(super) const UNROLL: usize = 4;
// They are written out where a multiply-add broadcasts, and those that remain everywhere.
const _: () = assert!(UNROLL == 4);

/// From this k on there is time to fetch the tile of C while its sums are made.
pub(super) const PREFETCH_K: usize = 128;
/// Steps of k before the end from which on it is asked for, row by row where A lies along k or across: any earlier,
/// and the rows of B that stream by would push it out of the cache again; all at once, and what the tile itself reads
/// would wait behind it (Cascade Lake: 128 cubed takes 2 % more, 784 512 128 5 %).
pub(super) const PREFETCH_LEFT: usize = 64;
/// Rows of B to fetch ahead in the first tile of a panel, where B comes from afar: rows that are not
/// packed lie apart, and the machine does not foresee them.
const AHEAD: usize = 32;
/// The same where no tile reads them again.
const SPLIT_AHEAD: usize = 12;
// So many are left whenever there are more than PREFETCH_LEFT. In as many a row of the next panel of B is fetched,
// which comes from afar, and slowly.
const _: () = assert!(UNROLL <= PREFETCH_LEFT);
// And a row of each tile of C.
const _: () = assert!(MAX_ROWS * UNROLL <= PREFETCH_LEFT);
/// f32 in a cache line.
pub(super) const LINE: usize = 16;

/// Rows that share a pointer.
const GROUP: usize = 3;
/// Pointers for the tallest tile, or for one of so many rows that have one [`EACH`].
const POINTERS: usize = 8;
const _: () = assert!(MAX_ROWS.div_ceil(GROUP) <= POINTERS);
/// Rows of the tallest tile of any level.
pub(super) const MAX_ROWS: usize = 16;
// `accumulate` counts them.
const _: () = assert!(MAX_ROWS == 16);
/// f32 columns of the widest tile of any level.
pub(super) const MAX_COLS: usize = 64;

/// Vectors in the widest tile for a register file of this size.
pub(super) const fn max_vectors(registers: usize) -> usize {
    match registers {
        32.. => 4,
        16.. => 2,
        _ => 1,
    }
}

/// Rows of the tallest tile of `vectors` vectors whose accumulators, with a row of B and a
/// broadcast of A, stay in `registers` registers; 0 where the tile is not made.
pub(super) const fn max_rows(registers: usize, vectors: usize) -> usize {
    match (registers, vectors) {
        (32.., 1) => MAX_ROWS,
        (32.., 2) | (16.., 1) => 12,
        (32.., 3) => 8,
        (32.., 4) | (16.., 2) => 6,
        (_, 1) => 4,
        _ => 0,
    }
}

/// The same for a tile of [`SPLIT`] chains an element.
pub(super) const fn max_split_rows(registers: usize, vectors: usize) -> usize {
    match (registers, vectors) {
        (16.., 1) => 3,
        (_, 1) | (16.., 2 | 3) | (32.., 4) => 1,
        _ => 0,
    }
}

/// A strip but for where its operands lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strip {
    /// Tiles below one another.
    pub(super) tiles: usize,
    /// Such columns of tiles side by side; more than one only where vectors are full.
    pub(super) panels: usize,
    /// Steps of k.
    pub(super) k: usize,
    /// Element (i, p) of a tile of A is at `i * lhs_row + p * lhs_col`.
    pub(super) lhs_row: usize,
    pub(super) lhs_col: usize,
    /// From the A of one tile to that of the next.
    pub(super) lhs_tile: usize,
    /// Row p of B is at `p * rhs_row`, contiguous.
    pub(super) rhs_row: usize,
    /// Row i of C is at `i * out_row`, contiguous.
    pub(super) out_row: usize,
    /// Columns of the last vector that exist; nothing to tiles whose registers hold columns of A
    /// ([`few_columns`](super::few_columns)).
    pub(super) last: usize,
    /// How a finished sum becomes an element of C.
    pub(super) finish: Finish,
    /// C is to be fetched so many elements ahead of each tile, for one that is computed later; 0: not.
    pub(super) ahead: usize,
    /// Whether the first tile is to fetch its rows of B ahead.
    pub(super) fetch_rhs: bool,
    /// Whether these are to fetch A ahead, and no others.
    pub(super) fetch_lhs: bool,
    /// As many elements on in B lie the rows of the next panel that the first tile is to fetch, if it is not its
    /// own; those of the other tiles follow. Any number, as the panel may lie before this one.
    pub(super) next_panel: usize,
    /// How many rows of it are each tile's share, of which it fetches as many as it finds time for.
    pub(super) next_rows: usize,
}

impl Strip {
    /// From one row of A to the next and from one column to the next; a constant where `LHS` says that they
    /// are neighbours.
    #[inline(always)]
    fn lhs_strides<const LHS: u8>(&self) -> (usize, usize) {
        match LHS {
            ALONG | EACH => (self.lhs_row, 1),
            ACROSS => (1, self.lhs_col),
            _ => (self.lhs_row, self.lhs_col),
        }
    }
}

/// What a tile fetches of B while its sums are made.
#[derive(Clone, Copy)]
enum Fetch {
    Nothing,
    /// Its own rows, ahead.
    Rows,
    /// So many rows of the next panel, from here on.
    Panel(*const f32, usize),
}

/// `max(floor, alpha * sum + beta * C + bias)`, times the derivative of relu at C where a gate is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finish {
    pub(super) alpha: f32,
    /// Zero: C is not added.
    pub(super) beta: f32,
    /// Lower bound; -inf for none.
    pub(super) floor: f32,
    /// What of it there is to do.
    pub(super) store: Store,
}

/// What there is to do for a [`Finish`], told beforehand. As wide as a pointer, so that it has a
/// place of its own: what lies beside single numbers is loaded together with them, and then waits
/// for the stores of its parts.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(usize)]
pub(super) enum Store {
    /// Nothing: the sums are stored as they are.
    Plain,
    /// The gate: C holds outputs of relu.
    Gate,
    /// Bias and floor.
    Layer,
    /// Alpha and beta.
    General,
    /// Alpha, beta and the gate.
    GeneralGate,
    /// Alpha and beta, bias and floor.
    GeneralLayer,
}

impl Finish {
    /// Without gate; `biased` says that there is a bias, without which there is no floor.
    #[inline(always)]
    pub(super) fn new(alpha: f32, beta: f32, biased: bool, floor: f32) -> Self {
        let store = match (alpha != 1.0 || beta != 0.0, biased) {
            (false, false) => Store::Plain,
            (false, true) => Store::Layer,
            (true, false) => Store::General,
            (true, true) => Store::GeneralLayer,
        };
        Self { alpha, beta, floor, store }
    }

    /// The same with a gate.
    #[inline(always)]
    pub(super) fn gated(self) -> Self {
        let store = if self.store == Store::Plain { Store::Gate } else { Store::GeneralGate };
        Self { store, ..self }
    }

    /// Whether C is read.
    pub(super) fn reads(&self) -> bool {
        self.beta != 0.0 || matches!(self.store, Store::Gate | Store::GeneralGate)
    }
}

/// Computes a [`Strip`] of tiles of `MR` rows and `NV` vectors with `CHAINS` chains an element; `TAIL`
/// says that the last vector is not full. `STORE` is the only [`Store`] it knows, and then k is short,
/// or [`ANY`].
pub(super) struct Tiles<
    const MR: usize,
    const NV: usize,
    const CHAINS: usize,
    const TAIL: bool,
    const STORE: usize,
    const LHS: u8,
>;

/// All of [`Store`], and k of any length.
pub(super) const ANY: usize = usize::MAX;
pub(super) const PLAIN: usize = Store::Plain as usize;
pub(super) const GATE: usize = Store::Gate as usize;
pub(super) const LAYER: usize = Store::Layer as usize;

/// How A lies in memory: along k, across it, or with any strides.
pub(super) const ALONG: u8 = 0;
pub(super) const ACROSS: u8 = 1;
pub(super) const STRIDED: u8 = 2;
/// Along k, in a tile of at most [`POINTERS`] rows, each with a pointer of its own: addresses of one register, which
/// Intel's processors keep in one piece with the multiply-add that broadcasts what is there.
pub(super) const EACH: u8 = 3;

/// Rows that share a pointer.
const fn rows_of_group(lhs: u8) -> usize {
    if lhs == EACH { 1 } else { GROUP }
}

impl<
    const MR: usize,
    const NV: usize,
    const CHAINS: usize,
    const TAIL: bool,
    const STORE: usize,
    const LHS: u8,
> Routine for Tiles<MR, NV, CHAINS, TAIL, STORE, LHS>
{
    type Plan = Strip;

    /// Operands are A, B and C at the first tile, and the bias there if [`Store`] says that it is added.
    ///
    /// # Safety
    /// All elements of A, B and C that [`Strip`] describes, for `tiles * MR` rows and
    /// `panels * NV * LANES` columns, or `(NV - 1) * LANES + last` if `TAIL`, lie in memory valid
    /// for reading, and for C for writing, which overlaps neither A nor B; the bias, if it is added, is
    /// valid for reading all those columns; `0 < last <= LANES`, and less if `TAIL`, and then `panels` is
    /// one, as it is for one vector where [`max_vectors`] are more.
    #[inline(always)]
    unsafe fn run<S: Simd>(
        s: S,
        strip: &Strip,
        lhs: *const f32,
        mut rhs: *const f32,
        mut out: *mut f32,
        mut bias: *const f32,
        _: *mut f32,
    ) {
        let mut panels = strip.panels;
        loop {
            let (mut lhs, mut tile) = (lhs, out);
            for i in 0..strip.tiles {
                let fetch = if i == 0 && strip.fetch_rhs {
                    Fetch::Rows
                } else if strip.next_rows > 0 {
                    let rows = i * strip.next_rows;
                    let next = strip.next_panel.wrapping_add(rows.wrapping_mul(strip.rhs_row));
                    // The line in which a row begins is this panel's too, unless the row begins it: the next then.
                    let next = next.wrapping_add(LINE - 1);
                    Fetch::Panel(rhs.wrapping_add(next), strip.next_rows)
                } else {
                    Fetch::Nothing
                };
                // SAFETY: `lhs` and `tile` are at a tile that the strip has.
                unsafe {
                    let sums = accumulate::<S, MR, NV, CHAINS, TAIL, STORE, LHS>(
                        s, lhs, rhs, tile, strip, fetch,
                    );
                    let Strip { out_row, last, ref finish, .. } = *strip;
                    write::<S, MR, NV, TAIL, STORE>(s, &sums, tile, bias, out_row, last, finish);
                }
                lhs = lhs.wrapping_add(strip.lhs_tile);
                tile = tile.wrapping_add(MR * strip.out_row);
            }
            panels -= 1;
            // A strip of single vectors where there could be more has one column of tiles.
            if TAIL || NV == 1 && max_vectors(S::REGISTERS) > 1 || panels == 0 {
                break;
            }
            rhs = rhs.wrapping_add(NV * S::LANES);
            out = out.wrapping_add(NV * S::LANES);
            bias = bias.wrapping_add(NV * S::LANES);
        }
    }
}

/// Computes the only tile of a [`Strip`] whose k is short and whose vectors are full. Without loops over tiles, and
/// what they keep in memory, 8 cubed takes 10 to 13 % less on Cascade Lake, 16 cubed 4 %.
pub(super) struct OneTile<const MR: usize, const NV: usize, const STORE: usize, const LHS: u8>;

impl<const MR: usize, const NV: usize, const STORE: usize, const LHS: u8> Routine
    for OneTile<MR, NV, STORE, LHS>
{
    type Plan = Strip;

    /// # Safety
    /// As for [`Tiles`] of [`ONE`] chain an element.
    #[inline(always)]
    unsafe fn run<S: Simd>(
        s: S,
        strip: &Strip,
        lhs: *const f32,
        rhs: *const f32,
        out: *mut f32,
        bias: *const f32,
        _: *mut f32,
    ) {
        let Strip { out_row, last, ref finish, .. } = *strip;
        // SAFETY: by the caller's word.
        unsafe {
            let sums = accumulate::<S, MR, NV, ONE, false, STORE, LHS>(
                s,
                lhs,
                rhs,
                out,
                strip,
                Fetch::Nothing,
            );
            write::<S, MR, NV, false, STORE>(s, &sums, out, bias, out_row, last, finish);
        }
    }
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

/// Loads `NV` vectors, of the last only `last` lanes if `TAIL`.
///
/// # Safety
/// Those lanes are valid for reading.
#[inline(always)]
pub(super) unsafe fn load_row<S: Simd, const NV: usize, const TAIL: bool>(
    s: S,
    ptr: *const f32,
    last: usize,
) -> [S::F32; NV] {
    let mut row = [s.splat(0.0); NV];
    for (v, vector) in row.iter_mut().enumerate() {
        // SAFETY: the caller vouches for these lanes.
        *vector = unsafe {
            if TAIL && v + 1 == NV {
                s.load_ptr_first(ptr.add(v * S::LANES), last)
            } else {
                s.load_ptr(ptr.add(v * S::LANES))
            }
        };
    }
    row
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
        let (lhs_row, lhs_col) = strip.lhs_strides::<LHS>();
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
            if const { Self::broadcasts::<S, NV>(0) } {
                self.step::<S, MR, NV, TAIL, 0>(s, acc, 0, false);
                self.step::<S, MR, NV, TAIL, 1>(s, acc, 0, turns);
                self.step::<S, MR, NV, TAIL, 2>(s, acc, 0, false);
                self.step::<S, MR, NV, TAIL, 3>(s, acc, 0, turns);
            } else {
                // A loop where nothing must be a constant: the compiler finds better addresses for what it unrolls
                // itself.
                for ahead in 0..UNROLL {
                    self.step::<S, MR, NV, TAIL, 0>(s, acc, ahead, turns && ahead % 2 == 1);
                }
            }
        }
        self.advance(s, UNROLL);
    }

    /// Whether multiply-adds broadcast that row of a tile of `NV` vectors.
    ///
    /// That is an instruction less and, of several vectors, a read or two more. Intel's processors keep it in one
    /// piece with the multiply-add where the address is a register and a constant: along k, that of the first row of
    /// a group, which is as often as the units that read have time for in tiles of two or three vectors; across, that
    /// of every row, and of one vector each is read once. (On Cascade Lake 32 cubed takes 8 % less beside a busy
    /// neighbour, and as much as before without one; 256 and 512 cubed take 5 % less, as fewer instructions that wait
    /// let more steps begin while B comes from the second cache; a transposed A of 32 16 32 takes 11 % less. Of four
    /// vectors nothing was gained, and of two across 2 % lost.)
    const fn broadcasts<S: Simd, const NV: usize>(row: usize) -> bool {
        S::BROADCASTS
            && match LHS {
                ALONG => (NV == 2 || NV == 3) && row.is_multiple_of(GROUP),
                ACROSS => NV == 1,
                _ => false,
            }
    }

    /// Adds the products of a row of B and that column of A, `STEP` and `ahead` steps on, from the first row of the
    /// tile down or from the last up. Where a row is broadcast ([`Self::broadcasts`]), `ahead` is 0. Returns the row
    /// of B.
    ///
    /// # Safety
    /// These are valid for reading: the row in `NV` vectors, of the last `last` lanes if `TAIL`, the column in `MR`
    /// rows.
    #[inline(always)]
    pub(super) unsafe fn step<
        S: Simd,
        const MR: usize,
        const NV: usize,
        const TAIL: bool,
        const STEP: usize,
    >(
        &self,
        s: S,
        acc: &mut [[S::F32; NV]; MR],
        ahead: usize,
        up: bool,
    ) -> [S::F32; NV] {
        debug_assert!(ahead == 0 || !Self::broadcasts::<S, NV>(0));
        let Self { groups, lhs_row, lhs_col, rhs, rhs_row, last } = *self;
        let ahead = STEP + ahead;
        // SAFETY: the caller vouches for this row of B.
        let b = unsafe { load_row::<S, NV, TAIL>(s, rhs.wrapping_add(ahead * rhs_row), last) };
        // Written out, as a loop this long would not always be unrolled.
        macro_rules! add_rows {
            ($($i:literal)*) => {$(
                if const { $i < MR } {
                    let group = groups[$i / rows_of_group(LHS)];
                    if const { Self::broadcasts::<S, NV>($i) } {
                        for (acc, b) in acc[$i].iter_mut().zip(b) {
                            // SAFETY: the caller vouches for this value of A: so many columns behind the group's
                            // first, or so many rows.
                            *acc = unsafe {
                                if LHS == ALONG {
                                    s.mul_add_at::<STEP>(group, b, *acc)
                                } else {
                                    let column = groups[0].wrapping_add(STEP * lhs_col);
                                    s.mul_add_at::<$i>(column, b, *acc)
                                }
                            };
                        }
                    } else {
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
/// As for [`Tiles`]; `lhs`, `rhs` and `out` are at a tile of the strip.
#[inline(always)]
unsafe fn accumulate<
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
            cursor.step::<S, MR, NV, TAIL, 0>(s, sums, 0, false);
            cursor.step::<S, MR, NV, TAIL, 1>(s, sums, 0, true);
            cursor.advance(s, 2);
        }
        if left & 1 != 0 {
            cursor.step::<S, MR, NV, TAIL, 0>(s, sums, 0, true);
        }
    }
}

/// One chain an element, of a long k and an A along it or across. First come steps one at a time, those that are no
/// multiple of [`UNROLL`] or beside which this tile's own rows of B are fetched; then, in one loop, those beside
/// which rows of the next panel are fetched, and those beside rows of C.
///
/// # Safety
/// As for [`Cursor::step`], for the steps of the strip, which are at least [`PREFETCH_K`].
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
    let single = if let Fetch::Rows = fetch { k - PREFETCH_LEFT } else { k % UNROLL };
    for _ in 0..single {
        // Of the few that are no multiple it is not worth a question.
        prefetch_row::<S, NV>(s, cursor.rhs.wrapping_add(AHEAD * rhs_row));
        // SAFETY: a step is left; the caller vouches for its row and column.
        unsafe { cursor.step::<S, MR, NV, TAIL, 0>(s, sums, 0, false) };
        cursor.advance(s, 1);
    }
    let next = if let Fetch::Panel(row, rows) = fetch { (row, rows) } else { (out, 0) };
    let early = ((k - PREFETCH_LEFT - single) / UNROLL, rhs_row, next);
    let late = (PREFETCH_LEFT / UNROLL, out_row, (out, MR));
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
            unsafe { cursor.step::<S, MR, NV, TAIL, 0>(s, sums, 0, false) };
            cursor.advance(s, 1);
            left -= 1;
        };
    }
    // Two loops: as one with a pause inside, small products took 3 to 8 % longer.
    if strip.k >= PREFETCH_K {
        match fetch {
            Fetch::Nothing => {
                while left > PREFETCH_LEFT {
                    step!();
                }
            }
            Fetch::Rows => {
                while left > PREFETCH_LEFT {
                    prefetch_row::<S, NV>(s, cursor.rhs.wrapping_add(AHEAD * cursor.rhs_row));
                    step!();
                }
            }
            Fetch::Panel(mut next, mut rows) => {
                while left > PREFETCH_LEFT {
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
                        unsafe { cursor.step::<S, MR, NV, TAIL, 0>(s, acc, 0, false) };
                        cursor.advance(s, 1);
                    }
                }
                left = left.saturating_sub(SPLIT);
            }
        };
    }
    if is_long {
        run_until!(PREFETCH_LEFT);
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

/// Turns the sums of a tile into elements of C: see [`Finish`]. What the parameters mean is told at
/// [`Tiles`].
///
/// # Safety
/// `MR` rows at `out`, `out_row` apart, are valid for reading and writing `NV` vectors, the bias for
/// reading as many if `finish` adds it; of the last vector, `last` lanes if `TAIL`.
#[inline(always)]
pub(super) unsafe fn write<
    S: Simd,
    const MR: usize,
    const NV: usize,
    const TAIL: bool,
    const STORE: usize,
>(
    s: S,
    sums: &[[S::F32; NV]; MR],
    out: *mut f32,
    bias: *const f32,
    out_row: usize,
    last: usize,
    finish: &Finish,
) {
    let Finish { alpha, beta, floor, store } = *finish;
    let store = if STORE == ANY { store as usize } else { STORE };
    let row = |i: usize| out.wrapping_add(i * out_row);
    // Passes over all sums instead of one over the rows: short loops are unrolled, so that the sums
    // stay in registers.
    let mut sums = *sums;
    if store >= Store::General as usize {
        let alpha = s.splat(alpha);
        if beta == 0.0 {
            for x in sums.as_flattened_mut() {
                *x = s.mul(alpha, *x);
            }
        } else {
            let beta = s.splat(beta);
            for (i, sums) in sums.iter_mut().enumerate() {
                // SAFETY: row i < MR, valid by the caller's word.
                let before = unsafe { load_row::<S, NV, TAIL>(s, row(i), last) };
                for (x, before) in sums.iter_mut().zip(before) {
                    *x = s.mul_add(alpha, *x, s.mul(beta, before));
                }
            }
        }
    }
    if store == Store::Layer as usize || store == Store::GeneralLayer as usize {
        // SAFETY: the caller vouches for a bias in every column.
        let biases = unsafe { load_row::<S, NV, TAIL>(s, bias, last) };
        let floor = s.splat(floor);
        for sums in &mut sums {
            for (x, bias) in sums.iter_mut().zip(biases) {
                *x = s.max(floor, s.add(*x, bias));
            }
        }
    }
    if store == Store::Gate as usize || store == Store::GeneralGate as usize {
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: row i < MR, valid by the caller's word.
            let outputs = unsafe { load_row::<S, NV, TAIL>(s, row(i), last) };
            for (x, output) in sums.iter_mut().zip(outputs) {
                *x = s.mul(*x, Relu.derivative(s, output));
            }
        }
    }
    let mut first = out;
    for group in sums.chunks(GROUP) {
        for (i, sums) in group.iter().enumerate() {
            // SAFETY: `first` is at the first row of the group.
            unsafe { store_row::<S, NV, TAIL>(s, sums, first.wrapping_add(i * out_row), last) };
        }
        first = s.opaque(first.wrapping_add(GROUP * out_row)).cast_mut();
    }
}

/// Stores `NV` vectors, of the last only `last` lanes if `TAIL`.
///
/// # Safety
/// Those lanes are valid for writing.
#[inline(always)]
pub(super) unsafe fn store_row<S: Simd, const NV: usize, const TAIL: bool>(
    s: S,
    row: &[S::F32; NV],
    ptr: *mut f32,
    last: usize,
) {
    for (v, vector) in row.iter().enumerate() {
        // SAFETY: the caller vouches for these lanes.
        unsafe {
            if TAIL && v + 1 == NV {
                s.store_ptr_first(*vector, ptr.add(v * S::LANES), last);
            } else {
                s.store_ptr(*vector, ptr.add(v * S::LANES));
            }
        }
    }
}
