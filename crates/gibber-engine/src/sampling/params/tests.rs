use super::*;

fn default() -> SamplingParams {
    SamplingParams::default()
}

#[test]
fn every_row_is_that_of_its_parameter_and_of_its_field() {
    for (at, spec) in PARAMETERS.iter().enumerate() {
        assert_eq!(spec.parameter as usize, at, "{}", spec.name);
        assert!(std::ptr::eq(spec.parameter.spec(), spec));
        let fits = matches!(
            (spec.kind, spec.parameter.get(&default())),
            (ParameterKind::Number { .. }, ParameterValue::Number(_))
                | (ParameterKind::Integer { .. }, ParameterValue::Integer(_))
                | (ParameterKind::Seed, ParameterValue::Seed(_))
                | (ParameterKind::Samplers, ParameterValue::Samplers(_))
        );
        assert!(fits, "{}", spec.name);
        assert!(!spec.help.is_empty() && !spec.help.ends_with('.'), "{}", spec.name);
    }
}

#[test]
fn no_name_key_or_flag_stands_for_two_parameters() {
    let names = PARAMETERS.iter().flat_map(|spec| std::iter::once(spec.name).chain(spec.aliases.iter().copied()));
    let flags = PARAMETERS.iter().map(|spec| spec.flag);
    for mut names in [names.collect::<Vec<_>>(), flags.collect(), PARAMETERS.iter().map(|spec| spec.key).collect()] {
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
    }
}

#[test]
fn presets_are_valid_and_the_default_is_balanced() {
    for name in PRESET_NAMES {
        let preset = SamplingParams::preset(name).unwrap();
        assert_eq!(preset.validate(), Ok(()), "{name}");
        assert_eq!(preset.seed, None, "{name}");
    }
    assert_eq!(SamplingParams::preset("balanced"), Some(SamplingParams::default()));
    assert_eq!(SamplingParams::preset("Balanced"), None);
}

#[test]
fn a_value_out_of_range_is_named_with_its_range() {
    let wrong = SamplingParams { temperature: 7.5, ..default() };
    assert_eq!(wrong.validate().unwrap_err().to_string(), "temperature = 7.5 is out of range: it must be from 0 to 5");
    let wrong = SamplingParams { repeat_last_n: -2, ..default() };
    assert!(wrong.validate().unwrap_err().to_string().starts_with("repeat_last_n = -2 is out of range"));
}

#[test]
fn every_number_refuses_what_is_none_or_out_of_range() {
    for spec in &PARAMETERS {
        let ParameterKind::Number { least, most } = spec.kind else { continue };
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, least - 0.01, most + 0.01] {
            let mut params = default();
            spec.parameter.set(&mut params, ParameterValue::Number(bad));
            assert!(params.validate().is_err(), "{} took {bad}", spec.name);
        }
        for end in [least, most] {
            let mut params = default();
            spec.parameter.set(&mut params, ParameterValue::Number(end));
            assert_eq!(params.validate(), Ok(()), "{} refused {end}", spec.name);
        }
    }
    let wide = SamplingParams { top_k: u32::MAX, repeat_last_n: i32::MAX, ..default() };
    assert_eq!(wide.validate(), Ok(()));
}

#[test]
fn names_match_exactly() {
    assert_eq!(Parameter::named("temp"), Some(Parameter::Temperature));
    assert_eq!(Parameter::named("top_k"), Some(Parameter::TopK));
    assert_eq!(Parameter::named("te"), None);
    assert_eq!(Parameter::named("Temperature"), None);
    assert_eq!(Parameter::of_key("typical_p"), Some(Parameter::Typical));
}

#[test]
fn typed_values_are_checked_and_a_refused_one_changes_nothing() {
    let mut params = default();
    Parameter::Temperature.parse_into(&mut params, "0,7").unwrap();
    assert_eq!(params.temperature, 0.7);
    let error = Parameter::Temperature.parse_into(&mut params, "9").unwrap_err();
    assert_eq!(error.to_string(), "temperature = 9 is out of range: it must be from 0 to 5");
    let error = Parameter::TopK.parse_into(&mut params, "1.5").unwrap_err();
    assert_eq!(error.to_string(), "top-k wants a whole number from -1 on, not `1.5`");
    let error = Parameter::TopK.parse_into(&mut params, "-2").unwrap_err();
    assert_eq!(error.to_string(), "top-k wants a whole number from -1 on, not `-2`");
    let error = Parameter::TopK.parse_into(&mut params, "5000000000").unwrap_err();
    assert_eq!(error.to_string(), "top_k = 5000000000 is out of range: it must be from -1 to 4294967295");
    for text in ["nan", "inf", "", "x"] {
        assert!(Parameter::MinP.parse_into(&mut params, text).is_err(), "{text}");
    }
    let error = Parameter::Samplers.parse_into(&mut params, "top_k;x").unwrap_err();
    assert!(error.to_string().starts_with("there is no sampler `x`: samplers are penalties, "), "{error}");
    assert_eq!(params, SamplingParams { temperature: 0.7, ..default() });
}

#[test]
fn arrows_keep_to_the_raster_and_stop_at_the_ends() {
    let mut params = SamplingParams { temperature: 0.83, ..default() };
    Parameter::Temperature.nudge(&mut params, 1, false);
    assert_eq!(params.temperature, 0.85);
    Parameter::Temperature.nudge(&mut params, -1, true);
    assert_eq!(params.temperature, 0.75);
    for _ in 0..100 {
        Parameter::Temperature.nudge(&mut params, -1, false);
    }
    assert_eq!(params.temperature, 0.0);
    for _ in 0..3 {
        Parameter::TopP.nudge(&mut params, 1, true);
    }
    assert_eq!(params.top_p, 1.0);
}

#[test]
fn every_slider_moves_both_ways_within_its_range() {
    for spec in PARAMETERS.iter().filter(|spec| spec.slider.is_some() || spec.kind == ParameterKind::Seed) {
        for large in [false, true] {
            let mut params = default();
            for _ in 0..3000 {
                spec.parameter.nudge(&mut params, -1, large);
                assert_eq!(params.validate(), Ok(()), "{}", spec.name);
            }
            let low = spec.parameter.value(&params);
            for _ in 0..3 {
                spec.parameter.nudge(&mut params, 1, large);
            }
            assert_ne!(spec.parameter.value(&params), low, "{}", spec.name);
            assert_eq!(params.validate(), Ok(()), "{}", spec.name);
        }
        for place in [0.0, 0.5, 1.0] {
            let mut params = default();
            spec.parameter.slide(&mut params, place);
            assert_eq!(params.validate(), Ok(()), "{}", spec.name);
            let there = spec.parameter.fraction(&params);
            assert!(there.is_none_or(|there| (there - place).abs() < 0.02), "{}: {there:?}", spec.name);
        }
    }
}

#[test]
fn what_is_reset_is_what_the_default_has() {
    let mut params = default();
    for spec in &PARAMETERS {
        spec.parameter.nudge(&mut params, 3, false);
    }
    Parameter::Samplers.parse_into(&mut params, "top_k").unwrap();
    assert_ne!(params, default());
    PARAMETERS.iter().for_each(|spec| spec.parameter.reset(&mut params));
    assert_eq!(params, default());
}

#[test]
fn the_seed_goes_down_to_random() {
    let mut params = default();
    Parameter::Seed.nudge(&mut params, 1, false);
    assert_eq!(params.seed, Some(0));
    Parameter::Seed.nudge(&mut params, -1, false);
    assert_eq!(params.seed, None);
    Parameter::Seed.parse_into(&mut params, "18446744073709551615").unwrap();
    assert_eq!(Parameter::Seed.display(&params), "18446744073709551615");
    Parameter::Seed.parse_into(&mut params, "random").unwrap();
    assert_eq!(Parameter::Seed.display(&params), "random");
}

#[test]
fn a_parameter_acts_where_it_is_on_and_its_filter_is_among_the_samplers() {
    let mut params = default();
    assert!(Parameter::TopK.acts(&params) && !Parameter::Typical.acts(&params) && !Parameter::Samplers.acts(&params));
    params.samplers = "temperature".parse().unwrap();
    assert!(
        !Parameter::TopK.acts(&params) && Parameter::Temperature.acts(&params) && Parameter::Samplers.acts(&params)
    );
}

/// What is kept with a chat is read by later versions, with the parameters that came since as those that do nothing.
#[test]
fn parameters_are_read_where_some_are_missing_but_not_where_some_are_unknown() {
    let read: SamplingParams = serde_json::from_str(r#"{"top_k": 3}"#).unwrap();
    assert_eq!(read, SamplingParams { top_k: 3, ..default() });
    let first = [Parameter::Temperature, Parameter::TopK, Parameter::TopP, Parameter::MinP];
    for spec in PARAMETERS.iter().filter(|spec| !first.contains(&spec.parameter)) {
        assert!(!spec.parameter.acts(&default()), "a chat of old has no {}: by itself it does nothing", spec.name);
    }
    assert!(serde_json::from_str::<SamplingParams>(r#"{"top_k": 3, "of_tomorrow": 1.5}"#).is_err());
    assert!(serde_json::from_str::<SamplingParams>(r#"{"samplers": "top_k;of_tomorrow"}"#).is_err());
    let params = SamplingParams { seed: Some(9), samplers: "top_k;temperature".parse().unwrap(), ..default() };
    let json = serde_json::to_string(&params).unwrap();
    assert_eq!(serde_json::from_str::<SamplingParams>(&json).unwrap(), params);
}

#[test]
fn minus_one_keeps_all_of_top_k_as_zero_does() {
    let mut params = default();
    Parameter::TopK.parse_into(&mut params, "-1").unwrap();
    assert_eq!((params.top_k, params.validate()), (0, Ok(())));
}
