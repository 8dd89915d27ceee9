//! What `make install` puts where, that it runs from there, and that it is gone again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const MODEL: &str = "share/gibber/models/SmolLM2-135M-Instruct.Q4_1.gguf";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A script of the source tree with the program of this build, called from elsewhere.
fn script(name: &str) -> Command {
    let mut command = Command::new(root().join("scripts").join(name));
    command.current_dir(std::env::temp_dir()).env("GIBBER_BINARY", env!("CARGO_BIN_EXE_gibber")).env_remove("DESTDIR");
    command
}

fn succeed(output: Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// All files below `folder`, as they are called from there.
fn files(folder: &Path) -> BTreeSet<String> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    found.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
    }
    found
}

/// An installed program, started with nothing of this session's own.
fn installed(program: &Path, home: &Path, arguments: &[&str]) -> String {
    succeed(Command::new(program).args(arguments).env_clear().env("HOME", home).current_dir(home).output().unwrap())
}

#[test]
fn what_is_installed_runs_from_its_own_model_and_is_removed_again() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("a prefix");
    succeed(script("install.sh").arg(&prefix).output().unwrap());
    let found = files(&prefix);
    for file in [
        "bin/gibber",
        MODEL,
        "share/bash-completion/completions/gibber",
        "share/zsh/site-functions/_gibber",
        "share/fish/vendor_completions.d/gibber.fish",
        "share/man/man1/gibber.1",
        "share/man/man1/gibber-models-list.1",
        "share/doc/gibber/LICENSE-SmolLM2",
    ] {
        assert!(found.contains(file), "{file}: {found:?}");
    }
    let listed = installed(&prefix.join("bin/gibber"), folder.path(), &["models", "list"]);
    assert!(listed.contains(prefix.join(MODEL).to_str().unwrap()), "{listed}");
    let bash = Command::new("bash").arg("-n").arg(prefix.join("share/bash-completion/completions/gibber")).output();
    succeed(bash.unwrap());

    // Once more over itself, and a file of somebody else's.
    succeed(script("install.sh").arg(&prefix).output().unwrap());
    fs::write(prefix.join("share/gibber/models/mine.gguf"), "mine").unwrap();
    fs::write(prefix.join("bin/other"), "").unwrap();
    succeed(script("install.sh").arg("--uninstall").arg(&prefix).output().unwrap());
    let left = ["bin/other", "share/gibber/models/mine.gguf"].map(str::to_owned);
    assert_eq!(files(&prefix), BTreeSet::from(left));
}

#[test]
fn the_model_is_found_through_a_link_and_beside_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let beside = folder.path().join("unpacked");
    fs::create_dir(&beside).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_gibber"), beside.join("gibber")).unwrap();
    let model = root().join("assets/models").join(Path::new(MODEL).file_name().unwrap());
    std::os::unix::fs::symlink(&model, beside.join(model.file_name().unwrap())).unwrap();
    let link = folder.path().join("gibber");
    std::os::unix::fs::symlink(beside.join("gibber"), &link).unwrap();
    let listed = installed(&link, folder.path(), &["models", "list"]);
    assert!(listed.contains(beside.join(model.file_name().unwrap()).to_str().unwrap()), "{listed}");
}

#[test]
fn a_package_is_staged_below_destdir_and_runs_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = script("install.sh");
    command.arg("/usr").env("DESTDIR", folder.path()).env("GIBBER_NO_MODEL", "1");
    succeed(command.output().unwrap());
    assert!(folder.path().join("usr/bin/gibber").is_file() && !folder.path().join("usr").join(MODEL).exists());
    let mut command = script("install.sh");
    succeed(command.args(["--uninstall", "/usr"]).env("DESTDIR", folder.path()).output().unwrap());
    assert_eq!(files(folder.path()), BTreeSet::new());
}

#[test]
fn cargo_run_starts_the_chat_whatever_programs_members_have() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    assert_eq!(manifest["package"]["default-run"].as_str(), Some(env!("CARGO_PKG_NAME")));
}

#[test]
fn what_cannot_be_installed_or_removed_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let told = |command: &mut Command, code: i32| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let nothing = told(script("install.sh").arg("--uninstall").arg(folder.path()), 1);
    assert!(nothing.contains("nothing was installed below"), "{nothing}");
    let missing = told(script("install.sh").arg(folder.path()).env("GIBBER_BINARY", "/nowhere/gibber"), 1);
    assert!(missing.contains("/nowhere/gibber is not there"), "{missing}");
    let flag = told(script("install.sh").arg("--prefix"), 2);
    assert!(flag.contains("--prefix is no flag of this"), "{flag}");
    // A list that names what is not below the prefix.
    let (prefix, mine) = (folder.path().join("prefix"), folder.path().join("mine"));
    fs::create_dir_all(prefix.join("share/gibber")).unwrap();
    fs::write(&mine, "").unwrap();
    fs::write(prefix.join("share/gibber/installed"), format!("../mine\n{}\n", mine.display())).unwrap();
    let left = told(script("install.sh").arg("--uninstall").arg(&prefix), 0);
    assert!(left.contains("left alone") && mine.exists(), "{left}");
}

#[test]
fn a_release_is_a_tarball_and_a_debian_package() {
    let folder = tempfile::tempdir().unwrap();
    // With the model beside it takes a while to pack.
    let release = || {
        let mut command = script("release.sh");
        command.args(["--embed", "--binary", env!("CARGO_BIN_EXE_gibber")]).arg(folder.path());
        succeed(command.env("SOURCE_DATE_EPOCH", "1700000000").env("GIBBER_NO_DPKG", "1").output().unwrap())
    };
    let sums = release();
    let named = |end: &str| -> PathBuf {
        let found = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        found.into_iter().find(|path| path.to_str().unwrap().ends_with(end)).expect(end)
    };
    let list = succeed(Command::new("tar").arg("-tzf").arg(named(".tar.gz")).output().unwrap());
    assert!(list.contains("/bin/gibber\n") && list.contains("/share/man/man1/gibber.1\n"), "{list}");
    assert_eq!(
        succeed(Command::new("ar").arg("t").arg(named(".deb")).output().unwrap()),
        "debian-binary\ncontrol.tar.gz\ndata.tar.gz\n"
    );
    let unpacked = tempfile::tempdir().unwrap();
    succeed(Command::new("ar").arg("x").arg(named(".deb")).current_dir(unpacked.path()).output().unwrap());
    for part in ["control", "data"] {
        let archive = format!("{part}.tar.gz");
        succeed(Command::new("tar").args(["-xzf", &archive]).current_dir(unpacked.path()).output().unwrap());
    }
    let control = fs::read_to_string(unpacked.path().join("control")).unwrap();
    for part in ["Package: gibber\n", "Depends: libc6 (>= 2.", "libopenblas0\n"] {
        assert!(control.contains(part), "{control}");
    }
    let version = installed(&unpacked.path().join("usr/bin/gibber"), unpacked.path(), &["--version"]);
    assert!(control.contains(&format!("Version: {}", version.trim().trim_start_matches("gibber "))), "{version}");
    assert_eq!(release().lines().last(), sums.lines().last(), "the same sources, the same package");
}
