//! Products of a prepared group with many tokens, in whole numbers.

use std::ops::Range;

use super::expand::{Lanes, Panel};
use super::product::Product;
use super::{BLOCK, PackedFormat};
use crate::blas::MatMut;
use crate::kernels::activation::STEPS;
use crate::kernels::isa::Isa;
use crate::kernels::tiles::{TILE, TokenTiles};

/// Whether whole numbers are faster than floats through BLAS. With AVX2 they are where the quants are so small that pairs of
/// products fit into 16 bits; one instruction of AVX-512 VNNI does the work of three of AVX2. Without dot products of bytes a
/// multiplication of NEON takes twice as many of them as of floats, but each product is one of two bytes of an activation.
pub(super) fn is_faster(isa: Isa, format: PackedFormat) -> bool {
    match isa {
        Isa::Portable => false,
        Isa::Avx2(_) => format.quant_bits() <= 5,
        Isa::Avx512(_) | Isa::DotProd(_) | Isa::I8mm(_) => true,
        Isa::Neon(_) => false,
    }
}

/// Makes of a prepared panel what [`multiply_panels`] reads.
#[cfg_attr(not(target_arch = "aarch64"), expect(unused_variables, reason = "only 64-bit ARM has an order of its own"))]
pub(super) fn arrange(isa: Isa, format: PackedFormat, panel: &mut Panel) {
    #[cfg(target_arch = "aarch64")]
    match isa {
        Isa::I8mm(_) => super::neon::tile::pair_steps(panel),
        Isa::DotProd(_) => super::neon::tile::make_signed(format, panel),
        _ => {}
    }
}

/// `out[t][at + i] = lanes[i] of the panel · x[t]`, for each token and each of `panels`, which follow one another in `out`.
pub(super) fn multiply_panels(
    isa: Isa,
    format: PackedFormat,
    panels: &[Window<'_>],
    x: &TokenTiles,
    out: &mut MatMut<'_>,
) {
    for (first, tile) in x.tiles() {
        let tokens = first..x.tokens().min(first + TILE);
        for window in panels {
            let values = multiply_tile(isa, format, Product::new(format, window.panel, tile));
            for (token, values) in tokens.clone().zip(&values) {
                out.row_mut(token)[window.at..][..window.lanes.len()].copy_from_slice(&values[window.lanes.clone()]);
            }
        }
    }
}

/// Which rows of a panel are asked for, and from which column of the output on they go.
#[derive(Debug)]
pub(super) struct Window<'a> {
    pub(super) panel: &'a Panel,
    pub(super) lanes: Range<usize>,
    pub(super) at: usize,
}

/// The products of the panel's sixteen rows with each token of a tile.
#[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "only AVX2 asks for the format"))]
fn multiply_tile(isa: Isa, format: PackedFormat, product: Product<'_>) -> [Lanes; TILE] {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(isa) => super::avx512::multiply_tile(isa, product),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(proof) if is_faster(isa, format) => super::avx2::multiply_tile(proof, format.quant_bits(), product),
        #[cfg(target_arch = "aarch64")]
        Isa::I8mm(isa) => super::neon::tile::multiply_by_matrices(isa, product),
        #[cfg(target_arch = "aarch64")]
        Isa::DotProd(isa) => super::neon::tile::multiply_by_dot_products(isa, product),
        _ => multiply_plainly(product),
    }
}

/// The plain twin.
fn multiply_plainly(product: Product<'_>) -> [Lanes; TILE] {
    let (panel, tile, each) = (product.panel(), product.tile(), product.each());
    let (steps, columns) = (STEPS / each, BLOCK / each);
    let mut out = [[0.0; super::ROWS]; TILE];
    for (part, (scales, minimums)) in panel.scales.iter().zip(&panel.minimums).enumerate() {
        let (block, half) = (part / each, part % each);
        let steps = &panel.steps[part * steps..][..steps];
        let activations = &tile.blocks[block];
        for (token, out) in out.iter_mut().enumerate() {
            let products =
                |bytes| super::portable::products(steps, &tile.bytes(bytes, token)[half * columns..][..columns]);
            let high = products(&activations.high);
            let low = tile.low.get(block).map(products);
            let sum = activations.sums[if each == 1 { 2 } else { half }][token];
            for (lane, out) in out.iter_mut().enumerate() {
                let product =
                    low.map_or(high[lane], |low| super::portable::activations_have_16_bits(high[lane], low[lane]));
                *out += product as f32 * (scales[lane] * activations.scales[token]) + minimums[lane] * sum;
            }
        }
    }
    out
}
