//! Sums of a few activations, tabled: all that four bits of weights can make of them.
//!
//! Where a weight has one bit or two, a row's next four bits are one of 16 numbers, and what they add to the product is one
//! of 16 sums of the same activations. They are worked out once for a token, so that for each row one instruction that looks
//! up 32 of them takes the place of the multiplications. Which columns share a half byte is how `kernels::packed` lays the
//! weights out.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use super::block::HIGH;
use super::block::{BLOCK, Block, STEP};
use super::isa::Isa;

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
    of_kind: [Tables; TableKind::COUNT],
}

#[derive(Debug, Default, Clone)]
struct Tables {
    tables: Vec<SumTable>,
    /// They are of the vector as it is now: memory is kept from one vector to the next.
    are_ready: bool,
}

impl SumTables {
    /// The vector has other values now.
    pub(super) fn clear(&mut self) {
        self.of_kind.iter_mut().for_each(|tables| tables.are_ready = false);
    }

    /// Works out those of `blocks`, if they are not there.
    pub(super) fn prepare(&mut self, isa: Isa, kind: TableKind, blocks: &[Block]) {
        let Tables { tables, are_ready } = &mut self.of_kind[kind as usize];
        if !*are_ready {
            tables.resize(blocks.len() * kind.tables(), [0; 32]);
            for (block, tables) in blocks.iter().zip(tables.chunks_exact_mut(kind.tables())) {
                fill(isa, kind, block, tables);
            }
            *are_ready = true;
        }
    }

    /// [`TableKind::tables`] for each block, or none where they were not asked for.
    pub(super) fn get(&self, kind: TableKind) -> &[SumTable] {
        let Tables { tables, are_ready } = &self.of_kind[kind as usize];
        if *are_ready { tables } else { &[] }
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

/// The weights of each code of four bits, two by two: as many pairs as a half byte has.
type Weights<const N: usize> = [[[i16; 2]; 16]; N];

/// Two of the digits of each code.
const fn pair_of_digits(first: usize, base: usize, least: i32, step: i32) -> [[i16; 2]; 16] {
    let (a, b) = (digits(first, base, least, step), digits(first + 1, base, least, step));
    let (mut pairs, mut code) = ([[0; 2]; 16], 0);
    while code < pairs.len() {
        pairs[code] = [a[code] as i16, b[code] as i16];
        code += 1;
    }
    pairs
}

const SIGNS: Weights<2> = [pair_of_digits(0, 2, -1, 2), pair_of_digits(2, 2, -1, 2)];
const PAIRS: Weights<1> = [pair_of_digits(0, 4, -1, 1)];

/// The columns of a block two by two, in the order in which the halves of its tables take them.
type Order = [[u16; 2]; BLOCK / 2];

const SIGNS_ORDER: Order = {
    let (mut order, mut half) = ([[0; 2]; BLOCK / 2], 0);
    while half < 8 {
        let first = column_of_signs(2 * (half % 2) + half / 4, half / 2 % 2);
        order[2 * half] = [first as u16, (first + STEP) as u16];
        order[2 * half + 1] = [(first + 2 * STEP) as u16, (first + 3 * STEP) as u16];
        half += 1;
    }
    order
};

const PAIRS_ORDER: Order = {
    let (mut order, mut half) = ([[0; 2]; BLOCK / 2], 0);
    while half < 16 {
        let (at, upper) = (half / 2, half % 2);
        let [first, second] = columns_of_pairs(at / 4, 2 * upper + at % 4 / 2, at % 2);
        order[half] = [first as u16, second as u16];
        half += 1;
    }
    order
};

/// The tables of a block.
fn fill(isa: Isa, kind: TableKind, block: &Block, tables: &mut [SumTable]) {
    assert_eq!(tables.len(), kind.tables(), "tables of one block");
    let halves: &mut [[i16; 16]] = tables.as_flattened_mut().as_chunks_mut().0;
    match (isa, kind) {
        // SAFETY: the `Avx512` inside shows that the processor has the instructions; the tables are as many as was asserted.
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512(_), TableKind::Signs) => unsafe { fill_with_avx512(block, &SIGNS_ORDER, &SIGNS, halves) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512(_), TableKind::Pairs) => unsafe { fill_with_avx512(block, &PAIRS_ORDER, &PAIRS, halves) },
        (_, TableKind::Signs) => fill_plainly(block, &SIGNS_ORDER, &SIGNS, halves),
        (_, TableKind::Pairs) => fill_plainly(block, &PAIRS_ORDER, &PAIRS, halves),
    }
}

/// The plain twin: each half of a table takes the next `N` pairs of columns.
fn fill_plainly<const N: usize>(block: &Block, order: &Order, weights: &Weights<N>, halves: &mut [[i16; 16]]) {
    for (columns, half) in order.as_chunks::<N>().0.iter().zip(halves) {
        *half = std::array::from_fn(|code| {
            let products = columns.iter().zip(weights).flat_map(|(columns, weights)| {
                let weights = weights[code];
                [0, 1].map(|i| i32::from(weights[i]) * block.whole(usize::from(columns[i])))
            });
            in_units(products.sum())
        });
    }
}

/// # Safety
/// The processor has the instructions, and there are as many halves of tables as `N` pairs of columns in a block.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn fill_with_avx512<const N: usize>(
    block: &Block,
    order: &Order,
    weights: &Weights<N>,
    halves: &mut [[i16; 16]],
) {
    use std::arch::x86_64::*;
    // SAFETY: all that is read is a register long, or half of one, as the types say, and so is each half of a table.
    unsafe {
        let high = _mm512_cvtepi8_epi16(_mm256_loadu_si256(block.high.as_ptr().cast()));
        let low = _mm512_cvtepi8_epi16(_mm256_loadu_si256(block.low.as_ptr().cast()));
        let whole = _mm512_add_epi16(_mm512_mullo_epi16(high, _mm512_set1_epi16(HIGH as i16)), low);
        let mut columns = [0_i32; BLOCK / 2];
        let order = _mm512_loadu_si512(order.as_ptr().cast());
        _mm512_storeu_si512(columns.as_mut_ptr().cast(), _mm512_permutexvar_epi16(order, whole));
        let one = _mm512_set1_epi32(1);
        for (columns, half) in columns.as_chunks::<N>().0.iter().zip(halves) {
            let mut sum = _mm512_setzero_si512();
            for (&columns, weights) in columns.iter().zip(weights) {
                let weights = _mm512_loadu_si512(weights.as_ptr().cast());
                sum = _mm512_dpwssd_epi32(sum, _mm512_set1_epi32(columns), weights);
            }
            // As `in_units` does it.
            let odd = _mm512_and_si512(_mm512_srli_epi32::<2>(sum), one);
            let units = _mm512_srai_epi32::<2>(_mm512_add_epi32(_mm512_add_epi32(sum, one), odd));
            _mm256_storeu_si256(half.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(units));
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
        let mut vector = QuantizedVector::default();
        vector.assign_for_all(&std::array::from_fn::<f32, BLOCK, _>(|i| 4.0 * i as f32));
        let block = &vector.blocks()[0];
        let unit = |sum: i32| in_units(sum);
        // The third half byte of the lower word, and of the upper one.
        let (table, whole) = (vector.sums(TableKind::Signs)[2], |i| block.whole(i));
        assert_eq!(table[0b0101], unit(whole(1) - whole(5) + whole(9) - whole(13)));
        assert_eq!(table[16 + 0b1000], unit(-whole(3) - whole(7) - whole(11) + whole(15)));
        let table = vector.sums(TableKind::Pairs)[6];
        assert_eq!(table[0b1100], unit(-whole(9) + 2 * whole(25)));
        assert_eq!(table[16 + 0b0010], unit(whole(11) - whole(27)));
    }

    #[test]
    fn every_instruction_set_works_out_the_same_tables() {
        let x: Vec<f32> = (0..96).map(|i| ((i * 37 % 64) as f32 - 31.5) * 0.3f32.powi(i / 32)).collect();
        let mut vector = QuantizedVector::default();
        vector.assign_for_all(&[x, vec![1.0; BLOCK], vec![-1.0; BLOCK]].concat());
        for kind in [TableKind::Signs, TableKind::Pairs] {
            let (mut tables, mut plain) = (vec![[0; 32]; kind.tables()], vec![[0; 32]; kind.tables()]);
            for block in vector.blocks() {
                fill(Isa::Portable, kind, block, &mut plain);
                for isa in Isa::available() {
                    fill(isa, kind, block, &mut tables);
                    assert_eq!(tables, plain, "{kind:?} {isa:?}");
                }
            }
        }
    }
}
