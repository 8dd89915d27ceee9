//! The flags of the sampling, one for each row of the table of parameters.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use gibber_engine::sampling::{PARAMETERS, ParameterSpec, ParameterValue, SamplingValues};

/// How the next token is chosen: what was given.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Sampling(SamplingValues);

impl Sampling {
    /// What was given.
    pub(super) fn values(&self) -> &SamplingValues {
        &self.0
    }
}

/// The flag of a parameter. Its other names are flags too, as far as they look like one.
fn flag(spec: &'static ParameterSpec) -> Arg {
    let names = std::iter::once(spec.name).chain(spec.aliases.iter().copied());
    let aliases = names.filter(|name| *name != spec.flag && !name.contains('_'));
    let flag = Arg::new(spec.key)
        .long(spec.flag)
        .aliases(aliases)
        .value_name(spec.value_name)
        .help(sentence(spec.help))
        .help_heading("Sampling")
        .action(ArgAction::Set)
        .allow_negative_numbers(true)
        .value_parser(|text: &str| spec.parse(text));
    match spec.letter {
        Some(letter) => flag.short(letter),
        None => flag,
    }
}

/// With a capital letter, as the help of the other flags begins.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

impl Args for Sampling {
    fn augment_args(command: Command) -> Command {
        command.args(PARAMETERS.iter().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Sampling {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut given = SamplingValues::default();
        for spec in &PARAMETERS {
            let value = matches.try_get_one::<ParameterValue>(spec.key).ok().flatten();
            value.into_iter().for_each(|value| given.set(spec.parameter, value.clone()));
        }
        Ok(Self(given))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
