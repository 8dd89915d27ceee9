//! How a reply came to be: everything that it takes to compute it again, and what it cost. It is stored and exported with
//! the message.
//!
//! A reply is made of passages: one for each time that a model was asked for it or for more of it. What stands between
//! them was written or chosen by a person, or is the template's own (the opening of a thought).

use serde::{Deserialize, Serialize};

use super::MessageId;
use gibber_engine::sampling::{Parameter, SamplingValues};
use gibber_engine::{SamplingParams, TokenId};

/// How a reply came to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// The model that wrote it, or the last part of it.
    pub model: ModelIdentity,
    /// The stretches that were generated, in the order of the text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passages: Vec<Passage>,
    /// The tokens that a person took from the alternatives to one that was said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
    /// What the reply was called in a comparison.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "lane")]
    pub variant: Option<String>,
    /// How surprising the reply was to the model itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<f32>,
}

/// Which model it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelIdentity {
    /// What people call it.
    pub name: String,
    /// A hash of its weights and of what they are computed with; empty where nobody knows.
    pub hash: String,
    /// The format of most of its weights.
    pub format: String,
    /// Where it was on this machine: no part of what is exported.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
}

/// A stretch of a reply that was generated in one go.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Passage {
    /// Where it begins in the message, in bytes.
    pub start: usize,
    /// Where what is part of this reply ends, in bytes; `None` where all of it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<usize>,
    /// Whether what stands before it in the message was part of the prompt.
    pub is_continued: bool,
    /// The model, where it is not that of the whole reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelIdentity>,
    /// What it was computed with.
    pub machine: Machine,
    /// What the model went on from.
    pub prompt: PromptRecord,
    /// The most tokens; `None` for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// The person's own texts that end a reply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Of the draws.
    pub seed: u64,
    /// The filters: (tokens chosen before, the filters from there on). The first entry is the start.
    pub sampling: Vec<(usize, RecordedSampling)>,
    /// What a person did to the tokens: (tokens chosen before, the token that was picked, or `None` where one was taken
    /// back).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<(usize, Option<TokenId>)>,
    /// Those of the reply, without the prompt's.
    pub tokens: Vec<TokenId>,
    /// How it ended; `None` where the program ended first, or where only its beginning is part of this reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// What it cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// What a reply was computed with. Replies are the same bit by bit where all of it is the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// The version of the program.
    pub version: String,
    /// The instruction set of the inner loops, as `GIBBER_ISA` calls it.
    pub isa: String,
    /// How keys and values were kept.
    pub cache: String,
    /// The format that weights were quantized to as they were loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantize: Option<String>,
    /// Tokens of the context.
    pub context: usize,
    /// Prompt tokens computed in one pass.
    pub batch: usize,
}

/// What a model went on from, beside the messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PromptRecord {
    /// The system message; empty is the template's own.
    pub system: String,
    /// The chat template, as a person names it.
    pub template: String,
    /// Whether the model was to think; `None` leaves it to the template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<bool>,
    /// How many messages at the beginning of the chat the context had no room for.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: usize,
    /// Tokens of the prompt.
    pub tokens: usize,
    /// A hash of them; empty where nobody knows.
    pub hash: String,
    /// The passes that computed it, run by run: (tokens that are left of the pass, tokens of the pass). How a prompt was
    /// cut into passes changes the last bits of what is computed.
    pub passes: Vec<(u32, u32)>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Filters as they were recorded. Those that this version does not know are kept as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RecordedSampling {
    /// This version knows each of them.
    Known(Box<SamplingParams>),
    /// A later version has written them.
    Other(serde_json::Value),
}

impl RecordedSampling {
    /// The filters, where this version knows each of them.
    pub fn known(&self) -> Option<&SamplingParams> {
        match self {
            Self::Known(sampling) => Some(sampling),
            Self::Other(_) => None,
        }
    }
}

impl From<&SamplingParams> for RecordedSampling {
    fn from(sampling: &SamplingParams) -> Self {
        Self::Known(Box::new(sampling.clone()))
    }
}

/// A token that a person took in the place of one that was said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alternative {
    /// Where its text begins in the message, in bytes.
    pub start: usize,
    /// Its id in the vocabulary of that model.
    pub token: TokenId,
    /// How many tokens were more probable there.
    pub rank: u32,
}

/// How a passage ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The model ended its turn.
    EndOfTurn,
    /// A stop text was met.
    StopText(String),
    /// The most tokens were reached.
    Length,
    /// The person stopped it.
    Stopped,
    /// The context was full.
    Context,
}

/// What a passage cost. Times are in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// Tokens of the prompt that were in the KV cache already.
    pub reused_tokens: usize,
    /// From the command to the first token.
    pub ttft_ms: f64,
    /// In prefill.
    pub prefill_ms: f64,
    /// From the first token to the last.
    pub decode_ms: f64,
    /// In forward passes after prefill.
    pub forward_ms: f64,
    /// In sampling.
    pub sample_ms: f64,
    /// At rest, while a person chose tokens.
    pub paused_ms: f64,
    /// Tokens that were guessed.
    pub drafted_tokens: usize,
    /// Those of them that came true.
    pub accepted_tokens: usize,
    /// Tokens that a person picked.
    pub picked_tokens: usize,
}

impl Provenance {
    /// What is known of a reply that begins with the first `end` bytes of this one.
    #[must_use]
    pub fn beginning(&self, end: usize) -> Self {
        let mut beginning = Self { perplexity: None, variant: None, ..self.clone() };
        beginning.passages.retain(|passage| passage.start < end);
        beginning.alternatives.retain(|alternative| alternative.start < end);
        if let Some(last) = beginning.passages.last_mut() {
            last.end = Some(last.end.map_or(end, |before| before.min(end)));
        }
        beginning
    }

    /// As it may leave this machine: without what only tells of it.
    #[must_use]
    pub fn exported(&self) -> Self {
        let mut exported = self.clone();
        let models = exported.passages.iter_mut().filter_map(|passage| passage.model.as_mut());
        models.chain([&mut exported.model]).for_each(|model| model.path.clear());
        exported
    }

    /// The names of the models that wrote the reply, one after the other; mostly there is one.
    pub fn writers(&self) -> Vec<&str> {
        let of_passages = self.passages.iter().map(|passage| self.model_of(passage));
        let all = of_passages.chain([&self.model]).map(|model| model.name.as_str());
        let mut writers: Vec<&str> = all.filter(|name| !name.is_empty()).collect();
        writers.dedup();
        writers
    }

    /// The model that wrote a passage.
    pub fn model_of<'a>(&'a self, passage: &'a Passage) -> &'a ModelIdentity {
        passage.model.as_ref().unwrap_or(&self.model)
    }
}

impl Provenance {
    /// The passage that byte `at` of the message is part of; `None` for what a person or the template wrote.
    pub fn passage_at(&self, at: usize) -> Option<&Passage> {
        let is_chosen = self.alternatives.iter().any(|alternative| alternative.start == at);
        let passage = self.passages.iter().rev().find(|passage| passage.start <= at)?;
        Some(passage).filter(|passage| !is_chosen && passage.end.is_none_or(|end| at < end))
    }
}

/// Tokens of a context that no model has.
const TOO_MANY: usize = 1 << 31;

impl Provenance {
    /// Why a message that reads `content`, of a chat with `count` messages, cannot have come to be like this; `None` where it
    /// can.
    pub fn fault(&self, content: &str, count: usize) -> Option<String> {
        let is_place = |at: usize| content.is_char_boundary(at);
        let wrong = |at: usize| format!("a part of it is to begin or end at byte {at} of {}", content.len());
        if let Some(alternative) = self.alternatives.iter().find(|alternative| !is_place(alternative.start)) {
            return Some(wrong(alternative.start));
        }
        if self.perplexity.is_some_and(|perplexity| !perplexity.is_finite() || perplexity < 0.0) {
            return Some("its perplexity is no number that there is".to_owned());
        }
        let mut before = 0;
        for passage in &self.passages {
            let (start, end) = (passage.start, passage.end.unwrap_or(content.len()));
            if let Some(at) = [start, end].into_iter().find(|at| !is_place(*at)) {
                return Some(wrong(at));
            }
            if start < before || end < start {
                return Some("its parts are not in the order of its text".to_owned());
            }
            before = start;
            if let Some(fault) = passage.fault(count) {
                return Some(fault);
            }
        }
        None
    }
}

impl Passage {
    /// Why no model can have written a part of a reply like this; `None` where one can.
    fn fault(&self, count: usize) -> Option<String> {
        let known = self.sampling.iter().filter_map(|(_, sampling)| sampling.known());
        if let Some(error) = known.map(SamplingParams::validate).find_map(Result::err) {
            return Some(error.to_string());
        }
        let are_sorted = self.sampling.is_sorted_by_key(|(at, _)| *at) && self.steps.is_sorted_by_key(|(at, _)| *at);
        if !are_sorted {
            return Some("its changes are not in the order of its tokens".to_owned());
        }
        if self.prompt.left_out > count {
            return Some(format!("its prompt is to have left {} of {count} messages out", self.prompt.left_out));
        }
        let context = self.machine.context;
        if context >= TOO_MANY {
            return Some(format!("no context has {context} tokens"));
        }
        (self.max_tokens == Some(0)).then(|| "it is to have no tokens".to_owned())
    }

    /// The filters in force after `chosen` tokens, where this version knows them.
    pub fn sampling_after(&self, chosen: usize) -> Option<&SamplingParams> {
        let in_force = self.sampling.iter().rev().find(|(from, _)| *from <= chosen)?;
        in_force.1.known()
    }
}

/// The row that stands at the top of the view of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewPlace {
    /// Of which message.
    pub message: MessageId,
    /// Which of its rows, from 0, in the width that the view had.
    #[serde(default)]
    pub row: usize,
}

/// What a chat keeps beside its messages, to be gone on with as it was left.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChatSettings {
    /// The filters in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<RecordedSampling>,
    /// The chat template, as a person names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What the model is asked for by: its name or its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where the view of it was left; nothing where that was its end. It is no part of what is exported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<ViewPlace>,
    /// What of all that a person has chosen for this chat; `None` where an earlier version has kept it, which did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
    /// What later versions keep.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// What a person has chosen for a chat: the rest is as the settings and the model have it when the chat is opened.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Chosen {
    /// The parameters of the sampling by their keys. Those that this version does not know are kept.
    pub sampling: serde_json::Map<String, serde_json::Value>,
    /// The chat template, as a person names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What later versions keep.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

impl ChatSettings {
    /// As they may leave this machine: without what only tells of it.
    #[must_use]
    pub fn exported(&self) -> Self {
        Self { view: None, ..self.clone() }
    }

    /// Notes what a person has chosen.
    pub fn choose(&mut self, sampling: &SamplingValues, template: Option<&str>) {
        let chosen = self.chosen.get_or_insert_default();
        chosen.sampling.retain(|key, _| Parameter::of_key(key).is_none());
        chosen.sampling.extend(table_of(sampling));
        chosen.template = template.map(str::to_owned);
    }

    /// The sampling that a person has chosen. What no version could have written is nothing; where it is not known what was
    /// chosen, it is what is not the program's default.
    pub fn chosen_sampling(&self) -> SamplingValues {
        let chosen = match (&self.chosen, &self.sampling) {
            (Some(chosen), _) => chosen.sampling.clone(),
            (None, Some(RecordedSampling::Known(kept))) => table_of(&SamplingValues::differing(kept)),
            (None, _) => return SamplingValues::default(),
        };
        let mut values = SamplingValues::default();
        for (key, value) in chosen {
            let Some(parameter) = Parameter::of_key(&key) else { continue };
            let value = serde_json::from_value(value).ok().and_then(|value| parameter.spec().read(&value).ok());
            value.into_iter().for_each(|value| values.set(parameter, value));
        }
        values
    }

    /// The chat template that a person has chosen.
    pub fn chosen_template(&self) -> Option<String> {
        match &self.chosen {
            Some(chosen) => chosen.template.clone(),
            None => self.template.clone().filter(|template| template != "model"),
        }
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// As JSON has them.
fn table_of(values: &SamplingValues) -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(values) {
        Ok(serde_json::Value::Object(table)) => table,
        _ => serde_json::Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_told() {
        let hot = SamplingParams { temperature: 99.0, ..SamplingParams::default() };
        let hot = vec![(0, RecordedSampling::from(&hot))];
        let passage = |change: fn(&mut Passage)| {
            let mut passage = Passage::default();
            change(&mut passage);
            Provenance { passages: vec![passage], ..Provenance::default() }
        };
        let one = Passage { start: 4, ..Passage::default() };
        for (made, fault) in [
            (passage(|it| it.start = 900), "to begin or end at byte 900 of 6"),
            (passage(|it| it.start = 5), "to begin or end at byte 5 of 6"),
            (passage(|it| it.end = Some(7)), "to begin or end at byte 7 of 6"),
            (passage(|it| (it.start, it.end) = (3, Some(2))), "not in the order of its text"),
            (passage(|it| it.prompt.left_out = 3), "left 3 of 2 messages out"),
            (passage(|it| it.steps = vec![(4, None), (2, None)]), "not in the order of its tokens"),
            (passage(|it| it.machine.context = usize::MAX), "no context has"),
            (passage(|it| it.max_tokens = Some(0)), "to have no tokens"),
            (Provenance { passages: vec![one, Passage::default()], ..Provenance::default() }, "order of its text"),
            (
                Provenance { passages: vec![Passage { sampling: hot, ..Passage::default() }], ..Provenance::default() },
                "temperature = 99 is out of range",
            ),
            (Provenance { perplexity: Some(-1.0), ..Provenance::default() }, "its perplexity"),
        ] {
            let said = made.fault("four\u{e9}", 2).unwrap();
            assert!(said.contains(fault), "{fault}: {said}");
        }
        assert_eq!(passage(|it| (it.start, it.end) = (4, Some(6))).fault("four\u{e9}", 2), None);
    }

    #[test]
    fn each_byte_of_a_reply_was_drawn_with_the_filters_of_its_place() {
        let hot = SamplingParams { temperature: 2.0, ..SamplingParams::default() };
        let sampling = vec![(0, (&SamplingParams::default()).into()), (3, (&hot).into())];
        let first = Passage { start: 2, end: Some(9), sampling, ..Passage::default() };
        let second = Passage { start: 12, ..Passage::default() };
        let alternatives = vec![Alternative { start: 14, ..Alternative::default() }];
        let made = Provenance { passages: vec![first, second], alternatives, ..Provenance::default() };
        let starts = [0, 2, 8, 9, 11, 12, 14, 99].map(|at| made.passage_at(at).map(|passage| passage.start));
        assert_eq!(starts, [None, Some(2), Some(2), None, None, Some(12), None, Some(12)]);
        let first = &made.passages[0];
        assert_eq!([2, 3].map(|chosen| first.sampling_after(chosen).map(|it| it.temperature)), [Some(0.8), Some(2.0)]);
        assert_eq!(made.passages[1].sampling_after(5), None);
    }

    #[test]
    fn a_record_comes_back_from_json_bit_by_bit() {
        let sampling = SamplingParams { temperature: 0.1 + 0.2, min_p: 1.0 / 3.0, ..SamplingParams::default() };
        let passage = Passage {
            seed: u64::MAX,
            sampling: vec![(0, (&sampling).into())],
            steps: vec![(3, Some(7)), (4, None)],
            tokens: vec![1, 2, 3],
            ending: Some(Ending::StopText("\n".into())),
            cost: Some(Cost { ttft_ms: 0.1, ..Cost::default() }),
            ..Passage::default()
        };
        let record = Provenance { passages: vec![passage], variant: Some("seed 7".into()), ..Provenance::default() };
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Provenance>(&json).unwrap(), record, "{json}");
    }

    #[test]
    fn what_a_later_version_adds_is_no_error_and_its_filters_are_kept() {
        let json = r#"{"model":{"name":"m","colour":1},"mood":2,
            "passages":[{"sampling":[[0,{"temperature":0.5,"warmth":9}]],"seed":3}]}"#;
        let record: Provenance = serde_json::from_str(json).unwrap();
        assert_eq!((record.model.name.as_str(), record.passages[0].seed), ("m", 3));
        let sampling = &record.passages[0].sampling[0].1;
        assert_eq!(sampling.known(), None);
        assert!(serde_json::to_string(sampling).unwrap().contains("\"warmth\":9"));
        let settings: ChatSettings = serde_json::from_str(r#"{"place":{"message":4}}"#).unwrap();
        assert_eq!(serde_json::to_string(&settings).unwrap(), r#"{"place":{"message":4}}"#);
    }
}
