//! What each slash command does.

use std::path::PathBuf;

use super::commands::{self, CommandId, Line, SlashCommand, When};
use super::parameters::{PARAMETERS, Parameter};
use super::{Action, App, CountFor, Effect, FilePurpose, Moment, NoteKind, keymap};
use crate::chat::Role;
use crate::chat::template::BUILTIN_NAMES;
use crate::engine::sampling::PRESET_NAMES;
use crate::engine::{SamplingParams, TokenId};
use crate::settings::{Settings, Think};
use crate::worker::protocol::{EngineCommand, Lookup, Prompt, RequestId, TemplateChoice};

/// Tokens of a text that `/tokens` lists before it stops.
const TOKENS_SHOWN: usize = 200;

impl App {
    /// A line from the composer or the prompt.
    pub(super) fn enter(&mut self, line: &str, now: Moment) -> Vec<Effect> {
        if line.trim().is_empty() {
            return Vec::new();
        }
        let mut effects = self.remember(line);
        effects.extend(match commands::parse(line) {
            Line::Message(text) => self.say(text, now),
            Line::Command { name, argument } => match commands::find(name) {
                None => {
                    self.note(NoteKind::Error, commands::unknown(name));
                    vec![Effect::Compose(line.to_owned())]
                }
                Some(command) if command.when == When::Idle && self.generation().is_some() => {
                    let text = format!("/{} has to wait: a reply is running (Esc stops it)", command.name);
                    self.hint = Some(text);
                    vec![Effect::Compose(line.to_owned())]
                }
                Some(command) => self.run(command, argument, now),
            },
        });
        effects
    }

    fn run(&mut self, command: &SlashCommand, argument: &str, now: Moment) -> Vec<Effect> {
        match command.id {
            CommandId::Help => return self.help(argument),
            CommandId::Quit => return self.handle(Action::Quit, now),
            CommandId::New => return self.new_chat(now),
            CommandId::Open => return vec![Effect::ListSessions],
            CommandId::Rename | CommandId::Search | CommandId::Export | CommandId::Import | CommandId::Read
                if argument.is_empty() =>
            {
                return self.missing(command);
            }
            CommandId::Rename => return self.rename(argument),
            CommandId::Delete => return self.delete_chat(now),
            CommandId::Search => return vec![Effect::SearchSessions(argument.to_owned())],
            CommandId::Export => return self.export(argument),
            CommandId::Import => {
                return vec![Effect::ReadFile { purpose: FilePurpose::Import, path: argument.to_owned() }];
            }
            CommandId::Read => return vec![Effect::ReadFile { purpose: FilePurpose::Read, path: argument.to_owned() }],
            CommandId::Edit => return self.edit(argument),
            CommandId::Regenerate => return self.regenerate(now),
            CommandId::Continue => return self.continue_reply(now),
            CommandId::Undo => return self.undo(),
            CommandId::Branch => return self.branch(argument),
            CommandId::Copy => return self.copy(argument),
            CommandId::System => return self.set_system(argument),
            CommandId::Prompt => return self.count(CountFor::Prompt, self.prompt().0),
            CommandId::Tokens if argument.is_empty() => return self.missing(command),
            CommandId::Tokens => return self.count(CountFor::Tokens, Prompt::Raw(argument.to_owned())),
            CommandId::Model if argument.is_empty() => return vec![Effect::ListModels],
            CommandId::Model => return vec![self.load_model(argument.to_owned())],
            CommandId::Set => return self.set(command, argument),
            CommandId::Parameter(parameter) if argument.is_empty() => self.show_parameter(parameter),
            CommandId::Parameter(parameter) => return self.set_parameter(parameter, argument),
            CommandId::Preset => return self.set_preset(argument),
            CommandId::Template => self.set_template(argument),
            CommandId::Think => self.think(argument),
            CommandId::Show => self.show(),
            CommandId::Stats => self.stats(),
            CommandId::Save => return vec![Effect::SaveSettings(Box::new(self.settings_to_save()))],
        }
        Vec::new()
    }

    fn missing(&mut self, command: &SlashCommand) -> Vec<Effect> {
        self.note(NoteKind::Error, format!("{}: {}", command.usage(), command.help));
        Vec::new()
    }

    fn help(&mut self, argument: &str) -> Vec<Effect> {
        let name = argument.trim_start_matches('/');
        if name.is_empty() {
            return vec![Effect::ShowHelp];
        }
        match commands::find(name) {
            Some(command) => {
                let aliases: String = command.aliases.iter().map(|alias| format!(", /{alias}")).collect();
                self.note(NoteKind::Info, format!("{}{aliases}: {}", command.usage(), command.help));
            }
            None => self.note(NoteKind::Error, commands::unknown(name)),
        }
        Vec::new()
    }

    /// `/edit [N]`: a question goes back into the composer; what is sent then stands beside it.
    fn edit(&mut self, argument: &str) -> Vec<Effect> {
        let path = self.session.transcript.path();
        let questions: Vec<_> = path.into_iter().filter(|node| node.message.role == Role::User).collect();
        let place = if argument.is_empty() { questions.len() } else { argument.parse().unwrap_or(0) };
        let Some(question) = place.checked_sub(1).and_then(|place| questions.get(place)) else {
            let text = match questions.len() {
                0 => "there is no question yet".to_owned(),
                n => format!("there is no question {argument}: this chat has {n} of them"),
            };
            self.note(NoteKind::Error, text);
            return Vec::new();
        };
        let (parent, text) = (question.parent, question.message.content.clone());
        self.session.transcript.set_head(parent);
        vec![self.session.put(), Effect::Compose(text)]
    }

    fn undo(&mut self) -> Vec<Effect> {
        if let Some(effects) = self.undelete() {
            return effects;
        }
        let Some(question) = self.session.transcript.undo() else {
            self.note(NoteKind::Info, "there is nothing to take back".to_owned());
            return Vec::new();
        };
        vec![self.session.put(), Effect::Compose(question)]
    }

    fn branch(&mut self, argument: &str) -> Vec<Effect> {
        if argument.is_empty() {
            return self.switch_branch(1);
        }
        let fork = self.transcript().last_fork();
        match (argument.parse::<usize>(), fork) {
            (Ok(wanted), Some((_, k, n))) if (1..=n).contains(&wanted) => {
                if wanted == k {
                    Vec::new()
                } else {
                    self.switch_branch(wanted as isize - k as isize)
                }
            }
            (_, fork) => {
                let n = fork.map_or(1, |(_, _, n)| n);
                self.note(NoteKind::Error, format!("/branch wants a number from 1 to {n}, not `{argument}`"));
                Vec::new()
            }
        }
    }

    fn copy(&mut self, argument: &str) -> Vec<Effect> {
        let path = self.transcript().path();
        let reply = path.iter().rev().find(|node| node.message.role == Role::Assistant);
        let text = match (argument, reply) {
            (_, None) => Err("there is no reply to copy yet".to_owned()),
            ("", Some(node)) => Ok(node.message.content.clone()),
            ("code", Some(node)) => last_code_block(&node.message.content)
                .map(str::to_owned)
                .ok_or_else(|| "the last reply has no code block".to_owned()),
            (other, _) => Err(format!("/copy takes nothing or `code`, not `{other}`")),
        };
        match text {
            Ok(text) => {
                self.note(NoteKind::Info, format!("copied {} characters", text.chars().count()));
                vec![Effect::CopyText(text)]
            }
            Err(error) => {
                self.note(NoteKind::Error, error);
                Vec::new()
            }
        }
    }

    fn set_system(&mut self, argument: &str) -> Vec<Effect> {
        match argument {
            "" => {
                let text = match self.system() {
                    "" => "the system message is the template's own; /system TEXT sets one".to_owned(),
                    system => format!("system message: {system}"),
                };
                self.note(NoteKind::Info, text);
                return Vec::new();
            }
            "-" => {
                self.session.record.system.clear();
                self.note(NoteKind::Info, "the system message is the template's own again".to_owned());
            }
            text => {
                self.session.record.system = text.to_owned();
                self.note(NoteKind::Info, "the system message is set, from the next reply on".to_owned());
            }
        }
        self.session.put_if_stored()
    }

    fn set_template(&mut self, argument: &str) {
        if !argument.is_empty() {
            if let Err(error) = check_template(argument) {
                return self.note(NoteKind::Error, error);
            }
            self.template = template_choice(argument);
        }
        let text = format!(
            "template: {} (there are: {}, or a Jinja file)",
            describe_template(&self.template),
            template_names().join(", ")
        );
        self.note(NoteKind::Info, text);
    }

    pub(super) fn list_models(&mut self, names: Vec<String>) {
        let present = self.model().map(|model| model.name.clone());
        let mut text = match &present {
            Some(name) => format!("loaded: {name}"),
            None => "no model is loaded".to_owned(),
        };
        text.push_str("\n/model NAME loads one of these, or a path to a GGUF file or a Hugging Face folder:");
        for name in &names {
            text.push_str(&format!("\n  {name}"));
        }
        self.note(NoteKind::Info, text);
        self.models = names;
    }

    /// `/set NAME VALUE`, also `/set parameter NAME VALUE`.
    fn set(&mut self, command: &SlashCommand, argument: &str) -> Vec<Effect> {
        let argument = argument.strip_prefix("parameter ").unwrap_or(argument).trim_start();
        let (name, value) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
        let value = value.trim();
        match (name, value) {
            ("", _) => self.missing(command),
            ("max-tokens" | "num_predict" | "predict", _) => {
                self.set_max_tokens(value);
                Vec::new()
            }
            ("lookup", _) => {
                self.set_lookup(value);
                Vec::new()
            }
            ("think" | "nothink", _) => {
                let on = if name == "nothink" { "off" } else { "on" };
                self.think(if value.is_empty() { on } else { value });
                Vec::new()
            }
            ("stop", _) => {
                self.set_stop(value);
                Vec::new()
            }
            ("system", _) => self.set_system(value),
            _ => match Parameter::named(name) {
                Some(parameter) if value.is_empty() => {
                    self.show_parameter(parameter);
                    Vec::new()
                }
                Some(parameter) => self.set_parameter(parameter, value),
                None => {
                    let names: Vec<&str> = PARAMETERS.iter().map(|spec| spec.name).collect();
                    let text = format!(
                        "there is no parameter `{name}`: it must be {}, max-tokens, lookup, think or stop",
                        names.join(", ")
                    );
                    self.note(NoteKind::Error, text);
                    Vec::new()
                }
            },
        }
    }

    fn set_max_tokens(&mut self, value: &str) {
        match value.parse() {
            Ok(limit) => {
                self.settings.chat.max_tokens = limit;
                let text =
                    if limit == 0 { "replies have no limit".to_owned() } else { format!("max-tokens = {limit}") };
                self.note(NoteKind::Info, text);
            }
            Err(_) => {
                let text = format!("max-tokens wants a whole number (0 is no limit), not `{value}`");
                self.note(NoteKind::Error, text);
            }
        }
    }

    /// `/think`: whether the model is to think, and whether its thoughts are shown.
    fn think(&mut self, argument: &str) {
        match argument {
            "show" | "hide" => self.shows_thoughts = argument == "show",
            "" => {
                let shown = if self.shows_thoughts { "shown" } else { "folded" };
                let text = format!("think = {}; thoughts are {shown}", self.settings.chat.think.name());
                self.note(NoteKind::Info, text);
            }
            _ => match Think::of_name(argument) {
                Some(think) => {
                    self.settings.chat.think = think;
                    self.note(NoteKind::Info, format!("think = {}, from the next reply on", think.name()));
                }
                None => {
                    let text = format!("think wants {}, show or hide, not `{argument}`", Think::NAMES.join(", "));
                    self.note(NoteKind::Error, text);
                }
            },
        }
    }

    fn set_lookup(&mut self, value: &str) {
        match Lookup::named(value) {
            Some(lookup) => {
                self.settings.model.lookup = lookup;
                self.note(NoteKind::Info, format!("lookup = {value}, from the next reply on"));
            }
            None => {
                let text = format!("lookup wants {}, not `{value}`", Lookup::NAMES.join(", "));
                self.note(NoteKind::Error, text);
            }
        }
    }

    fn set_stop(&mut self, value: &str) {
        if value.is_empty() {
            self.settings.chat.stop.clear();
            return self.note(NoteKind::Info, "no stop texts of your own".to_owned());
        }
        self.settings.chat.stop.push(value.to_owned());
        let text = format!("stop texts: {:?} (/set stop without one forgets them)", self.settings.chat.stop);
        self.note(NoteKind::Info, text);
    }

    fn show_parameter(&mut self, parameter: Parameter) {
        let spec = parameter.spec();
        let text = format!("{} = {}: {}", spec.name, parameter.display(self.sampling()), spec.help);
        self.note(NoteKind::Info, text);
    }

    /// Sets a parameter from a text.
    pub(super) fn set_parameter(&mut self, parameter: Parameter, text: &str) -> Vec<Effect> {
        let mut changed = self.sampling.clone();
        match parameter.parse_into(&mut changed, text) {
            Ok(()) => {
                let shown = parameter.display(&changed);
                let effects = self.change_sampling(|params| *params = changed);
                self.note(NoteKind::Info, format!("{} = {shown}{}", parameter.spec().name, self.when_it_acts()));
                effects
            }
            Err(error) => {
                self.note(NoteKind::Error, error.to_string());
                Vec::new()
            }
        }
    }

    /// From when a change acts.
    fn when_it_acts(&self) -> String {
        match self.generation() {
            Some(generation) => format!(", from token {} of this reply on", generation.tokens + 1),
            None => String::new(),
        }
    }

    fn set_preset(&mut self, name: &str) -> Vec<Effect> {
        if name.is_empty() {
            let text =
                format!("preset: {} (there are: {})", self.preset().unwrap_or("none"), self.preset_names().join(", "));
            self.note(NoteKind::Info, text);
            return Vec::new();
        }
        let own = self.settings.presets.get(name).cloned();
        match own.or_else(|| SamplingParams::preset(name)) {
            Some(preset) => {
                let effects = self.apply_preset(preset);
                self.note(NoteKind::Info, format!("preset {name}{}", self.when_it_acts()));
                effects
            }
            None => {
                let text = format!("there is no preset `{name}`: it must be {}", self.preset_names().join(", "));
                self.note(NoteKind::Error, text);
                Vec::new()
            }
        }
    }

    /// The preset after the one in force.
    pub(super) fn next_preset(&mut self) -> Vec<Effect> {
        let names = self.preset_names();
        let at = self.preset().and_then(|preset| names.iter().position(|name| name == preset));
        let next = &names[at.map_or(0, |at| (at + 1) % names.len())];
        let own = self.settings.presets.get(next).cloned();
        match own.or_else(|| SamplingParams::preset(next)) {
            Some(preset) => self.apply_preset(preset),
            None => Vec::new(),
        }
    }

    /// A preset without a seed leaves the seed as it is.
    fn apply_preset(&mut self, preset: SamplingParams) -> Vec<Effect> {
        self.change_sampling(|params| {
            let seed = preset.seed.or(params.seed);
            *params = SamplingParams { seed, ..preset };
        })
    }

    /// The names of all presets, the built-in ones first.
    pub fn preset_names(&self) -> Vec<String> {
        let own = self.settings.presets.keys().filter(|name| !PRESET_NAMES.contains(&name.as_str()));
        PRESET_NAMES.iter().map(|name| (*name).to_owned()).chain(own.cloned()).collect()
    }

    fn show(&mut self) {
        let mut lines = Vec::new();
        match self.model() {
            Some(model) => {
                lines.push(format!(
                    "model             {} · {} · {} · {} threads · context {} of {}",
                    model.name, model.architecture, model.format, model.threads, model.context, model.trained_context
                ));
                let (used, full) = (self.context().0 as f64 / model.context as f64, model.cache_bytes as f64 / 1e6);
                let used = used * full;
                lines.push(format!("KV cache          {} · {used:.1} of {full:.1} MB used", model.cache));
            }
            None => lines.push("model             none is loaded".to_owned()),
        }
        lines.push(format!("template          {}", describe_template(&self.template)));
        let system = if self.system().is_empty() { "(the template's own)" } else { self.system() };
        lines.push(format!("system            {system}"));
        lines.push(format!("preset            {}", self.preset().unwrap_or("none")));
        for spec in &PARAMETERS {
            lines.push(format!("{:<17} {}", spec.name, spec.parameter.display(self.sampling())));
        }
        let limit = match self.settings.chat.max_tokens {
            0 => "no limit".to_owned(),
            limit => limit.to_string(),
        };
        lines.push(format!("max-tokens        {limit}"));
        lines.push(format!("lookup            {}", self.settings.model.lookup.as_str()));
        lines.push(format!("think             {}", self.settings.chat.think.name()));
        lines.push(format!("stop              {:?}", self.settings.chat.stop));
        self.note(NoteKind::Info, lines.join("\n"));
    }

    fn stats(&mut self) {
        let Some(summary) = self.last_summary() else {
            return self.note(NoteKind::Info, "there was no reply yet".to_owned());
        };
        let stats = &summary.stats;
        let (used, context) = self.context();
        let text = format!(
            "{}\nprompt {} tok, {} of them from the cache · prefill {:.0} tok/s in {} ms · decode {:.1} tok/s · seed {} · context {used} / {context}",
            summary.line(),
            stats.prompt_tokens,
            stats.reused_tokens,
            stats.prefill_tokens_per_second(),
            stats.prefill_time.as_millis(),
            stats.decode_tokens_per_second(),
            stats.seed,
        );
        let perplexity = self.perplexity().map(|value| format!(" · perplexity {value:.2}")).unwrap_or_default();
        self.note(NoteKind::Info, format!("{text}{perplexity}"));
    }

    /// How surprising the last reply was to the model itself: the inverse of its tokens' probability, in the geometric
    /// mean; as far as it was generated in this run.
    fn perplexity(&self) -> Option<f32> {
        let tokens = self.tokens_of(self.transcript().head()?).filter(|tokens| !tokens.is_empty())?;
        let mean = tokens.iter().map(|token| token.trace.logprob).sum::<f32>() / tokens.len() as f32;
        Some((-mean).exp())
    }

    fn settings_to_save(&self) -> Settings {
        let mut settings = self.settings.clone();
        settings.sampling = self.sampling.clone();
        settings.chat.system.clone_from(&self.session.record.system);
        settings.model.template = match &self.template {
            TemplateChoice::Model => String::new(),
            TemplateChoice::Builtin(name) => name.clone(),
            TemplateChoice::File(path) => path.display().to_string(),
        };
        settings
    }

    fn count(&mut self, why: CountFor, prompt: Prompt) -> Vec<Effect> {
        let id = self.request_id();
        self.counts.insert(id, why);
        vec![self.submit(EngineCommand::Count { id, prompt })]
    }

    pub(super) fn counted(&mut self, id: RequestId, text: &str, tokens: &[TokenId], pieces: &[String]) -> Vec<Effect> {
        let Some(why) = self.counts.remove(&id) else { return Vec::new() };
        let listed = list_of_tokens(tokens, pieces);
        let note = match why {
            CountFor::Prompt => {
                format!("{} tokens; the model sees:\n{text}\n\nas these tokens:\n{listed}", tokens.len())
            }
            CountFor::Tokens => format!("{} tokens: {listed}", tokens.len()),
        };
        self.note(NoteKind::Info, note);
        Vec::new()
    }
}

/// Each token as its id and its text: `504 "The"`; of very many the first and the last.
fn list_of_tokens(tokens: &[TokenId], pieces: &[String]) -> String {
    let mut shown: Vec<String> = tokens.iter().zip(pieces).map(|(token, piece)| format!("{token} {piece:?}")).collect();
    if shown.len() > TOKENS_SHOWN {
        let left_out = shown.len() - TOKENS_SHOWN;
        let half = TOKENS_SHOWN / 2;
        shown.splice(half..half + left_out, [format!("… {left_out} more …")]);
    }
    shown.join("  ")
}

/// The text of the last fenced code block (CommonMark), without its fences.
fn last_code_block(text: &str) -> Option<&str> {
    let mut block = None;
    let mut open: Option<(usize, &str)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let fence = line.trim_start();
        let fence_is = |mark: &str| fence.starts_with(mark);
        match open {
            Some((start, mark)) if fence_is(mark) => {
                block = Some(&text[start..at]);
                open = None;
            }
            Some(_) => {}
            None => open = ["```", "~~~"].into_iter().find(|mark| fence_is(mark)).map(|mark| (at + line.len(), mark)),
        }
        at += line.len();
    }
    // A reply that was cut ends inside its block.
    block.or_else(|| open.map(|(start, _)| &text[start..]))
}

/// The templates that can be named.
pub(super) fn template_names() -> Vec<&'static str> {
    std::iter::once("model").chain(BUILTIN_NAMES).collect()
}

/// The template that a name or a path stands for; empty and `model` are the model's own.
pub fn template_choice(name: &str) -> TemplateChoice {
    match name {
        "" | "model" => TemplateChoice::Model,
        name if is_path(name) => TemplateChoice::File(PathBuf::from(name)),
        name => TemplateChoice::Builtin(name.to_owned()),
    }
}

fn is_path(name: &str) -> bool {
    name.contains('/') || name.contains(std::path::MAIN_SEPARATOR) || name.ends_with(".jinja")
}

fn check_template(name: &str) -> Result<(), String> {
    if is_path(name) || template_names().contains(&name) {
        return Ok(());
    }
    Err(format!("there is no template `{name}`: it must be {} or a file", template_names().join(", ")))
}

/// A template as a person names it.
pub fn describe_template(choice: &TemplateChoice) -> String {
    match choice {
        TemplateChoice::Model => "model".to_owned(),
        TemplateChoice::Builtin(name) => name.clone(),
        TemplateChoice::File(path) => path.display().to_string(),
    }
}

/// The whole of `/help`: keys (for a full screen) and commands.
pub fn help_text(with_keys: bool) -> String {
    let mut text = String::new();
    if with_keys {
        for binding in keymap::BINDINGS {
            text.push_str(&format!("  {:<24} {}\n", binding.keys.join(" · "), binding.help));
        }
        text.push('\n');
    }
    for command in commands::all() {
        let aliases: String = command.aliases.iter().map(|alias| format!(" /{alias}")).collect();
        text.push_str(&format!("  {:<24} {}", command.usage(), command.help));
        if !aliases.is_empty() {
            text.push_str(&format!(" (also{aliases})"));
        }
        text.push('\n');
    }
    text
}
