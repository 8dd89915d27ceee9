//! Linear layers and norms, as a model's layers are made of them.

use super::config::{ModelConfig, NormConfig, NormKind};
use super::tensors::{ModelTensors, Part, Slot, Stored, TensorSpec};
use crate::EngineError;
use crate::kernels::{Packer, Table, WeightMatrix, Workspace, vector};

/// Some tensors of a model, to be taken by their slots.
pub(super) struct Group<'a> {
    tensors: &'a ModelTensors<'a>,
    config: &'a ModelConfig,
    packer: &'a Packer<'a>,
    specs: Vec<TensorSpec>,
}

impl<'a> Group<'a> {
    /// Those that are there once.
    pub(super) fn global_tensors(
        config: &'a ModelConfig,
        tensors: &'a ModelTensors<'a>,
        packer: &'a Packer<'a>,
    ) -> Self {
        Self { tensors, config, packer, specs: tensors.global_tensors() }
    }

    /// Those of layer `index`.
    pub(super) fn layer_tensors(&self, index: usize) -> Self {
        Self { specs: self.tensors.layer_tensors(index), ..*self }
    }

    /// Those of one expert among them.
    pub(super) fn of_expert(&self, expert: usize) -> Self {
        let specs = self.specs.iter().filter(|spec| spec.slice.is_some_and(|slice| slice.index == expert));
        Self { specs: specs.cloned().collect(), ..*self }
    }

    /// The same with the last of those in `slot` once more: what one projection makes is there twice.
    pub(super) fn with_last_twice(&self, slot: Slot) -> Self {
        let is_last = |part| self.specs.iter().rfind(|spec| (spec.slot, spec.part) == (slot, part)).cloned();
        let twice = [is_last(Part::Weight), is_last(Part::Bias)].into_iter().flatten();
        Self { specs: self.specs.iter().cloned().chain(twice).collect(), ..*self }
    }

    /// The weights or the biases that are in `slot`.
    fn parts(&self, slot: Slot, part: Part) -> impl Iterator<Item = &TensorSpec> {
        self.specs.iter().filter(move |spec| (spec.slot, spec.part) == (slot, part))
    }

    /// The one weight in `slot`.
    fn one(&self, slot: Slot) -> Result<&TensorSpec, EngineError> {
        self.parts(slot, Part::Weight).next().ok_or_else(|| self.undescribed(slot, "no tensor"))
    }

    /// That the family does not describe what its own configuration asks for.
    fn undescribed(&self, slot: Slot, what: &str) -> EngineError {
        let family = self.config.family.name();
        EngineError::Invalid(format!("the description of {family} models has {what} for {slot:?}"))
    }

    /// The rows of the tensor in `slot`, to be looked up.
    pub(super) fn table(&self, slot: Slot) -> Result<Table, EngineError> {
        Table::new(&self.tensors.tensor(self.one(slot)?)?, self.packer)
    }

    /// The same, which are not held in memory.
    pub(super) fn table_of_file(&self, slot: Slot) -> Result<Table, EngineError> {
        Table::of_file(&self.tensors.tensor(self.one(slot)?)?)
    }

    /// The matrices in `slot` as one, from `inputs` to `outputs` values.
    pub(super) fn matrix(&self, slot: Slot, [outputs, inputs]: [usize; 2]) -> Result<WeightMatrix, EngineError> {
        let matrix = |spec: &TensorSpec| {
            let tensor = self.tensors.tensor(spec)?;
            match self.tensors.stored(spec) {
                Stored::Transposed => WeightMatrix::from_columns(&tensor, self.packer),
                Stored::Same | Stored::InHalves { .. } => WeightMatrix::from_rows(&tensor, self.packer),
                Stored::LessOne | Stored::Logarithm | Stored::Convolution => {
                    Err(self.undescribed(slot, "a matrix that is stored as none is"))
                }
            }
        };
        let matrices = self.parts(slot, Part::Weight).map(matrix).collect::<Result<_, _>>()?;
        let matrix = WeightMatrix::stacked(matrices)?;
        if [matrix.out_features(), matrix.in_features()] != [outputs, inputs] {
            return Err(self.undescribed(slot, "matrices of another shape"));
        }
        Ok(matrix)
    }

    /// The matrices in `slot` as one layer, with their biases where `has_bias` says so.
    pub(super) fn linear(&self, slot: Slot, shape: [usize; 2], has_bias: bool) -> Result<Linear, EngineError> {
        let bias = || {
            let biases = self.parts(slot, Part::Bias).map(|spec| self.tensors.values(spec));
            let bias = biases.collect::<Result<Vec<_>, _>>()?.concat();
            if bias.len() == shape[0] { Ok(bias) } else { Err(self.undescribed(slot, "too few biases")) }
        };
        Ok(Linear { weight: self.matrix(slot, shape)?, bias: has_bias.then(bias).transpose()? })
    }

    /// The weight in `slot`, of a norm.
    pub(super) fn norm_weight(&self, slot: Slot) -> Result<Vec<f32>, EngineError> {
        self.tensors.values(self.one(slot)?)
    }

    /// The one tensor in `slot`, of values that are no matrix.
    pub(super) fn vector(&self, slot: Slot) -> Result<Vec<f32>, EngineError> {
        let spec = self.specs.iter().find(|spec| spec.slot == slot);
        self.tensors.values(spec.ok_or_else(|| self.undescribed(slot, "no tensor"))?)
    }

    /// The one bias in `slot`.
    pub(super) fn bias(&self, slot: Slot) -> Result<Vec<f32>, EngineError> {
        let bias = self.parts(slot, Part::Bias).next().ok_or_else(|| self.undescribed(slot, "no bias"))?;
        self.tensors.values(bias)
    }

    /// The norm in `slot`, of whole rows of the residual stream.
    pub(super) fn norm(&self, slot: Slot) -> Result<Norm, EngineError> {
        let NormConfig { kind, eps } = self.config.norm;
        let weight = self.norm_weight(slot)?;
        Ok(match kind {
            NormKind::RmsNorm => Norm::Rms { weight, eps },
            NormKind::LayerNorm => Norm::Layer { weight, bias: self.bias(slot)?, eps },
        })
    }
}

/// A matrix, and what is added to its products.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) weight: WeightMatrix,
    bias: Option<Vec<f32>>,
}

impl Linear {
    /// One that adds nothing.
    #[cfg(test)]
    pub(super) fn without_bias(weight: WeightMatrix) -> Self {
        Self { weight, bias: None }
    }

    /// See [`WeightMatrix::with_16_bit_activations`].
    pub(super) fn with_16_bit_activations(self) -> Self {
        Self { weight: self.weight.with_16_bit_activations(), ..self }
    }

    /// `out = x · Wᵀ + b` for the `n` rows of `x`.
    pub(super) fn apply(&self, workspace: &mut Workspace, x: &[f32], n: usize, out: &mut [f32]) {
        self.weight.multiply(workspace, x, n, out);
        if let Some(bias) = &self.bias {
            workspace.pool().for_each_part(out, bias.len(), &|_, _, row| vector::add(row, bias));
        }
    }

    /// What is added to each product, where something is.
    pub(super) fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }
}

/// A norm of whole rows.
#[derive(Debug)]
pub(super) enum Norm {
    /// See [`vector::rms_norm`].
    Rms { weight: Vec<f32>, eps: f32 },
    /// See [`vector::layer_norm`].
    Layer { weight: Vec<f32>, bias: Vec<f32>, eps: f32 },
}

impl Norm {
    /// The same whose rows are multiplied with `factor` as well.
    pub(super) fn scaled(mut self, factor: f32) -> Self {
        match &mut self {
            Self::Rms { weight, .. } => vector::scale(weight, factor),
            Self::Layer { weight, bias, .. } => {
                vector::scale(weight, factor);
                vector::scale(bias, factor);
            }
        }
        self
    }

    /// The rows of `x` normalized, in `out`.
    pub(super) fn apply(&self, workspace: &Workspace, x: &[f32], out: &mut [f32]) {
        let pool = workspace.pool();
        match self {
            Self::Rms { weight, eps } => pool.for_each_part(out, weight.len(), &|_, row, out| {
                vector::rms_norm(&x[row * weight.len()..][..weight.len()], weight, *eps, out);
            }),
            Self::Layer { weight, bias, eps } => pool.for_each_part(out, weight.len(), &|_, row, out| {
                vector::layer_norm(&x[row * weight.len()..][..weight.len()], weight, bias, *eps, out);
            }),
        }
    }
}

/// What a part of a layer reads: the residual stream, or where there is a norm what comes of it, in `normed`.
pub(super) fn read<'a>(
    norm: Option<&Norm>,
    workspace: &Workspace,
    residual: &'a [f32],
    normed: &'a mut Vec<f32>,
) -> &'a [f32] {
    let Some(norm) = norm else { return residual };
    normed.resize(residual.len(), 0.0);
    norm.apply(workspace, residual, normed);
    normed
}
