//! A reply that a person steers, beside the same one that nobody does.

use super::*;
use crate::sampling::{Dice, Distribution};

/// Follows a script of steps, and keeps the front end's account of the reply.
#[derive(Default)]
struct Hand {
    /// What it does, in order; draws after that.
    steps: Vec<Steer>,
    /// Changes of sampling, by the tokens chosen before them.
    changes: Vec<(usize, SamplingParams)>,
    taken: usize,
    /// Whether it stops after its steps.
    stops: bool,
    /// How long it thinks before each step.
    thinks: Duration,
    tokens: Vec<TokenTrace>,
    context_used: usize,
    /// Whether it is something else than a person that takes the time.
    answers: bool,
    /// What was seen at rest before each step: the tokens by then, what is held back, and the distribution.
    rests: Vec<(usize, String, Distribution)>,
}

impl Control for Hand {
    fn on_prefill(&mut self, _: PrefillProgress) {}

    fn on_token(&mut self, trace: TokenTrace, context_used: usize) {
        self.tokens.push(trace);
        self.context_used = context_used;
    }

    fn is_cancelled(&mut self) -> bool {
        self.stops && self.taken == self.steps.len()
    }

    fn new_sampling(&mut self, chosen: usize) -> Option<SamplingParams> {
        let at = self.changes.iter().position(|(at, _)| *at == chosen)?;
        Some(self.changes.remove(at).1)
    }

    fn make_room(&mut self, _: usize) -> Result<Option<Vec<TokenId>>, EngineError> {
        Ok(None)
    }

    fn may_take_back(&self) -> bool {
        true
    }

    fn has_waited(&self) -> bool {
        !self.answers
    }

    fn steer(&mut self, rest: &StepPoint<'_>) -> Option<Steer> {
        let distribution = rest.distribution(rest.sampling, 5).unwrap();
        self.rests.push((rest.tokens, rest.held_back(), distribution));
        std::thread::sleep(self.thinks);
        self.taken += 1;
        Some(self.steps.get(self.taken - 1).copied().unwrap_or(Steer::Draw))
    }

    fn on_taken_back(&mut self, tokens: usize, context_used: usize) {
        self.tokens.truncate(tokens);
        self.context_used = context_used;
    }
}

impl Hand {
    fn with(steps: impl IntoIterator<Item = Steer>) -> Self {
        Self { steps: steps.into_iter().collect(), ..Self::default() }
    }

    fn ids(&self) -> Vec<TokenId> {
        self.tokens.iter().map(|trace| trace.token).collect()
    }

    fn text(&self) -> String {
        self.tokens.iter().map(|trace| trace.text.as_str()).collect()
    }
}

fn steered(model: &mut LoadedModel, options: &GenerateOptions, hand: &mut Hand) -> (FinishReason, GenerationStats) {
    model.inference.truncate(0);
    generate(&mut model.inference, &model.tokenizer, PROMPT.to_vec(), options, hand).unwrap()
}

/// The steps that a log stands for, of a reply of so many chosen tokens.
fn steps_of(stats: &GenerationStats, chosen: usize) -> Vec<Steer> {
    let mut log = stats.steer_log.iter().peekable();
    let mut steps = Vec::new();
    for token in 0..chosen {
        while let Some((_, steer)) = log.next_if(|(at, steer)| *at == token && *steer == Steer::TakeBack) {
            steps.push(*steer);
        }
        steps.push(log.next_if(|(at, _)| *at == token).map_or(Steer::Draw, |(_, steer)| *steer));
    }
    steps
}

use Steer::{Draw, Pick, TakeBack};

#[test]
fn a_hand_that_only_draws_gets_the_same_reply() {
    let mut model = tiny(512);
    let mut plain = Script::default();
    run(&mut model, PROMPT, &options(3, 30), &mut plain);
    let mut hand = Hand::default();
    let (reason, stats) = steered(&mut model, &options(3, 30), &mut hand);
    assert_eq!((reason, hand.ids()), (FinishReason::Length, plain.ids()));
    assert_eq!((stats.steer_log.len(), stats.picked_tokens), (0, 0));
}

#[test]
fn a_pick_is_the_persons_whatever_the_filters_say_and_is_marked() {
    let mut model = tiny(512);
    let mut narrow = options(3, 6);
    narrow.sampling.top_k = 1;
    narrow.candidates = 4;
    let mut hand = Hand::with([Draw, Pick(65), Pick(9999), Draw]);
    let (_, stats) = steered(&mut model, &narrow, &mut hand);
    assert_eq!(hand.tokens[1].token, 65);
    assert_eq!(
        hand.tokens.iter().map(|trace| trace.picked).collect::<Vec<_>>(),
        [false, true, false, false, false, false]
    );
    assert_eq!(stats.steer_log, [(1, Pick(65))], "a token that there is not is passed over");
    assert_eq!((stats.picked_tokens, stats.completion_tokens), (1, 6));
    assert_eq!(hand.tokens[1].candidates.len(), 4);
    // What follows is computed from it, and the draws after it meet the numbers that they would have met.
    let mut forced = Script::default();
    let prompt = [PROMPT, &hand.ids()[..2]].concat();
    run(&mut model, &prompt, &GenerateOptions { seed: 3, ..narrow }, &mut forced);
    assert_eq!(hand.ids()[2..], forced.ids()[..4], "the best token, after the one that was picked");
}

#[test]
fn what_was_taken_back_leaves_nothing_behind() {
    let mut model = tiny(512);
    for (lookup, draws) in [(PromptLookup::Off, 7), (PromptLookup::On, 7), (PromptLookup::On, 25)] {
        let mut cold = options(5, 40);
        cold.sampling.temperature = 0.0;
        cold.lookup = lookup;
        cold.candidates = 3;
        let mut plain = Hand::default();
        steered(&mut model, &cold, &mut plain);
        let (held, logits) = (model.inference.held().to_vec(), model.inference.logits().map(<[f32]>::to_vec));
        // Some tokens, a few of them back, and further back than to the start.
        let back = |n| std::iter::repeat_n(TakeBack, n);
        for taken in [1, 3, draws, draws + 4] {
            let steps = std::iter::repeat_n(Draw, draws).chain([Pick(7), Pick(250)]).chain(back(2)).chain(back(taken));
            let mut hand = Hand::with(steps);
            let (_, stats) = steered(&mut model, &cold, &mut hand);
            assert_eq!(hand.tokens, plain.tokens, "{lookup:?}: {taken} of {draws} taken back");
            assert_eq!(model.inference.held(), held);
            assert_eq!(model.inference.logits().map(<[f32]>::to_vec), logits);
            assert_eq!(stats.steer_log.len(), 2 + 2 + taken.min(draws));
            // The distribution is the one that was seen there before, to the last bit.
            for (tokens, _, seen) in &hand.rests[hand.steps.len()..] {
                let before = plain.rests.iter().find(|(at, ..)| at == tokens).map(|(.., before)| before);
                assert_eq!(Some(seen), before, "{tokens} tokens");
            }
        }
    }
}

/// Invariant 4, with all that a person can do.
#[test]
fn seed_and_logs_replay_a_reply_that_was_steered() {
    let mut model = tiny(512);
    let cold = SamplingParams { temperature: 0.2, top_k: 3, ..open() };
    let steps = [Draw, Pick(66), Draw, TakeBack, Draw, Draw, TakeBack, TakeBack, Pick(67), Draw, TakeBack, Draw, Draw];
    for seed in 0..6 {
        let mut hand = Hand::with(steps);
        hand.changes = vec![(2, cold.clone()), (6, open())];
        let (_, stats) = steered(&mut model, &options(seed, 20), &mut hand);
        let chosen = 20 + stats.steer_log.iter().filter(|(_, steer)| *steer == TakeBack).count();
        let mut replay = Hand::with(steps_of(&stats, chosen));
        replay.changes = stats.sampling_log[1..].to_vec();
        let again = GenerateOptions { sampling: stats.sampling_log[0].1.clone(), ..options(stats.seed, 20) };
        let (_, second) = steered(&mut tiny(7), &again, &mut replay);
        assert_eq!(replay.ids(), hand.ids(), "seed {seed}");
        assert_eq!((second.steer_log, second.sampling_log), (stats.steer_log, stats.sampling_log));
    }
}

#[test]
fn a_token_that_comes_after_a_take_back_is_drawn_anew() {
    let mut model = tiny(512);
    let mut hand = Hand::with([Draw, Draw, TakeBack, Draw]);
    steered(&mut model, &options(1, 3), &mut hand);
    let mut plain = Script::default();
    run(&mut model, PROMPT, &options(1, 3), &mut plain);
    assert_eq!(hand.ids()[0], plain.ids()[0]);
    assert_ne!(hand.ids()[1], plain.ids()[1], "of a flat distribution the next number draws another");
}

/// Bytes of a character over several tokens, and what might become a stop text: what is told is right at every step.
#[test]
fn texts_that_are_held_back_step_back_too() {
    let mut model = tiny(512);
    let mut stopping = options(1, 40);
    stopping.stop.texts = vec!["\nUser:".into()];
    let bytes = |text: &str| text.bytes().map(|byte| Pick(TokenId::from(byte))).collect::<Vec<_>>();
    let typed = bytes("a😀\nUs");
    let mut play = |more: Vec<Steer>| {
        let mut hand = Hand { stops: true, ..Hand::with([typed.clone(), more].concat()) };
        let (reason, _) = steered(&mut model, &stopping, &mut hand);
        (reason, hand)
    };
    let (_, hand) = play(vec![]);
    assert_eq!(hand.text(), "a😀\nUs", "all is certain at the end");
    let last = hand.rests.last().unwrap();
    assert_eq!((last.0, last.1.as_str()), (7, "\nU"), "before the last token");
    // Back into the middle of the character, and on with another one of the same beginning.
    let (_, hand) = play([vec![TakeBack; 4], bytes("😁")[3..].to_vec()].concat());
    assert_eq!(hand.text(), "a😁");
    let held: Vec<&str> = hand.rests.iter().rev().take(2).map(|rest| rest.1.as_str()).collect();
    assert_eq!(held, ["\u{fffd}", ""], "three bytes wait for the fourth; before that nothing did");
    // The beginning of a stop text is taken back, and becomes one the second time.
    let (reason, hand) = play([vec![TakeBack], bytes("ser:")].concat());
    assert_eq!((reason, hand.text().as_str()), (FinishReason::StopString("\nUser:".into()), "a😀"));
}

#[test]
fn an_end_token_that_is_picked_ends_the_reply() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-llama.Q8_0.gguf");
    let mut model = load(&ModelSource::Path(path), &LoadOptions::default(), &mut |_, _| {}).unwrap();
    let end = model.tokenizer.eos_tokens()[0];
    let mut hand = Hand::with([Draw, Draw, Pick(end)]);
    let (reason, stats) = steered(&mut model, &options(4, 20), &mut hand);
    assert_eq!((reason, hand.tokens.len()), (FinishReason::EndOfTurn, 2));
    assert_eq!(stats.steer_log, [(2, Pick(end))]);
}

#[test]
fn places_in_the_reply_are_those_of_the_tokens_that_stayed() {
    let plain = GenerationStats::default();
    assert_eq!([0, 3, 9].map(|chosen| plain.place_of(chosen)), [0, 3, 9]);
    // Five tokens, three of them back, then on: the sixth that is chosen is the third of the reply.
    let stats = GenerationStats { steer_log: vec![(5, TakeBack), (5, TakeBack), (5, TakeBack)], ..plain };
    assert_eq!([0, 1, 2, 4, 5, 6, 9].map(|chosen| stats.place_of(chosen)), [0, 1, 2, 2, 2, 3, 6]);
}

#[test]
fn the_time_that_a_person_takes_is_no_time_of_the_reply() {
    const THOUGHT: Duration = Duration::from_millis(2);
    let mut model = tiny(512);
    let started = Instant::now();
    let mut hand = Hand { thinks: THOUGHT, ..Hand::with([Draw, Pick(65), TakeBack]) };
    let (_, stats) = steered(&mut model, &options(1, 30), &mut hand);
    let took = started.elapsed();
    assert!(stats.paused_time >= THOUGHT * u32::try_from(hand.taken).unwrap());
    let parts = [stats.prefill_time, stats.forward_time, stats.sample_time, stats.paused_time];
    assert!(parts.iter().all(|part| *part > Duration::ZERO), "{parts:?}");
    assert!(parts.iter().sum::<Duration>() <= took, "{parts:?} in {took:?}");
    let spans = [stats.prefill_time, stats.decode_time, stats.paused_time];
    assert!(spans.iter().sum::<Duration>() <= took, "{spans:?} in {took:?}");
}

#[test]
fn what_is_answered_between_two_tokens_is_no_pause() {
    let mut model = tiny(512);
    let thinks = Duration::from_millis(2);
    let mut hand = Hand { thinks, answers: true, ..Hand::with([Draw, Draw]) };
    let (_, stats) = steered(&mut model, &options(1, 5), &mut hand);
    assert_eq!((stats.paused_time, hand.tokens.len()), (Duration::ZERO, 5));
}

#[test]
fn the_dice_of_a_reply_are_those_of_the_last_token_that_has_stayed() {
    let stats =
        |completion_tokens, steer_log| GenerationStats { seed: 7, completion_tokens, steer_log, ..Default::default() };
    assert_eq!(stats(3, Vec::new()).last_dice(), Dice::new(7, 2));
    // The second token was taken back, and another one chosen after it.
    assert_eq!(stats(2, vec![(2, Steer::TakeBack)]).last_dice(), Dice::new(7, 2));
    assert_eq!(stats(0, Vec::new()).last_dice(), Dice::new(7, 0));
}
