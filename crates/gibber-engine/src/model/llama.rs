//! Llama (Touvron et al. 2023), and what is built like it (Mistral, Qwen2, Qwen3), from a GGUF file or a Hugging Face
//! folder.

use super::config::ModelConfig;
use super::pass::Pass;
use super::run_state::{RunState, add_bias, add_rows, sized};
use crate::EngineError;
use crate::kernels::attention::{AttentionShape, attend};
use crate::kernels::{Packer, Table, WeightMatrix, Workspace, vector};
use crate::weights::Weights;

/// The weights of a Llama model, under their published names.
#[derive(Debug)]
pub struct Llama {
    config: ModelConfig,
    /// `None` where it is the output projection.
    embed_tokens: Option<Table>,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    /// `[vocab_size, n_embd]`
    lm_head: WeightMatrix,
}

#[derive(Debug)]
struct Layer {
    input_layernorm: Vec<f32>,
    /// `q_proj`, `k_proj` and `v_proj`, one after another.
    qkv_proj: Linear,
    /// Of each head's queries and of its keys.
    qk_norm: Option<[Vec<f32>; 2]>,
    o_proj: Linear,
    post_attention_layernorm: Vec<f32>,
    /// `gate_proj` and `up_proj`, one after another.
    gate_up_proj: Linear,
    down_proj: Linear,
}

#[derive(Debug)]
struct Linear {
    weight: WeightMatrix,
    bias: Option<Vec<f32>>,
}

/// What a file calls the tensors.
struct Names {
    layers: &'static str,
    embed_tokens: &'static str,
    norm: &'static str,
    lm_head: &'static str,
    /// In a layer.
    layer: LayerNames,
}

/// What a file calls the parts of a layer; a linear one's are `.weight` and perhaps `.bias`.
struct LayerNames {
    /// Before attention and before the feed-forward part.
    norms: [&'static str; 2],
    qkv: [&'static str; 3],
    qk_norm: [&'static str; 2],
    o: &'static str,
    gate_up: [&'static str; 2],
    down: &'static str,
}

const GGUF: Names = Names {
    layers: "blk",
    embed_tokens: "token_embd.weight",
    norm: "output_norm.weight",
    lm_head: "output.weight",
    layer: LayerNames {
        norms: ["attn_norm.weight", "ffn_norm.weight"],
        qkv: ["attn_q", "attn_k", "attn_v"],
        qk_norm: ["attn_q_norm.weight", "attn_k_norm.weight"],
        o: "attn_output",
        gate_up: ["ffn_gate", "ffn_up"],
        down: "ffn_down",
    },
};

const HUGGING_FACE: Names = Names {
    layers: "model.layers",
    embed_tokens: "model.embed_tokens.weight",
    norm: "model.norm.weight",
    lm_head: "lm_head.weight",
    layer: LayerNames {
        norms: ["input_layernorm.weight", "post_attention_layernorm.weight"],
        qkv: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        qk_norm: ["self_attn.q_norm.weight", "self_attn.k_norm.weight"],
        o: "self_attn.o_proj",
        gate_up: ["mlp.gate_proj", "mlp.up_proj"],
        down: "mlp.down_proj",
    },
};

impl Llama {
    /// Loads the weights that `config` asks for, under GGUF's names or Hugging Face's.
    ///
    /// # Errors
    /// Those of [`Weights::tensor`].
    pub fn load(config: ModelConfig, weights: &Weights, packer: &Packer<'_>) -> Result<Self, EngineError> {
        let is_gguf = weights.contains(GGUF.embed_tokens) || weights.has_any(&format!("{}.", GGUF.layers));
        let names = if is_gguf { GGUF } else { HUGGING_FACE };
        let (vocab, embd) = (config.vocab_size, config.n_embd);
        let embedding = |name: &str| weights.tensor(name, &[vocab, embd]);
        let untied = weights.contains(names.lm_head);
        let layer = |index| Layer::load(&config, &names.layer, &weights.pp(names.layers).pp(index), packer);
        Ok(Self {
            embed_tokens: untied.then(|| Table::new(&embedding(names.embed_tokens)?, packer)).transpose()?,
            layers: (0..config.n_layer).map(layer).collect::<Result<_, _>>()?,
            norm: weights.tensor(names.norm, &[embd])?.to_f32()?,
            lm_head: WeightMatrix::from_rows(
                &embedding(if untied { names.lm_head } else { names.embed_tokens })?,
                packer,
            )?,
            config,
        })
    }

    /// Its shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The output projection, `[vocab_size, n_embd]`.
    pub(super) fn lm_head(&self) -> &WeightMatrix {
        &self.lm_head
    }

    pub(super) fn bytes_per_token(&self) -> usize {
        self.layers.iter().map(Layer::bytes).sum::<usize>() + self.lm_head().bytes()
    }

    /// See [`super::Model::forward`].
    pub(super) fn forward(&self, state: &mut RunState, pass: &mut Pass<'_>) {
        let (n, embd) = (pass.len(), self.config.n_embd);
        let residual = sized(&mut state.residual, n, embd);
        for ((_, token), x) in pass.tokens().zip(residual.chunks_exact_mut(embd)) {
            match &self.embed_tokens {
                Some(table) => table.row(token as usize, x),
                None => self.lm_head.row(token as usize, x),
            }
        }
        if let Some(rope) = &mut state.rope {
            rope.reach(pass.end());
        }
        for (index, layer) in self.layers.iter().enumerate() {
            self.attention(state, index, layer, pass, n);
            self.feed_forward(state, layer, n);
        }
        pass.advance();
        let hidden = sized(&mut state.hidden, n, embd);
        rms_norm_rows(&state.workspace, &state.residual, &self.norm, self.config.norm_eps, hidden);
    }

    fn attention(&self, state: &mut RunState, index: usize, layer: &Layer, pass: &mut Pass<'_>, n: usize) {
        let ModelConfig { n_embd, n_head, n_kv_head, head_dim, norm_eps, .. } = self.config;
        let (q, kv) = (n_head * head_dim, n_kv_head * head_dim);
        let normed = sized(&mut state.hidden, n, n_embd);
        rms_norm_rows(&state.workspace, &state.residual, &layer.input_layernorm, norm_eps, normed);
        let qkv = sized(&mut state.qkv, n, q + 2 * kv);
        layer.qkv_proj.apply(&mut state.workspace, normed, n, qkv);
        let (scale, window) = (self.config.score_scale(index), self.config.window_of(index));
        let shape = AttentionShape { n_head, n_kv_head, head_dim, scale, window };
        let attended = sized(&mut state.attended, n, q);
        let (stride, pool) = (q + 2 * kv, state.workspace.pool());
        for (rows, cache) in pass.caches() {
            let (past, n) = (cache.len(), rows.len());
            let qkv = &mut qkv[rows.start * stride..rows.end * stride];
            if let Some(rope) = &state.rope {
                let rotate = |token: usize, qkv: &mut [f32]| {
                    layer.norm_heads(&mut qkv[..q + kv], q, norm_eps);
                    rope.rotate(&mut qkv[..q + kv], past + token);
                };
                if n == 1 {
                    rotate(0, qkv);
                } else {
                    pool.for_each_part(qkv, stride, &|_, token, qkv| rotate(token, qkv));
                }
            }
            cache.write(pool, index, n, &qkv[q..], &qkv[q + kv..], stride);
            let attended = &mut attended[rows.start * q..rows.end * q];
            attend(&state.workspace, &shape, qkv, stride, cache.layer(index), past, attended);
        }
        let out = sized(&mut state.hidden, n, n_embd);
        layer.o_proj.apply(&mut state.workspace, attended, n, out);
        add_rows(&state.workspace, &mut state.residual, out, n_embd);
    }

    fn feed_forward(&self, state: &mut RunState, layer: &Layer, n: usize) {
        let ModelConfig { n_embd, n_ff, norm_eps, .. } = self.config;
        let normed = sized(&mut state.hidden, n, n_embd);
        rms_norm_rows(&state.workspace, &state.residual, &layer.post_attention_layernorm, norm_eps, normed);
        let gate_up = sized(&mut state.feed, n, 2 * n_ff);
        layer.gate_up_proj.apply(&mut state.workspace, normed, n, gate_up);
        let gated = sized(&mut state.gated, n, n_ff);
        let (pool, gate_up) = (state.workspace.pool(), &*gate_up);
        pool.for_each_part(gated, n_ff, &|_, token, out| {
            let (gate, up) = gate_up[token * 2 * n_ff..][..2 * n_ff].split_at(n_ff);
            vector::silu_mul(gate, up, out);
        });
        let out = sized(&mut state.hidden, n, n_embd);
        layer.down_proj.apply(&mut state.workspace, gated, n, out);
        add_rows(&state.workspace, &mut state.residual, out, n_embd);
    }
}

/// [`vector::rms_norm`] of each row, as wide as `weight`.
fn rms_norm_rows(workspace: &Workspace, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let width = weight.len();
    workspace.pool().for_each_part(out, width, &|_, row, out| {
        vector::rms_norm(&x[row * width..][..width], weight, eps, out);
    });
}

impl Layer {
    fn load(
        config: &ModelConfig,
        names: &LayerNames,
        weights: &Weights,
        packer: &Packer<'_>,
    ) -> Result<Self, EngineError> {
        let ModelConfig { n_embd, n_ff, head_dim, extras, .. } = *config;
        let (q, kv) = (config.n_head * head_dim, config.n_kv_head * head_dim);
        let vector = |name: &str, len: usize| weights.tensor(name, &[len])?.to_f32();
        let [q_proj, k_proj, v_proj] = names.qkv;
        let qkv = Linear::load(&[(q_proj, q), (k_proj, kv), (v_proj, kv)], n_embd, extras.qkv_bias, weights, packer)?;
        let qk_norm = || Ok([vector(names.qk_norm[0], head_dim)?, vector(names.qk_norm[1], head_dim)?]);
        let gate_up = names.gate_up.map(|name| (name, n_ff));
        Ok(Self {
            input_layernorm: vector(names.norms[0], n_embd)?,
            qkv_proj: Linear { weight: qkv.weight.with_two_bytes(), ..qkv },
            qk_norm: extras.qk_norm.then(qk_norm).transpose()?,
            o_proj: Linear::load(&[(names.o, n_embd)], q, extras.o_bias, weights, packer)?,
            post_attention_layernorm: vector(names.norms[1], n_embd)?,
            gate_up_proj: Linear::load(&gate_up, n_embd, extras.mlp_bias, weights, packer)?,
            down_proj: Linear::load(&[(names.down, n_embd)], n_ff, extras.mlp_bias, weights, packer)?,
        })
    }

    /// Scales each head of a token's queries, which are the first `q` values of `heads`, and of its keys, which are the
    /// others, where the model does so.
    fn norm_heads(&self, heads: &mut [f32], q: usize, eps: f32) {
        if let Some([q_norm, k_norm]) = &self.qk_norm {
            let (queries, keys) = heads.split_at_mut(q);
            for (heads, weight) in [(queries, q_norm), (keys, k_norm)] {
                heads.chunks_exact_mut(weight.len()).for_each(|x| vector::rms_norm_in_place(x, weight, eps));
            }
        }
    }

    fn bytes(&self) -> usize {
        let linear = [&self.qkv_proj, &self.o_proj, &self.gate_up_proj, &self.down_proj];
        linear.iter().map(|linear| linear.weight.bytes()).sum()
    }
}

impl Linear {
    /// The layers of `parts`, each with its number of outputs, as one.
    fn load(
        parts: &[(&str, usize)],
        inputs: usize,
        has_bias: bool,
        weights: &Weights,
        packer: &Packer<'_>,
    ) -> Result<Self, EngineError> {
        let matrix = |&(name, outputs): &(&str, usize)| {
            WeightMatrix::from_rows(&weights.pp(name).tensor("weight", &[outputs, inputs])?, packer)
        };
        let weight = WeightMatrix::stacked(parts.iter().map(matrix).collect::<Result<_, _>>()?)?;
        let bias = |&(name, outputs): &(&str, usize)| weights.pp(name).tensor("bias", &[outputs])?.to_f32();
        let bias = || Ok::<_, EngineError>(parts.iter().map(bias).collect::<Result<Vec<_>, _>>()?.concat());
        Ok(Self { weight, bias: has_bias.then(bias).transpose()? })
    }

    fn apply(&self, workspace: &mut Workspace, x: &[f32], n: usize, out: &mut [f32]) {
        self.weight.multiply(workspace, x, n, out);
        if let Some(bias) = &self.bias {
            add_bias(workspace, out, bias);
        }
    }
}
