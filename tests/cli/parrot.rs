//! Tiny Llama models as GGUF files that say what they are told: the next token depends on the last one alone.

use std::collections::BTreeMap;

use gibber_engine::weights::DType;
use gibber_engine::weights::gguf::{Header, padding};

/// Width of the embedding: random vectors of so many values are far from each other.
const WIDTH: usize = 64;

// The numbers of the kinds of tokens (`llama_token_type` in `llama.h`).
pub(crate) const NORMAL: i32 = 1;
pub(crate) const CONTROL: i32 = 3;
pub(crate) const USER_DEFINED: i32 = 4;

// The numbers of the types of values in GGUF.
const U32: u32 = 4;
const F32: u32 = 6;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// A value with the number of its type before it.
pub(crate) fn u32_value(number: u32) -> Vec<u8> {
    [U32.to_le_bytes(), number.to_le_bytes()].concat()
}

pub(crate) fn f32_value(number: f32) -> Vec<u8> {
    [F32.to_le_bytes(), number.to_le_bytes()].concat()
}

pub(crate) fn u32s_value(numbers: &[u32]) -> Vec<u8> {
    let mut value = [ARRAY.to_le_bytes(), U32.to_le_bytes()].concat();
    value.extend_from_slice(&(numbers.len() as u64).to_le_bytes());
    numbers.iter().for_each(|number| value.extend_from_slice(&number.to_le_bytes()));
    value
}

pub(crate) fn f32s_value(numbers: &[f32]) -> Vec<u8> {
    let mut value = [ARRAY.to_le_bytes(), F32.to_le_bytes()].concat();
    value.extend_from_slice(&(numbers.len() as u64).to_le_bytes());
    numbers.iter().for_each(|number| value.extend_from_slice(&number.to_le_bytes()));
    value
}

/// A text, whole or broken.
pub(crate) fn string_value(text: &[u8]) -> Vec<u8> {
    [&STRING.to_le_bytes()[..], &(text.len() as u64).to_le_bytes(), text].concat()
}

/// A model in the making.
pub(crate) struct Parrot {
    /// Typed values by key, beside those of the vocabulary.
    pub(crate) keys: BTreeMap<String, Vec<u8>>,
    /// Names, shapes (row-major) and values.
    pub(crate) tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    tokens: Vec<String>,
    kinds: Vec<i32>,
}

const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

impl Parrot {
    /// A model whose vocabulary is the bytes and `tokens` (ids from 256 on, each with its type), and which answers a ChatML
    /// prompt with `script`, one token after the other and from the beginning again.
    pub(crate) fn new(tokens: &[(&str, i32)], script: &[&str]) -> Self {
        let mut parrot = Self {
            keys: keys(),
            tensors: Vec::new(),
            tokens: (0..=255).map(|byte| spelled(byte).to_string()).collect(),
            kinds: vec![NORMAL; 256],
        };
        let said = script.iter().map(|text| (*text, NORMAL));
        for (text, kind) in tokens.iter().copied().chain(said) {
            if parrot.id(text).is_none() {
                parrot.tokens.push(text.replace(' ', "Ġ"));
                parrot.kinds.push(kind);
            }
        }
        let ids: Vec<usize> = script.iter().map(|text| parrot.id(text).unwrap()).collect();
        let start = usize::from(b'\n');
        let follows: Vec<(usize, usize)> =
            [start].iter().chain(&ids).copied().zip(ids.iter().copied().chain([ids[0]])).collect();
        parrot.tensors = tensors(parrot.tokens.len(), &follows);
        parrot
    }

    /// The id of a token.
    pub(crate) fn id(&self, text: &str) -> Option<usize> {
        self.tokens.iter().position(|token| *token == text.replace(' ', "Ġ"))
    }

    pub(crate) fn with(mut self, key: &str, value: Vec<u8>) -> Self {
        self.keys.insert(key.to_owned(), value);
        self
    }

    pub(crate) fn without_tensor(mut self, name: &str) -> Self {
        self.tensors.retain(|(known, ..)| known != name);
        self
    }

    /// The values of a tensor.
    pub(crate) fn values(&mut self, name: &str) -> &mut Vec<f32> {
        &mut self.tensors.iter_mut().find(|(known, ..)| known == name).unwrap().2
    }

    /// The file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut header = Header::new();
        header.strings("tokenizer.ggml.tokens", &self.tokens);
        header.i32s("tokenizer.ggml.token_type", &self.kinds);
        header.strings::<&str>("tokenizer.ggml.merges", &[]);
        self.keys.iter().for_each(|(key, value)| header.raw(key, value));
        for (name, shape, _) in &self.tensors {
            header.tensor(name, shape, DType::F32).unwrap();
        }
        let mut file = Vec::new();
        header.write_to(&mut file).unwrap();
        for (.., values) in &self.tensors {
            values.iter().for_each(|value| file.extend_from_slice(&value.to_le_bytes()));
            file.extend_from_slice(padding(values.len() * 4));
        }
        file
    }
}

fn keys() -> BTreeMap<String, Vec<u8>> {
    let texts = [
        ("general.architecture", "llama"),
        ("general.name", "Parrot"),
        ("tokenizer.ggml.model", "gpt2"),
        ("tokenizer.ggml.pre", "gpt-2"),
        ("tokenizer.chat_template", CHATML),
    ];
    let numbers = [
        ("llama.block_count", 1),
        ("llama.context_length", 512),
        ("llama.embedding_length", WIDTH as u32),
        ("llama.feed_forward_length", 32),
        ("llama.attention.head_count", 4),
        ("llama.attention.head_count_kv", 4),
    ];
    let texts = texts.into_iter().map(|(key, text)| (key.to_owned(), string_value(text.as_bytes())));
    let numbers = numbers.into_iter().map(|(key, number)| (key.to_owned(), u32_value(number)));
    let epsilon = ("llama.attention.layer_norm_rms_epsilon".to_owned(), f32_value(1e-5));
    texts.chain(numbers).chain([epsilon]).collect()
}

/// The layer adds nothing to the embedding; the output projection finds what follows it.
fn tensors(vocabulary: usize, follows: &[(usize, usize)]) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let embedding: Vec<f32> = (0..vocabulary * WIDTH).map(|_| random()).collect();
    let mut output = vec![0.0; vocabulary * WIDTH];
    for &(before, after) in follows {
        for at in 0..WIDTH {
            output[after * WIDTH + at] += embedding[before * WIDTH + at];
        }
    }
    let (ones, zeros) = (vec![1.0; WIDTH], |rows: usize, cols: usize| vec![0.0; rows * cols]);
    let square = |name: &str| (format!("blk.0.{name}.weight"), vec![WIDTH, WIDTH], zeros(WIDTH, WIDTH));
    let norm = |name: &str| (name.to_owned(), vec![WIDTH], ones.clone());
    vec![
        ("token_embd.weight".to_owned(), vec![vocabulary, WIDTH], embedding),
        ("output.weight".to_owned(), vec![vocabulary, WIDTH], output),
        norm("output_norm.weight"),
        norm("blk.0.attn_norm.weight"),
        norm("blk.0.ffn_norm.weight"),
        square("attn_q"),
        square("attn_k"),
        square("attn_v"),
        square("attn_output"),
        ("blk.0.ffn_gate.weight".to_owned(), vec![32, WIDTH], zeros(32, WIDTH)),
        ("blk.0.ffn_up.weight".to_owned(), vec![32, WIDTH], zeros(32, WIDTH)),
        ("blk.0.ffn_down.weight".to_owned(), vec![WIDTH, 32], zeros(WIDTH, 32)),
    ]
}

/// GPT-2's spelling of a byte: printable ones stand for themselves, the others for the letters from 256 on.
fn spelled(byte: u8) -> char {
    let prints = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    if prints(byte) {
        return char::from(byte);
    }
    let place = (0..byte).filter(|&other| !prints(other)).count() as u32;
    char::from_u32(256 + place).unwrap()
}
