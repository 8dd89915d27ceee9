//! Themes: what each part of the screen looks like, from a TOML file. The built-in ones are such files too, and so are
//! examples.

use std::path::Path;

use ratatui::style::{Color, Modifier, Style};
use toml_edit::{Array, Document, Item, TableLike, Value};

use super::Problem;
use super::load::{SettingsError, line_of, list, not_toml, span_of};

/// The theme of a screen for which none was chosen.
pub const DEFAULT: &str = "dark";

/// The theme without colours.
pub const COLORLESS: &str = "none";

/// The built-in themes: name and file.
const BUILTIN: [(&str, &str); 4] = [
    (DEFAULT, include_str!("../../assets/themes/dark.toml")),
    ("light", include_str!("../../assets/themes/light.toml")),
    ("high-contrast", include_str!("../../assets/themes/high-contrast.toml")),
    (COLORLESS, include_str!("../../assets/themes/none.toml")),
];

/// The key of a theme's file that names the theme it changes.
const INHERITS: &str = "inherits";

macro_rules! roles {
    ($($role:ident $name:literal)*) => {
        /// A part of the screen that has a look of its own; `assets/themes/dark.toml` says what each is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)] // The file says it.
        pub enum Role { $($role),* }

        /// The names of the roles in a theme's file, in the order of [`Role`].
        pub const ROLES: [&str; [$($name),*].len()] = [$($name),*];
    };
}

roles! {
    Text "text"
    Line "line"
    Faint "faint"
    Title "title"
    User "user"
    Model "model"
    Accent "accent"
    Warning "warning"
    Error "error"
    Chosen "chosen"
    Selection "selection"
    Heading "heading"
    Code "code"
    Link "link"
    Quote "quote"
    SyntaxComment "syntax-comment"
    SyntaxKeyword "syntax-keyword"
    SyntaxLiteral "syntax-literal"
    SyntaxNumber "syntax-number"
    SyntaxName "syntax-name"
    SyntaxType "syntax-type"
    Sureness0 "sureness-0"
    Sureness1 "sureness-1"
    Sureness2 "sureness-2"
    Sureness3 "sureness-3"
    Sureness4 "sureness-4"
}

/// What modifiers are called in a theme's file.
const MODIFIERS: [(&str, Modifier); 6] = [
    ("bold", Modifier::BOLD),
    ("dim", Modifier::DIM),
    ("italic", Modifier::ITALIC),
    ("underlined", Modifier::UNDERLINED),
    ("reversed", Modifier::REVERSED),
    ("crossed-out", Modifier::CROSSED_OUT),
];

/// What each role looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Styles([Style; ROLES.len()]);

impl Default for Styles {
    /// Plain text everywhere.
    fn default() -> Self {
        Self([Style::new(); ROLES.len()])
    }
}

impl Styles {
    /// The look of a role.
    pub fn of(&self, role: Role) -> Style {
        self.0[role as usize]
    }

    /// Each look changed.
    pub fn map(&self, change: impl Fn(Style) -> Style) -> Self {
        Self(self.0.map(change))
    }

    /// The built-in theme of that name.
    pub fn builtin(name: &str) -> Option<Self> {
        let (name, text) = BUILTIN.into_iter().find(|(known, _)| *known == name)?;
        // A test reads each of them; none inherits from another.
        Self::parse(text, Path::new(name)).ok()
    }

    /// The theme that `text` describes, a file that errors call `path`.
    ///
    /// # Errors
    /// [`SettingsError::Invalid`] with every unknown role and every bad value.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let document = Document::parse(text).map_err(|error| not_toml(text, path, &error))?;
        let mut file = ThemeFile { text, problems: Vec::new() };
        let styles = file.styles(document.as_table());
        file.problems.sort_by_key(|problem| problem.line);
        if file.problems.is_empty() {
            return Ok(styles);
        }
        Err(SettingsError::Invalid { path: path.into(), problems: file.problems })
    }
}

/// A theme that can be chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Theme {
    /// What `ui.theme` and `/theme` call it.
    pub name: String,
    /// What it looks like, or a sentence for each thing that is wrong with its file.
    pub styles: Result<Styles, String>,
    /// Whether it is the person's own.
    pub is_own: bool,
}

/// The built-in themes, each replaced by one of the person's own that has its name, and then the other own ones.
pub fn with_builtin(own: Vec<Theme>) -> Vec<Theme> {
    let replaced = |name: &str| own.iter().any(|theme| theme.name == name);
    let builtin = BUILTIN.into_iter().filter(|(name, _)| !replaced(name)).filter_map(|(name, _)| {
        let styles = Styles::builtin(name)?;
        Some(Theme { name: name.to_owned(), styles: Ok(styles), is_own: false })
    });
    builtin.collect::<Vec<_>>().into_iter().chain(own).collect()
}

/// A walk over a theme's file that collects what is wrong.
struct ThemeFile<'a> {
    text: &'a str,
    problems: Vec<Problem>,
}

impl ThemeFile<'_> {
    fn report(&mut self, root: &dyn TableLike, key: &str, what: String) {
        let line = line_of(self.text, span_of(root, key).map_or(0, |span| span.start));
        self.problems.push(Problem { line, what });
    }

    fn styles(&mut self, root: &dyn TableLike) -> Styles {
        let mut styles = self.inherited(root);
        for (name, item) in root.iter().filter(|(name, _)| *name != INHERITS) {
            match ROLES.iter().position(|role| *role == name) {
                None => {
                    let what = format!("unknown role `{name}`; the roles are {}", list(ROLES.into_iter()));
                    self.report(root, name, what);
                }
                Some(role) => match style_of(item) {
                    Ok(style) => styles.0[role] = style,
                    Err(what) => self.report(root, name, format!("`{name}` {what}")),
                },
            }
        }
        styles
    }

    fn inherited(&mut self, root: &dyn TableLike) -> Styles {
        // The default is read with nothing behind it.
        let plain = Styles::default();
        let Some(item) = root.get(INHERITS) else {
            let is_complete = ROLES.iter().all(|role| root.contains_key(role));
            return if is_complete { plain } else { Styles::builtin(DEFAULT).unwrap_or(plain) };
        };
        if let Some((name, _)) = BUILTIN.iter().find(|(name, _)| Some(*name) == item.as_str()) {
            return Styles::builtin(name).unwrap_or(plain);
        }
        let names = list(BUILTIN.iter().map(|(name, _)| *name));
        self.report(root, INHERITS, format!("`{INHERITS}` is {}: it must be one of {names}", shown(item)));
        plain
    }
}

/// A value as it stands in the file.
fn shown(item: &Item) -> String {
    item.to_string().trim().to_owned()
}

/// A role's look: a colour, or a table. An error says what is wrong, to be read after the role's name.
fn style_of(item: &Item) -> Result<Style, String> {
    let Some(table) = item.as_table_like() else {
        return Ok(Style::new().fg(color_of(item).map_err(|error| format!("is {error}"))?));
    };
    let mut style = Style::new();
    for (key, item) in table.iter() {
        let named = |error: String| format!("has {key} = {error}");
        style = match (key, item.as_array()) {
            ("fg", _) => style.fg(color_of(item).map_err(named)?),
            ("bg", _) => style.bg(color_of(item).map_err(named)?),
            ("modifiers", Some(names)) => style.add_modifier(modifiers_of(names).map_err(named)?),
            ("modifiers", None) => return Err(named(format!("{}: it must be a list in brackets", shown(item)))),
            _ => return Err(format!("has the unknown key `{key}`; a role has `fg`, `bg`, `modifiers`")),
        };
    }
    Ok(style)
}

fn color_of(item: &Item) -> Result<Color, String> {
    let color = match item.as_value() {
        Some(Value::String(name)) => name.value().parse().ok(),
        Some(Value::Integer(index)) => u8::try_from(*index.value()).ok().map(Color::Indexed),
        _ => None,
    };
    color.ok_or_else(|| {
        format!(
            "{}: it must be a colour's name such as \"light-red\", \"#rrggbb\", or a number from 0 to 255",
            shown(item)
        )
    })
}

fn modifiers_of(names: &Array) -> Result<Modifier, String> {
    names.iter().try_fold(Modifier::empty(), |modifiers, name| {
        let known = MODIFIERS.iter().find(|(known, _)| Some(*known) == name.as_str());
        let (_, modifier) = known.ok_or_else(|| {
            let names = list(MODIFIERS.iter().map(|(name, _)| *name));
            format!("{}: each must be one of {names}", name.to_string().trim())
        })?;
        Ok(modifiers | *modifier)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Styles, String> {
        Styles::parse(text, Path::new("mine.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn every_built_in_theme_has_every_role_and_nothing_else() {
        for (name, text) in BUILTIN {
            assert!(parse(text).is_ok(), "{name}: {:?}", parse(text));
            let document: toml_edit::DocumentMut = text.parse().unwrap();
            for role in ROLES {
                assert!(document.contains_key(role), "{name} leaves out {role}");
            }
        }
    }

    #[test]
    fn the_theme_without_colours_has_none() {
        let styles = Styles::builtin(COLORLESS).unwrap();
        assert!(styles.0.iter().all(|style| style.fg.is_none() && style.bg.is_none()));
    }

    #[test]
    fn a_colour_is_a_name_a_triple_or_a_number() {
        let styles = parse("user = \"light-red\"\nmodel = \"#0a0B0c\"\naccent = 208").unwrap();
        assert_eq!(styles.of(Role::User), Style::new().fg(Color::LightRed));
        assert_eq!(styles.of(Role::Model), Style::new().fg(Color::Rgb(10, 11, 12)));
        assert_eq!(styles.of(Role::Accent), Style::new().fg(Color::Indexed(208)));
        let styles = parse("chosen = { fg = 0, bg = \"white\", modifiers = [\"bold\", \"italic\"] }").unwrap();
        let wanted = Style::new().fg(Color::Indexed(0)).bg(Color::White);
        assert_eq!(styles.of(Role::Chosen), wanted.add_modifier(Modifier::BOLD | Modifier::ITALIC));
    }

    #[test]
    fn what_is_left_out_is_inherited() {
        let dark = Styles::builtin("dark").unwrap();
        assert_eq!(parse("accent = 1").unwrap().of(Role::User), dark.of(Role::User));
        let light = Styles::builtin("light").unwrap();
        assert_eq!(parse("inherits = \"light\"\naccent = 1").unwrap().of(Role::User), light.of(Role::User));
        let error = parse("inherits = \"purple\"").unwrap_err();
        assert!(error.starts_with("mine.toml:1: `inherits` is \"purple\": it must be one of `dark`"), "{error}");
    }

    #[test]
    fn each_mistake_is_named_with_its_line() {
        let error = parse("user = \"gren\"\n\nuzer = 1\nmodel = 256\n[title]\nmodifiers = [\"fat\"]\n").unwrap_err();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), 4, "{error}");
        assert!(lines[0].starts_with("mine.toml:1: `user` is \"gren\": it must be a colour's name"), "{error}");
        assert!(lines[1].starts_with("mine.toml:3: unknown role `uzer`; the roles are `text`, `line`"), "{error}");
        assert!(lines[2].starts_with("mine.toml:4: `model` is 256"), "{error}");
        assert!(
            lines[3].starts_with("mine.toml:5: `title` has modifiers = \"fat\": each must be one of `bold`"),
            "{error}"
        );
        let error = parse("user = { color = 1 }").unwrap_err();
        assert!(error.contains("`user` has the unknown key `color`"), "{error}");
        assert!(parse("user = ").unwrap_err().starts_with("mine.toml:1: this is not TOML"));
    }

    #[test]
    fn an_own_theme_takes_the_place_of_the_built_in_one_of_its_name() {
        let own = |name: &str| Theme { name: name.into(), styles: Err("broken".into()), is_own: true };
        let names = |own| with_builtin(own).into_iter().map(|theme| theme.name).collect::<Vec<_>>();
        assert_eq!(names(vec![]), ["dark", "light", "high-contrast", "none"]);
        assert_eq!(names(vec![own("light"), own("mine")]), ["dark", "high-contrast", "none", "light", "mine"]);
    }
}
