//! The tensors of a model as its family describes them: what each is for, what either kind of file calls it, its shape.
//!
//! The description is walked by all who have to do with tensors: the model that loads them, the conversion of a Hugging
//! Face folder to a GGUF file, models of random weights, and the benchmark that counts matrices.

use super::config::ModelConfig;
use crate::EngineError;
use crate::weights::mxfp4::{self, BLOCKS, SCALES};
use crate::weights::{DType, Tensor, Weights};

/// What GGUF files of every family call the layers.
const GGUF_LAYERS: &str = "blk";
/// What they call the embedding.
const GGUF_EMBEDDING: &str = "token_embd.weight";

/// What a tensor is for. The matrices of a layer that have one slot are computed as one, in the order of the description:
/// three for queries, keys and values, or one that holds them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// A row for each token.
    Embedding,
    /// A row for each position.
    Positions,
    /// The norm before the output projection.
    OutputNorm,
    /// The output projection, where it is not the embedding.
    Output,
    /// What attention reads is normalized with it.
    AttentionNorm,
    /// Queries, keys and values, in this order.
    QueriesKeysValues,
    /// The norm of the queries.
    QueryNorm,
    /// Scales each head's keys before they are turned.
    KeyNorm,
    /// A score of each head that takes part in the softmax and stands for no position.
    AttentionSinks,
    /// From the heads back to the residual stream.
    AttentionOut,
    /// What a recurrent mixer reads of the residual stream: what the convolution goes over, what decides of decay and
    /// learning, and what lets out, in this order.
    RecurrentIn,
    /// The convolution along the sequence, `[channels, tokens]`.
    Convolution,
    /// How fast each head's state decays: below zero.
    Decay,
    /// What is added to what decides of the decay.
    DecayBias,
    /// What the heads of a recurrent mixer read is normalized with it.
    RecurrentNorm,
    /// From a recurrent mixer back to the residual stream.
    RecurrentOut,
    /// What attention adds is normalized with it.
    AttentionPostNorm,
    /// What the feed-forward part reads is normalized with it.
    FeedForwardNorm,
    /// The first step of the feed-forward part: the gate, if there is one, before what it is multiplied with.
    FeedForwardIn,
    /// The second step.
    FeedForwardOut,
    /// What scores the experts.
    Router,
    /// What is added to the scores of the experts where they are chosen.
    ChoiceBias,
    /// The first step of the expert that every token goes through, as [`Self::FeedForwardIn`].
    SharedExpertIn,
    /// The second step.
    SharedExpertOut,
    /// Its product with the token says how much of that expert's output counts.
    SharedExpertGate,
    /// What the router reads is normalized with it.
    RouterNorm,
    /// What the weights of each expert are multiplied with.
    ExpertScale,
    /// What the chosen experts read is normalized with it.
    ExpertsNorm,
    /// What they make.
    ExpertsPostNorm,
    /// What the expert that every token goes through makes.
    SharedExpertPostNorm,
    /// What the feed-forward part adds is normalized with it.
    FeedForwardPostNorm,
    /// A row for each token, of what all layers are told of it.
    PerLayerEmbedding,
    /// From the embedding to what else they are told.
    PerLayerProjection,
    /// What that is normalized with, layer by layer.
    PerLayerProjectionNorm,
    /// From the residual stream to what a layer is told gates.
    PerLayerGate,
    /// From there back.
    PerLayerOut,
    /// What that adds is normalized with it.
    PerLayerPostNorm,
    /// A number that the residual stream is multiplied with behind a layer.
    LayerScale,
    /// From the embedding to each residual stream but the first.
    StreamIn,
    /// And back.
    StreamOut,
    /// What tells of what kind a residual stream is.
    AltUpRouter,
    /// What that reads is normalized with it.
    AltUpRouterNorm,
    /// To each stream from each, by each kind.
    AltUpPrediction,
    /// How far each stream is moved, by each kind.
    AltUpCorrection,
    /// What the last step of a layer reads is multiplied with it.
    AltUpScale,
    /// The product beside attention: its first matrix, its second, and its norm.
    LaurelLeft,
    /// The second.
    LaurelRight,
    /// What it makes is normalized with it.
    LaurelNorm,
}

/// Which of the two tensors of a layer, as torch calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What is multiplied with.
    Weight,
    /// What is added.
    Bias,
}

/// How Hugging Face stores a tensor, where GGUF does otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// As GGUF does.
    Same,
    /// `[in, out]`, as the Conv1D layers of GPT-2 are.
    Transposed,
    /// Of each of `heads` heads, the rows of the first half before those of the second; GGUF has them in turn, for a rotation
    /// of neighbours (`permute` in `convert_hf_to_gguf.py`).
    InHalves {
        /// How many heads the rows are of.
        heads: usize,
    },
    /// Less one: what is multiplied with is `1 + w` (the norms of Gemma).
    LessOne,
    /// With an axis of one in the middle: a convolution of each channel by itself.
    Convolution,
    /// The logarithm of what is below zero here: `-e^w` is computed with.
    Logarithm,
}

/// Which rows of a tensor of Hugging Face are those of GGUF, where not all are, or not in this order: the first `kept`, then
/// piece by piece those of each of `heads` heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadOrder {
    /// Rows in Hugging Face, or columns.
    pub of: usize,
    /// Whether they are columns.
    pub are_columns: bool,
    /// As many stay where they are.
    pub kept: usize,
    /// Heads in Hugging Face, which share the rest evenly.
    pub heads: usize,
    /// Parts of a head, each from where on and how many, in GGUF's order.
    pub pieces: Vec<(usize, usize)>,
}

impl HeadOrder {
    /// Of `heads` heads behind the first `kept`, each of which has `members`, the first member of every head comes first, then
    /// the second, and so on.
    pub fn tiled(of: usize, kept: usize, heads: usize, members: usize) -> Self {
        let width = (of - kept) / (heads * members);
        let pieces = (0..members).map(|member| (member * width, width)).collect();
        Self { of, are_columns: false, kept, heads, pieces }
    }

    fn indices(&self) -> impl Iterator<Item = usize> {
        let stride = (self.of - self.kept) / self.heads;
        let of_head = move |(first, len): (usize, usize), head: usize| {
            let first = self.kept + head * stride + first;
            first..first + len
        };
        let pieces =
            self.pieces.iter().flat_map(move |&piece| (0..self.heads).flat_map(move |head| of_head(piece, head)));
        (0..self.kept).chain(pieces)
    }
}

/// A tensor as its family describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its role in the forward pass, whatever it is called in a file.
    pub slot: Slot,
    /// Whether it is multiplied with or added.
    pub part: Part,
    /// Its name in a Hugging Face folder, behind the prefix.
    pub hugging_face: String,
    /// Its name in a GGUF file.
    pub gguf: String,
    /// Row-major, as GGUF stores it: `[out, in]`.
    pub shape: Vec<usize>,
    /// How Hugging Face stores it.
    pub stored: Stored,
    /// Which part it is of a tensor of GGUF, which has an axis more.
    pub slice: Option<Slice>,
    /// Which rows of a tensor of Hugging Face it has, where not all or not in their order.
    pub order: Option<HeadOrder>,
    /// Where it is if there is no tensor of its name.
    pub otherwise: Option<Place>,
}

/// Where a file may have a tensor under another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What Hugging Face calls the tensor that it is, or is a part of; behind the prefix.
    pub hugging_face: String,
    /// The same for GGUF, where that may have it elsewhere.
    pub gguf: Option<String>,
    /// Which part it is.
    pub piece: Option<Piece>,
}

/// Which part a tensor is of one that holds the experts of a layer, and of each of them perhaps more than one matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Which expert's, along the first axis.
    pub slice: Slice,
    /// The first of its rows there.
    pub first: usize,
    /// From one of its rows to the next.
    pub step: usize,
    /// How many times as many rows there are.
    pub times: usize,
    /// Whether Hugging Face has outputs as columns.
    pub is_transposed: bool,
}

/// One of several tensors of Hugging Face that are one in GGUF, along a new first axis: those of the experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Which of them.
    pub index: usize,
    /// How many they are.
    pub of: usize,
}

impl TensorSpec {
    /// The shape of the GGUF tensor that it is, or a part of.
    pub fn gguf_shape(&self) -> Vec<usize> {
        self.slice.map(|slice| slice.of).into_iter().chain(self.shape.iter().copied()).collect()
    }

    /// Whether the GGUF tensor begins with it.
    pub fn begins_gguf(&self) -> bool {
        self.slice.is_none_or(|slice| slice.index == 0)
    }

    /// The shape of the Hugging Face tensor that it is, or a part of.
    fn hugging_face_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        match self.stored {
            Stored::Transposed => shape.reverse(),
            Stored::Convolution => shape.insert(1, 1),
            Stored::Same | Stored::InHalves { .. } | Stored::LessOne | Stored::Logarithm => {}
        }
        match &self.order {
            Some(order) if order.are_columns => shape[1] = order.of,
            Some(order) => shape[0] = order.of,
            None => {}
        }
        shape
    }

    /// The tensor of Hugging Face in GGUF's shape and order, but for what is left to whoever reads it ([`Self::stored`]).
    fn in_order(&self, tensor: Tensor) -> Result<Tensor, EngineError> {
        let tensor = match &self.order {
            Some(order) if order.are_columns => tensor.with_columns(&order.indices().collect::<Vec<_>>())?,
            Some(order) => tensor.with_rows(&order.indices().collect::<Vec<_>>())?,
            None => tensor,
        };
        if self.stored == Stored::Convolution { tensor.reshaped(self.shape.clone()) } else { Ok(tensor) }
    }

    /// Whether it is a matrix that activations are multiplied with, and not one whose rows are looked up.
    pub fn is_product(&self) -> bool {
        let is_read_otherwise =
            matches!(self.slot, Slot::Embedding | Slot::Positions | Slot::Convolution | Slot::PerLayerEmbedding);
        self.shape.len() > 1 && !is_read_otherwise
    }
}

/// Some tensors of a model, in the order in which files have them. Begun by [`Self::global_tensors`] or [`Self::layer_tensors`],
/// which say what the names have before them.
#[derive(Debug)]
pub struct TensorList {
    specs: Vec<TensorSpec>,
    hugging_face: String,
    gguf: String,
}

impl TensorList {
    /// The tensors that are there once.
    pub fn global_tensors() -> Self {
        Self { specs: Vec::new(), hugging_face: String::new(), gguf: String::new() }
    }

    /// The tensors of layer `index`, in what Hugging Face calls `layers`.
    pub fn layer_tensors(layers: &str, index: usize) -> Self {
        let (hugging_face, gguf) = (format!("{layers}.{index}."), format!("{GGUF_LAYERS}.{index}."));
        Self { specs: Vec::new(), hugging_face, gguf }
    }

    /// `.weight` of what is called `hugging_face` or `gguf`.
    pub fn weight(&mut self, slot: Slot, hugging_face: &str, gguf: &str, shape: &[usize]) -> &mut Self {
        self.named(slot, Part::Weight, [&format!("{hugging_face}.weight"), &format!("{gguf}.weight")], shape)
    }

    /// What is called by `names`, of Hugging Face and GGUF.
    pub fn named(&mut self, slot: Slot, part: Part, names: [&str; 2], shape: &[usize]) -> &mut Self {
        self.specs.push(TensorSpec {
            slot,
            part,
            hugging_face: format!("{}{}", self.hugging_face, names[0]),
            gguf: format!("{}{}", self.gguf, names[1]),
            shape: shape.to_vec(),
            stored: Stored::Same,
            slice: None,
            otherwise: None,
            order: None,
        });
        self
    }

    /// Where the last one is if there is no tensor of its name; `names` are those of Hugging Face and GGUF.
    pub fn otherwise(&mut self, names: (&str, Option<&str>), piece: Option<Piece>) -> &mut Self {
        let hugging_face = format!("{}{}", self.hugging_face, names.0);
        let gguf = names.1.map(|name| format!("{}{name}", self.gguf));
        if let Some(last) = self.specs.last_mut() {
            last.otherwise = Some(Place { hugging_face, gguf, piece });
        }
        self
    }

    /// Which rows of a tensor of Hugging Face the last one has.
    pub fn order(&mut self, order: Option<HeadOrder>) -> &mut Self {
        if let Some(last) = self.specs.last_mut() {
            last.order = order;
        }
        self
    }

    /// That Hugging Face calls the last one so without `.weight`.
    pub fn bare(&mut self) -> &mut Self {
        if let Some(last) = self.specs.last_mut() {
            last.hugging_face = last.hugging_face.trim_end_matches(".weight").to_owned();
        }
        self
    }

    /// How Hugging Face stores the last one.
    pub fn stored(&mut self, stored: Stored) -> &mut Self {
        if let Some(last) = self.specs.last_mut() {
            last.stored = stored;
        }
        self
    }

    /// That GGUF has the last one in one tensor with others.
    pub fn slice(&mut self, index: usize, of: usize) -> &mut Self {
        if let Some(last) = self.specs.last_mut() {
            last.slice = Some(Slice { index, of });
        }
        self
    }

    /// The `.bias` beside the last `.weight`, where there `is` one: a value for each output.
    pub fn bias(&mut self, is: bool) -> &mut Self {
        let bias_of = |weight: &TensorSpec| {
            let renamed = |name: &str| format!("{}.bias", name.trim_end_matches(".weight"));
            TensorSpec {
                part: Part::Bias,
                hugging_face: renamed(&weight.hugging_face),
                gguf: renamed(&weight.gguf),
                shape: weight.shape[..1].to_vec(),
                stored: if weight.stored == Stored::Transposed { Stored::Same } else { weight.stored },
                slot: weight.slot,
                slice: weight.slice,
                otherwise: None,
                order: None,
            }
        };
        let bias = self.specs.last().filter(|_| is).map(bias_of);
        self.specs.extend(bias);
        self
    }

    /// What was listed.
    pub fn done(self) -> Vec<TensorSpec> {
        self.specs
    }
}

/// What stands before the names of a Hugging Face folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// Before all names but that of the output projection.
    pub body: &'static str,
    /// Before that.
    pub head: &'static str,
}

/// In which kind of file tensors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Gguf,
    HuggingFace(Prefix),
}

/// The tensors of a file, found by what the family says of them.
#[derive(Debug)]
pub struct ModelTensors<'a> {
    config: &'a ModelConfig,
    weights: &'a Weights,
    spelling: Spelling,
}

impl<'a> ModelTensors<'a> {
    /// Those that `config` asks for among `weights`, whichever kind of file they are from.
    pub fn new(config: &'a ModelConfig, weights: &'a Weights) -> Self {
        let is_gguf = weights.contains(GGUF_EMBEDDING) || weights.has_any(&format!("{GGUF_LAYERS}."));
        let spelling = if is_gguf { Spelling::Gguf } else { Spelling::HuggingFace(prefix(config, weights)) };
        Self { config, weights, spelling }
    }

    /// The tensors that are there once.
    pub fn global_tensors(&self) -> Vec<TensorSpec> {
        self.config.family.global_tensors(self.config)
    }

    /// The tensors of layer `index`.
    pub fn layer_tensors(&self, index: usize) -> Vec<TensorSpec> {
        self.config.family.layer_tensors(self.config, index)
    }

    /// How the file stores it, beside GGUF.
    pub fn stored(&self, spec: &TensorSpec) -> Stored {
        match self.spelling {
            Spelling::Gguf => Stored::Same,
            Spelling::HuggingFace(_) => spec.stored,
        }
    }

    /// What the file calls it, and which part it is of that.
    fn place(&self, spec: &TensorSpec) -> (String, Option<Piece>) {
        let name = match self.spelling {
            Spelling::Gguf => spec.gguf.clone(),
            Spelling::HuggingFace(Prefix { head, .. }) if spec.slot == Slot::Output => {
                head.to_owned() + &spec.hugging_face
            }
            Spelling::HuggingFace(Prefix { body, .. }) => body.to_owned() + &spec.hugging_face,
        };
        let place = spec.otherwise.as_ref();
        let other = place.and_then(|place| match self.spelling {
            Spelling::Gguf => Some((place.gguf.clone()?, place.piece)),
            Spelling::HuggingFace(Prefix { body, .. }) => Some((body.to_owned() + &place.hugging_face, place.piece)),
        });
        match other {
            // It is there, whole or in two, or there is no other name for it.
            Some((other, piece)) if other == name || (!self.weights.contains(&name) && self.has(&other)) => {
                (other, piece)
            }
            _ => (name, None),
        }
    }

    /// Whether there is a tensor of this name, or the two that make one.
    fn has(&self, name: &str) -> bool {
        self.weights.contains(name) || self.weights.contains(&format!("{name}{BLOCKS}"))
    }

    /// Whether all are there, which is worth knowing before the first is read.
    ///
    /// # Errors
    /// [`EngineError::MissingTensor`].
    pub fn check(&self) -> Result<(), EngineError> {
        let layers = (0..self.config.n_layer()).flat_map(|layer| self.layer_tensors(layer));
        let mut all = self.global_tensors().into_iter().chain(layers);
        all.try_for_each(|spec| {
            let (name, _) = self.place(&spec);
            if self.has(&name) { Ok(()) } else { self.weights.find(&name).map(|_| ()) }
        })
    }

    /// Bytes of the tables whose rows are read from the file, and not held in memory.
    pub fn bytes_left_in_file(&self) -> u64 {
        let specs = self.global_tensors().into_iter().filter(|spec| spec.slot == Slot::PerLayerEmbedding);
        let tables = specs.filter_map(|spec| self.weights.find(&self.place(&spec).0).ok());
        tables.map(|table| table.bytes().len() as u64).sum()
    }

    /// The tensor, as the file stores it, or as it would store it by itself.
    ///
    /// # Errors
    /// Those of [`Weights::tensor`].
    pub fn tensor(&self, spec: &TensorSpec) -> Result<Tensor, EngineError> {
        let (name, piece) = self.place(spec);
        if let Some(piece) = piece {
            return self.piece(&name, spec, piece);
        }
        match (self.spelling, spec.slice) {
            (Spelling::Gguf, None) => self.vector_or_row(&name, &spec.shape),
            (Spelling::Gguf, Some(Slice { index, of })) => {
                self.weights.tensor(&name, &spec.gguf_shape())?.part(index, of)
            }
            (Spelling::HuggingFace(_), _) => spec.in_order(self.vector_or_row(&name, &spec.hugging_face_shape())?),
        }
    }

    /// The tensor; a vector may be stored as a matrix of one row.
    fn vector_or_row(&self, name: &str, shape: &[usize]) -> Result<Tensor, EngineError> {
        match *shape {
            [len] if self.weights.find(name)?.shape() == [1, len] => self.weights.tensor(name, &[1, len])?.part(0, 1),
            _ => self.weights.tensor(name, shape),
        }
    }

    /// The part `piece` of the tensor `name`, as a tensor of its own.
    fn piece(&self, name: &str, spec: &TensorSpec, piece: Piece) -> Result<Tensor, EngineError> {
        self.holder(name, spec, piece)?.cut(piece, spec.shape[0])
    }

    /// What the part `piece` of the tensor `name` is cut from.
    fn holder(&self, name: &str, spec: &TensorSpec, piece: Piece) -> Result<Holder, EngineError> {
        let (of, rows, columns) = (piece.slice.of, spec.shape[0] * piece.times, &spec.shape[1..]);
        if let [columns] = *columns
            && !self.weights.contains(name)
        {
            let blocks = columns / DType::MXFP4.block_size();
            let codes = self.weights.codes(&format!("{name}{BLOCKS}"), &[of, rows, blocks, mxfp4::CODES])?;
            let scales = self.weights.codes(&format!("{name}{SCALES}"), &[of, rows, blocks])?;
            return Ok(Holder::Codes { name: name.to_owned(), codes, scales });
        }
        let is_transposed = piece.is_transposed && !columns.is_empty() && self.spelling != Spelling::Gguf;
        let mut shape = [&[rows][..], columns].concat();
        if is_transposed {
            shape.reverse();
        }
        let tensor = self.weights.tensor(name, &[&[of][..], &shape].concat())?;
        Ok(Holder::Whole { tensor, is_transposed })
    }

    /// The tensor, where it takes memory of its own, to be made when it is needed.
    ///
    /// # Errors
    /// Those of [`Self::tensor`].
    pub fn later(&self, spec: &TensorSpec) -> Result<Option<LaterTensor>, EngineError> {
        let (name, Some(piece)) = self.place(spec) else { return Ok(None) };
        let holder = self.holder(&name, spec, piece)?;
        Ok(holder.copies(piece).then(|| LaterTensor { name, shape: spec.shape.clone(), holder, piece }))
    }

    /// The values of the tensor, as they are computed with. Those of a vector are few; a matrix is better packed as it is.
    ///
    /// # Errors
    /// Those of [`Self::tensor`], and where its format cannot be read.
    pub fn values(&self, spec: &TensorSpec) -> Result<Vec<f32>, EngineError> {
        let mut values = self.tensor(spec)?.to_f32()?;
        match self.stored(spec) {
            Stored::LessOne => values.iter_mut().for_each(|value| *value += 1.0),
            Stored::Logarithm => values.iter_mut().for_each(|value| *value = -value.exp()),
            Stored::Same | Stored::Transposed | Stored::InHalves { .. } | Stored::Convolution => {}
        }
        Ok(values)
    }
}

/// What the matrices of several experts are cut from.
#[derive(Debug)]
enum Holder {
    /// One tensor.
    Whole { tensor: Tensor, is_transposed: bool },
    /// Two, of which [`mxfp4`] makes one.
    Codes { name: String, codes: Tensor, scales: Tensor },
}

impl Holder {
    /// The `rows` rows that `piece` says.
    fn cut(&self, piece: Piece, rows: usize) -> Result<Tensor, EngineError> {
        let Piece { slice: Slice { index, of }, first, step, .. } = piece;
        match self {
            Self::Whole { tensor, is_transposed: false } => tensor.part(index, of)?.rows(first, step, rows),
            Self::Whole { tensor, is_transposed: true } => {
                let part = tensor.part(index, of)?;
                let columns = part.columns(first, step, rows);
                part.release();
                columns
            }
            Self::Codes { name, codes, scales } => {
                let picked = |tensor: &Tensor| tensor.part(index, of)?.rows(first, step, rows);
                mxfp4::join(name.clone(), &picked(codes)?, &picked(scales)?)
            }
        }
    }

    /// Whether that takes memory of its own.
    fn copies(&self, piece: Piece) -> bool {
        match self {
            Self::Whole { is_transposed, .. } => *is_transposed || piece.step > 1,
            Self::Codes { .. } => true,
        }
    }
}

/// A tensor that takes memory of its own, of which nothing is there before it is asked for.
#[derive(Debug)]
pub struct LaterTensor {
    name: String,
    shape: Vec<usize>,
    holder: Holder,
    piece: Piece,
}

impl LaterTensor {
    /// What it is cut from is called so.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Row-major.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The format that it will have.
    pub fn dtype(&self) -> DType {
        match &self.holder {
            Holder::Whole { tensor, .. } => tensor.dtype(),
            Holder::Codes { .. } => DType::MXFP4,
        }
    }

    /// It.
    ///
    /// # Errors
    /// Where it cannot be cut from what holds it.
    pub fn make(&self) -> Result<Tensor, EngineError> {
        self.holder.cut(self.piece, self.shape[0])
    }
}

/// What stands before the names here.
fn prefix(config: &ModelConfig, weights: &Weights) -> Prefix {
    let prefixes = config.family.prefixes();
    let is_used = |prefix: &&Prefix| weights.has_any(prefix.body);
    prefixes.iter().find(is_used).or(prefixes.first()).copied().unwrap_or(Prefix { body: "", head: "" })
}

/// What is among the tensors of a Hugging Face folder and no weight: what older versions of transformers saved along, and an
/// output projection beside the embedding it is tied to.
#[derive(Debug)]
pub struct Leftovers<'a> {
    config: &'a ModelConfig,
    tied_output: Option<String>,
}

impl<'a> Leftovers<'a> {
    /// Those of a model of this shape.
    pub fn of(config: &'a ModelConfig) -> Self {
        let untied = ModelConfig { tied: false, ..config.clone() };
        let outputs = config.family.global_tensors(&untied).into_iter().filter(|spec| spec.slot == Slot::Output);
        let tied_output = outputs.map(|spec| spec.hugging_face).next().filter(|_| config.tied);
        Self { config, tied_output }
    }

    /// Whether the tensor of this name is one.
    pub fn contains(&self, name: &str) -> bool {
        let stripped = |prefix: &Prefix| [prefix.body, prefix.head].map(|prefix| name.strip_prefix(prefix));
        let mut names = self.config.family.prefixes().iter().flat_map(stripped).flatten().chain([name]);
        names
            .any(|name| self.tied_output.as_deref() == Some(name) || self.config.family.is_left_over(self.config, name))
    }
}

/// The matrices `[out, in]` that a token goes through, layer by layer, and at last the output projection.
pub fn matrices(config: &ModelConfig) -> (Vec<[usize; 2]>, [usize; 2]) {
    let products = config.layers.iter().enumerate().flat_map(|(index, layer)| {
        let used = layer.feed_forward.used_experts();
        // Any of the experts are as good as others.
        let is_used = move |spec: &TensorSpec| spec.slice.is_none_or(|slice| slice.index < used);
        config.family.layer_tensors(config, index).into_iter().filter(move |spec| spec.is_product() && is_used(spec))
    });
    let shapes = products.filter_map(|spec| <[usize; 2]>::try_from(spec.shape).ok());
    (shapes.collect(), [config.vocab_size, config.n_embd])
}
