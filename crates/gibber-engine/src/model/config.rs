//! The shape of a model, layer by layer, whatever file it came from and whatever family it is of.
//!
//! The forward pass goes by what is said here and by nothing else: it knows no family. What is said for the whole model is
//! what its memory is laid out by; all that a family may choose layer by layer is said of each layer.

use std::path::Path;

use super::family::Family;
use super::feed_forward_config::{ExpertsConfig, FeedForwardConfig};
use super::rope_config::{RopeConfig, RopeScaling};
use crate::EngineError;
use crate::kernels::recurrence::DeltaShape;
use crate::keys::Bound;

/// A size of a model beyond this is a corrupt file; products of two stay far from overflow.
const MAX_SIZE: usize = 1 << 24;
/// The same for layers, each of which takes memory before a tensor is looked at.
const MAX_LAYERS: usize = 1 << 16;
/// And for the tokens that a convolution sees.
const MAX_KERNEL: usize = 65;
/// And for the experts of a layer.
const MAX_EXPERTS: usize = 1 << 12;
/// The most residual streams that there can be.
pub(super) const MAX_STREAMS: usize = 8;

/// The shape of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// What is known of all models of its kind.
    pub family: &'static dyn Family,
    /// Width of the residual stream.
    pub n_embd: usize,
    /// Entries of the vocabulary (rows of the embedding).
    pub vocab_size: usize,
    /// Tokens the model was trained for.
    pub trained_context: usize,
    /// How rows are normalized, wherever they are.
    pub norm: NormConfig,
    /// Whether a vector that was learned for its position is added to each token's embedding.
    pub learned_positions: bool,
    /// What embeddings are multiplied with as they enter the residual stream.
    pub embedding_scale: f32,
    /// What each layer is told of a token beside the residual stream, where it is.
    pub per_layer_input: Option<PerLayerConfig>,
    /// How many residual streams there are, where there are several.
    pub streams: Option<AltUpConfig>,
    /// The rotations that layers choose from.
    pub ropes: Vec<RopeConfig>,
    /// The layers, first to last.
    pub layers: Vec<LayerConfig>,
    /// What logits are multiplied with.
    pub logits_scale: f32,
    /// What they stay within afterwards, above and below 0: `cap · tanh(logit / cap)`.
    pub logits_softcap: Option<f32>,
    /// Whether the output projection is the embedding.
    pub tied: bool,
}

/// The sizes that every family has, as they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// How many blocks of attention and feed-forward.
    pub n_layer: usize,
    /// Query heads a layer.
    pub n_head: usize,
    /// Key and value heads a layer.
    pub n_kv_head: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width of the residual stream.
    pub n_embd: usize,
    /// Width inside the feed-forward part.
    pub n_ff: usize,
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Tokens the model was trained for.
    pub trained_context: usize,
}

/// What each layer is told of a token beside the residual stream: an embedding for each layer, and a projection of the one that
/// enters the stream (Gemma 3n, 4). It gates what a step behind the feed-forward part adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerLayerConfig {
    /// Values a layer.
    pub width: usize,
    /// Rows of the table of all layers' embeddings.
    pub vocab_size: usize,
}

/// Several residual streams, of which a layer computes one and predicts the others (Baykal et al. 2023; Gemma 3n).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AltUpConfig {
    /// How many.
    pub n: usize,
    /// Which one is computed.
    pub active: usize,
    /// Whether what the last step of a layer reads is scaled.
    pub scales_out: bool,
}

/// How rows are normalized.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormConfig {
    /// By which sums.
    pub kind: NormKind,
    /// Added to the variance.
    pub eps: f32,
}

/// By which sums rows are normalized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// Less the mean, by the variance, with a bias (Ba et al. 2016).
    LayerNorm,
    /// By the mean square (Zhang and Sennrich 2019).
    RmsNorm,
}

/// A layer: what mixes the tokens, then a feed-forward part, each of which is added to the residual stream.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerConfig {
    /// How a token learns of those before it.
    pub mixer: MixerConfig,
    /// What follows it.
    pub feed_forward: FeedForwardConfig,
    /// Whether what either part reads is normalized.
    pub norm_before: bool,
    /// Whether what either part adds is normalized.
    pub norm_after: bool,
    /// What is multiplied with what either part adds.
    pub residual_scale: f32,
    /// Whether the residual stream is multiplied with a learned number behind it.
    pub has_scale: bool,
    /// The rank of a product beside attention, where there is one (Gemma 3n).
    pub laurel: Option<usize>,
}

/// How a token learns of those before it.
#[derive(Debug, Clone, PartialEq)]
pub enum MixerConfig {
    /// It looks back at their keys and values.
    Attention(AttentionConfig),
    /// They have left a state that the delta rule keeps.
    DeltaNet(DeltaNetConfig),
    /// It is mixed with the few before it.
    ShortConv(ShortConvConfig),
}

/// A gated delta net (Yang et al. 2024): a short convolution, then heads with a state each that a token decays, corrects and
/// reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeltaNetConfig {
    /// Heads of queries and of keys.
    pub n_key_head: usize,
    /// Heads of values, which have the states; a multiple of `n_key_head`.
    pub n_value_head: usize,
    /// Width of a query and of a key.
    pub key_dim: usize,
    /// Width of a value.
    pub value_dim: usize,
    /// How many tokens, its own counted in, the convolution sees.
    pub kernel: usize,
    /// Whether the heads of values go round those of keys, as files have them; else those that share one are neighbours.
    pub is_tiled: bool,
    /// Whether what decides of decay and learning is in one matrix, head of keys by head of keys.
    pub gates_by_key_head: bool,
}

/// A convolution over a few tokens, of what one gate lets in; another lets out what comes of it (LFM2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShortConvConfig {
    /// How many tokens, its own counted in, it sees.
    pub kernel: usize,
    /// Whether its steps have biases.
    pub bias: bool,
}

/// How many heads there are, and how wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadSizes {
    /// Query heads.
    pub n_head: usize,
    /// Key and value heads; divides `n_head`.
    pub n_kv_head: usize,
    /// Width of a head.
    pub head_dim: usize,
}

/// The attention of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionConfig {
    /// How many heads there are, and how wide.
    pub heads: HeadSizes,
    /// How many positions, its own counted in, a token attends to; `None` is all of them.
    pub window: Option<usize>,
    /// Which of the model's rotations turns queries and keys, where one does.
    pub rope: Option<usize>,
    /// What queries are multiplied with by their position, after they are turned.
    pub temperature: Option<Temperature>,
    /// What scores are multiplied with before the softmax.
    pub scale: f32,
    /// What they stay within afterwards, above and below 0: `cap · tanh(score / cap)`.
    pub softcap: Option<f32>,
    /// How queries and keys are normalized before they are turned.
    pub qk_norm: Option<QkNorm>,
    /// Whether each head's values are divided by their root mean square.
    pub v_norm: bool,
    /// Whether values are what the projection of the keys makes, before it is normalized and turned.
    pub values_are_keys: bool,
    /// The earlier layer whose keys and values it looks back at; `None` where it has its own.
    pub shares: Option<usize>,
    /// Whether the projection of the queries has a gate beside each head, whose sigmoid multiplies what the head reads.
    pub has_gate: bool,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether the output has one.
    pub out_bias: bool,
    /// Whether each head has a score of its own that takes part in the softmax and stands for no position.
    pub has_sinks: bool,
    /// How far from zero queries, keys and values may be before they are turned.
    pub clip: Option<f32>,
}

/// Queries that grow with their position: `1 + beta · ln(1 + floor(position / original_context))` (Llama 4, Ministral 3).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Temperature {
    /// How fast.
    pub beta: f32,
    /// Tokens of the first context, within which they do not.
    pub original_context: usize,
}

impl Temperature {
    /// What a query at `position` is multiplied with.
    pub fn at(self, position: usize) -> f32 {
        1.0 + self.beta * (1.0 + (position / self.original_context.max(1)) as f32).ln()
    }
}

/// Over what queries are normalized, and keys as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QkNorm {
    /// Each head for itself.
    Head,
    /// All heads of a token as one row.
    Token,
}

impl ModelConfig {
    /// A model of these sizes that nothing special is said of yet: no layers, no rotations, no learned positions, no
    /// multipliers, an output projection of its own.
    pub fn plain(family: &'static dyn Family, sizes: &Sizes, norm: NormConfig) -> Self {
        let Sizes { n_embd, vocab_size, trained_context, .. } = *sizes;
        Self {
            family,
            n_embd,
            vocab_size,
            trained_context,
            norm,
            learned_positions: false,
            embedding_scale: 1.0,
            per_layer_input: None,
            streams: None,
            ropes: Vec::new(),
            layers: Vec::new(),
            logits_scale: 1.0,
            logits_softcap: None,
            tied: false,
        }
    }

    /// How many layers there are.
    pub fn n_layer(&self) -> usize {
        self.layers.len()
    }

    /// The attention of the layers that have one, first to last.
    pub fn attentions(&self) -> impl Iterator<Item = &AttentionConfig> {
        self.layers.iter().filter_map(LayerConfig::attention)
    }

    /// The heads of the first layer that has attention, which mostly are those of all.
    pub fn first_heads(&self) -> Option<HeadSizes> {
        self.attentions().next().map(|attention| attention.heads)
    }

    /// The length from which on a text is turned otherwise, all of its positions, where there is one ([`RopeConfig::long_from`]).
    pub fn long_from(&self) -> Option<usize> {
        self.ropes.iter().filter_map(RopeConfig::long_from).min()
    }

    /// Values of the heads that the rotation of that index turns; where no layer uses it, 0.
    pub fn rope_width(&self, rope: usize) -> usize {
        let turned = self.attentions().find(|attention| attention.rope == Some(rope));
        turned.map_or(0, |attention| attention.heads.head_dim)
    }

    /// Refuses shapes that no model can have; `path` is named.
    ///
    /// # Errors
    /// Where a size, the sharing of heads or a rotation is impossible.
    pub fn check(&self, path: &Path) -> Result<(), EngineError> {
        let sizes = [
            ("layers", self.n_layer()),
            ("values an embedding", self.n_embd),
            ("tokens in the vocabulary", self.vocab_size),
            ("tokens of context", self.trained_context),
        ];
        let n_ff = self.layers.iter().flat_map(|layer| layer.feed_forward.units()).map(|unit| unit.n_ff);
        let sizes = sizes.into_iter().chain(n_ff.map(|n_ff| ("values inside the feed-forward part", n_ff)));
        check_sizes(path, sizes)?;
        self.layers.iter().try_for_each(|layer| layer.mixer.check(path))?;
        self.layers.iter().try_for_each(|layer| check_experts(path, &layer.feed_forward))?;
        self.check_shared(path)?;
        self.check_streams(path)?;
        self.attentions().try_for_each(|attention| self.check_rotation(path, attention))
    }

    /// Refuses streams that cannot be.
    fn check_streams(&self, path: &Path) -> Result<(), EngineError> {
        match self.streams {
            Some(AltUpConfig { n, active, .. }) if !(2..=MAX_STREAMS).contains(&n) || active >= n => {
                let reason = format!("{n} residual streams, of which the {active}th is computed, are impossible");
                Err(EngineError::format(path, reason))
            }
            _ => Ok(()),
        }
    }

    /// Refuses keys and values that are not there to be shared.
    fn check_shared(&self, path: &Path) -> Result<(), EngineError> {
        for (index, layer) in self.layers.iter().enumerate() {
            let Some((attention, source)) = layer.attention().and_then(|own| Some((own, own.shares?))) else {
                continue;
            };
            let of = self.layers.get(source).filter(|_| source < index).and_then(LayerConfig::attention);
            let fits = |of: &AttentionConfig| {
                let kv = |heads: HeadSizes| (heads.n_kv_head, heads.head_dim);
                of.shares.is_none() && kv(of.heads) == kv(attention.heads)
            };
            if !of.is_some_and(fits) {
                let reason = format!("layer {index} cannot share the keys and values of layer {source}");
                return Err(EngineError::format(path, reason));
            }
        }
        Ok(())
    }

    /// Refuses numbers that are possible one by one, and no rotation together.
    fn check_rotation(&self, path: &Path, attention: &AttentionConfig) -> Result<(), EngineError> {
        let Some(index) = attention.rope else { return Ok(()) };
        let (rope, head_dim) = (&self.ropes[index], attention.heads.head_dim);
        let turned = rope.turned(head_dim);
        if !turned.is_multiple_of(2) || turned == 0 {
            let reason = format!("the {turned} values of a head cannot be rotated in pairs");
            return Err(EngineError::format(path, reason));
        }
        if turned > head_dim {
            let reason = format!("{turned} of the {head_dim} values of a head cannot be rotated");
            return Err(EngineError::format(path, reason));
        }
        if head_dim != self.rope_width(index) {
            let reason = format!("heads of {head_dim} and of {} values share a rotation", self.rope_width(index));
            return Err(EngineError::format(path, reason));
        }
        if let RopeScaling::LongRope { short, long, .. } = &rope.scaling
            && let Some(count) = [short.len(), long.len()].into_iter().find(|&count| count != turned / 2)
        {
            let reason = format!("its rotation of {} pairs has {count} factors (longrope)", turned / 2);
            return Err(EngineError::format(path, reason));
        }
        let (mut frequencies, magnitude) = rope.frequencies(head_dim);
        frequencies.extend(rope.long_frequencies(head_dim).into_iter().flat_map(|(frequencies, _)| frequencies));
        if frequencies.iter().all(|frequency| frequency.is_finite()) && Bound::AboveZero.holds(magnitude) {
            return Ok(());
        }
        let reason = format!("the numbers of its rotation are impossible together: {rope:?}");
        Err(EngineError::format(path, reason))
    }
}

impl Sizes {
    /// Layers, heads, key-value heads, width, width of the feed-forward part, vocabulary, context; the heads share the width.
    pub(super) const fn of(shape: [usize; 7]) -> Self {
        let [n_layer, n_head, n_kv_head, n_embd, n_ff, vocab_size, trained_context] = shape;
        Self { n_layer, n_head, n_kv_head, head_dim: n_embd / n_head, n_embd, n_ff, vocab_size, trained_context }
    }

    /// The heads, where they are alike in all layers.
    pub const fn heads(&self) -> HeadSizes {
        HeadSizes { n_head: self.n_head, n_kv_head: self.n_kv_head, head_dim: self.head_dim }
    }

    /// Refuses more layers than any model has, before anything is counted out for each; `path` is named.
    ///
    /// # Errors
    /// Where there are.
    pub fn bounded(&self, path: &Path) -> Result<(), EngineError> {
        match self.n_layer {
            0 | MAX_LAYERS.. => Err(impossible(path, self.n_layer, "layers")),
            _ => Ok(()),
        }
    }

    /// The layers, each as `layer` says; `path` is named.
    ///
    /// # Errors
    /// Where no model has so many.
    pub fn layers(
        &self,
        path: &Path,
        layer: impl FnMut(usize) -> LayerConfig,
    ) -> Result<Vec<LayerConfig>, EngineError> {
        self.bounded(path)?;
        Ok((0..self.n_layer).map(layer).collect())
    }
}

fn check_sizes(path: &Path, sizes: impl IntoIterator<Item = (&'static str, usize)>) -> Result<(), EngineError> {
    match sizes.into_iter().find(|&(_, size)| size == 0 || size > MAX_SIZE) {
        Some((what, size)) => Err(impossible(path, size, what)),
        None => Ok(()),
    }
}

fn check_experts(path: &Path, config: &FeedForwardConfig) -> Result<(), EngineError> {
    match *config {
        FeedForwardConfig::Experts(ExpertsConfig { n_expert, .. }) if n_expert > MAX_EXPERTS => {
            Err(impossible(path, n_expert, "experts a layer"))
        }
        FeedForwardConfig::Experts(ExpertsConfig { n_expert, n_used, .. }) if n_used == 0 || n_used > n_expert => {
            let reason = format!("a token cannot go through {n_used} of {n_expert} experts");
            Err(EngineError::format(path, reason))
        }
        FeedForwardConfig::Dense(_) | FeedForwardConfig::Experts(_) => Ok(()),
    }
}

fn impossible(path: &Path, size: usize, what: &str) -> EngineError {
    EngineError::format(path, format!("a model with {size} {what} is impossible"))
}

impl LayerConfig {
    /// A layer that normalizes what its parts read (Xiong et al. 2020), as most do.
    pub fn pre_norm(attention: AttentionConfig, feed_forward: FeedForwardConfig) -> Self {
        Self::mixed_by(MixerConfig::Attention(attention), feed_forward)
    }

    /// The same, with any mixer.
    pub fn mixed_by(mixer: MixerConfig, feed_forward: FeedForwardConfig) -> Self {
        Self {
            mixer,
            feed_forward,
            norm_before: true,
            norm_after: false,
            residual_scale: 1.0,
            has_scale: false,
            laurel: None,
        }
    }

    /// Its attention, if it has one.
    pub fn attention(&self) -> Option<&AttentionConfig> {
        match &self.mixer {
            MixerConfig::Attention(attention) => Some(attention),
            MixerConfig::DeltaNet(_) | MixerConfig::ShortConv(_) => None,
        }
    }

    /// How far back its attention sees, where that is not all the way.
    pub fn window(&self) -> Option<usize> {
        self.attention()?.window
    }
}

impl MixerConfig {
    fn check(&self, path: &Path) -> Result<(), EngineError> {
        match self {
            Self::Attention(attention) => attention.heads.check(path),
            Self::DeltaNet(net) => net.check(path),
            Self::ShortConv(conv) => check_kernel(path, conv.kernel),
        }
    }
}

/// Refuses convolutions that no model has: each token before is kept.
fn check_kernel(path: &Path, kernel: usize) -> Result<(), EngineError> {
    match kernel {
        0 | MAX_KERNEL.. => Err(impossible(path, kernel, "tokens in a convolution")),
        _ => Ok(()),
    }
}

impl DeltaNetConfig {
    /// The heads, as the kernel has them.
    pub(super) fn shape(&self) -> DeltaShape {
        let Self { n_key_head, n_value_head, key_dim, value_dim, is_tiled, .. } = *self;
        DeltaShape { n_key_head, n_value_head, key_dim, value_dim, is_tiled }
    }

    /// Values of a token that the convolution goes over: queries, keys and values.
    pub const fn conv_width(&self) -> usize {
        2 * self.n_key_head * self.key_dim + self.value_width()
    }

    /// Values of the values of a token, all heads together.
    pub const fn value_width(&self) -> usize {
        self.n_value_head * self.value_dim
    }

    fn check(&self, path: &Path) -> Result<(), EngineError> {
        let Self { n_key_head, n_value_head, key_dim, value_dim, kernel, .. } = *self;
        let sizes = [
            ("key heads of a delta net", n_key_head),
            ("value heads of a delta net", n_value_head),
            ("values a key of a delta net", key_dim),
            ("values a value of a delta net", value_dim),
        ];
        check_sizes(path, sizes)?;
        let widths = [n_key_head.checked_mul(key_dim), n_value_head.checked_mul(value_dim), Some(key_dim * value_dim)];
        if let Some(width) = widths.into_iter().find(|width| width.is_none_or(|width| width > MAX_SIZE)) {
            return Err(impossible(path, width.unwrap_or(usize::MAX), "values in the heads of a delta net"));
        }
        if !n_value_head.is_multiple_of(n_key_head) {
            let reason =
                format!("{n_value_head} value heads of a delta net cannot share {n_key_head} key heads evenly");
            return Err(EngineError::format(path, reason));
        }
        check_kernel(path, kernel)
    }
}

impl HeadSizes {
    /// Values of a token's queries, all heads together.
    pub const fn q_width(self) -> usize {
        self.n_head * self.head_dim
    }

    /// Values of a token's keys, all heads together; its values have as many.
    pub const fn kv_width(self) -> usize {
        self.n_kv_head * self.head_dim
    }

    fn check(self, path: &Path) -> Result<(), EngineError> {
        let Self { n_head, n_kv_head, head_dim } = self;
        check_sizes(path, [("heads", n_head), ("key-value heads", n_kv_head), ("values a head", head_dim)])?;
        if !n_head.is_multiple_of(n_kv_head) {
            let reason = format!("{n_head} heads cannot share {n_kv_head} key-value heads evenly");
            return Err(EngineError::format(path, reason));
        }
        Ok(())
    }
}

impl AttentionConfig {
    /// Attention to all that came before, scores by the width of a head (Vaswani et al. 2017), without anything else.
    pub fn full(heads: HeadSizes) -> Self {
        let scale = Self::usual_scale(heads.head_dim);
        Self {
            heads,
            window: None,
            rope: None,
            temperature: None,
            scale,
            softcap: None,
            qk_norm: None,
            v_norm: false,
            values_are_keys: false,
            shares: None,
            has_gate: false,
            qkv_bias: false,
            out_bias: false,
            has_sinks: false,
            clip: None,
        }
    }

    /// `1 / sqrt(head_dim)`.
    pub fn usual_scale(head_dim: usize) -> f32 {
        (head_dim as f32).sqrt().recip()
    }
}
