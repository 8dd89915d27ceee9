//! Sums of a few activations, tabled: all that four bits of weights can make of them.
//!
//! Where a weight has one bit or two, a row's next four bits are one of 16 numbers, and what they add to the product is one
//! of 16 sums of the same activations. They are worked out once for a token, so that for each row one instruction that looks
//! up 32 of them takes the place of the multiplications. Which columns share a half byte is how `kernels::packed` lays the
//! weights out.

use super::block::{BLOCK, Block, STEP};
use super::vector::{quantize_sums_of_pairs, quantize_sums_of_signs};

/// What a whole number of an activation counts of one in a table: sums of four, of sixteen bits each, fit into sixteen.
pub(super) const UNIT: i32 = 4;
/// What one half byte of weights, then another, can make of the activations of their columns.
pub(super) type SumTable = [i16; 32];

/// What bits of weights stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableKind {
    /// A bit of each of four columns: 0 is -1, 1 is 1.
    Signs,
    /// Two bits of each of two columns: -1, 0, 1 or 2.
    Pairs,
}

impl TableKind {
    /// How many there are.
    pub(super) const COUNT: usize = 2;

    /// Bits of a weight, which is also how many fours of tables a block has.
    pub(super) const fn bits(self) -> usize {
        match self {
            Self::Signs => 1,
            Self::Pairs => 2,
        }
    }

    /// Tables a block.
    pub(super) const fn tables(self) -> usize {
        4 * self.bits()
    }
}

/// The tables of a vector, in the order in which a kernel goes through them.
#[derive(Debug, Default, Clone)]
pub(super) struct SumTables {
    signs: Vec<SumTable>,
    pairs: Vec<SumTable>,
}

impl SumTables {
    pub(super) fn clear(&mut self) {
        self.signs.clear();
        self.pairs.clear();
    }

    /// Works out those of `blocks`, if they are not there.
    pub(super) fn prepare(&mut self, kind: TableKind, blocks: &[Block]) {
        let tables = match kind {
            TableKind::Signs => &mut self.signs,
            TableKind::Pairs => &mut self.pairs,
        };
        if tables.len() == blocks.len() * kind.tables() {
            return;
        }
        tables.resize(blocks.len() * kind.tables(), [0; 32]);
        match kind {
            TableKind::Signs => quantize_sums_of_signs(blocks, tables),
            TableKind::Pairs => quantize_sums_of_pairs(blocks, tables),
        }
    }

    /// [`TableKind::tables`] for each block, or none where they were not asked for.
    pub(super) fn get(&self, kind: TableKind) -> &[SumTable] {
        match kind {
            TableKind::Signs => &self.signs,
            TableKind::Pairs => &self.pairs,
        }
    }
}

/// The first of the columns that share half byte `half_byte` of byte `byte` of a row's word: of one bit each, the others are
/// [`STEP`] further each.
const fn column_of_signs(byte: usize, half_byte: usize) -> usize {
    BLOCK / 2 * half_byte + byte
}

/// Both columns that share half byte `half_byte` of byte `byte` of a row's word in vector `vector`.
const fn columns_of_pairs(vector: usize, byte: usize, half_byte: usize) -> [usize; 2] {
    let first = STEP * (2 * vector + half_byte) + byte;
    [first, BLOCK / 2 + first]
}

/// A sum in units of the tables, the nearest; of two as near the even one.
#[inline(always)]
fn in_units(sum: i32) -> i16 {
    const { assert!(UNIT == 4) };
    ((sum + 1 + (sum >> 2 & 1)) >> 2) as i16
}

/// Digit `index` of each code of four bits, to the base `base`: `least` stands for 0, `step` more for each further one.
const fn digits(index: usize, base: usize, least: i32, step: i32) -> [i32; 16] {
    let (mut digits, mut divisor, mut place) = ([0; 16], 1, 0);
    while place < index {
        divisor *= base;
        place += 1;
    }
    let mut code = 0;
    while code < digits.len() {
        digits[code] = least + step * (code / divisor % base) as i32;
        code += 1;
    }
    digits
}

/// What each of the four weights of a half byte is, code by code.
const SIGNS: [[i32; 16]; 4] = [digits(0, 2, -1, 2), digits(1, 2, -1, 2), digits(2, 2, -1, 2), digits(3, 2, -1, 2)];
/// What both weights of a half byte are, code by code.
const PAIRS: [[i32; 16]; 2] = [digits(0, 4, -1, 1), digits(1, 4, -1, 1)];

/// Half a table: the sums of `x` with the weights of each code, in loops that the compiler does for all codes at once.
#[inline(always)]
fn fill<const N: usize>(table: &mut [i16], weights: &[[i32; 16]; N], x: [i32; N]) {
    let mut sums = [0; 16];
    for (weights, x) in weights.iter().zip(x) {
        for (sum, weight) in sums.iter_mut().zip(weights) {
            *sum += weight * x;
        }
    }
    for (out, sum) in table.iter_mut().zip(sums) {
        *out = in_units(sum);
    }
}

/// The tables of one block for [`TableKind::Signs`].
#[inline(always)]
pub(super) fn sums_of_signs(block: &Block, tables: &mut [SumTable]) {
    let whole: [i32; BLOCK] = std::array::from_fn(|i| block.whole(i));
    for (at, table) in tables.iter_mut().enumerate() {
        for (half, table) in table.chunks_exact_mut(16).enumerate() {
            let first = column_of_signs(2 * half + at / 2, at % 2);
            fill(table, &SIGNS, std::array::from_fn(|step| whole[first + STEP * step]));
        }
    }
}

/// The tables of one block for [`TableKind::Pairs`].
#[inline(always)]
pub(super) fn sums_of_pairs(block: &Block, tables: &mut [SumTable]) {
    let whole: [i32; BLOCK] = std::array::from_fn(|i| block.whole(i));
    for (at, table) in tables.iter_mut().enumerate() {
        for (half, table) in table.chunks_exact_mut(16).enumerate() {
            fill(table, &PAIRS, columns_of_pairs(at / 4, 2 * half + at % 4 / 2, at % 2).map(|column| whole[column]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::activation::QuantizedVector;

    #[test]
    fn sums_are_in_units_to_the_nearest_even_one() {
        let found = [-6, -5, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 129_032].map(in_units);
        assert_eq!(found, [-2, -1, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 32_258]);
    }

    #[test]
    fn each_column_is_in_one_half_byte_of_each_table() {
        let mut signs: Vec<_> =
            (0..8).flat_map(|i| (0..4).map(move |step| column_of_signs(i / 2, i % 2) + STEP * step)).collect();
        let mut pairs: Vec<_> = (0..16).flat_map(|i| columns_of_pairs(i / 8, i % 8 / 2, i % 2)).collect();
        signs.sort_unstable();
        pairs.sort_unstable();
        assert!(signs.iter().copied().eq(0..BLOCK) && pairs.iter().copied().eq(0..BLOCK));
    }

    #[test]
    fn a_table_has_the_sum_that_each_code_stands_for() {
        let mut table = [0; 16];
        fill(&mut table, &SIGNS, [4, 40, 400, 4000]);
        assert_eq!((table[0], table[0b0110], table[15]), (-1111, -1 + 10 + 100 - 1000, 1111));
        fill(&mut table, &PAIRS, [4, 40]);
        assert_eq!((table[0], table[0b0111], table[15]), (-11, 2, 22));
    }

    #[test]
    fn the_kernels_that_work_them_out_agree_with_the_plain_sums() {
        let x: Vec<f32> = (0..96).map(|i| ((i * 37 % 64) as f32 - 31.5) * 0.3f32.powi(i / 32)).collect();
        let mut vector = QuantizedVector::default();
        vector.assign_for_all(&x);
        for (kind, plain) in
            [(TableKind::Signs, sums_of_signs as fn(&Block, &mut [SumTable])), (TableKind::Pairs, sums_of_pairs)]
        {
            let mut tables = vec![[0; 32]; kind.tables()];
            for (block, found) in vector.blocks().iter().zip(vector.sums(kind).chunks_exact(kind.tables())) {
                plain(block, &mut tables);
                assert_eq!(found, tables, "{kind:?}");
            }
        }
    }
}
