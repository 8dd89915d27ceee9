use super::*;

#[test]
fn names_lose_their_ending_and_format() {
    for (path, name) in [
        ("models/SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"),
        ("SmolLM2-135M-Instruct-f16.gguf", "SmolLM2-135M-Instruct"),
        ("tiny-Q4_K_M.gguf", "tiny"),
        ("Q4_1.gguf", "Q4_1"),
        ("v1.0.gguf", "v1.0"),
        ("models/gpt2", "gpt2"),
        ("models/gpt2/", "gpt2"),
    ] {
        assert_eq!(display_name(Path::new(path)), name, "{path}");
    }
}
