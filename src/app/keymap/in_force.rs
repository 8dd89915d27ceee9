//! The keys in force: those of the table, but where config.toml has others.

use std::collections::HashMap;

use gibber_files::nearest::nearest;

use super::{BINDINGS, Binding, Context, Key, KeyAction, KeyPress};
use crate::settings::keys::{KeySetting, KeySettings};

/// A row of the table, with the keys in force.
#[derive(Debug, Clone)]
pub struct KeyRow {
    /// The row.
    pub binding: &'static Binding,
    /// What does it.
    pub keys: Vec<String>,
    /// Where config.toml says so.
    own: Option<Vec<String>>,
}

/// The table, ready to be asked.
#[derive(Debug)]
pub struct Keymap {
    rows: Vec<KeyRow>,
    actions: HashMap<(Context, KeyPress), KeyAction>,
}

/// What is wrong with a line of `[keys]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProblem {
    /// The names that lead to it in config.toml.
    pub path: Vec<String>,
    /// What is wrong, in a sentence that begins with the name.
    pub what: String,
}

impl Default for Keymap {
    fn default() -> Self {
        Self::new(&KeySettings::default()).0
    }
}

impl Keymap {
    /// The table changed by the person's own keys, and what is wrong with those. A line that says nothing that can be
    /// understood changes nothing; of two actions on one key, that of config.toml has it.
    pub fn new(settings: &KeySettings) -> (Self, Vec<KeyProblem>) {
        let given = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
        let mut rows: Vec<KeyRow> =
            BINDINGS.iter().map(|binding| KeyRow { binding, keys: given(binding.keys), own: None }).collect();
        let mut problems = Vec::new();
        for line in settings.iter() {
            let name = line.path().join(".");
            let mut report = |what| problems.push(KeyProblem { path: line.path(), what: format!("`{name}`: {what}") });
            let row = match row_of(&mut rows, &line) {
                Ok(row) => row,
                Err(what) => {
                    report(what);
                    continue;
                }
            };
            let checked = line.keys.iter().map(|key| check(key, row.binding.context).map(|()| key.clone()));
            let (keys, wrong): (Vec<_>, Vec<_>) = checked.partition(Result::is_ok);
            wrong.into_iter().filter_map(Result::err).for_each(&mut report);
            if line.keys.is_empty() || !keys.is_empty() {
                row.keys = keys.into_iter().flatten().collect();
                row.own = Some(line.path());
            }
        }
        problems.extend(conflicts(&rows));
        // The person's own last, so that they win.
        let ordered = rows.iter().filter(|row| row.own.is_none()).chain(rows.iter().filter(|row| row.own.is_some()));
        let presses = |row: &KeyRow| row.keys.iter().filter_map(|key| KeyPress::parse(key)).collect::<Vec<_>>();
        let actions = ordered
            .flat_map(|row| presses(row).into_iter().map(|press| ((row.binding.context, press), row.binding.action)))
            .collect();
        (Self { rows, actions }, problems)
    }

    /// Every row, in the order of help.
    pub fn rows(&self) -> &[KeyRow] {
        &self.rows
    }

    /// What a key does where `focus` is.
    pub fn action(&self, focus: Context, press: KeyPress) -> Option<KeyAction> {
        focus.chain().find_map(|context| self.bound(context, press))
    }

    /// Whether a key does anything, wherever that is.
    pub fn is_bound(&self, press: KeyPress) -> bool {
        Context::ALL.iter().any(|context| self.bound(*context, press).is_some())
    }

    /// What a key does in just this context.
    pub fn bound(&self, context: Context, press: KeyPress) -> Option<KeyAction> {
        self.actions.get(&(context, press)).copied()
    }

    /// The keys that do `action` in just this context.
    pub fn keys(&self, context: Context, action: KeyAction) -> &[String] {
        let is_row = |row: &&KeyRow| row.binding.context == context && row.binding.action == action;
        self.rows.iter().find(is_row).map_or(&[], |row| &row.keys)
    }

    /// The place of a key, from 0, among those of the action that it does in this context.
    pub fn place(&self, context: Context, press: KeyPress) -> Option<usize> {
        let keys = self.keys(context, self.bound(context, press)?);
        keys.iter().position(|key| KeyPress::parse(key) == Some(press))
    }

    /// The key that does `action` where `focus` is, for a hint; `None` where none does.
    pub fn key(&self, focus: Context, action: KeyAction) -> Option<String> {
        let rows = || self.rows.iter().filter(|row| row.binding.action == action && !row.keys.is_empty());
        let in_context = |context| rows().find(|row| row.binding.context == context);
        let row = focus.chain().find_map(in_context).or_else(|| rows().next());
        row.map(|row| with_arrows(&row.keys[0]))
    }

    /// A line of hints, with the keys in force in the place of `<action>`. A hint whose action no key does is left out.
    pub fn hints(&self, focus: Context, text: &str) -> String {
        let hints = text.split(" · ").filter_map(|hint| self.hint(focus, hint));
        hints.collect::<Vec<_>>().join(" · ")
    }

    fn hint(&self, focus: Context, hint: &str) -> Option<String> {
        with_keys(hint, |name| self.key(focus, KeyAction::of_name(name)?))
    }

    /// What a row's keys do, in words.
    pub fn help(&self, binding: &Binding) -> String {
        let key = |name: &str| {
            let action = KeyAction::of_name(name)?;
            let row = self.rows.iter().find(|row| row.binding.action == action);
            Some(row.and_then(|row| row.keys.first()).map_or_else(|| "no key".to_owned(), String::clone))
        };
        with_keys(binding.help, key).unwrap_or_else(|| binding.help.to_owned())
    }
}

/// `text` with a key in the place of each `<action>`; `None` where an action has none.
fn with_keys(text: &str, key: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut parts = text.split('<');
    let mut shown = parts.next()?.to_owned();
    for part in parts {
        let Some((name, rest)) = part.split_once('>') else { return Some(text.to_owned()) };
        shown.push_str(&key(name)?);
        shown.push_str(rest);
    }
    Some(shown)
}

/// Arrows are shorter as such.
fn with_arrows(key: &str) -> String {
    let arrows = [("Left", "←"), ("Right", "→"), ("Up", "↑"), ("Down", "↓")];
    let end = arrows.iter().find_map(|(name, arrow)| Some(format!("{}{arrow}", key.strip_suffix(name)?)));
    end.filter(|_| !key.starts_with("Pg")).unwrap_or_else(|| key.to_owned())
}

/// The row that a line of `[keys]` is about.
fn row_of<'a>(rows: &'a mut [KeyRow], line: &KeySetting) -> Result<&'a mut KeyRow, String> {
    let Some(action) = KeyAction::of_name(line.action) else {
        let names: Vec<String> = BINDINGS.iter().map(|row| row.action.name()).collect();
        let list = "F1 and docs/keys.md list them";
        let next = match nearest(line.action, names.iter().map(String::as_str)) {
            Some(near) => format!("; did you mean `{near}`? {list}"),
            None => format!(": {list}"),
        };
        return Err(format!("there is no action of this name, or part of the screen{next}"));
    };
    let contexts: Vec<Context> =
        rows.iter().filter(|row| row.binding.action == action).map(|row| row.binding.context).collect();
    let wanted = match line.part {
        Some(name) => Context::ALL.iter().copied().find(|context| context.name() == name).ok_or_else(|| {
            let names: Vec<String> = Context::ALL.iter().map(|context| format!("`{}`", context.name())).collect();
            format!("there is no part `{name}` of the screen: it must be {}", names.join(", "))
        })?,
        // The table within is only needed where an action is in several.
        None if contexts.contains(&Context::Anywhere) => Context::Anywhere,
        None => contexts.first().copied().unwrap_or(Context::Anywhere),
    };
    let row = rows.iter_mut().find(|row| row.binding.action == action && row.binding.context == wanted);
    row.ok_or_else(|| {
        let places: Vec<String> = contexts.iter().map(|context| format!("[keys.{}]", context.name())).collect();
        format!("this action belongs into {}", places.join(" or "))
    })
}

/// Whether a key can be told from others, and may be bound in this part of the screen.
fn check(notation: &str, context: Context) -> Result<(), String> {
    let Some(press) = KeyPress::parse(notation) else {
        return Err(format!(
            "`{notation}` is no key: one is written like Ctrl-J, Alt-Enter, Shift-Tab, PgUp, Del, F5 or x"
        ));
    };
    match press.key {
        Key::Char(letter @ ('m' | 'i' | 'h' | '[')) if press.ctrl => {
            let same = match letter {
                'm' => "Enter",
                'i' => "Tab",
                'h' => "Backspace",
                _ => "Esc",
            };
            Err(format!("terminals send the same for {notation} as for {same}"))
        }
        Key::Char(other) if press.ctrl && !other.is_ascii_lowercase() => {
            Err(format!("terminals send nothing of its own for {notation}: with Ctrl, take a letter"))
        }
        Key::Char(_) if press.shift => Err(format!("write the character itself in the place of {notation}")),
        Key::Char('[' | 'o') if press.alt => Err(format!("terminals begin other keys with what {notation} sends")),
        Key::Char(_) if !press.ctrl && !press.alt && context.takes_text() => {
            Err(format!("`{notation}` could not be written any more: take one with Ctrl or Alt, or an F key"))
        }
        Key::F(number) if !(1..=24).contains(&number) => Err(format!("there is no key {notation}")),
        _ => Ok(()),
    }
}

/// Keys of the person's own that do two things in one part of the screen, or that another part takes away.
fn conflicts(rows: &[KeyRow]) -> Vec<KeyProblem> {
    let mut problems = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let Some(path) = &row.own else { continue };
        for other in rows.iter().enumerate().filter(|(place, _)| *place != at).map(|(_, other)| other) {
            let (here, there) = (row.binding.context, other.binding.context);
            let meets = here.chain().any(|outer| outer == there) || there.chain().any(|outer| outer == here);
            // Of two lines of the person's, the first is named once.
            let is_reported = other.own.is_some() && position(rows, other) < at;
            let same_action = row.binding.action == other.binding.action;
            // What the table itself has twice is meant to be so.
            let is_meant = |key: &&String| [row, other].iter().all(|row| row.binding.keys.contains(&key.as_str()));
            let mut keys = row.keys.iter().filter(|key| !is_meant(key));
            let shared = keys.find(|key| other.keys.iter().any(|known| same_key(known, key)));
            if let Some(key) = shared.filter(|_| meets && !is_reported && !same_action) {
                let name = other.binding.action.name();
                let what = match (here, there) {
                    (here, there) if here == there => format!("{key} is the key of `{name}` too: give that another"),
                    (here, there) if there.chain().any(|outer| outer == here) => format!(
                        "in the part `{}`, {key} does `{name}`, which comes first: give one of the two another",
                        there.name()
                    ),
                    (here, _) => format!(
                        "in the part `{}`, {key} will no longer do `{name}`: give one of the two another",
                        here.name()
                    ),
                };
                problems.push(KeyProblem { path: path.clone(), what: format!("`{}`: {what}", path.join(".")) });
            }
        }
    }
    problems
}

fn position(rows: &[KeyRow], row: &KeyRow) -> usize {
    rows.iter().position(|other| std::ptr::eq(other, row)).unwrap_or(0)
}

fn same_key(a: &str, b: &str) -> bool {
    KeyPress::parse(a) == KeyPress::parse(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> KeySettings {
        toml::from_str(text).unwrap()
    }

    fn problems(text: &str) -> Vec<String> {
        Keymap::new(&settings(text)).1.into_iter().map(|problem| problem.what).collect()
    }

    fn action(keymap: &Keymap, focus: Context, key: &str) -> Option<KeyAction> {
        keymap.action(focus, KeyPress::parse(key).unwrap())
    }

    #[test]
    fn an_own_key_takes_the_place_of_those_of_the_table() {
        let (keymap, problems) = Keymap::new(&settings(
            "help = [\"F10\", \"Alt-x\"]\n[composer]\nsend = [\"Ctrl-S\"]\nnew-line = [\"Enter\"]",
        ));
        assert_eq!(problems, []);
        assert_eq!(action(&keymap, Context::Composer, "F10"), Some(KeyAction::Help));
        assert_eq!(action(&keymap, Context::Composer, "Alt-x"), Some(KeyAction::Help));
        assert_eq!(action(&keymap, Context::Composer, "F1"), None, "the old key is free");
        assert_eq!(action(&keymap, Context::Composer, "Ctrl-S"), Some(KeyAction::Send));
        assert_eq!(action(&keymap, Context::Composer, "Enter"), Some(KeyAction::NewLine));
        assert_eq!(keymap.key(Context::Composer, KeyAction::Send), Some("Ctrl-S".to_owned()));
    }

    #[test]
    fn the_table_within_is_needed_only_where_an_action_is_in_several() {
        let (keymap, problems) = Keymap::new(&settings("send = [\"Ctrl-S\"]\n[transcript]\ntop = [\"g\"]\n"));
        assert_eq!(problems, []);
        assert_eq!(action(&keymap, Context::Composer, "Ctrl-S"), Some(KeyAction::Send));
        assert_eq!(action(&keymap, Context::Transcript, "g"), Some(KeyAction::Top));
        assert_eq!(action(&keymap, Context::Transcript, "Ctrl-Home"), Some(KeyAction::Top), "anywhere it stays");
    }

    #[test]
    fn an_empty_list_frees_the_keys() {
        let (keymap, problems) = Keymap::new(&settings("toggle-mouse = []"));
        assert_eq!((problems, action(&keymap, Context::Composer, "F3")), (vec![], None));
    }

    #[test]
    fn each_mistake_is_told_and_changes_nothing() {
        let cases = [
            (
                "sned = [\"Ctrl-S\"]",
                "`keys.sned`: there is no action of this name, or part of the screen; did you mean `send`?",
            ),
            (
                "[writing]\nsend = [\"Ctrl-S\"]",
                "`keys.writing.send`: there is no part `writing` of the screen: it must be `composer`",
            ),
            ("[sampling]\nsend = [\"Ctrl-S\"]", "`keys.sampling.send`: this action belongs into [keys.composer]"),
            ("send = [\"Hyper-S\"]", "`keys.send`: `Hyper-S` is no key"),
            ("send = [\"Ctrl-M\"]", "`keys.send`: terminals send the same for Ctrl-M as for Enter"),
            ("send = [\"Ctrl-I\"]", "the same for Ctrl-I as for Tab"),
            ("send = [\"Ctrl-H\"]", "the same for Ctrl-H as for Backspace"),
            ("send = [\"Ctrl-1\"]", "with Ctrl, take a letter"),
            ("help = [\"x\"]", "`x` could not be written any more"),
            ("help = [\"F99\"]", "no key F99"),
        ];
        for (text, wanted) in cases {
            let found = problems(text);
            assert!(found.len() == 1 && found[0].contains(wanted), "{text}: {found:?}");
            let (keymap, _) = Keymap::new(&settings(text));
            assert_eq!(action(&keymap, Context::Composer, "Enter"), Some(KeyAction::Send), "{text}");
        }
    }

    #[test]
    fn two_actions_on_one_key_are_told_and_the_own_one_has_it() {
        let text = "[composer]\nsend = [\"Ctrl-J\"]";
        assert_eq!(problems(text), ["`keys.composer.send`: Ctrl-J is the key of `new-line` too: give that another"]);
        let (keymap, _) = Keymap::new(&settings(text));
        assert_eq!(action(&keymap, Context::Composer, "Ctrl-J"), Some(KeyAction::Send));
        let both = problems("[composer]\nsend = [\"Alt-X\"]\nnew-line = [\"Alt-X\"]");
        assert_eq!(both.len(), 1, "{both:?}");
        let shadowed = problems("help = [\"Ctrl-R\"]");
        assert!(shadowed[0].contains("in the part `composer`, Ctrl-R does `history-search`"), "{shadowed:?}");
        let shadowing = problems("send = [\"F1\"]");
        assert!(shadowing[0].contains("in the part `composer`, F1 will no longer do `help`"), "{shadowing:?}");
    }

    #[test]
    fn what_holds_outside_a_list_holds_in_it_too() {
        let keymap = Keymap::default();
        assert_eq!(action(&keymap, Context::Chats, "Enter"), Some(KeyAction::Choose));
        assert_eq!(action(&keymap, Context::Chats, "Ctrl-C"), Some(KeyAction::Interrupt));
        assert_eq!(action(&keymap, Context::List, "Del"), None);
        let hidden = problems("[chats]\nrename-chat = [\"Enter\"]");
        assert!(hidden[0].contains("in the part `chats`, Enter will no longer do `choose`"), "{hidden:?}");
        let hides = problems("[list]\nselect-down = [\"Ctrl-E\"]");
        assert!(hides[0].contains("in the part `chats`, Ctrl-E does `rename-chat`, which comes first"), "{hides:?}");
        assert!(problems("[list]\nchoose = [\"x\"]")[0].contains("`x` could not be written any more"));
        assert_eq!(problems("next-focus = [\"Tab\", \"F8\"]"), [""; 0], "the table itself has Tab in lists too");
    }

    #[test]
    fn hints_show_the_keys_in_force_and_leave_out_what_no_key_does() {
        let (keymap, _) = Keymap::new(&settings("help = [\"F10\"]\npalette = []"));
        let hints = keymap.hints(Context::Composer, "<send> send · <help> help · <palette> palette · / commands");
        assert_eq!(hints, "Enter send · F10 help · / commands");
        assert_eq!(keymap.hints(Context::Sampling, "<decrease>/<increase> turn"), "←/→ turn");
        assert_eq!(keymap.hints(Context::Transcript, "<page-up>/<page-down>"), "PgUp/PgDn");
    }

    #[test]
    fn the_words_for_a_key_name_others_that_are_in_force() {
        let row = |action| BINDINGS.iter().find(|row| row.action == action).unwrap();
        let (keymap, _) = Keymap::new(&settings("undo = [\"Alt-U\"]\nline-end = []"));
        assert!(keymap.help(row(KeyAction::Interrupt)).contains("(Alt-U brings it back)"));
        assert!(keymap.help(row(KeyAction::Bottom)).contains("also no key"));
        assert!(BINDINGS.iter().all(|row| !Keymap::default().help(row).contains('<')));
    }

    #[test]
    fn names_of_actions_are_what_the_files_of_people_say() {
        for row in BINDINGS {
            let name = row.action.name();
            assert_eq!(KeyAction::of_name(&name), Some(row.action), "{name}");
        }
        assert_eq!(KeyAction::DeleteWordBack.name(), "delete-word-back");
        assert_eq!(Context::Transcript.name(), "transcript");
    }
}
