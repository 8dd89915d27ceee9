//! Llama (Touvron et al. 2023) from a GGUF file or a Hugging Face folder.

use super::config::ModelConfig;
use super::run_state::{RunState, add_rows, sized};
use crate::engine::kernels::attention::{AttentionShape, attend};
use crate::engine::kernels::{Packer, Table, WeightMatrix, Workspace, vector};
use crate::engine::weights::Weights;
use crate::engine::{EngineError, TokenId};

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
    qkv_proj: WeightMatrix,
    o_proj: WeightMatrix,
    post_attention_layernorm: Vec<f32>,
    /// `gate_proj` and `up_proj`, one after another.
    gate_up_proj: WeightMatrix,
    down_proj: WeightMatrix,
}

/// What a file calls the tensors.
struct Names {
    layers: &'static str,
    embed_tokens: &'static str,
    norm: &'static str,
    lm_head: &'static str,
    /// In a layer: the two norms, then q, k, v, o, gate, up and down.
    layer: [&'static str; 9],
}

const GGUF: Names = Names {
    layers: "blk",
    embed_tokens: "token_embd.weight",
    norm: "output_norm.weight",
    lm_head: "output.weight",
    layer: [
        "attn_norm.weight",
        "ffn_norm.weight",
        "attn_q.weight",
        "attn_k.weight",
        "attn_v.weight",
        "attn_output.weight",
        "ffn_gate.weight",
        "ffn_up.weight",
        "ffn_down.weight",
    ],
};

const HUGGING_FACE: Names = Names {
    layers: "model.layers",
    embed_tokens: "model.embed_tokens.weight",
    norm: "model.norm.weight",
    lm_head: "lm_head.weight",
    layer: [
        "input_layernorm.weight",
        "post_attention_layernorm.weight",
        "self_attn.q_proj.weight",
        "self_attn.k_proj.weight",
        "self_attn.v_proj.weight",
        "self_attn.o_proj.weight",
        "mlp.gate_proj.weight",
        "mlp.up_proj.weight",
        "mlp.down_proj.weight",
    ],
};

impl Llama {
    /// Loads the weights that `config` asks for, under GGUF's names or Hugging Face's.
    ///
    /// # Errors
    /// Those of [`Weights::tensor`].
    pub fn load(config: ModelConfig, weights: &Weights, packer: &Packer<'_>) -> Result<Self, EngineError> {
        let names = if weights.contains(HUGGING_FACE.embed_tokens) { HUGGING_FACE } else { GGUF };
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
    pub(super) fn forward(&self, state: &mut RunState, tokens: &[TokenId]) {
        let (n, embd, past) = (tokens.len(), self.config.n_embd, state.cache.len());
        let residual = sized(&mut state.residual, n, embd);
        for (&token, x) in tokens.iter().zip(residual.chunks_exact_mut(embd)) {
            match &self.embed_tokens {
                Some(table) => table.row(token as usize, x),
                None => self.lm_head.row(token as usize, x),
            }
        }
        if let Some(rope) = &mut state.rope {
            rope.reach(past + n);
        }
        for (index, layer) in self.layers.iter().enumerate() {
            self.attention(state, index, layer, past, n);
            self.feed_forward(state, layer, n);
        }
        state.cache.advance(n);
        let hidden = sized(&mut state.hidden, n, embd);
        rms_norm_rows(&state.workspace, &state.residual, &self.norm, self.config.norm_eps, hidden);
    }

    fn attention(&self, state: &mut RunState, index: usize, layer: &Layer, past: usize, n: usize) {
        let ModelConfig { n_embd, n_head, n_kv_head, head_dim, norm_eps, .. } = self.config;
        let (q, kv) = (n_head * head_dim, n_kv_head * head_dim);
        let normed = sized(&mut state.hidden, n, n_embd);
        rms_norm_rows(&state.workspace, &state.residual, &layer.input_layernorm, norm_eps, normed);
        let qkv = sized(&mut state.qkv, n, q + 2 * kv);
        layer.qkv_proj.multiply(&mut state.workspace, normed, n, qkv);
        if let Some(rope) = &state.rope {
            let rotate = |token: usize, qkv: &mut [f32]| rope.rotate(&mut qkv[..q + kv], past + token);
            if n == 1 {
                rotate(0, qkv);
            } else {
                state.workspace.pool().for_each_part(qkv, q + 2 * kv, &|_, token, qkv| rotate(token, qkv));
            }
        }
        state.cache.write(state.workspace.pool(), index, n, &qkv[q..], &qkv[q + kv..], q + 2 * kv);
        let shape = AttentionShape { n_head, n_kv_head, head_dim, scale: (head_dim as f32).sqrt().recip() };
        let attended = sized(&mut state.attended, n, q);
        attend(&state.workspace, &shape, qkv, q + 2 * kv, state.cache.layer(index), past, attended);
        let out = sized(&mut state.hidden, n, n_embd);
        layer.o_proj.multiply(&mut state.workspace, attended, n, out);
        add_rows(&state.workspace, &mut state.residual, out, n_embd);
    }

    fn feed_forward(&self, state: &mut RunState, layer: &Layer, n: usize) {
        let ModelConfig { n_embd, n_ff, norm_eps, .. } = self.config;
        let normed = sized(&mut state.hidden, n, n_embd);
        rms_norm_rows(&state.workspace, &state.residual, &layer.post_attention_layernorm, norm_eps, normed);
        let gate_up = sized(&mut state.feed, n, 2 * n_ff);
        layer.gate_up_proj.multiply(&mut state.workspace, normed, n, gate_up);
        let gated = sized(&mut state.gated, n, n_ff);
        let (pool, gate_up) = (state.workspace.pool(), &*gate_up);
        pool.for_each_part(gated, n_ff, &|_, token, out| {
            let (gate, up) = gate_up[token * 2 * n_ff..][..2 * n_ff].split_at(n_ff);
            vector::silu_mul(gate, up, out);
        });
        let out = sized(&mut state.hidden, n, n_embd);
        layer.down_proj.multiply(&mut state.workspace, gated, n, out);
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
        names: &[&str; 9],
        weights: &Weights,
        packer: &Packer<'_>,
    ) -> Result<Self, EngineError> {
        let ModelConfig { n_embd, n_ff, .. } = *config;
        let (q, kv) = (config.n_head * config.head_dim, config.n_kv_head * config.head_dim);
        let [attn_norm, ffn_norm, q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj] = *names;
        let norm = |name: &str| weights.tensor(name, &[n_embd])?.to_f32();
        let matrix = |name: &str, rows, cols| WeightMatrix::from_rows(&weights.tensor(name, &[rows, cols])?, packer);
        Ok(Self {
            input_layernorm: norm(attn_norm)?,
            qkv_proj: WeightMatrix::stacked(vec![
                matrix(q_proj, q, n_embd)?,
                matrix(k_proj, kv, n_embd)?,
                matrix(v_proj, kv, n_embd)?,
            ])?
            .with_two_bytes(),
            o_proj: matrix(o_proj, n_embd, q)?,
            post_attention_layernorm: norm(ffn_norm)?,
            gate_up_proj: WeightMatrix::stacked(vec![
                matrix(gate_proj, n_ff, n_embd)?,
                matrix(up_proj, n_ff, n_embd)?,
            ])?,
            down_proj: matrix(down_proj, n_embd, n_ff)?,
        })
    }

    fn bytes(&self) -> usize {
        [&self.qkv_proj, &self.o_proj, &self.gate_up_proj, &self.down_proj].iter().map(|matrix| matrix.bytes()).sum()
    }
}
