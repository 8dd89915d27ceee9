//! The formats IQ1 to IQ3, whose codes are entries of a codebook: eight values, or four, at a time.
//!
//! Which combinations of values an entry can have was found by training; the codebooks are data of llama.cpp
//! (`ggml-common.h`, see NOTICE), in `codebooks.bin` as `tests/fixtures/make_codebooks.py` packs them. Blocks have 256
//! values, and [`part`] takes 32 of them apart.

use half::f16;

use super::DType;

/// Values of a part of a block.
const PART: usize = 32;

static BOOKS: &[u8] = include_bytes!("codebooks.bin");

/// A codebook: where its entries of two bytes begin among all, and how many there are.
#[derive(Clone, Copy)]
struct Book {
    first: usize,
    entries: usize,
}

const IQ2_XXS: Book = Book { first: 0, entries: 256 };
const IQ2_XS: Book = IQ2_XXS.next(512);
const IQ2_S: Book = IQ2_XS.next(1024);
const IQ3_XXS: Book = IQ2_S.next(256);
const IQ3_S: Book = IQ3_XXS.next(512);
const IQ1: Book = IQ3_S.next(2048);
const _: () = assert!(2 * (IQ1.first + IQ1.entries) == include_bytes!("codebooks.bin").len());

impl Book {
    const fn next(self, entries: usize) -> Self {
        Self { first: self.first + self.entries, entries }
    }

    /// The `N` codes of entry `index`: of two bits where they are eight, of three in four bits where they are four.
    fn codes<const N: usize>(self, index: usize) -> [u8; N] {
        debug_assert!(index < self.entries);
        let at = 2 * (self.first + index);
        let entry = u16::from_le_bytes([BOOKS[at], BOOKS[at + 1]]);
        let bits = 16 / N;
        std::array::from_fn(|i| (entry >> (i * bits)) as u8 & ((1 << bits) - 1))
    }
}

/// What the codes of IQ2_XXS, IQ2_XS and IQ2_S stand for: three magnitudes, and the same below 0.
pub(crate) const IQ2_VALUES: [i8; 16] = [8, 25, 43, -8, -25, -43, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Of IQ3_XXS: eight magnitudes, and the same below 0.
pub(crate) const IQ3_XXS_VALUES: [i8; 16] = [4, 12, 20, 28, 36, 44, 52, 62, -4, -12, -20, -28, -36, -44, -52, -62];
/// Of IQ3_S.
pub(crate) const IQ3_S_VALUES: [i8; 16] = [1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15];
/// Of IQ1_S and IQ1_M, in eighths: -1, 0 and 1 moved up by an eighth, then the same moved down.
pub(crate) const IQ1_VALUES: [i8; 16] = [-7, 1, 9, -9, -1, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A part of a block: `value = d / divisor · scale · values[code]`, with a scale for each half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) codes: [u8; PART],
    pub(crate) scales: [u8; 2],
}

/// What the codes of a format stand for, and the divisor of its scales; `None` for a format without a codebook.
pub(crate) const fn meaning(dtype: DType) -> Option<(&'static [i8; 16], u8)> {
    match dtype {
        DType::IQ2_XXS | DType::IQ2_XS | DType::IQ2_S => Some((&IQ2_VALUES, 8)),
        DType::IQ3_XXS => Some((&IQ3_XXS_VALUES, 4)),
        DType::IQ3_S => Some((&IQ3_S_VALUES, 1)),
        DType::IQ1_S | DType::IQ1_M => Some((&IQ1_VALUES, 8)),
        _ => None,
    }
}

/// The half-precision number that all scales of a block are multiplied by, as its bytes.
pub(crate) fn block_scale(dtype: DType, block: &[u8]) -> [u8; 2] {
    if dtype == DType::IQ1_M {
        // Four bits of it are the highest of each of the four words of scales.
        let bits = (0..4).fold(0, |bits, i| bits | u16::from(block[49 + 2 * i] >> 4) << (4 * i));
        return bits.to_le_bytes();
    }
    [block[0], block[1]]
}

/// Part `sub` of 8 of a block.
pub(crate) fn part(dtype: DType, block: &[u8], sub: usize) -> Part {
    match dtype {
        DType::IQ2_XXS => iq2_xxs(block, sub),
        DType::IQ2_XS => iq2_xs(block, sub),
        DType::IQ2_S => iq2_s(block, sub),
        DType::IQ3_XXS => iq3_xxs(block, sub),
        DType::IQ3_S => iq3_s(block, sub),
        DType::IQ1_S => iq1_s(block, sub),
        _ => iq1_m(block, sub),
    }
}

/// The values of the blocks of a format with a codebook.
pub(super) fn to_f32(dtype: DType, blocks: std::slice::ChunksExact<'_, u8>, values: &mut Vec<f32>) -> Option<()> {
    let (meaning, divisor) = meaning(dtype)?;
    for block in blocks {
        let d = f16::from_le_bytes(block_scale(dtype, block)).to_f32() / f32::from(divisor);
        for sub in 0..8 {
            let Part { codes, scales } = part(dtype, block, sub);
            let scale = |i: usize| d * f32::from(scales[i / (PART / 2)]);
            values.extend(codes.iter().enumerate().map(|(i, &code)| scale(i) * f32::from(meaning[usize::from(code)])));
        }
    }
    Some(())
}

/// Half the scales are stored, those that are odd.
fn odd(scale: u8) -> u8 {
    2 * scale + 1
}

fn low_and_high(byte: u8) -> [u8; 2] {
    [odd(byte & 15), odd(byte >> 4)]
}

/// The signs of eight values of which seven are stored: there is an even number of negative ones.
fn even_signs(seven: u32) -> u8 {
    let seven = seven as u8 & 127;
    seven | (seven.count_ones() as u8 & 1) << 7
}

/// Entries of eight, each with a byte of signs: what is negative has its code `further` on.
fn eights(entry: impl Fn(usize) -> ([u8; 8], u8), further: u8) -> [u8; PART] {
    let entries: [_; 4] = std::array::from_fn(entry);
    std::array::from_fn(|i| {
        let (codes, signs) = entries[i / 8];
        codes[i % 8] + further * (signs >> (i % 8) & 1)
    })
}

/// As [`eights`], of four.
fn fours(entry: impl Fn(usize) -> [u8; 4], signs: impl Fn(usize) -> u8) -> [u8; PART] {
    eights(
        |i| {
            let (first, second) = (entry(2 * i), entry(2 * i + 1));
            (std::array::from_fn(|i| if i < 4 { first[i] } else { second[i - 4] }), signs(i))
        },
        8,
    )
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn half_word(bytes: &[u8]) -> u16 {
    u16::from_le_bytes([bytes[0], bytes[1]])
}

/// `d`, then for each part four entries of 8 bits, and a word of four times seven signs and a scale of four bits.
fn iq2_xxs(block: &[u8], sub: usize) -> Part {
    let part = &block[2 + 8 * sub..][..8];
    let more = word(&part[4..]);
    let entry = |i: usize| (IQ2_XXS.codes(usize::from(part[i])), even_signs(more >> (7 * i)));
    Part { codes: eights(entry, 3), scales: [odd((more >> 28) as u8); 2] }
}

/// `d`, 32 entries of 9 bits with seven signs each (64 bytes), 16 scales of four bits.
fn iq2_xs(block: &[u8], sub: usize) -> Part {
    let entry = |i: usize| {
        let both = half_word(&block[2 + 8 * sub + 2 * i..]);
        (IQ2_XS.codes(usize::from(both & 511)), even_signs(u32::from(both >> 9)))
    };
    Part { codes: eights(entry, 3), scales: low_and_high(block[66 + sub]) }
}

/// `d`, 32 entries' low 8 bits, 32 bytes of signs, the entries' high two bits (8 bytes), 16 scales of four bits.
fn iq2_s(block: &[u8], sub: usize) -> Part {
    let entry = |i: usize| {
        let high = usize::from(block[66 + sub] >> (2 * i) & 3);
        (IQ2_S.codes(usize::from(block[2 + 4 * sub + i]) | high << 8), block[34 + 4 * sub + i])
    };
    Part { codes: eights(entry, 3), scales: low_and_high(block[74 + sub]) }
}

/// `d`, 64 entries of 8 bits, then for each part a word of four times seven signs and a scale of four bits.
fn iq3_xxs(block: &[u8], sub: usize) -> Part {
    let more = word(&block[66 + 4 * sub..]);
    let entry = |i: usize| IQ3_XXS.codes(usize::from(block[2 + 8 * sub + i]));
    Part { codes: fours(entry, |i| even_signs(more >> (7 * i))), scales: [odd((more >> 28) as u8); 2] }
}

/// `d`, 64 entries' low 8 bits, their high ones (8 bytes), 32 bytes of signs, 8 scales of four bits.
fn iq3_s(block: &[u8], sub: usize) -> Part {
    let entry = |i: usize| {
        let high = usize::from(block[66 + sub] >> i & 1);
        IQ3_S.codes(usize::from(block[2 + 8 * sub + i]) | high << 8)
    };
    let scales = low_and_high(block[106 + sub / 2]);
    Part { codes: fours(entry, |i| block[74 + 4 * sub + i]), scales: [scales[sub % 2]; 2] }
}

/// `d`, 32 entries' low 8 bits, then for each part a word with their high three, a scale of three bits, and whether values
/// are moved down.
fn iq1_s(block: &[u8], sub: usize) -> Part {
    let more = half_word(&block[34 + 2 * sub..]);
    let entry = |i: usize| {
        let high = usize::from(more >> (3 * i) & 7);
        (IQ1.codes(usize::from(block[2 + 4 * sub + i]) | high << 8), if more & 0x8000 == 0 { 0 } else { 255 })
    };
    Part { codes: eights(entry, 3), scales: [odd((more >> 12) as u8 & 7); 2] }
}

/// 32 entries' low 8 bits, four bits for each entry (16 bytes: its high three, and whether its values are moved down), 16
/// scales of three bits in four words, whose highest four bits make up `d`.
fn iq1_m(block: &[u8], sub: usize) -> Part {
    let entry = |i: usize| {
        let more = block[32 + 2 * sub + i / 2] >> (4 * (i % 2));
        (IQ1.codes(usize::from(block[4 * sub + i]) | usize::from(more & 7) << 8), if more & 8 == 0 { 0 } else { 255 })
    };
    let word = half_word(&block[48 + sub / 2 * 2..]);
    let scale = |half: usize| odd((word >> (6 * (sub % 2) + 3 * half)) as u8 & 7);
    Part { codes: eights(entry, 3), scales: [scale(0), scale(1)] }
}
