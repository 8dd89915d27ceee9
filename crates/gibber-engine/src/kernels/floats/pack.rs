//! From a file's rows or columns to the packed form.

use super::LANES;

/// Inputs of a row that are moved at a time: what they are scattered to stays in the nearest cache.
const INPUTS: usize = 64;

/// Writes the rows of a file, `S` bytes a value and `inputs` values each, to the lanes of a group.
pub(super) fn rows<const S: usize>(file: &[u8], inputs: usize, group: &mut [u8]) {
    for (block, steps) in group.chunks_mut(INPUTS * LANES * S).enumerate() {
        for (lane, row) in file.chunks_exact(inputs * S).enumerate() {
            let row = row[block * INPUTS * S..].chunks_exact(S);
            for (value, step) in row.zip(steps.chunks_exact_mut(LANES * S)) {
                step[lane * S..][..S].copy_from_slice(value);
            }
        }
    }
}

/// Writes the columns `first..` of a file's matrix, `S` bytes a value and rows of `outputs` values, to the groups of
/// `groups`, each of `group_bytes`.
pub(super) fn columns<const S: usize>(
    file: &[u8],
    outputs: usize,
    first: usize,
    group_bytes: usize,
    groups: &mut [u8],
) {
    for (input, row) in file.chunks_exact(outputs * S).enumerate() {
        for (values, group) in row[first * S..].chunks(LANES * S).zip(groups.chunks_exact_mut(group_bytes)) {
            group[input * LANES * S..][..values.len()].copy_from_slice(values);
        }
    }
}
