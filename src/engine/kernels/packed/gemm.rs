//! Products of a prepared group with many tokens, in whole numbers.

use super::expand::{Lanes, Panel};
use super::{BLOCK, PackedFormat};
use crate::engine::kernels::activation::{QuantizedRows, RowParts};
use crate::engine::kernels::isa::Isa;

/// Whether whole numbers are faster than floats through BLAS. With AVX2 they are where the quants are so small that pairs of
/// products fit into 16 bits; one instruction of AVX-512 VNNI does the work of three of AVX2.
pub(super) fn is_faster(isa: Isa, format: PackedFormat) -> bool {
    match isa {
        Isa::Portable => false,
        Isa::Avx2 => format.bits() <= 5,
        Isa::Avx512 => true,
    }
}

/// Calls `out(token, values)` with the sixteen products of the panel and each token of `x`.
pub(super) fn multiply_panel(
    isa: Isa,
    format: PackedFormat,
    panel: &Panel,
    x: &QuantizedRows,
    out: &mut dyn FnMut(usize, &Lanes),
) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => in_tiles(x, out, |tile| super::avx512::multiply_tile(format, panel, tile)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 if is_faster(isa, format) => {
            in_tiles(x, out, |tile| super::avx2::multiply_tile(format, panel, tile));
        }
        _ => in_tiles(x, out, |tile: &[RowParts<'_>; 1]| [multiply_plainly(panel, &tile[0])]),
    }
}

/// Gives the tokens to `multiply`, `T` at a time; the last tile is filled up with the last token.
fn in_tiles<const T: usize>(
    x: &QuantizedRows,
    out: &mut dyn FnMut(usize, &Lanes),
    multiply: impl Fn(&[RowParts<'_>; T]) -> [Lanes; T],
) {
    for first in (0..x.rows()).step_by(T) {
        let tile = std::array::from_fn(|token| x.row((first + token).min(x.rows() - 1)));
        for (token, values) in (first..x.rows()).zip(&multiply(&tile)) {
            out(token, values);
        }
    }
}

/// The plain twin.
fn multiply_plainly(panel: &Panel, x: &RowParts<'_>) -> Lanes {
    let mut out = [0.0; super::ROWS];
    let parts = panel.scales.len();
    let each = parts * BLOCK / x.high.len().max(1);
    let (columns, steps) = (x.high.len() / parts.max(1), panel.steps.len() / parts.max(1));
    for (part, (scales, minimums)) in panel.scales.iter().zip(&panel.minimums).enumerate() {
        let steps = &panel.steps[part * steps..][..steps];
        let columns = part * columns..(part + 1) * columns;
        let high = super::portable::products(steps, &x.high[columns.clone()]);
        let low = x.low.get(columns).map(|low| super::portable::products(steps, low));
        let scale = x.scales[part / each];
        let sum: f32 = x.sums[2 * part / each..2 * (part + 1) / each].iter().sum();
        for (lane, out) in out.iter_mut().enumerate() {
            let product = low.map_or(high[lane], |low| super::portable::two_bytes(high[lane], low[lane]));
            *out += product as f32 * (scales[lane] * scale) + minimums[lane] * sum;
        }
    }
    out
}
