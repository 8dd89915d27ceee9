//! The scripts of the source tree, with stand-ins for the programs that they start.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name)
}

/// A folder with these programs of the system, as the only one in which programs are found.
fn programs(home: &Home, names: &[&str]) {
    fs::create_dir(home.path("bin")).unwrap();
    let folders = std::env::var_os("PATH").unwrap();
    for name in names {
        let mut paths = std::env::split_paths(&folders).map(|folder| folder.join(name));
        let path = paths.find(|path| path.exists()).unwrap_or_else(|| panic!("there is no {name}"));
        std::os::unix::fs::symlink(path, home.path("bin").join(name)).unwrap();
    }
}

/// A program of that name that does what `text` says.
fn stand_in(home: &Home, name: &str, text: &str) {
    let path = home.path("bin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn run(home: &Home, name: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(script(name));
    command.args(arguments).env("PATH", home.path("bin")).current_dir(home.path("")).stdin(Stdio::null());
    let output = finished(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// What set-up itself needs of a system on which everything that it installs is missing.
const BARE: [&str; 8] = ["bash", "cat", "env", "id", "mktemp", "rm", "sh", "uname"];

#[cfg(target_os = "linux")]
#[test]
fn set_up_says_in_two_lines_what_it_does() {
    let home = Home::new();
    programs(&home, &BARE);
    let asked = home.text("asked");
    let installer = format!(
        "echo \"$@\" >> {asked}\nseq=0\nwhile [ $seq -lt 270 ]; do echo \"Unpacking $seq\"; echo \"noise\" >&2; seq=$((seq + 1)); done"
    );
    stand_in(&home, "apt-get", &installer);
    stand_in(&home, "sudo", "exec \"$@\"");
    let (code, stdout, stderr) = run(&home, "setup.sh", &[]);
    assert_eq!((code, stdout.as_str()), (Some(0), ""), "{stderr}");
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    assert!(stderr.lines().all(|line| line.starts_with("setup: ")), "{stderr}");
    let asked = fs::read_to_string(asked).unwrap();
    assert!(asked.contains("install -y") && asked.contains("libopenblas-dev"), "{asked}");
}

#[cfg(target_os = "linux")]
#[test]
fn what_the_installer_says_is_shown_where_it_fails() {
    let home = Home::new();
    programs(&home, &BARE);
    stand_in(&home, "apt-get", "echo 'no network here' >&2\nexit 100");
    stand_in(&home, "sudo", "exec \"$@\"");
    let (code, _, stderr) = run(&home, "setup.sh", &[]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("no network here") && stderr.contains("apt-get has failed"), "{stderr}");
}

#[cfg(target_os = "linux")]
#[test]
fn without_an_installer_it_is_said_what_is_needed() {
    let home = Home::new();
    programs(&home, &BARE);
    let (code, _, stderr) = run(&home, "setup.sh", &[]);
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("setup: no apt-get") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn paths_for_the_chat_script_are_those_of_the_folder_where_it_is_called() {
    let home = Home::new();
    programs(&home, &["bash", "cat", "dirname", "env", "id", "mktemp", "rm", "sh", "uname"]);
    for present in ["cc", "pkg-config", "xcode-select"] {
        stand_in(&home, present, "exit 0");
    }
    stand_in(&home, "cargo", "pwd -P\necho \"$@\"");
    let (code, stdout, stderr) = run(&home, "chat.sh", &["-m", "models/mine.gguf", "two words"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let (folder, arguments) = stdout.split_once('\n').unwrap();
    assert_eq!(Path::new(folder), home.path("").canonicalize().unwrap());
    let manifest = script("../Cargo.toml").canonicalize().unwrap();
    assert_eq!(
        arguments.trim_end(),
        format!("run --release --manifest-path {} -- -m models/mine.gguf two words", manifest.display())
    );
}
