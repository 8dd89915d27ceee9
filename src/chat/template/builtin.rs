//! The templates that need no file.

/// Their names: ChatML (`<|im_start|>…<|im_end|>`), `User:` / `Assistant:` for models that were never taught a format,
/// and the bare texts one after the other.
pub const BUILTIN_NAMES: [&str; 3] = ["chatml", "plain", "raw"];

/// A template and what goes with it.
pub(super) struct Builtin {
    pub(super) source: &'static str,
    pub(super) stop: &'static [&'static str],
    /// Whether the tokenizer's begin token goes in front.
    pub(super) begin: bool,
}

const CHATML: Builtin = Builtin {
    source: "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}\
             {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    stop: &["<|im_end|>"],
    begin: true,
};

// A model that goes on after `Assistant:` begins with a space of its own: its replies are written back as they came, so
// that the cache of the last turn still fits.
const PLAIN: Builtin = Builtin {
    source: "{% for message in messages %}\
             {% if message.role == 'system' %}{{ message.content }}\n\n\
             {% elif message.role == 'user' %}User: {{ message.content }}\n\
             {% else %}Assistant:{% if message.content[:1] not in [' ', '\n'] %} {% endif %}{{ message.content }}\n\
             {% endif %}{% endfor %}\
             {% if add_generation_prompt %}Assistant:{% endif %}",
    stop: &["\nUser:", "\nAssistant:"],
    begin: true,
};

const RAW: Builtin =
    Builtin { source: "{% for message in messages %}{{ message.content }}{% endfor %}", stop: &[], begin: true };

pub(super) fn find(name: &str) -> Option<Builtin> {
    match name {
        "chatml" => Some(CHATML),
        "plain" => Some(PLAIN),
        "raw" => Some(RAW),
        _ => None,
    }
}
