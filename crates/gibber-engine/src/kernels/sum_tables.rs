//! Sums of a few activations, tabled: all that four bits of weights can make of them.
//!
//! Where a weight is a sign, a row's next four bits are one of 16 numbers, and what they add to the product is one of 16 sums
//! of the same activations. They are worked out once for a token, so that for each row one instruction that looks
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

/// Tables a block.
pub(super) const TABLES: usize = 4;

/// The tables of a vector, in the order in which a kernel goes through them.
#[derive(Debug, Default, Clone)]
pub(super) struct SumTables {
    tables: Vec<SumTable>,
    /// They are of the vector as it is now: memory is kept from one vector to the next.
    are_ready: bool,
}

impl SumTables {
    /// The vector has other values now.
    pub(super) fn clear(&mut self) {
        self.are_ready = false;
    }

    /// Works out those of `blocks`, if they are not there.
    pub(super) fn prepare(&mut self, isa: Isa, blocks: &[Block]) {
        if !self.are_ready {
            self.tables.resize(blocks.len() * TABLES, [0; 32]);
            for (block, tables) in blocks.iter().zip(self.tables.as_chunks_mut().0) {
                fill(isa, block, tables);
            }
            self.are_ready = true;
        }
    }

    /// [`TABLES`] for each block, or none where they were not asked for.
    pub(super) fn get(&self) -> &[SumTable] {
        if self.are_ready { &self.tables } else { &[] }
    }
}

/// The first of the columns that share half byte `half_byte` of byte `byte` of a row's word: of one bit each, the others are
/// [`STEP`] further each.
const fn column_of_signs(byte: usize, half_byte: usize) -> usize {
    BLOCK / 2 * half_byte + byte
}

/// A sum in units of the tables, the nearest; of two as near the even one.
#[inline(always)]
fn in_units(sum: i32) -> i16 {
    const { assert!(UNIT == 4) };
    ((sum + 1 + (sum >> 2 & 1)) >> 2) as i16
}

/// The weights of each code of four bits, two by two.
type Weights = [[[i16; 2]; 16]; 2];

/// A bit that is set is 1, another -1.
const SIGNS: Weights = {
    let (mut weights, mut code) = ([[[0; 2]; 16]; 2], 0);
    while code < 16 {
        let mut bit = 0;
        while bit < 4 {
            weights[bit / 2][code][bit % 2] = if code >> bit & 1 == 1 { 1 } else { -1 };
            bit += 1;
        }
        code += 1;
    }
    weights
};

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

/// The tables of a block.
fn fill(isa: Isa, block: &Block, tables: &mut [SumTable; TABLES]) {
    let halves = tables.as_flattened_mut().as_chunks_mut().0;
    match isa {
        // SAFETY: the `Avx512` inside shows that the processor has the instructions.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) => unsafe { fill_with_avx512(block, halves) },
        _ => fill_plainly(block, halves),
    }
}

/// The plain twin: each half of a table takes the next two pairs of columns.
fn fill_plainly(block: &Block, halves: &mut [[i16; 16]]) {
    for (columns, half) in SIGNS_ORDER.as_chunks::<2>().0.iter().zip(halves) {
        *half = std::array::from_fn(|code| {
            let products = columns.iter().zip(&SIGNS).flat_map(|(columns, weights)| {
                let weights = weights[code];
                [0, 1].map(|i| i32::from(weights[i]) * block.whole(usize::from(columns[i])))
            });
            in_units(products.sum())
        });
    }
}

/// # Safety
/// The processor has the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn fill_with_avx512(block: &Block, halves: &mut [[i16; 16]]) {
    use std::arch::x86_64::*;
    // SAFETY: all that is read is a register long, or half of one, as the types say, and so is each half of a table.
    unsafe {
        let high = _mm512_cvtepi8_epi16(_mm256_loadu_si256(block.high.as_ptr().cast()));
        let low = _mm512_cvtepi8_epi16(_mm256_loadu_si256(block.low.as_ptr().cast()));
        let whole = _mm512_add_epi16(_mm512_mullo_epi16(high, _mm512_set1_epi16(HIGH as i16)), low);
        let mut columns = [0_i32; BLOCK / 2];
        let order = _mm512_loadu_si512(SIGNS_ORDER.as_ptr().cast());
        _mm512_storeu_si512(columns.as_mut_ptr().cast(), _mm512_permutexvar_epi16(order, whole));
        let one = _mm512_set1_epi32(1);
        for (columns, half) in columns.as_chunks::<2>().0.iter().zip(halves) {
            let mut sum = _mm512_setzero_si512();
            for (&columns, weights) in columns.iter().zip(&SIGNS) {
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
    fn each_column_is_in_one_half_byte() {
        let mut columns = SIGNS_ORDER.as_flattened().to_vec();
        columns.sort_unstable();
        assert!(columns.into_iter().eq(0..BLOCK as u16));
    }

    #[test]
    fn a_table_has_the_sum_that_each_code_stands_for() {
        let mut vector = QuantizedVector::default();
        vector.assign_for_all(&std::array::from_fn::<f32, BLOCK, _>(|i| 4.0 * i as f32));
        let block = &vector.blocks()[0];
        let (table, whole) = (vector.sums()[2], |i| block.whole(i));
        // The third half byte of the lower word, and of the upper one.
        assert_eq!(table[0b0101], in_units(whole(1) - whole(5) + whole(9) - whole(13)));
        assert_eq!(table[16 + 0b1000], in_units(-whole(3) - whole(7) - whole(11) + whole(15)));
    }

    #[test]
    fn every_instruction_set_works_out_the_same_tables() {
        let x: Vec<f32> = (0..96).map(|i| ((i * 37 % 64) as f32 - 31.5) * 0.3f32.powi(i / 32)).collect();
        let mut vector = QuantizedVector::default();
        vector.assign_for_all(&[x, vec![1.0; BLOCK], vec![-1.0; BLOCK]].concat());
        let (mut tables, mut plain) = ([[0; 32]; TABLES], [[0; 32]; TABLES]);
        for block in vector.blocks() {
            fill(Isa::Portable, block, &mut plain);
            for isa in Isa::available() {
                fill(isa, block, &mut tables);
                assert_eq!(tables, plain, "{isa:?}");
            }
        }
    }
}
