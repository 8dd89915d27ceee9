//! A catalogue of a person's own, as tests have it.

/// A family of one model of the architecture `llama`, whose files are called `file` (`NAME.{type}.gguf`).
pub(crate) fn family(name: &str, tag: &str, repository: &str, file: &str, kind: &str, bytes: usize) -> String {
    format!(
        "[[family]]\nname = \"{name}\"\narchitecture = \"llama\"\nlicence = \"MIT\"\ncontext = 256\n\
         good_at = \"being small for a test\"\n\n[[family.model]]\ntag = \"{tag}\"\nrepository = \"{repository}\"\n\
         file = \"{file}\"\ntype = \"{kind}\"\nbytes = {bytes}\nkv = 64\n"
    )
}
