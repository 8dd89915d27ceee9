//! Models in several files.

use super::*;
use crate::weights::{Storage, safetensors};

/// A copy of tiny-llama with its weights in two files, and an index.
fn sharded() -> Folder {
    let folder = Folder::copy_of("tiny-llama");
    let path = folder.path("model.safetensors");
    let tensors = safetensors::parse(&path, &Storage::open(&path).unwrap()).unwrap();
    let mut map = serde_json::Map::new();
    for (shard, tensors) in tensors.chunks(tensors.len().div_ceil(2)).enumerate() {
        let name = format!("model-0000{}-of-00002.safetensors", shard + 1);
        let views = tensors.iter().map(|tensor| {
            let shape = tensor.shape().to_vec();
            let view =
                ::safetensors::tensor::TensorView::new(::safetensors::Dtype::F32, shape, tensor.bytes()).unwrap();
            map.insert(tensor.name().to_owned(), json!(name));
            (tensor.name().to_owned(), view)
        });
        ::safetensors::serialize_to_file(views.collect::<Vec<_>>(), None, &folder.path(&name)).unwrap();
    }
    folder.remove("model.safetensors").set("model.safetensors.index.json", "weight_map", Value::Object(map))
}

fn logits(source: &ModelSource) -> Vec<f32> {
    let mut model = load(source, &small(), &mut |_, _| {}).unwrap();
    model.inference.prefill(&[1, 300, 20, 7], &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
    model.inference.logits().unwrap().to_vec()
}

#[test]
fn weights_in_two_files_compute_what_those_in_one_do() {
    let whole = logits(&ModelSource::Path(fixture("tiny-llama")));
    assert_eq!(logits(&sharded().source()), whole);
}

#[test]
fn an_index_that_does_not_fit_its_files_is_refused() {
    let shard = "model-00002-of-00002.safetensors";
    let missing = sharded().remove(shard).error();
    assert!(missing.contains(shard) && missing.contains("this part of the weights is missing"), "{missing}");
    let index = "model.safetensors.index.json";
    for file in ["../model-00001-of-00002.safetensors", "/etc/passwd", "..", ""] {
        let elsewhere = sharded().set(index, "weight_map", json!({"lm_head.weight": file})).error();
        assert!(elsewhere.contains("which is not beside the index"), "{elsewhere}");
    }
    let lost = sharded().set(index, "weight_map", json!({"lost": shard})).error();
    assert!(lost.contains("tensor `lost` is not in this file") && lost.contains(shard), "{lost}");
    let broken = sharded().write(index, "[]").error();
    assert!(broken.contains(index) && broken.contains("weight_map"), "{broken}");
}

const PARTS: [&str; 3] = ["00001", "00002", "00003"];

fn part(number: &str) -> String {
    format!("tiny-llama-split.Q8_0-{number}-of-00003.gguf")
}

/// A folder with the parts of the split model, as `change` leaves their bytes.
fn parts(change: impl Fn(&str, &mut Vec<u8>)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for number in PARTS {
        let mut bytes = fs::read(fixture(&part(number))).unwrap();
        change(number, &mut bytes);
        fs::write(folder.path().join(part(number)), bytes).unwrap();
    }
    folder
}

fn refusal(path: PathBuf) -> String {
    open(&ModelSource::Path(path)).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_gguf_model_in_three_files_is_loaded_from_any_of_them() {
    let whole = logits(&ModelSource::Path(fixture("tiny-llama.Q8_0.gguf")));
    for number in PARTS {
        let source = ModelSource::Path(fixture(&part(number)));
        assert_eq!(logits(&source), whole, "{number}");
        assert_eq!(open(&source).unwrap().name, "tiny-llama-split", "{number}");
    }
}

#[test]
fn parts_that_are_missing_or_of_another_model_are_named() {
    let folder = parts(|_, _| {});
    fs::remove_file(folder.path().join(part("00002"))).unwrap();
    for asked in ["00001", "00003"] {
        let error = refusal(folder.path().join(part(asked)));
        assert!(error.contains(&part("00002")) && error.contains("this part is missing"), "{error}");
    }
    fs::copy(folder.path().join(part("00003")), folder.path().join(part("00002"))).unwrap();
    let error = refusal(folder.path().join(part("00001")));
    assert!(
        error.contains(&part("00002")) && error.contains("`split.no` is 2, as part 2 of 3 it has to be 1"),
        "{error}"
    );
    let renamed = folder.path().join("renamed.gguf");
    fs::copy(folder.path().join(part("00001")), &renamed).unwrap();
    assert!(refusal(renamed).contains("the name does not end in -00001-of-00003.gguf"));
    let truncated = parts(|number, bytes| bytes.truncate(if number == "00003" { 100 } else { bytes.len() }));
    assert!(refusal(truncated.path().join(part("00001"))).contains(&part("00003")));
}

#[test]
fn a_split_model_becomes_one_file() {
    use crate::convert::Conversion;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("whole.gguf");
    let conversion = Conversion::new(&ModelSource::Path(fixture(&part("00002"))), crate::FileType::Q8_0).unwrap();
    let flow = conversion.write_file(&out, false, &ThreadPool::new(1), &mut |_| std::ops::ControlFlow::Continue(()));
    assert!(flow.unwrap().is_continue());
    assert_eq!(logits(&ModelSource::Path(out)), logits(&ModelSource::Path(fixture("tiny-llama.Q8_0.gguf"))));
}

/// Whether a model has to be quantized for this load; `folder` keeps what was.
fn is_made(source: &ModelSource, folder: &TempDir) -> bool {
    let folder = Some(folder.path().join("kept"));
    let options = LoadOptions { quantize: Some(FileType::Q4_0), quantized_folder: folder, ..small() };
    load(source, &options, &mut |_, _| {}).unwrap().info.quantized.unwrap().is_news
}

fn touch(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
}

#[test]
fn what_was_quantized_of_several_files_is_made_anew_when_any_of_them_changes() {
    let (kept, folder) = (tempfile::tempdir().unwrap(), sharded());
    assert!(is_made(&folder.source(), &kept));
    assert!(!is_made(&folder.source(), &kept));
    for file in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    {
        touch(&folder.path(file));
        assert!(is_made(&folder.source(), &kept), "{file}");
    }
}
