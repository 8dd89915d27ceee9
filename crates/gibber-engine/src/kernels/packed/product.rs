//! What a kernel multiplies.

use super::PackedFormat;
use super::expand::Panel;
use crate::kernels::activation::STEPS;
use crate::kernels::tiles::Tile;

/// A panel and the tokens of a tile that are as wide, which [`Product::new`] alone makes, after it has looked: kernels need
/// not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product<'a> {
    panel: &'a Panel,
    tile: Tile<'a>,
    each: usize,
}

impl<'a> Product<'a> {
    /// # Panics
    /// Where the panel is not as wide as the tokens.
    pub(super) fn new(format: PackedFormat, panel: &'a Panel, tile: Tile<'a>) -> Self {
        let (each, blocks) = (if format.scales().has_halves() { 2 } else { 1 }, tile.blocks.len());
        assert!(panel.steps.len() == blocks * STEPS && panel.scales.len() == blocks * each, "a panel of another width");
        assert!(panel.minimums.len() == panel.scales.len(), "a minimum for each scale");
        assert!(tile.low.is_empty() || tile.low.len() == blocks, "low bytes of all blocks or of none");
        Self { panel, tile, each }
    }
}

impl<'a> Product<'a> {
    /// [`STEPS`] steps and [`Self::each`] scales and minimums for each block of the tile.
    pub(super) fn panel(&self) -> &'a Panel {
        self.panel
    }

    /// With low bytes for each block where [`Self::has_two_bytes`].
    pub(super) fn tile(&self) -> Tile<'a> {
        self.tile
    }

    /// Scales and minimums a block: 1 or 2.
    pub(super) fn each(&self) -> usize {
        self.each
    }

    /// Whether activations have two bytes; otherwise one.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub(super) fn has_two_bytes(&self) -> bool {
        !self.tile.low.is_empty()
    }
}
