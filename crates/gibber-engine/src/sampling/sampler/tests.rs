use super::*;
use crate::sampling::Filter;
use crate::sampling::chain::Act;

/// A vocabulary that no filter here asks for.
static NONE: Vec<Vec<u8>> = Vec::new();

fn after(history: &[TokenId]) -> Situation<'_> {
    Situation { history, vocabulary: &NONE, dice: Dice::default() }
}

fn in_order(samplers: &str, params: SamplingParams) -> SamplingParams {
    SamplingParams { samplers: samplers.parse().unwrap(), ..params }
}

/// Everything off: the model's own distribution.
fn open() -> SamplingParams {
    SamplingParams { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..SamplingParams::default() }
}

/// Six tokens with the probabilities 0.4, 0.05, 0.25, 0.2, 0.02 and 0.08.
fn logits() -> Vec<f32> {
    [0.4f32, 0.05, 0.25, 0.2, 0.02, 0.08].iter().map(|p| p.ln()).collect()
}

fn draws(params: SamplingParams, seed: u64, n: usize) -> Vec<TokenId> {
    let mut sampler = Sampler::new(params, seed);
    (0..n).map(|_| sampler.draw(&logits(), &[], &NONE).unwrap().token).collect()
}

/// What is kept, with its probability in thousandths.
fn kept(params: &SamplingParams, history: &[TokenId]) -> Vec<(TokenId, u32)> {
    kept_of(&logits(), params, history)
}

fn kept_of(logits: &[f32], params: &SamplingParams, history: &[TokenId]) -> Vec<(TokenId, u32)> {
    let mut sampler = Sampler::new(params.clone(), 0);
    sampler.shape(logits, &after(history));
    sampler.chain.kept().map(|(token, p)| (token, (p * 1000.0).round() as u32)).collect()
}

#[test]
fn the_sequence_of_a_seed_is_the_published_one() {
    // PCG32's own numbers: a change of the generator would change everybody's replies.
    let mut generator = Pcg32::new(42, 54);
    let published = [0xa15c_02b7u32, 0x7b47_f409, 0xba1d_3330, 0x83d2_f293, 0xbfa4_784b, 0xcbed_606e];
    assert_eq!(std::array::from_fn(|_| generator.next_u32()), published);
}

/// The expected tokens come from a separate implementation of PCG32 and of the filters' definitions.
#[test]
fn each_filter_draws_these_tokens() {
    let two_three = SamplingParams { typical_p: 0.4, ..open() };
    let cases = [
        ("no filter", open(), 7, [5, 3, 2, 1, 5, 0, 0, 0, 2, 0, 0, 3]),
        ("greedy", SamplingParams { temperature: 0.0, ..open() }, 7, [0; 12]),
        ("hot", SamplingParams { temperature: 3.0, ..open() }, 7, [5, 5, 2, 2, 5, 0, 0, 1, 2, 2, 0, 3]),
        ("top-k", SamplingParams { top_k: 3, ..open() }, 7, [3, 3, 2, 0, 3, 0, 0, 0, 2, 0, 0, 2]),
        ("top-p", SamplingParams { top_p: 0.6, ..open() }, 7, [2, 2, 0, 0, 2, 0, 0, 0, 0, 0, 0, 2]),
        ("min-p", SamplingParams { min_p: 0.3, ..open() }, 7, [3, 3, 2, 0, 3, 0, 0, 0, 2, 0, 0, 2]),
        ("typical-p", two_three, 7, [3, 3, 2, 2, 3, 2, 2, 2, 2, 2, 2, 3]),
        ("another seed", SamplingParams { top_k: 3, ..open() }, 8, [3, 0, 0, 0, 2, 2, 2, 0, 2, 3, 0, 2]),
    ];
    for (name, params, seed, expected) in cases {
        assert_eq!(draws(params, seed, 12), expected, "{name}");
    }
}

#[test]
fn filters_keep_what_their_papers_say() {
    assert_eq!(kept(&open(), &[]), [(0, 400), (1, 50), (2, 250), (3, 200), (4, 20), (5, 80)]);
    assert_eq!(kept(&SamplingParams { top_k: 2, ..open() }, &[]), [(0, 615), (2, 385)]);
    assert_eq!(kept(&SamplingParams { top_p: 0.6, ..open() }, &[]), [(0, 615), (2, 385)], "0.4 + 0.25 reaches 0.6");
    assert_eq!(kept(&SamplingParams { top_p: 0.7, ..open() }, &[]), [(0, 471), (2, 294), (3, 235)]);
    assert_eq!(kept(&SamplingParams { min_p: 0.19, ..open() }, &[]), [(0, 430), (2, 269), (3, 215), (5, 86)]);
    // Entropy 1.47; surprises 0.92, 3.00, 1.39, 1.61, 3.91, 2.53: nearest are 2 (0.08), 3 (0.14), 0 (0.55).
    assert_eq!(kept(&SamplingParams { typical_p: 0.3, ..open() }, &[]), [(2, 556), (3, 444)]);
    assert_eq!(kept(&SamplingParams { temperature: 0.0, ..open() }, &[]), [(0, 1000)]);
    // Temperature 2 takes the square root of each probability.
    assert_eq!(kept(&SamplingParams { temperature: 2.0, top_k: 2, ..open() }, &[]), [(0, 558), (2, 442)]);
}

#[test]
fn top_p_counts_what_top_k_left() {
    // Of 0.4 and 0.25 the first has 0.615: alone it reaches 0.6, as in llama.cpp.
    assert_eq!(kept(&SamplingParams { top_k: 2, top_p: 0.6, ..open() }, &[]), [(0, 1000)]);
}

#[test]
fn penalties_act_on_the_last_n_tokens_of_the_history() {
    let logits = [2.0, 1.0, -1.0, 0.5];
    let mut chain = Chain::default();
    let mut penalized = |params: SamplingParams, history: &[TokenId]| {
        chain.run(&logits, &params, &after(history));
        chain.kept().map(|(_, p)| p.ln()).collect::<Vec<f32>>()
    };
    // Log-probabilities up to a constant are logits: compare with token 3, which is never seen.
    let relative = |found: Vec<f32>| -> Vec<f32> { found.iter().map(|p| p - found[3] + 0.5).collect() };
    let assert_near = |found: Vec<f32>, expected: [f32; 4]| {
        let found = relative(found);
        assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-4), "{found:?} {expected:?}");
    };
    let history = [1, 0, 0, 2];
    assert_near(penalized(SamplingParams { repeat_penalty: 2.0, ..open() }, &history), [1.0, 0.5, -2.0, 0.5]);
    assert_near(penalized(SamplingParams { presence_penalty: 0.5, ..open() }, &history), [1.5, 0.5, -1.5, 0.5]);
    assert_near(penalized(SamplingParams { frequency_penalty: 0.5, ..open() }, &history), [1.0, 0.5, -1.5, 0.5]);
    let all = SamplingParams { repeat_penalty: 2.0, presence_penalty: 0.25, frequency_penalty: 0.5, ..open() };
    assert_near(penalized(SamplingParams { repeat_last_n: 2, ..all.clone() }, &history), [0.25, 1.0, -2.75, 0.5]);
    assert_near(penalized(SamplingParams { repeat_last_n: 0, ..all.clone() }, &history), [2.0, 1.0, -1.0, 0.5]);
    assert_near(penalized(SamplingParams { repeat_last_n: -1, ..all }, &history), [-0.25, -0.25, -2.75, 0.5]);
    // A token outside the vocabulary is no reason to fail.
    assert_near(penalized(SamplingParams { repeat_penalty: 2.0, ..open() }, &[99]), [2.0, 1.0, -1.0, 0.5]);
}

#[test]
fn greedy_takes_the_best_after_the_penalties() {
    let mut sampler = Sampler::new(SamplingParams { temperature: 0.0, presence_penalty: 1.0, ..open() }, 0);
    let draw = sampler.draw(&logits(), &[0], &NONE).unwrap();
    assert_eq!(draw.token, 2);
    assert!((draw.logprob - 0.25f32.ln()).abs() < 1e-5, "of the model's own distribution: {draw:?}");
    assert!((draw.entropy - 1.4651).abs() < 1e-3, "{draw:?}");
}

#[test]
fn every_draw_takes_one_number_whatever_the_filters() {
    let mut sampler = Sampler::new(open(), 7);
    for _ in 0..5 {
        sampler.draw(&logits(), &[], &NONE);
    }
    let rest: Vec<TokenId> = (0..7).map(|_| sampler.draw(&logits(), &[], &NONE).unwrap().token).collect();
    let mut changed = Sampler::new(SamplingParams { temperature: 0.0, ..open() }, 7);
    for _ in 0..5 {
        changed.draw(&logits(), &[], &NONE);
    }
    changed.set_params(open());
    let same: Vec<TokenId> = (0..7).map(|_| changed.draw(&logits(), &[], &NONE).unwrap().token).collect();
    assert_eq!(rest, same);
    assert_eq!(rest, draws(open(), 7, 12)[5..]);
}

#[test]
fn draws_follow_the_probabilities() {
    let mut counts = [0u32; 6];
    for token in draws(open(), 1, 20_000) {
        counts[token as usize] += 1;
    }
    for (count, expected) in counts.iter().zip([8000.0f64, 1000.0, 5000.0, 4000.0, 400.0, 1600.0]) {
        // Five standard deviations of a binomial.
        assert!((f64::from(*count) - expected).abs() < 5.0 * expected.sqrt(), "{counts:?}");
    }
}

#[test]
fn candidates_tell_before_after_and_what_cut_them() {
    let params = SamplingParams { top_k: 5, typical_p: 0.94, top_p: 0.85, min_p: 0.6, ..open() };
    let shape = distribution(&logits(), &after(&[]), &params, 10, |token| format!("<{token}>")).unwrap();
    let found: Vec<_> = shape.candidates.iter().map(|c| (c.text.as_str(), c.cut_by)).collect();
    let expected = [
        ("<0>", None),
        ("<2>", None),
        ("<3>", Some(Filter::MinP)),
        ("<5>", Some(Filter::TopP)),
        ("<1>", Some(Filter::TypicalP)),
        ("<4>", Some(Filter::TopK)),
    ];
    assert_eq!(found, expected);
    let share: f32 = shape.candidates.iter().map(|c| c.after).sum();
    assert!((share - 1.0).abs() < 1e-5);
    assert!((shape.candidates[1].before - 0.25).abs() < 1e-5);
    assert!((shape.kept_mass - 0.65).abs() < 1e-5);
    assert_eq!(distribution(&logits(), &after(&[]), &params, 2, |_| String::new()).unwrap().candidates.len(), 2);
}

#[test]
fn greedy_candidates_blame_no_filter() {
    let params = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
    let shape = distribution(&logits(), &after(&[]), &params, 3, |_| String::new()).unwrap();
    let after: Vec<f32> = shape.candidates.iter().map(|c| c.after).collect();
    assert_eq!(after, [1.0, 0.0, 0.0]);
    assert!(shape.candidates.iter().all(|c| c.cut_by.is_none()));
}

#[test]
fn the_strictest_filters_keep_the_best_token() {
    let strict = [
        SamplingParams { top_k: 1, ..open() },
        SamplingParams { top_p: 0.0, ..open() },
        SamplingParams { min_p: 1.0, ..open() },
        SamplingParams { temperature: 1e-30, ..open() },
        SamplingParams { temperature: f32::MIN_POSITIVE, top_k: 1, top_p: 0.0, min_p: 1.0, typical_p: 0.0, ..open() },
    ];
    for params in strict {
        assert_eq!(draws(params.clone(), 3, 20), [0; 20], "{params:?}");
    }
    assert_eq!(kept(&SamplingParams { typical_p: 0.0, ..open() }, &[]), [(2, 1000)], "the most typical one");
}

#[test]
fn odd_logits_are_survived() {
    let everything = SamplingParams { typical_p: 0.9, repeat_penalty: 1.3, ..SamplingParams::default() };
    for params in [everything, open(), SamplingParams { temperature: 0.0, ..open() }] {
        let draw = |logits: &[f32]| Sampler::new(params.clone(), 1).draw(logits, &[0, 1], &NONE).map(|draw| draw.token);
        assert_eq!(draw(&[]), None);
        assert_eq!(draw(&[f32::NAN; 3]), None);
        assert_eq!(draw(&[f32::NEG_INFINITY; 50]), None);
        assert_eq!(draw(&[3.5]), Some(0), "a vocabulary of one");
        assert_eq!(draw(&[f32::NEG_INFINITY, f32::NEG_INFINITY, -1e30]), Some(2));
        assert_eq!(draw(&[f32::NAN, f32::NEG_INFINITY, -1e30]), None);
        assert_eq!(draw(&[1.0, 5.0, f32::INFINITY, 7.0]), None);
        assert!(draw(&[0.0; 100]).is_some_and(|token| token < 100), "all equal");
        assert_eq!(draw(&[f32::MAX, f32::MIN]), Some(0));
    }
}

#[test]
fn equals_are_cut_from_the_highest_id_on() {
    let equal = vec![0.0; 1000];
    let tokens = |params: &SamplingParams| kept_of(&equal, params, &[]).iter().map(|(t, _)| *t).collect::<Vec<_>>();
    assert_eq!(tokens(&SamplingParams { top_k: 4, ..open() }), [0, 1, 2, 3]);
    assert_eq!(tokens(&SamplingParams { top_p: 0.0995, ..open() }), (0..100).collect::<Vec<_>>());
    assert_eq!(tokens(&SamplingParams { min_p: 1.0, ..open() }).len(), 1000);
}

#[test]
fn a_top_k_over_the_vocabulary_keeps_all() {
    assert_eq!(kept(&SamplingParams { top_k: u32::MAX, ..open() }, &[]).len(), 6);
}

/// The selection of the best against a full sort, over a vocabulary as large as a model's.
#[test]
fn top_k_agrees_with_a_full_sort() {
    let mut state = 9u64;
    let logits: Vec<f32> = (0..49_152)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Few enough values that there are many equals.
            ((state >> 33) % 5000) as f32 / 100.0
        })
        .collect();
    let mut sorted: Vec<TokenId> = (0..49_152).collect();
    sorted.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
    let mut found = Vec::new();
    for k in [1, 2, 40, 41, 1000, 49_151, 49_152] {
        select_top(&logits, k, &mut found);
        let mut tokens: Vec<TokenId> = found.iter().map(|entry| entry.token).collect();
        tokens.sort_unstable();
        let mut expected = sorted[..k].to_vec();
        expected.sort_unstable();
        assert_eq!(tokens, expected, "k = {k}");
    }
}

/// Without top-k the nucleus is sought among the best few first: the result is that of looking at all.
#[test]
fn a_nucleus_of_any_size_is_what_a_full_look_finds() {
    // 1/(i+1), in an order that is not that of the ids: a long tail.
    let logits: Vec<f32> = (0..5000u64).map(|i| -(((i * 1237) % 5000 + 1) as f32).ln()).collect();
    for p in [0.1, 0.5, 0.7, 0.9, 0.999, 0.999_999_9] {
        let params = SamplingParams { top_p: p, ..open() };
        let all = SamplingParams { top_k: 5000, ..params.clone() };
        assert_eq!(kept_of(&logits, &params, &[]), kept_of(&logits, &all, &[]), "top-p {p}");
        let params = SamplingParams { min_p: p / 100.0, ..open() };
        let all = SamplingParams { top_k: 5000, ..params.clone() };
        assert_eq!(kept_of(&logits, &params, &[]), kept_of(&logits, &all, &[]), "min-p {p}");
    }
}

#[test]
fn without_top_k_the_right_filter_is_blamed() {
    let blame = |params: SamplingParams| {
        let shape = distribution(&logits(), &after(&[]), &params, 6, |_| String::new()).unwrap();
        shape.candidates.iter().map(|c| c.cut_by).collect::<Vec<_>>()
    };
    let (p, m) = (Some(Filter::TopP), Some(Filter::MinP));
    assert_eq!(blame(SamplingParams { top_p: 0.7, min_p: 0.55, ..open() }), [None, None, m, p, p, p]);
    assert_eq!(blame(SamplingParams { min_p: 0.55, ..open() }), [None, None, m, m, m, m]);
}

#[test]
fn each_order_keeps_what_its_filters_leave_to_one_another() {
    let top = |order: &str, top_k, top_p| in_order(order, SamplingParams { top_k, top_p, ..open() });
    // Of two that top-k leaves the first has 0.615; of all it takes two to reach 0.6, and then top-k one more.
    assert_eq!(kept(&top("top_k;top_p", 2, 0.6), &[]), [(0, 1000)]);
    assert_eq!(kept(&top("top_p;top_k", 2, 0.6), &[]), [(0, 615), (2, 385)]);
    assert_eq!(kept(&top("top_p;top_k", 1, 0.7), &[]), [(0, 1000)]);
    // What is not named does nothing.
    assert_eq!(kept(&top("top_p", 1, 0.7), &[]).len(), 3);
    assert_eq!(kept(&top("none", 1, 0.1), &[]).len(), 6);
}

#[test]
fn a_temperature_before_the_others_is_what_they_see() {
    // Temperature 2 takes square roots: 0.283, 0.1, 0.224, 0.2, 0.063, 0.127 of 1.
    let hot = |order: &str, params: SamplingParams| in_order(order, SamplingParams { temperature: 2.0, ..params });
    let tokens = |params: &SamplingParams| kept(params, &[]).iter().map(|(token, _)| *token).collect::<Vec<_>>();
    let nucleus = SamplingParams { top_p: 0.6, ..open() };
    assert_eq!(tokens(&hot("temperature;top_p", nucleus.clone())), [0, 2, 3]);
    assert_eq!(tokens(&hot("top_p;temperature", nucleus)), [0, 2]);
    let least = SamplingParams { min_p: 0.4, ..open() };
    assert_eq!(tokens(&hot("temperature;min_p", least.clone())), [0, 2, 3, 5]);
    assert_eq!(tokens(&hot("min_p;temperature", least.clone())), [0, 2, 3]);
    assert_eq!(kept(&hot("temperature;min_p", least), &[])[0], (0, 340));
    assert_eq!(
        tokens(&hot("top_k;temperature;min_p", SamplingParams { min_p: 0.4, top_k: 5, ..open() })),
        [0, 2, 3, 5]
    );
    assert_eq!(tokens(&hot("temperature;typ_p", SamplingParams { typical_p: 0.3, ..open() })), [2, 3]);
}

#[test]
fn penalties_see_what_is_left_to_them_wherever_they_stand() {
    let params = SamplingParams { presence_penalty: 1.0, frequency_penalty: 0.5, top_k: 3, ..open() };
    // 0.4 met twice is divided by e^2, 0.25 met once by e^1.5.
    let history = [0, 0, 2, 1, 99];
    let before = kept(&in_order("penalties;top_k", params.clone()), &history);
    assert_eq!(before.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [2, 3, 5]);
    let behind = kept(&in_order("top_k;penalties", params.clone()), &history);
    let weights = [0.4 * (-2f32).exp(), 0.25 * (-1.5f32).exp(), 0.2];
    let total: f32 = weights.iter().sum();
    let expected: Vec<u32> = weights.iter().map(|weight| (weight / total * 1000.0).round() as u32).collect();
    assert_eq!(behind, [(0, expected[0]), (2, expected[1]), (3, expected[2])]);
    // A temperature before them acts on the logits that they change.
    let hot = in_order("temperature;penalties", SamplingParams { temperature: 2.0, top_k: 0, ..params.clone() });
    let cold = in_order("penalties;temperature", SamplingParams { temperature: 2.0, top_k: 0, ..params });
    assert_ne!(kept(&hot, &history), kept(&cold, &history));
}

#[test]
fn temperature_0_is_greedy_only_where_it_is_among_the_samplers() {
    let cold = |order: &str| in_order(order, SamplingParams { temperature: 0.0, top_k: 3, ..open() });
    assert_eq!(kept(&cold("top_k;temperature"), &[]), [(0, 1000)]);
    assert_eq!(kept(&cold("temperature;top_k"), &[]), [(0, 1000)]);
    assert_eq!(kept(&cold("top_k"), &[]).len(), 3);
    // What stands behind it comes too late.
    let late = SamplingParams { presence_penalty: 2.0, ..cold("temperature;penalties") };
    assert_eq!(kept(&late, &[0]), [(0, 1000)]);
}

#[test]
fn in_another_order_the_right_filter_is_blamed() {
    let params = SamplingParams { top_k: 2, top_p: 0.9, min_p: 0.1, ..open() };
    let params = in_order("min_p;top_p;temperature;top_k", params);
    let shape = distribution(&logits(), &after(&[]), &params, 6, |_| String::new()).unwrap();
    let blame: Vec<_> = shape.candidates.iter().map(|candidate| candidate.cut_by).collect();
    let (k, p, m) = (Some(Filter::TopK), Some(Filter::TopP), Some(Filter::MinP));
    assert_eq!(blame, [None, None, k, k, p, m], "{shape:?}");
}

#[test]
fn every_order_of_the_filters_leaves_a_distribution() {
    let logits: Vec<f32> = (0..600u64).map(|i| ((i * 2_654_435_761) % 1000) as f32 / 100.0 - 5.0).collect();
    let params = SamplingParams {
        temperature: 1.3,
        top_k: 50,
        top_p: 0.8,
        min_p: 0.02,
        typical_p: 0.9,
        repeat_penalty: 1.2,
        ..SamplingParams::default()
    };
    for first in Filter::ALL {
        for second in Filter::ALL.into_iter().filter(|second| *second != first) {
            let rest = Filter::ALL.into_iter().filter(|other| *other != first && *other != second);
            let order: Vec<&str> = [first, second].into_iter().chain(rest).map(Filter::name).collect();
            let order = order.join(";");
            let kept = kept_of(&logits, &in_order(&order, params.clone()), &[3, 5, 5, 599]);
            let total: u32 = kept.iter().map(|(_, share)| share).sum();
            assert!(!kept.is_empty() && kept.len() <= 50, "{order}: {kept:?}");
            assert!(kept.is_sorted_by_key(|(token, _)| *token), "{order}");
            assert!(total.abs_diff(1000) <= 30, "{order}: {total}");
        }
    }
}

/// What filters to come ask for: numbers of their own, the tokens before, and what tokens stand for.
#[test]
fn a_filter_may_draw_numbers_and_ask_for_the_tokens_before_and_their_texts() {
    // As many of the best as its number says, but at least one; and nothing that was said, or ends a line.
    let by_chance = Act::Cuts(|race, _, situation| {
        let number = situation.dice.generator(Filter::TopK).next_u64() % 4;
        race.keep_top(1 + number as usize);
    });
    let no_lines = Act::Changes(|race, _, situation| {
        let vocabulary = situation.vocabulary;
        let is_line = |token: &TokenId| vocabulary.bytes_of(*token) == b"\n";
        let lines: Vec<TokenId> = (0..vocabulary.size() as TokenId).filter(is_line).collect();
        race.edit(&[situation.history, &lines].concat(), |logit, _| *logit = f32::NEG_INFINITY);
    });
    let vocabulary: Vec<Vec<u8>> =
        [&b"a"[..], b"b", b"\n", b"c", b"d", b"e"].iter().map(|text| text.to_vec()).collect();
    let mut chain = Chain::default();
    let mut kept = |place, history: &[TokenId]| {
        let situation = Situation { history, vocabulary: &vocabulary, dice: Dice::new(7, place) };
        let filters = [(Filter::Penalties, no_lines), (Filter::TopK, by_chance)].into_iter();
        chain.run_each(filters, &logits(), &open(), &situation);
        chain.kept().map(|(token, _)| token).collect::<Vec<_>>()
    };
    let places: Vec<Vec<TokenId>> = (0..20).map(|place| kept(place, &[0])).collect();
    assert!(places.iter().all(|tokens| !tokens.contains(&0) && !tokens.contains(&2)), "{places:?}");
    assert!(places.iter().any(|tokens| tokens.len() == 1) && places.iter().any(|tokens| tokens.len() == 4));
    // A preview, or a replay, of any place meets what was met there.
    for place in [3, 0, 19, 3] {
        assert_eq!(kept(place as u64, &[0]), places[place], "place {place}");
    }
}

#[test]
fn top_n_sigma_keeps_what_is_near_the_best_logit() {
    let tokens = |params: &SamplingParams| kept(params, &[]).iter().map(|(token, _)| *token).collect::<Vec<_>>();
    let within = |n: f32| SamplingParams { top_n_sigma: n, ..open() };
    // The logits are -0.92, -3.00, -1.39, -1.61, -3.91 and -2.53, with a standard deviation of 1.027.
    assert_eq!(tokens(&within(0.5)), [0, 2]);
    assert_eq!(tokens(&within(1.0)), [0, 2, 3]);
    assert_eq!(tokens(&within(2.0)), [0, 2, 3, 5]);
    for off in [0.0, -1.0] {
        assert_eq!(tokens(&within(off)).len(), 6, "llama.cpp turns it off so");
    }
    // A temperature leaves the choice as it is, and what has no probability is not counted.
    let hot = SamplingParams { temperature: 4.0, ..within(1.0) };
    assert_eq!(tokens(&in_order("temperature;top_n_sigma", hot)), [0, 2, 3]);
    let odd = [logits(), vec![f32::NEG_INFINITY; 9]].concat();
    assert_eq!(kept_of(&odd, &within(1.0), &[]), kept(&within(1.0), &[]));
    // Of the three that top-k leaves the deviation is 0.289.
    let three = SamplingParams { top_k: 3, ..within(1.0) };
    assert_eq!(tokens(&in_order("top_k;top_n_sigma", three.clone())), [0]);
    let shape = distribution(&logits(), &after(&[]), &three, 6, |_| String::new()).unwrap();
    let blame: Vec<_> = shape.candidates.iter().map(|candidate| candidate.cut_by).collect();
    let cut = Some(Filter::TopNSigma);
    assert_eq!(blame, [None, None, None, cut, cut, cut], "it comes before top-k in the usual order");
}
