//! Memory for packed weights, in huge pages.
//!
//! A token reads every weight once, from one end to the other. In pages of 4 kB the processor has to look up where each
//! of them lies, which costs a quarter of the bandwidth; in pages of 2 MB it does not. The system gives such pages only to
//! large aligned areas, so matrices are put one behind another into areas of many.
#![allow(unsafe_code)]

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::{MmapMut, MmapRaw};

use crate::EngineError;

/// Bytes of an area, but for a matrix that is larger. What is not used is never backed by memory.
const AREA: usize = 64 << 20;
/// Matrices begin at cache lines.
const ALIGNMENT: usize = 64;

/// Hands out memory that is freed when the last region of its area is.
#[derive(Debug, Default)]
pub struct Arena {
    area: Mutex<Option<Area>>,
}

#[derive(Debug)]
struct Area {
    map: Arc<MmapRaw>,
    used: usize,
}

impl Arena {
    /// An empty arena.
    pub fn new() -> Self {
        Self::default()
    }

    /// `len` bytes, all zero.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where the system has no more memory.
    pub fn region(&self, len: usize) -> Result<Region, EngineError> {
        let mut area = self.area.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |area: &Area| area.map.len() - area.used >= len;
        if !area.as_ref().is_some_and(fits) {
            *area = Some(Area { map: Arc::new(map(len.max(AREA))?), used: 0 });
        }
        let Some(area) = area.as_mut() else { unreachable!("an area was just made") };
        let start = area.used;
        area.used = (start + len).next_multiple_of(ALIGNMENT).min(area.map.len());
        Ok(Region { map: Arc::clone(&area.map), start, len })
    }
}

fn map(len: usize) -> Result<MmapRaw, EngineError> {
    let no_memory =
        |error| EngineError::Invalid(format!("there is no memory for {} MB of weights: {error}", len >> 20));
    let map = MmapMut::map_anon(len).map_err(no_memory)?;
    // Without huge pages it is slower, not wrong.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Ok(map.into())
}

/// Bytes of an arena that belong to whoever holds this.
#[derive(Debug)]
pub struct Region {
    map: Arc<MmapRaw>,
    start: usize,
    len: usize,
}

impl Deref for Region {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the arena handed out `start..start + len` of the map once, to this region, which cannot be cloned; the
        // map lives as long as the region.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(self.start), self.len) }
    }
}

impl DerefMut for Region {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; the exclusive borrow of the region is one of its bytes.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(self.start), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_zero_apart_from_each_other_and_outlive_the_arena() {
        let arena = Arena::new();
        let mut regions: Vec<_> = [0, 1, 100, AREA, 7, AREA + 5, 3].map(|len| arena.region(len).unwrap()).into();
        drop(arena);
        for (i, region) in regions.iter_mut().enumerate() {
            assert!(region.iter().all(|&byte| byte == 0));
            region.fill(i as u8 + 1);
        }
        for (i, region) in regions.iter().enumerate() {
            assert!(region.iter().all(|&byte| byte == i as u8 + 1));
        }
    }
}
