//! The sampling parameters as a person turns them.
//!
//! Names, ranges, steps, and how a typed value is read stand in the engine's table of parameters. The sampling panel, `/set`,
//! the direct forms (`/temperature 0.7`) and the line REPL all go by it, so that they take and refuse the same.

pub use gibber_engine::sampling::{
    PARAMETERS, Parameter, ParameterKind, ParameterSpec, ParameterValue, Samplers, SamplingParams, SamplingValues,
};

/// The parameters that do something, with their values: `temperature 0.80 · top-k 40`.
pub fn in_force(params: &SamplingParams) -> String {
    let acts = PARAMETERS.iter().filter(|spec| spec.parameter.acts(params));
    let values: Vec<String> = acts.map(|spec| format!("{} {}", spec.label, spec.parameter.display(params))).collect();
    values.join(" · ")
}

/// What is said behind a parameter that changes nothing, since its filter is not among those that act.
pub(super) fn unless_left_out(parameter: Parameter, params: &SamplingParams) -> &'static str {
    if parameter.is_reached(params) { "" } else { " (without effect: `samplers` leaves its filter out)" }
}
