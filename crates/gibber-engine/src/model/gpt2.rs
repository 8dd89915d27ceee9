//! GPT-2 (Radford et al. 2019) from a Hugging Face folder or a GGUF file.

use super::config::{Activation, ModelConfig};
use super::pass::Pass;
use super::run_state::{RunState, add_bias, add_rows, sized};
use crate::EngineError;
use crate::kernels::attention::{AttentionShape, attend};
use crate::kernels::{Packer, Table, WeightMatrix, Workspace, vector};
use crate::weights::Weights;

/// The weights of a GPT-2 model, under their published names.
#[derive(Debug)]
pub struct Gpt2 {
    config: ModelConfig,
    /// `None` where it is the output projection.
    wte: Option<Table>,
    /// `(trained_context, n_embd)`
    wpe: Table,
    h: Vec<Block>,
    ln_f: LayerNorm,
    /// `[vocab_size, n_embd]`
    lm_head: WeightMatrix,
}

#[derive(Debug)]
struct Block {
    ln_1: LayerNorm,
    /// Queries, keys and values from one input.
    c_attn: Linear,
    c_proj: Linear,
    ln_2: LayerNorm,
    mlp_c_fc: Linear,
    mlp_c_proj: Linear,
}

#[derive(Debug)]
struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

#[derive(Debug)]
struct Linear {
    weight: WeightMatrix,
    bias: Vec<f32>,
}

/// What a file calls the tensors, and how it stores the linear layers.
struct Names {
    /// Stored `[in, out]`, as the Conv1D layers of the original are; otherwise `[out, in]`.
    conv1d: bool,
    wte: &'static str,
    wpe: &'static str,
    h: &'static str,
    ln_f: &'static str,
    lm_head: &'static str,
    /// In a block: `ln_1`, `c_attn`, `c_proj`, `ln_2`, and the two of the feed-forward part.
    block: [&'static str; 6],
}

const GGUF: Names = Names {
    conv1d: false,
    wte: "token_embd.weight",
    wpe: "position_embd.weight",
    h: "blk",
    ln_f: "output_norm",
    lm_head: "output.weight",
    block: ["attn_norm", "attn_qkv", "attn_output", "ffn_norm", "ffn_up", "ffn_down"],
};

const HUGGING_FACE: Names = Names {
    conv1d: true,
    wte: "wte.weight",
    wpe: "wpe.weight",
    h: "h",
    ln_f: "ln_f",
    lm_head: "lm_head.weight",
    block: ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"],
};

impl Gpt2 {
    /// Loads the weights that `config` asks for: under Hugging Face's names, with the prefix `transformer.` or without, or
    /// under GGUF's.
    ///
    /// # Errors
    /// Those of [`Weights::tensor`].
    pub fn load(config: ModelConfig, weights: &Weights, packer: &Packer<'_>) -> Result<Self, EngineError> {
        let names = if weights.contains(GGUF.wte) { GGUF } else { HUGGING_FACE };
        // The head stands outside the prefix.
        let untied = weights.contains(names.lm_head);
        let unprefixed = weights;
        let prefixed = weights.pp("transformer");
        let weights = if weights.has_any("transformer.") { &prefixed } else { weights };
        let wte = weights.tensor(names.wte, &[config.vocab_size, config.n_embd])?;
        let wpe = weights.tensor(names.wpe, &[config.trained_context, config.n_embd])?;
        let head = if untied { unprefixed.tensor(names.lm_head, wte.shape())? } else { wte.clone() };
        let block = |index| Block::load(&config, &names, &weights.pp(names.h).pp(index), packer);
        Ok(Self {
            wte: untied.then(|| Table::new(&wte, packer)).transpose()?,
            wpe: Table::new(&wpe, packer)?,
            h: (0..config.n_layer).map(block).collect::<Result<_, _>>()?,
            ln_f: LayerNorm::load(&weights.pp(names.ln_f), config.n_embd)?,
            lm_head: WeightMatrix::from_rows(&head, packer)?,
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
        self.h.iter().map(Block::bytes).sum::<usize>() + self.lm_head().bytes()
    }

    /// See [`super::Model::forward`].
    pub(super) fn forward(&self, state: &mut RunState, pass: &mut Pass<'_>) {
        let (n, embd) = (pass.len(), self.config.n_embd);
        let residual = sized(&mut state.residual, n, embd);
        let wpe = sized(&mut state.hidden, 1, embd);
        for ((position, token), x) in pass.tokens().zip(residual.chunks_exact_mut(embd)) {
            match &self.wte {
                Some(table) => table.row(token as usize, x),
                None => self.lm_head.row(token as usize, x),
            }
            self.wpe.row(position, wpe);
            vector::add(x, wpe);
        }
        for (index, block) in self.h.iter().enumerate() {
            self.attention(state, index, block, pass, n);
            self.feed_forward(state, block, n);
        }
        pass.advance();
        let hidden = sized(&mut state.hidden, n, embd);
        self.ln_f.apply(&state.workspace, &state.residual, self.config.norm_eps, hidden);
    }

    fn attention(&self, state: &mut RunState, index: usize, block: &Block, pass: &mut Pass<'_>, n: usize) {
        let ModelConfig { n_embd, n_head, head_dim, norm_eps, .. } = self.config;
        let normed = sized(&mut state.hidden, n, n_embd);
        block.ln_1.apply(&state.workspace, &state.residual, norm_eps, normed);
        let qkv = sized(&mut state.qkv, n, 3 * n_embd);
        block.c_attn.apply(&mut state.workspace, normed, n, qkv);
        let scale = self.config.score_scale(index);
        let shape = AttentionShape { n_head, n_kv_head: n_head, head_dim, scale, window: None };
        let attended = sized(&mut state.attended, n, n_embd);
        let stride = 3 * n_embd;
        for (rows, cache) in pass.caches() {
            let (past, n) = (cache.len(), rows.len());
            let qkv = &qkv[rows.start * stride..rows.end * stride];
            cache.write(state.workspace.pool(), index, n, &qkv[n_embd..], &qkv[2 * n_embd..], stride);
            let attended = &mut attended[rows.start * n_embd..rows.end * n_embd];
            attend(&state.workspace, &shape, qkv, stride, cache.layer(index), past, attended);
        }
        let out = sized(&mut state.hidden, n, n_embd);
        block.c_proj.apply(&mut state.workspace, attended, n, out);
        add_rows(&state.workspace, &mut state.residual, out, n_embd);
    }

    fn feed_forward(&self, state: &mut RunState, block: &Block, n: usize) {
        let ModelConfig { n_embd, n_ff, norm_eps, .. } = self.config;
        let normed = sized(&mut state.hidden, n, n_embd);
        block.ln_2.apply(&state.workspace, &state.residual, norm_eps, normed);
        let feed = sized(&mut state.feed, n, n_ff);
        block.mlp_c_fc.apply(&mut state.workspace, normed, n, feed);
        let activation = match self.config.activation {
            Activation::GeluTanh => vector::gelu_tanh,
            Activation::Gelu => vector::gelu,
            Activation::Relu => vector::relu,
        };
        state.workspace.pool().for_each_part(feed, n_ff, &|_, _, row| activation(row));
        let out = sized(&mut state.hidden, n, n_embd);
        block.mlp_c_proj.apply(&mut state.workspace, feed, n, out);
        add_rows(&state.workspace, &mut state.residual, out, n_embd);
    }
}

impl Block {
    fn load(config: &ModelConfig, names: &Names, weights: &Weights, packer: &Packer<'_>) -> Result<Self, EngineError> {
        let ModelConfig { n_embd, n_ff, .. } = *config;
        let [ln_1, c_attn, c_proj, ln_2, c_fc, mlp_c_proj] = names.block;
        let linear = |name, inputs, outputs| Linear::load(&weights.pp(name), names.conv1d, inputs, outputs, packer);
        Ok(Self {
            ln_1: LayerNorm::load(&weights.pp(ln_1), n_embd)?,
            c_attn: linear(c_attn, n_embd, 3 * n_embd)?.with_two_bytes(),
            c_proj: linear(c_proj, n_embd, n_embd)?,
            ln_2: LayerNorm::load(&weights.pp(ln_2), n_embd)?,
            mlp_c_fc: linear(c_fc, n_embd, n_ff)?,
            mlp_c_proj: linear(mlp_c_proj, n_ff, n_embd)?,
        })
    }

    fn bytes(&self) -> usize {
        [&self.c_attn, &self.c_proj, &self.mlp_c_fc, &self.mlp_c_proj].iter().map(|linear| linear.weight.bytes()).sum()
    }
}

impl LayerNorm {
    fn load(weights: &Weights, width: usize) -> Result<Self, EngineError> {
        let vector = |name: &str| weights.tensor(name, &[width])?.to_f32();
        Ok(Self { weight: vector("weight")?, bias: vector("bias")? })
    }

    fn apply(&self, workspace: &Workspace, x: &[f32], eps: f32, out: &mut [f32]) {
        let width = self.weight.len();
        workspace.pool().for_each_part(out, width, &|_, row, out| {
            vector::layer_norm(&x[row * width..][..width], &self.weight, &self.bias, eps, out);
        });
    }
}

impl Linear {
    fn load(
        weights: &Weights,
        conv1d: bool,
        inputs: usize,
        outputs: usize,
        packer: &Packer<'_>,
    ) -> Result<Self, EngineError> {
        let weight = if conv1d {
            WeightMatrix::from_columns(&weights.tensor("weight", &[inputs, outputs])?, packer)?
        } else {
            WeightMatrix::from_rows(&weights.tensor("weight", &[outputs, inputs])?, packer)?
        };
        Ok(Self { weight, bias: weights.tensor("bias", &[outputs])?.to_f32()? })
    }

    /// See [`WeightMatrix::with_two_bytes`].
    fn with_two_bytes(self) -> Self {
        Self { weight: self.weight.with_two_bytes(), ..self }
    }

    fn apply(&self, workspace: &mut Workspace, x: &[f32], n: usize, out: &mut [f32]) {
        self.weight.multiply(workspace, x, n, out);
        add_bias(workspace, out, &self.bias);
    }
}
