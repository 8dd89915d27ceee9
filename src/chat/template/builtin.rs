//! The templates that need no file.

/// The template that leaves the text as it is: what `--raw` stands for.
pub const RAW_NAME: &str = "raw";

/// Their names: the formats of well-known families of models, turns joined by end-of-text (`dialogpt`), `User:` and
/// `Assistant:` for models that were never taught a format (`plain`), and the bare texts one after the other (`raw`).
pub const BUILTIN_NAMES: [&str; 8] = ["chatml", "llama2", "llama3", "mistral", "zephyr", "dialogpt", "plain", "raw"];

/// A template and what goes with it.
pub(super) struct Builtin {
    pub(super) source: &'static str,
    pub(super) stop: &'static [&'static str],
    /// Whether the tokenizer's begin token goes in front.
    pub(super) begin: bool,
}

const CHATML: Builtin = Builtin {
    source: "{% for message in messages %}<|im_start|>{{ message.role }}\n\
             {% if message.role == 'assistant' and '</think>' in message.content %}{{ message.content.split('</think>')[-1].lstrip('\n') }}\
             {% else %}{{ message.content }}{% endif %}<|im_end|>\n{% endfor %}\
             {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    stop: &["<|im_end|>"],
    begin: true,
};

// The system message stands inside the first question.
const LLAMA2: Builtin = Builtin {
    source: "{% set ns = namespace(system='') %}{% for message in messages %}\
             {% if message.role == 'system' %}{% set ns.system = '<<SYS>>\n' ~ message.content ~ '\n<</SYS>>\n\n' %}\
             {% elif message.role == 'user' %}{{ bos_token }}[INST] {{ ns.system }}{{ message.content.strip() }} [/INST]\
             {% set ns.system = '' %}\
             {% else %} {{ message.content.strip() }} {{ eos_token }}{% endif %}{% endfor %}",
    stop: &["[INST]"],
    begin: false,
};

const LLAMA3: Builtin = Builtin {
    source: "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n\
             {{ message.content.strip() }}<|eot_id|>{% endfor %}\
             {% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
    stop: &["<|eot_id|>"],
    begin: false,
};

const MISTRAL: Builtin = Builtin {
    source: "{% set ns = namespace(system='') %}{{ bos_token }}{% for message in messages %}\
             {% if message.role == 'system' %}{% set ns.system = message.content ~ '\n\n' %}\
             {% elif message.role == 'user' %}[INST] {{ ns.system }}{{ message.content.strip() }} [/INST]\
             {% set ns.system = '' %}\
             {% else %} {{ message.content.strip() }}{{ eos_token }}{% endif %}{% endfor %}",
    stop: &["[INST]"],
    begin: false,
};

const ZEPHYR: Builtin = Builtin {
    source: "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}{{ eos_token }}\n{% endfor %}\
             {% if add_generation_prompt %}<|assistant|>\n{% endif %}",
    stop: &["<|user|>", "<|system|>"],
    begin: true,
};

const DIALOGPT: Builtin = Builtin {
    source: "{% for message in messages %}{{ message.content }}{{ eos_token }}{% endfor %}",
    stop: &[],
    begin: false,
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
        "llama2" => Some(LLAMA2),
        "llama3" => Some(LLAMA3),
        "mistral" => Some(MISTRAL),
        "zephyr" => Some(ZEPHYR),
        "dialogpt" => Some(DIALOGPT),
        "plain" => Some(PLAIN),
        RAW_NAME => Some(RAW),
        _ => None,
    }
}
