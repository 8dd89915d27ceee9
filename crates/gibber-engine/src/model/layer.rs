//! A layer of a model: what mixes the tokens, then a feed-forward part, each added to the residual stream.

use std::f32::consts::FRAC_1_SQRT_2;
use std::mem;

use super::alt_up::{AltUp, Laurel};
use super::attention::Attention;
use super::buffer::sized;
use super::config::{LayerConfig, MixerConfig, ModelConfig};
use super::delta_net::DeltaNet;
use super::dense::Dense;
use super::experts::Experts;
use super::feed_forward_config::FeedForwardConfig;
use super::linear::{Group, Norm, read};
use super::pass::Pass;
use super::per_layer::PerLayerStep;
use super::run_state::RunState;
use super::short_conv::ShortConv;
use super::tensors::Slot;
use crate::EngineError;
use crate::kernels::vector;

/// The weights of a layer.
#[derive(Debug)]
pub(super) struct Layer {
    /// Values of a row of the residual stream.
    width: usize,
    mixer_norm: Option<Norm>,
    mixer: Mixer,
    mixer_post_norm: Option<Norm>,
    feed_forward_norm: Option<Norm>,
    feed_forward: FeedForward,
    feed_forward_post_norm: Option<Norm>,
    per_layer: Option<PerLayerStep>,
    alt_up: Option<AltUp>,
    laurel: Option<Laurel>,
    residual_scale: f32,
    /// What the residual stream is multiplied with behind it.
    scale: Option<f32>,
}

/// How a token learns of those before it.
#[derive(Debug)]
enum Mixer {
    Attention(Attention),
    DeltaNet(DeltaNet),
    ShortConv(ShortConv),
}

/// What follows the mixer.
#[derive(Debug)]
enum FeedForward {
    Dense(Dense),
    Experts(Box<Experts>),
}

impl Layer {
    /// The layer that `layer` describes, of the tensors in `group`.
    pub(super) fn load(config: &ModelConfig, layer: &LayerConfig, group: &Group<'_>) -> Result<Self, EngineError> {
        let width = config.n_embd;
        let per_layer = config.per_layer_input.map(|of| PerLayerStep::load(width, of, group));
        let scale = || Ok::<_, EngineError>(group.norm_weight(Slot::LayerScale)?.first().copied().unwrap_or(1.0));
        let norm = |slot, is_there: bool| is_there.then(|| group.norm(slot)).transpose();
        Ok(Self {
            width,
            mixer_norm: norm(Slot::AttentionNorm, layer.norm_before)?,
            mixer: Mixer::load(config, &layer.mixer, group)?,
            mixer_post_norm: norm(Slot::AttentionPostNorm, layer.norm_after)?,
            feed_forward_norm: norm(Slot::FeedForwardNorm, layer.norm_before)?,
            feed_forward: FeedForward::load(width, &layer.feed_forward, group)?,
            feed_forward_post_norm: norm(Slot::FeedForwardPostNorm, layer.norm_after)?,
            per_layer: per_layer.transpose()?,
            alt_up: config.streams.map(|of| AltUp::load(config, of, group)).transpose()?,
            laurel: layer.laurel.map(|rank| Laurel::load(width, rank, group)).transpose()?,
            residual_scale: layer.residual_scale,
            scale: layer.has_scale.then(scale).transpose()?,
        })
    }

    /// Bytes of weights that one token has to read.
    pub(super) fn bytes(&self) -> usize {
        self.mixer.bytes()
            + self.feed_forward.bytes()
            + self.per_layer.as_ref().map_or(0, PerLayerStep::bytes)
            + self.laurel.as_ref().map_or(0, Laurel::bytes)
    }

    /// Takes the residual stream of the `n` tokens of `pass` past this layer, which is the model's `index`th: what they
    /// leave for those after them goes to the caches.
    pub(super) fn forward(&self, state: &mut RunState, index: usize, pass: &mut Pass<'_>, n: usize) {
        let norm = self.mixer_norm.as_ref();
        if let Some(alt_up) = &self.alt_up {
            alt_up.predict(state, n);
        }
        if let Some(laurel) = &self.laurel {
            laurel.forward(norm, state, n);
        }
        match &self.mixer {
            Mixer::Attention(attention) => attention.forward(norm, state, index, pass, n),
            Mixer::DeltaNet(net) => net.forward(norm, state, index, pass, n),
            Mixer::ShortConv(conv) => conv.forward(norm, state, index, pass, n),
        }
        self.add(state, n, self.mixer_post_norm.as_ref());
        if self.laurel.is_some() {
            vector::add(&mut state.residual, &state.laurel);
            vector::scale(&mut state.residual, FRAC_1_SQRT_2);
        }
        self.feed_forward(state, n);
        self.add(state, n, self.feed_forward_post_norm.as_ref());
        if let Some(alt_up) = &self.alt_up {
            alt_up.correct(state, n);
        }
        if let Some(step) = &self.per_layer {
            step.made(state, index, n);
            match &self.alt_up {
                Some(alt_up) => alt_up.add(state),
                None => {
                    let (pool, made, width) = (state.workspace.pool(), &state.normed, self.width);
                    let add = |row: usize, y: &mut [f32]| vector::add(y, &made[row * width..][..width]);
                    pool.for_each_part(&mut state.residual, width, &|_, row, y| add(row, y));
                }
            }
        }
        if let Some(scale) = self.scale {
            let pool = state.workspace.pool();
            pool.for_each_part(&mut state.residual, self.width, &|_, _, row| vector::scale(row, scale));
        }
    }

    /// What the feed-forward part computes from the residual stream, in `state.hidden`.
    fn feed_forward(&self, state: &mut RunState, n: usize) {
        let x = read(self.feed_forward_norm.as_ref(), &state.workspace, &state.residual, &mut state.hidden);
        match &self.feed_forward {
            FeedForward::Dense(dense) => {
                let inner = dense.inner(&mut state.workspace, x, n, &mut state.dense);
                let out = sized(&mut state.hidden, n, self.width);
                dense.leave().apply(&mut state.workspace, inner, n, out);
            }
            FeedForward::Experts(experts) => {
                let (buffers, dense) = (&mut state.experts, &mut state.dense);
                experts.forward(&mut state.workspace, x, &state.residual, n, buffers, dense);
                mem::swap(&mut state.hidden, &mut state.experts.sum);
            }
        }
    }

    /// Adds what is in `state.hidden` to the residual stream, normalized where there is a norm.
    fn add(&self, state: &mut RunState, n: usize, norm: Option<&Norm>) {
        let width = self.width;
        let out = match norm {
            Some(norm) => {
                let normed = sized(&mut state.normed, n, width);
                norm.apply(&state.workspace, &state.hidden, normed);
                &*normed
            }
            None => &state.hidden[..],
        };
        let (pool, scale) = (state.workspace.pool(), self.residual_scale);
        if scale == 1.0 {
            pool.for_each_part(&mut state.residual, width, &|_, row, y| vector::add(y, &out[row * width..][..width]));
        } else {
            let add = |row: usize, y: &mut [f32]| vector::axpy(scale, &out[row * width..][..width], y);
            pool.for_each_part(&mut state.residual, width, &|_, row, y| add(row, y));
        }
    }
}

impl Mixer {
    fn load(config: &ModelConfig, mixer: &MixerConfig, group: &Group<'_>) -> Result<Self, EngineError> {
        Ok(match mixer {
            MixerConfig::Attention(attention) => Self::Attention(Attention::load(config, attention, group)?),
            MixerConfig::DeltaNet(net) => Self::DeltaNet(DeltaNet::load(config, net, group)?),
            MixerConfig::ShortConv(conv) => Self::ShortConv(ShortConv::load(config.n_embd, conv, group)?),
        })
    }

    /// Bytes of weights that one token has to read.
    fn bytes(&self) -> usize {
        match self {
            Self::Attention(attention) => attention.bytes(),
            Self::DeltaNet(net) => net.bytes(),
            Self::ShortConv(conv) => conv.bytes(),
        }
    }
}

impl FeedForward {
    fn load(embd: usize, config: &FeedForwardConfig, group: &Group<'_>) -> Result<Self, EngineError> {
        Ok(match *config {
            FeedForwardConfig::Dense(config) => {
                Self::Dense(Dense::load(embd, config, group, [Slot::FeedForwardIn, Slot::FeedForwardOut])?)
            }
            FeedForwardConfig::Experts(config) => Self::Experts(Box::new(Experts::load(embd, config, group)?)),
        })
    }

    /// Bytes of weights that one token has to read.
    fn bytes(&self) -> usize {
        match self {
            Self::Dense(dense) => dense.bytes(),
            Self::Experts(experts) => experts.bytes(),
        }
    }
}
