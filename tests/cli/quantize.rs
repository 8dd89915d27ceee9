//! `gibber models quantize`, and `--quantize` with what it keeps.

use super::*;

const TEXT: [&str; 8] = ["--raw", "--json", "--temp", "0", "-n", "24", "-p", "The licence of naïve work in 1999:"];

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The tokens with which a model goes on, and what was said on stderr.
fn continuation(gibber: &Gibber, model: &str, more: &[&str]) -> (Value, String) {
    let output = gibber.run(&[&["run", "-m", model][..], &TEXT, more].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = json_lines(&stdout_of(output));
    (lines.last().unwrap()["tokens"].clone(), stderr)
}

#[test]
fn a_folder_becomes_a_file_that_goes_on_in_the_same_way() {
    for (folder, architecture) in [("tiny-gpt2", "gpt2"), ("tiny-llama", "llama")] {
        let gibber = Gibber::new();
        let path = gibber.path("out.gguf");
        let out = path.to_str().unwrap();
        let said = gibber.stdout(&["models", "quantize", &fixture(folder), out, "--type", "F32"]);
        assert!(said.contains("out.gguf: F32, ") && said.lines().count() == 1, "{said}");
        assert_eq!(continuation(&gibber, &fixture(folder), &[]), continuation(&gibber, out, &[]), "{folder}");
        let info = gibber.stdout(&["models", "info", out]);
        assert!(info.contains(architecture), "{info}");
    }
}

#[test]
fn a_file_is_written_in_another_format_and_says_where_that_does_not_fit() {
    let gibber = Gibber::new();
    let path = gibber.path("out.gguf");
    let out = path.to_str().unwrap();
    let output = gibber.run(&["models", "quantize", &fixture("tiny-llama.F32.gguf"), out, "--type", "q4_k_m", "-v"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("blk.1.ffn_up.weight F32 -> Q5_0") && stderr.contains("100 % "), "{stderr}");
    let said = stdout_of(output);
    assert!(said.contains("tensors have rows that are no multiple of 256 values: Q5_0 instead of Q4_K"), "{said}");
    assert!(gibber.stdout(&["models", "info", out]).contains("Q5_0"));
    let again = gibber.path("again.gguf");
    let said = gibber.stdout(&["models", "quantize", out, again.to_str().unwrap(), "--type", "f16"]);
    assert!(said.contains("the source is in Q5_0 already"), "{said}");
}

#[test]
fn a_file_that_is_there_is_only_replaced_when_asked_to() {
    let gibber = Gibber::new();
    let path = gibber.write("out.gguf", "mine");
    let (source, out) = (fixture("tiny-llama"), path.to_str().unwrap());
    let error = failure(&gibber.run(&["models", "quantize", &source, out, "--type", "q8_0"]), 1);
    assert!(error.contains("out.gguf is there already") && error.contains("--force"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    gibber.stdout(&["models", "quantize", &source, out, "--type", "q8_0", "--force"]);
    assert!(fs::read(&path).unwrap().starts_with(b"GGUF"));
    assert_eq!(fs::read_dir(gibber.directory.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn what_cannot_be_quantized_is_a_clear_error() {
    let gibber = Gibber::new();
    let path = gibber.path("out.gguf");
    let out = path.to_str().unwrap();
    let quantize = |source: &str, kind: &str| gibber.run(&["models", "quantize", source, out, "--type", kind]);
    let error = failure(&quantize(&fixture("tiny-llama"), "q4_7"), 2);
    assert!(error.contains("q4_7") && error.contains("q4_k_m"), "{error}");
    let error = failure(&quantize("nowhere", "q4_0"), 1);
    assert!(error.contains("no model `nowhere`"), "{error}");
    let error = failure(&quantize(&fixture("make_checkpoints.py"), "q4_0"), 1);
    assert!(error.contains("make_checkpoints.py: not a GGUF file"), "{error}");
    let broken = gibber.write("broken.gguf", &fs::read(fixture("tiny-llama.F32.gguf")).unwrap()[..50_000]);
    let error = failure(&quantize(broken.to_str().unwrap(), "q4_0"), 1);
    assert!(error.contains("broken.gguf") && error.contains("truncated"), "{error}");
    let error = failure(&gibber.run(&["models", "quantize", &fixture("tiny-llama"), out]), 2);
    assert!(error.contains("--type"), "{error}");
    assert!(!path.exists());
}

#[test]
fn weights_quantized_at_the_first_start_are_mapped_at_the_second() {
    let gibber = Gibber::new();
    let model = fixture("tiny-llama");
    let first = continuation(&gibber, &model, &["--quantize", "Q8_0"]);
    assert!(first.1.starts_with("quantized to Q8_0 in ") && first.1.contains("kept in "), "{}", first.1);
    let second = continuation(&gibber, &model, &["--quantize", "q8_0"]);
    assert_eq!(second, (first.0.clone(), String::new()), "nothing is said of what is there already");
    let (_, said) = continuation(&gibber, &model, &["--quantize", "q8_0", "-v"]);
    assert!(said.contains("Q8_0 from ") && said.contains("tiny-llama-Q8_0-"), "{said}");
    assert_eq!(continuation(&gibber, &fixture("tiny-llama.Q8_0.gguf"), &[]).0, first.0);
    let bench =
        gibber.stdout(&["bench", "-m", &model, "--quantize", "q8_0", "-p", "4", "-n", "2", "-r", "1", "--json"]);
    assert!(bench.contains("\"format\":\"Q8_0\""), "{bench}");
}

#[test]
fn a_damaged_kept_file_is_made_anew() {
    let gibber = Gibber::new();
    let start = || continuation(&gibber, &fixture("tiny-gpt2"), &["--quantize", "q4_0"]);
    let (tokens, _) = start();
    let entries = fs::read_dir(gibber.path("cache")).unwrap().map(|entry| entry.unwrap().path());
    let kept = entries.into_iter().find(|path| path.extension().is_some_and(|end| end == "gguf")).unwrap();
    let mut bytes = fs::read(&kept).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&kept, &bytes).unwrap();
    let (again, said) = start();
    assert_eq!(again, tokens);
    assert!(said.starts_with("quantized to Q4_0"), "{said}");
    assert_eq!(start(), (tokens, String::new()));
}

#[test]
fn the_key_of_the_settings_does_the_same_and_is_checked() {
    let gibber = Gibber::new();
    gibber.write("config.toml", "[model]\nquantize = \"q8_0\"\n");
    let model = fixture("tiny-gpt2-prefixed");
    let (_, said) = continuation(&gibber, &model, &[]);
    assert!(said.starts_with("quantized to Q8_0"), "{said}");
    let (_, said) = continuation(&gibber, &model, &["--quantize", "q5_1"]);
    assert!(said.starts_with("quantized to Q5_1"), "the flag comes before the file: {said}");
    gibber.write("config.toml", "[model]\nquantize = \"q9\"\n");
    let error = failure(&gibber.run(&["run", "hi"]), 1);
    assert!(error.contains("`model.quantize` is \"q9\"") && error.contains("\"q4_k_m\""), "{error}");
}

#[test]
fn a_model_that_is_quantized_already_stays_as_it_is() {
    let gibber = Gibber::new();
    let model = fixture("tiny-llama.Q4_1.gguf");
    let (tokens, said) = continuation(&gibber, &model, &["--quantize", "q8_0"]);
    assert!(said.contains("is Q4_1 already"), "{said}");
    assert_eq!(continuation(&gibber, &model, &[]), (tokens, String::new()));
    assert!(!gibber.path("cache").exists());
}

#[test]
fn what_a_copy_cannot_say_of_the_sampling_is_told() {
    let gibber = Gibber::new();
    let folder = gibber.path("model");
    fs::create_dir(&folder).unwrap();
    for file in fs::read_dir(fixture("tiny-llama")).unwrap().map(|file| file.unwrap()) {
        fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    fs::write(folder.join("generation_config.json"), "{\"temperature\": 0.5, \"typical_p\": 0.9}").unwrap();
    let out = gibber.path("out.gguf");
    let (folder, out) = (folder.to_str().unwrap(), out.to_str().unwrap());
    let said = gibber.stdout(&["models", "quantize", folder, out, "--type", "q8_0"]);
    assert!(said.contains("typical_p of generation_config.json is not in the copy"), "{said}");
    assert!(gibber.stdout(&["config", "show", "-m", out]).contains("# temperature = 0.5 # from the model"));
}

#[test]
fn the_list_has_the_sizes_of_files_in_their_own_unit() {
    let gibber = Gibber::new();
    fs::create_dir(gibber.path("models")).unwrap();
    fs::copy(fixture("tiny-llama.Q8_0.gguf"), gibber.path("models/small.gguf")).unwrap();
    let listed = gibber.stdout(&["models", "list"]);
    let line = listed.lines().find(|line| line.starts_with("small ")).unwrap();
    assert!(line.contains(" 82 kB "), "{line}");
    let rows = json_lines(&gibber.stdout(&["models", "list", "--json"]));
    let row = rows.iter().find(|row| row["name"] == "small").unwrap();
    assert_eq!(row["file_bytes"], 81504);
    assert!(row["bytes"].as_u64() < row["file_bytes"].as_u64(), "the weights are a part of the file");
}

#[test]
fn a_folder_is_converted_as_it_is_and_goes_on_in_the_same_way() {
    let gibber = Gibber::new();
    let path = gibber.path("out.gguf");
    let out = path.to_str().unwrap();
    let said = gibber.stdout(&["models", "convert", &fixture("tiny-llama"), out]);
    assert!(said.contains("out.gguf: F32, ") && said.lines().count() == 1, "{said}");
    assert_eq!(continuation(&gibber, &fixture("tiny-llama"), &[]), continuation(&gibber, out, &[]));
    let error = failure(&gibber.run(&["models", "convert", &fixture("tiny-gpt2"), out]), 1);
    assert!(error.contains("is there already"), "{error}");
    let parts = fixture("tiny-llama-split.Q8_0-00001-of-00003.gguf");
    let said = gibber.stdout(&["models", "convert", &parts, out, "--force"]);
    assert!(said.contains("out.gguf: Q8_0, ") && said.lines().count() == 1, "nothing is lost: {said}");
    assert_eq!(continuation(&gibber, &parts, &[]).0, continuation(&gibber, out, &[]).0);
}
