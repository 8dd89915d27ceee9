use std::path::Path;

use super::*;
use crate::CacheType;
use crate::kernels::attention::CacheTypes;

/// What a lane was told, and how it ended.
#[derive(Default)]
struct Heard {
    script: Script,
    end: Option<(FinishReason, GenerationStats)>,
    /// The order in which all lanes draw.
    turns: std::rc::Rc<std::cell::RefCell<Vec<usize>>>,
    variant: usize,
}

impl Control for Heard {
    fn on_prefill(&mut self, progress: PrefillProgress) {
        self.script.on_prefill(progress);
    }

    fn on_token(&mut self, trace: TokenTrace, context_used: usize) {
        self.script.on_token(trace, context_used);
    }

    fn is_cancelled(&mut self) -> bool {
        self.script.is_cancelled()
    }

    fn new_sampling(&mut self, tokens: usize) -> Option<SamplingParams> {
        self.turns.borrow_mut().push(self.variant);
        self.script.new_sampling(tokens)
    }

    fn make_room(&mut self, reply: usize) -> Result<Option<Vec<TokenId>>, EngineError> {
        self.script.make_room(reply)
    }

    fn on_end(&mut self, reason: FinishReason, stats: GenerationStats) {
        assert!(self.end.is_none(), "an end twice");
        self.end = Some((reason, stats));
    }
}

fn variants(options: impl IntoIterator<Item = GenerateOptions>) -> Vec<Variant<Heard>> {
    let turns = std::rc::Rc::<std::cell::RefCell<Vec<usize>>>::default();
    let heard = |variant| Heard { variant, turns: std::rc::Rc::clone(&turns), ..Heard::default() };
    options.into_iter().enumerate().map(|(variant, options)| Variant { options, control: heard(variant) }).collect()
}

fn run_variants(model: &mut LoadedModel, variants: &mut [Variant<Heard>]) -> Vec<Inference> {
    generate_variants(&mut model.inference, &model.tokenizer, PROMPT.to_vec(), variants).unwrap()
}

/// Settings, seeds, lengths and lookups that differ.
fn various() -> Vec<GenerateOptions> {
    let greedy = SamplingParams { temperature: 0.0, ..open() };
    vec![
        options(1, 40),
        options(2, 25),
        GenerateOptions { sampling: greedy.clone(), lookup: PromptLookup::On, ..options(3, 60) },
        GenerateOptions { sampling: SamplingParams { repeat_penalty: 1.3, ..greedy }, candidates: 3, ..options(3, 40) },
    ]
}

/// A lane: how it is generated, and what it is told on the way, each time anew.
struct Plan<'a> {
    options: GenerateOptions,
    script: &'a dyn Fn() -> Script,
}

fn unscripted(options: Vec<GenerateOptions>) -> Vec<Plan<'static>> {
    options.into_iter().map(|options| Plan { options, script: &Script::default }).collect()
}

/// Generates the lanes together, and then each alone with a model of its own: they say the same, end for the same reason,
/// and leave the same behind, to the last bit of the logits. Returns how the lanes ended.
fn assert_each_is_as_alone(
    what: &str,
    model: impl Fn() -> LoadedModel,
    prompt: &[TokenId],
    plans: &[Plan<'_>],
) -> Vec<FinishReason> {
    let mut together = model();
    let mut variants = variants(plans.iter().map(|plan| plan.options.clone()));
    for (variant, plan) in variants.iter_mut().zip(plans) {
        variant.control.script = (plan.script)();
    }
    let others =
        generate_variants(&mut together.inference, &together.tokenizer, prompt.to_vec(), &mut variants).unwrap();
    let left = std::iter::once(&together.inference).chain(&others);
    let mut ends = Vec::new();
    assert_eq!(others.len() + 1, plans.len());
    for (at, ((variant, left), plan)) in variants.into_iter().zip(left).zip(plans).enumerate() {
        let (mut alone, mut heard) = (model(), (plan.script)());
        let (reason, stats) = run(&mut alone, prompt, &plan.options, &mut heard);
        let Heard { script, end, .. } = variant.control;
        assert_eq!(script.tokens, heard.tokens, "lane {at} of {what}");
        assert_eq!(script.context_used, heard.context_used, "lane {at} of {what}");
        let (ended, of_variant) = end.unwrap();
        assert_eq!((&ended, of_variant.completion_tokens), (&reason, stats.completion_tokens), "lane {at} of {what}");
        assert_eq!((of_variant.seed, of_variant.prompt_tokens), (stats.seed, stats.prompt_tokens));
        assert_eq!(left.held(), alone.inference.held(), "lane {at} of {what}");
        let bits = |inference: &Inference| Some(inference.logits()?.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
        assert!(bits(left) == bits(&alone.inference), "the logits of lane {at} of {what}");
        ends.push(reason);
    }
    ends
}

fn loaded(source: ModelSource, cache: CacheTypes, context: usize) -> LoadedModel {
    let options = LoadOptions { threads: Some(2), context: Some(context), cache, ..LoadOptions::default() };
    load(&source, &options, &mut |_, _| {}).unwrap()
}

fn synthetic(shape: &str) -> ModelSource {
    ModelSource::Synthetic(shape.into())
}

fn fixture(name: &str) -> ModelSource {
    ModelSource::Path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name))
}

#[test]
fn each_variant_says_what_it_would_say_alone_whatever_the_weights_are() {
    let packed = ["tiny:q8_0", "tiny:q4_0", "tiny:q4_1"].map(synthetic);
    let files = ["tiny-gpt2", "tiny-llama", "tiny-llama.BF16.gguf", "tiny-llama.Q8_0.gguf", "tiny-llama.Q4_1.gguf"];
    for source in packed.into_iter().chain(files.map(fixture)) {
        let model = || loaded(source.clone(), CacheTypes::default(), 128);
        assert_each_is_as_alone(&format!("{source:?}"), model, PROMPT, &unscripted(various()));
    }
    assert_each_is_as_alone("floats", || tiny(4), PROMPT, &unscripted(various()));
}

/// Windows that slide, heads that are normed, biases.
#[test]
fn each_variant_says_what_it_would_say_alone_whatever_the_architecture_is() {
    for name in ["variant-qwen2-window", "variant-mistral", "variant-qwen3", "variant-qwen2", "variant-gpt2-relu"] {
        let model = || loaded(fixture(name), CacheTypes::default(), 64);
        assert_each_is_as_alone(name, model, PROMPT, &unscripted(various()));
    }
}

#[test]
fn each_variant_says_what_it_would_say_alone_whatever_the_cache_is() {
    for keys in CacheType::ALL {
        for source in [synthetic("tiny:q8_0"), fixture("tiny-gpt2")] {
            let cache = CacheTypes { keys, values: keys };
            let model = || loaded(source.clone(), cache, 128);
            assert_each_is_as_alone(&format!("{source:?} {keys:?}"), model, PROMPT, &unscripted(various()));
        }
    }
}

/// More lanes than a pass takes.
#[test]
fn many_variants_say_what_each_would_say_alone() {
    let plans = unscripted((0..19).map(|seed| options(seed, 6 + seed as usize % 5)).collect());
    assert_each_is_as_alone("many", || tiny(4), PROMPT, &plans);
}

/// Lanes that end by themselves, are stopped, or drop turns on the way leave the others alone, which are then of other
/// lengths than they.
#[test]
fn variants_of_different_fates_say_what_each_would_say_alone() {
    const CONTEXT: usize = 64;
    let prompt: Vec<TokenId> = (30..60).collect();
    let shorter = |lengths: &[usize]| Script {
        rooms: lengths.iter().map(|&length| prompt[..length].to_vec()).collect(),
        ..Script::default()
    };
    let plans = [
        Plan { options: options(1, 50), script: &|| shorter(&[10]) },
        Plan { options: options(2, 50), script: &|| Script { cancel_after_tokens: Some(7), ..Script::default() } },
        Plan { options: options(3, 3), script: &Script::default },
        Plan { options: options(4, 60), script: &|| shorter(&[20, 2]) },
        Plan { options: options(5, 50), script: &Script::default },
        Plan { options: options(6, 0), script: &Script::default },
    ];
    for source in [synthetic("tiny:q4_1"), fixture("tiny-gpt2"), fixture("variant-qwen2-window")] {
        let model = || loaded(source.clone(), CacheTypes::default(), CONTEXT);
        let ends = assert_each_is_as_alone(&format!("{source:?}"), model, &prompt, &plans);
        use FinishReason::{Cancelled, Context, Length};
        assert_eq!(ends, [Length, Cancelled, Length, Length, Context, Length], "{source:?}");
    }
}

#[test]
fn the_prompt_is_computed_once_and_the_variants_draw_one_after_the_other() {
    let mut model = tiny(4);
    let mut variants = variants([options(1, 3), options(2, 3), options(3, 3)]);
    run_variants(&mut model, &mut variants);
    assert!(variants[1..].iter().all(|variant| variant.control.script.prefill.is_empty()));
    let progress = variants[0].control.script.prefill.last().unwrap();
    assert_eq!((progress.reused, progress.done), (0, PROMPT.len()));
    assert_eq!(*variants[0].control.turns.borrow(), [0, 1, 2].repeat(3));
}

/// The pass is one, so all have waited for it as long.
#[test]
fn variants_share_their_passes_and_count_the_time_of_each() {
    let mut model = tiny(4);
    let mut variants = variants([options(1, 20), options(2, 20), options(3, 20), options(4, 10)]);
    run_variants(&mut model, &mut variants);
    let stats: Vec<&GenerationStats> =
        variants.iter().map(|variant| &variant.control.end.as_ref().unwrap().1).collect();
    assert!(stats.iter().all(|stats| stats.drafted_tokens == 0 && !stats.forward_time.is_zero()));
    assert_eq!(stats[0].forward_time, stats[1].forward_time);
    assert_eq!(stats[1].forward_time, stats[2].forward_time);
    assert!(stats[3].forward_time < stats[2].forward_time, "it has ended before");
}

#[test]
fn the_last_variant_drafts_again() {
    let said: Vec<TokenId> = (40..60).cycle().take(50).collect();
    let greedy = SamplingParams { temperature: 0.0, repeat_penalty: 1.0, ..open() };
    let long = GenerateOptions { sampling: greedy, lookup: PromptLookup::On, ..options(1, 70) };
    let mut model = loaded(fixture("tiny-llama"), CacheTypes::default(), 128);
    let mut variants = variants([options(2, 5), long]);
    generate_variants(&mut model.inference, &model.tokenizer, said, &mut variants).unwrap();
    let (_, stats) = variants[1].control.end.as_ref().unwrap();
    assert!(stats.drafted_tokens > 0, "{stats:?}");
}

#[test]
fn a_cancel_ends_every_variant_also_while_the_prompt_is_computed() {
    let mut variants_in_prefill = variants([options(1, 30), options(2, 30)]);
    variants_in_prefill[0].control.script.cancel_in_prefill = Some(2);
    run_variants(&mut tiny(2), &mut variants_in_prefill);
    let mut on_the_way = variants([options(1, 30), options(2, 30)]);
    for variant in &mut on_the_way {
        variant.control.script.cancel_after_tokens = Some(4);
    }
    run_variants(&mut tiny(2), &mut on_the_way);
    for variant in variants_in_prefill.iter().chain(&on_the_way) {
        assert_eq!(variant.control.end.as_ref().map(|end| &end.0), Some(&FinishReason::Cancelled));
    }
    assert!(variants_in_prefill.iter().all(|variant| variant.control.script.tokens.is_empty()));
    assert!(on_the_way.iter().all(|variant| variant.control.script.tokens.len() == 4));
}
