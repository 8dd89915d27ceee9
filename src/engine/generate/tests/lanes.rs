use super::*;

/// What a lane was told, and how it ended.
#[derive(Default)]
struct Heard {
    script: Script,
    end: Option<(FinishReason, GenerationStats)>,
    /// The order in which all lanes draw.
    turns: std::rc::Rc<std::cell::RefCell<Vec<usize>>>,
    lane: usize,
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
        self.turns.borrow_mut().push(self.lane);
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

fn lanes(options: impl IntoIterator<Item = GenerateOptions>) -> Vec<Lane<Heard>> {
    let turns = std::rc::Rc::<std::cell::RefCell<Vec<usize>>>::default();
    let heard = |lane| Heard { lane, turns: std::rc::Rc::clone(&turns), ..Heard::default() };
    options.into_iter().enumerate().map(|(lane, options)| Lane { options, control: heard(lane) }).collect()
}

fn run_lanes(model: &mut LoadedModel, lanes: &mut [Lane<Heard>]) {
    generate_lanes(&mut model.inference, &model.tokenizer, PROMPT.to_vec(), lanes).unwrap();
}

/// Settings, seeds, lengths and lookups that differ.
fn various() -> Vec<GenerateOptions> {
    let greedy = SamplingParams { temperature: 0.0, ..open() };
    vec![
        options(1, 40),
        options(2, 25),
        GenerateOptions { sampling: greedy.clone(), lookup: Lookup::On, ..options(3, 40) },
        GenerateOptions { sampling: SamplingParams { repeat_penalty: 1.3, ..greedy }, candidates: 3, ..options(3, 40) },
    ]
}

#[test]
fn each_lane_says_what_it_would_say_alone() {
    let mut model = tiny(4);
    let mut lanes = lanes(various());
    run_lanes(&mut model, &mut lanes);
    for lane in &lanes {
        let mut alone = Script::default();
        let (reason, stats) = run(&mut tiny(4), PROMPT, &lane.options, &mut alone);
        assert_eq!(lane.control.script.tokens, alone.tokens);
        assert_eq!(lane.control.script.context_used, alone.context_used);
        let (ended, of_lane) = lane.control.end.as_ref().unwrap();
        assert_eq!((ended, of_lane.completion_tokens), (&reason, stats.completion_tokens));
        assert_eq!(of_lane.seed, lane.options.seed);
    }
    let mut alone = tiny(4);
    run(&mut alone, PROMPT, &lanes[0].options, &mut Script::default());
    assert_eq!(model.inference.held(), alone.inference.held(), "the cache holds the first lane's reply");
    assert_eq!(model.inference.logits().map(<[f32]>::to_vec), alone.inference.logits().map(<[f32]>::to_vec));
}

#[test]
fn the_prompt_is_computed_once_and_the_lanes_take_turns() {
    let mut model = tiny(4);
    let mut lanes = lanes([options(1, 3), options(2, 3), options(3, 3)]);
    run_lanes(&mut model, &mut lanes);
    assert!(lanes[1..].iter().all(|lane| lane.control.script.prefill.is_empty()));
    let told = lanes[0].control.script.prefill.last().unwrap();
    assert_eq!((told.reused, told.done), (0, PROMPT.len()));
    assert_eq!(*lanes[0].control.turns.borrow(), [0, 1, 2].repeat(3));
}

#[test]
fn a_lane_that_drops_turns_leaves_the_others_alone() {
    let context = tiny(4).inference.context();
    let mut lanes = lanes([options(1, context), options(2, 20)]);
    lanes[0].control.script.rooms = vec![PROMPT[..2].to_vec()];
    run_lanes(&mut tiny(4), &mut lanes);
    let mut alone = Script { rooms: vec![PROMPT[..2].to_vec()], ..Script::default() };
    run(&mut tiny(4), PROMPT, &options(1, context), &mut alone);
    assert_eq!(lanes[0].control.script.ids(), alone.ids());
    let mut alone = Script::default();
    run(&mut tiny(4), PROMPT, &options(2, 20), &mut alone);
    assert_eq!(lanes[1].control.script.ids(), alone.ids());
}

#[test]
fn a_cancel_ends_every_lane_also_while_the_prompt_is_computed() {
    let mut lanes_in_prefill = lanes([options(1, 30), options(2, 30)]);
    lanes_in_prefill[0].control.script.cancel_in_prefill = Some(2);
    run_lanes(&mut tiny(2), &mut lanes_in_prefill);
    let mut on_the_way = lanes([options(1, 30), options(2, 30)]);
    for lane in &mut on_the_way {
        lane.control.script.cancel_after_tokens = Some(4);
    }
    run_lanes(&mut tiny(2), &mut on_the_way);
    for lane in lanes_in_prefill.iter().chain(&on_the_way) {
        assert_eq!(lane.control.end.as_ref().map(|end| &end.0), Some(&FinishReason::Cancelled));
    }
    assert!(lanes_in_prefill.iter().all(|lane| lane.control.script.tokens.is_empty()));
    assert!(on_the_way.iter().all(|lane| lane.control.script.tokens.len() == 4));
}
