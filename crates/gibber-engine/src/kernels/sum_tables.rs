//! Sums of a few activations, tabled: all that four bits of weights can make of them.
//!
//! Where a weight is a sign, or two bits that lie in planes of one, a row's next four bits are one of 16 numbers, and what they
//! add to the product is one of 16 sums of the same activations. They are worked out once for a token, so that for each row one instruction that looks
//! up 32 of them takes the place of the multiplications. Which columns share a half byte is how `kernels::packed` lays the
//! weights out.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use super::block::HIGH;
use super::block::{BLOCK, Block, STEP};
use super::isa::Isa;

/// The largest number of a table.
const MOST: f32 = i16::MAX as f32;
/// What one half byte of weights, then another, can make of the activations of their columns.
pub(super) type SumTable = [i16; 32];

/// Tables a block.
pub(super) const TABLES: usize = 4;

/// The tables of a vector, in the order in which a kernel goes through them.
#[derive(Debug, Default, Clone)]
pub(super) struct SumTables {
    tables: Vec<SumTable>,
    /// What a number of a block's tables counts, in whole numbers of the activations: as little as lets the largest sum fit.
    units: Vec<f32>,
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
            self.units.resize(blocks.len(), 0.0);
            for ((block, tables), unit) in blocks.iter().zip(self.tables.as_chunks_mut().0).zip(&mut self.units) {
                *unit = fill(isa, block, tables);
            }
            self.are_ready = true;
        }
    }

    /// [`TABLES`] for each block, and what their numbers count; none where they were not asked for.
    #[cfg(any(test, target_arch = "x86_64"))]
    pub(super) fn get(&self) -> (&[SumTable], &[f32]) {
        if self.are_ready { (&self.tables, &self.units) } else { (&[], &[]) }
    }
}

/// The first of the columns that share half byte `half_byte` of byte `byte` of a row's word: of one bit each, the others are
/// [`STEP`] further each.
const fn column_of_signs(byte: usize, half_byte: usize) -> usize {
    BLOCK / 2 * half_byte + byte
}

/// What sums are multiplied with so that the largest, `most`, becomes the largest number of a table.
fn inverse(most: i32) -> f32 {
    if most == 0 { 0.0 } else { MOST / most as f32 }
}

/// A sum as it stands in a table, the nearest number, of two as near the even one.
#[inline(always)]
fn in_units(sum: i32, inverse: f32) -> i16 {
    (sum as f32 * inverse).round_ties_even() as i16
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

/// The tables of a block; returns what their numbers count.
fn fill(isa: Isa, block: &Block, tables: &mut [SumTable; TABLES]) -> f32 {
    let halves = tables.as_flattened_mut().as_chunks_mut().0;
    match isa {
        // SAFETY: the `Avx512` inside shows that the processor has the instructions.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) => unsafe { fill_with_avx512(block, halves) },
        _ => fill_plainly(block, halves),
    }
}

/// The plain twin: each half of a table takes the next two pairs of columns.
fn fill_plainly(block: &Block, halves: &mut [[i16; 16]]) -> f32 {
    let whole = |column: &u16| block.whole(usize::from(*column));
    let fours = SIGNS_ORDER.as_chunks::<2>().0;
    let magnitude = |four: &[[u16; 2]; 2]| four.as_flattened().iter().map(|column| whole(column).abs()).sum();
    let most = fours.iter().map(magnitude).max().unwrap_or(0);
    let inverse = inverse(most);
    for (four, half) in fours.iter().zip(halves) {
        *half = std::array::from_fn(|code| {
            let weights = SIGNS.map(|weights| weights[code]);
            let products = four.as_flattened().iter().zip(weights.as_flattened());
            in_units(products.map(|(column, &weight)| i32::from(weight) * whole(column)).sum(), inverse)
        });
    }
    most as f32 / MOST
}

/// # Safety
/// The processor has the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn fill_with_avx512(block: &Block, halves: &mut [[i16; 16]]) -> f32 {
    use std::arch::x86_64::*;
    // SAFETY: all that is read is a register long, or half of one, as the types say, and so is each half of a table.
    unsafe {
        let high = _mm512_cvtepi8_epi16(_mm256_loadu_si256(block.high.as_ptr().cast()));
        let low = _mm512_cvtepi8_epi16(_mm256_loadu_si256(block.low.as_ptr().cast()));
        let whole = _mm512_add_epi16(_mm512_mullo_epi16(high, _mm512_set1_epi16(HIGH as i16)), low);
        let ordered = _mm512_permutexvar_epi16(_mm512_loadu_si512(SIGNS_ORDER.as_ptr().cast()), whole);
        let mut columns = [0_i32; BLOCK / 2];
        _mm512_storeu_si512(columns.as_mut_ptr().cast(), ordered);
        let pairs = _mm512_madd_epi16(_mm512_abs_epi16(ordered), _mm512_set1_epi16(1));
        // Each lane with its neighbour: two pairs are the columns of half a table.
        let most = _mm512_reduce_max_epi32(_mm512_add_epi32(pairs, _mm512_shuffle_epi32::<0b10_11_00_01>(pairs)));
        let inverse = _mm512_set1_ps(inverse(most));
        for (columns, half) in columns.as_chunks::<2>().0.iter().zip(halves) {
            let mut sum = _mm512_setzero_si512();
            for (&columns, weights) in columns.iter().zip(&SIGNS) {
                let weights = _mm512_loadu_si512(weights.as_ptr().cast());
                sum = _mm512_dpwssd_epi32(sum, _mm512_set1_epi32(columns), weights);
            }
            let units = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), inverse));
            _mm256_storeu_si256(half.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(units));
        }
        most as f32 / MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::activation::QuantizedVector;

    #[test]
    fn sums_are_in_units_to_the_nearest_even_one() {
        let found = [-6, -5, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7].map(|sum| in_units(sum, 0.25));
        assert_eq!(found, [-2, -1, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2]);
        for most in [1, 7, 32_258, 129_032] {
            assert_eq!([most, -most].map(|sum| in_units(sum, inverse(most))), [i16::MAX, -i16::MAX]);
        }
        assert_eq!(inverse(0), 0.0);
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
        let (tables, units) = vector.sums();
        let whole = |i| block.whole(i);
        // The last four columns of bytes: 19, 23, 27, 31.
        let most = whole(19) + whole(23) + whole(27) + whole(31);
        assert_eq!(units, [most as f32 / MOST]);
        let near = |found: i16, sum: i32| (f32::from(found) * units[0] - sum as f32).abs() <= 0.501 * units[0];
        // The third half byte of the lower word, and of the upper one.
        assert!(near(tables[2][0b0101], whole(1) - whole(5) + whole(9) - whole(13)));
        assert!(near(tables[2][16 + 0b1000], -whole(3) - whole(7) - whole(11) + whole(15)));
    }

    #[test]
    fn every_instruction_set_works_out_the_same_tables() {
        let x: Vec<f32> = (0..96).map(|i| ((i * 37 % 64) as f32 - 31.5) * 0.3f32.powi(i / 32)).collect();
        let mut vector = QuantizedVector::default();
        vector.assign_for_all(&[x, vec![1.0; BLOCK], vec![-1.0; BLOCK], vec![0.0; BLOCK]].concat());
        let (mut tables, mut plain) = ([[0; 32]; TABLES], [[0; 32]; TABLES]);
        for block in vector.blocks() {
            let unit = fill(Isa::Portable, block, &mut plain);
            for isa in Isa::available() {
                assert_eq!(fill(isa, block, &mut tables), unit, "{isa:?}");
                assert_eq!(tables, plain, "{isa:?}");
            }
        }
    }
}
