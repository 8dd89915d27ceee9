//! The forward pass of all families: what each layer does, its configuration says.

use std::sync::Arc;

use super::alt_up::Streams;
use super::buffer::sized;
use super::config::ModelConfig;
use super::layer::Layer;
use super::linear::{Group, Norm};
use super::pass::Pass;
use super::per_layer::PerLayerInputs;
use super::run_state::RunState;
use super::tensors::{ModelTensors, Slot};
use crate::EngineError;
use crate::kernels::{Packer, Table, ThreadPool, WeightMatrix, vector};
use crate::weights::Weights;

/// A loaded model.
#[derive(Debug)]
pub struct Model {
    config: ModelConfig,
    /// `None` where it is the output projection.
    embedding: Option<Table>,
    /// `(trained_context, n_embd)`, where positions are learned.
    positions: Option<Table>,
    /// What layers are told beside the residual stream.
    per_layer: Option<PerLayerInputs>,
    /// Where there are several residual streams.
    streams: Option<Streams>,
    layers: Vec<Layer>,
    output_norm: Norm,
    /// `[vocab_size, n_embd]`
    output: WeightMatrix,
}

impl Model {
    /// Loads the weights that `config` asks for.
    ///
    /// # Errors
    /// Those of [`Weights::tensor`]: a tensor is missing, has another shape, or a format without kernels.
    pub fn load(config: ModelConfig, weights: &Weights, pool: &ThreadPool) -> Result<Self, EngineError> {
        Self::with_packer(config, weights, &Packer::new(pool))
    }

    /// What [`Self::load`] would refuse, without reading the weights.
    ///
    /// # Errors
    /// Those of [`Self::load`].
    pub fn check(config: ModelConfig, weights: &Weights) -> Result<(), EngineError> {
        Self::with_packer(config, weights, &Packer::dry(&ThreadPool::new(1))).map(|_| ())
    }

    fn with_packer(config: ModelConfig, weights: &Weights, packer: &Packer<'_>) -> Result<Self, EngineError> {
        let tensors = ModelTensors::new(&config, weights);
        tensors.check()?;
        let group = Group::global_tensors(&config, &tensors, packer);
        let layer = |(index, layer)| Layer::load(&config, layer, &group.layer_tensors(index));
        let output = if config.tied { Slot::Embedding } else { Slot::Output };
        Ok(Self {
            embedding: (!config.tied).then(|| group.table(Slot::Embedding)).transpose()?,
            positions: config.learned_positions.then(|| group.table(Slot::Positions)).transpose()?,
            per_layer: config.per_layer_input.map(|of| PerLayerInputs::load(&config, of, &group)).transpose()?,
            streams: config.streams.map(|of| Streams::load(&config, of, &group)).transpose()?,
            layers: config.layers.iter().enumerate().map(layer).collect::<Result<_, _>>()?,
            output_norm: group.norm(Slot::OutputNorm)?,
            output: group.matrix(output, [config.vocab_size, config.n_embd])?,
            config,
        })
    }

    /// Its shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// A state to run it in, for positions below `context`, computed by `pool`.
    pub fn new_state(&self, context: usize, pool: Arc<ThreadPool>) -> RunState {
        RunState::new(&self.config, context, pool)
    }

    /// Appends the tokens of `pass` to their sequences and leaves their final hidden states in `state`, row after row.
    ///
    /// # Panics
    /// Where a sequence has no room for them, or an id is outside the vocabulary: the caller checks both.
    pub fn forward(&self, state: &mut RunState, pass: &mut Pass<'_>) {
        let (n, embd) = (pass.len(), self.config.n_embd);
        self.embed(state, pass, n);
        if let Some(per_layer) = &self.per_layer {
            per_layer.forward(state, pass, n);
        }
        if let Some(streams) = &self.streams {
            streams.begin(state, n);
        }
        state.ropes.iter_mut().for_each(|rope| rope.reach(pass.end(false), pass.end(true)));
        pass.begin();
        for (index, layer) in self.layers.iter().enumerate() {
            layer.forward(state, index, pass, n);
        }
        if let Some(streams) = &self.streams {
            streams.end(state, n);
        }
        pass.advance();
        let hidden = sized(&mut state.hidden, n, embd);
        self.output_norm.apply(&state.workspace, &state.residual, hidden);
    }

    /// Begins the residual stream of the `n` tokens of `pass`.
    fn embed(&self, state: &mut RunState, pass: &Pass<'_>, n: usize) {
        let ModelConfig { n_embd, embedding_scale, .. } = self.config;
        let residual = sized(&mut state.residual, n, n_embd);
        for ((_, token), x) in pass.tokens().zip(residual.chunks_exact_mut(n_embd)) {
            match &self.embedding {
                Some(table) => table.row(token as usize, x),
                None => self.output.row(token as usize, x),
            }
            if embedding_scale != 1.0 {
                vector::scale(x, embedding_scale);
            }
        }
        let Some(positions) = &self.positions else { return };
        let learned = sized(&mut state.hidden, 1, n_embd);
        for ((position, _), x) in pass.tokens().zip(residual.chunks_exact_mut(n_embd)) {
            positions.row(position, learned);
            vector::add(x, learned);
        }
    }

    /// The logits of the rows `first..first + count` of the last [`Self::forward`], into `out` `(count, vocab_size)`.
    ///
    /// # Panics
    /// Where the last forward pass had not as many tokens, or `out` has another length.
    pub fn logits(&self, state: &mut RunState, first: usize, count: usize, out: &mut [f32]) {
        let width = self.output.in_features();
        let hidden = &state.hidden[first * width..(first + count) * width];
        self.output.multiply(&mut state.workspace, hidden, count, out);
        if self.config.logits_scale != 1.0 {
            vector::scale(out, self.config.logits_scale);
        }
        if let Some(cap) = self.config.logits_softcap {
            let softcap = |_, _, row: &mut [f32]| vector::softcap(row, cap);
            state.workspace.pool().for_each_part(out, self.config.vocab_size, &softcap);
        }
    }

    /// Bytes of weights that one token has to read.
    pub fn bytes_per_token(&self) -> usize {
        let per_layer = self.per_layer.as_ref().map_or(0, PerLayerInputs::bytes);
        let streams = self.streams.as_ref().map_or(0, Streams::bytes);
        self.layers.iter().map(Layer::bytes).sum::<usize>() + per_layer + streams + self.output.bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::kernels::attention::CacheTypes;
    use crate::load::{ModelSource, open};
    use crate::model::SequenceState;

    /// The logits behind `tokens`, of a tiny model whose configuration is as `change` leaves it.
    fn logits(tokens: &[u32], change: impl FnOnce(&mut ModelConfig)) -> Vec<f32> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-llama");
        let mut files = open(&ModelSource::Path(path)).unwrap();
        change(&mut files.config);
        let pool = Arc::new(ThreadPool::new(1));
        let model = Model::load(files.config, &files.weights, &pool).unwrap();
        let mut cache = SequenceState::new(model.config(), CacheTypes::default(), tokens.len()).unwrap();
        let mut state = model.new_state(tokens.len(), pool);
        model.forward(&mut state, &mut Pass::new(&mut cache, tokens));
        let mut logits = vec![0.0; model.config().vocab_size];
        model.logits(&mut state, tokens.len() - 1, 1, &mut logits);
        logits
    }

    #[test]
    fn logits_are_multiplied_by_their_scale() {
        let plain = logits(&[5, 9], |_| {});
        let halved = logits(&[5, 9], |config| config.logits_scale = 0.5);
        assert_eq!(halved, plain.iter().map(|logit| logit * 0.5).collect::<Vec<_>>());
    }

    #[test]
    fn what_layers_add_is_multiplied_by_their_scale() {
        let with_scale = |scale: f32, tokens: &[u32]| {
            logits(tokens, |config| config.layers.iter_mut().for_each(|layer| layer.residual_scale = scale))
        };
        assert_ne!(with_scale(1.0, &[5, 9]), with_scale(1.0, &[7, 9]));
        assert_eq!(with_scale(0.0, &[5, 9]), with_scale(0.0, &[7, 9]), "without the layers nothing is told on");
        assert_ne!(with_scale(0.5, &[5, 9]), with_scale(1.0, &[5, 9]));
    }
}
