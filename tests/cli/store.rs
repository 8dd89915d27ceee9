//! Saved chats on machines and in files that are not as they should be.

use rusqlite::Connection;
use rustix::thread::CapabilitySet;

use super::*;

/// Puts a chat of one question and one answer into the store; returns its id.
fn import(gibber: &Gibber, question: &str) -> String {
    let chat = serde_json::json!([{"role": "user", "content": question}, {"role": "assistant", "content": "Yes."}]);
    let file = gibber.write("import.json", chat.to_string());
    let said = gibber.stdout(&["sessions", "import", file.to_str().unwrap()]);
    said.split_whitespace().next().unwrap().to_owned()
}

fn database(gibber: &Gibber) -> Connection {
    Connection::open(gibber.path("chats.db")).unwrap()
}

/// The program with a limit on the size of what it writes, which is to the system as a full disk is.
fn on_a_full_disk(gibber: &Gibber, arguments: &[&str]) -> Output {
    let mut command = gibber.command(&[]);
    let program = command.get_program().to_owned();
    let environment: Vec<_> =
        command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
    command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""]).arg(program).args(arguments);
    for (name, value) in environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn saved_chats_are_read_on_a_full_disk() {
    let gibber = Gibber::new();
    let id = import(&gibber, "Is the sky blue?");
    let read = |arguments: &[&str]| stdout_of(on_a_full_disk(&gibber, arguments));
    assert!(read(&["sessions", "list"]).contains(&id));
    assert!(read(&["sessions", "show", "1"]).contains("Yes."));
    assert!(read(&["sessions", "search", "SKY"]).contains("Is the sky blue?"));
    assert!(read(&["sessions", "export", &id]).contains("gibber chat"));
    let file = gibber.path("import.json");
    let error = failure(&on_a_full_disk(&gibber, &["sessions", "import", file.to_str().unwrap()]), 1);
    assert!(error.contains("chats.db") && error.contains("the disk is full") && !error.contains("code"), "{error}");
}

#[test]
fn what_a_killed_program_left_is_read_on_a_full_disk() {
    let gibber = Gibber::new();
    import(&gibber, "one");
    // As after `kill -9`: the newest is in the log alone.
    let open = database(&gibber);
    open.execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE sessions SET title = 'in the log'").unwrap();
    for name in ["chats.db", "chats.db-wal"] {
        fs::copy(gibber.path(name), gibber.path(&format!("copy-{name}"))).unwrap();
    }
    drop(open);
    for name in ["chats.db", "chats.db-wal"] {
        fs::rename(gibber.path(&format!("copy-{name}")), gibber.path(name)).unwrap();
    }
    assert!(stdout_of(on_a_full_disk(&gibber, &["sessions", "list"])).contains("in the log"));
    assert!(gibber.stdout(&["sessions", "list"]).contains("in the log"));
}

#[cfg(unix)]
#[test]
fn saved_chats_are_read_in_a_folder_that_cannot_be_written() {
    use std::os::unix::fs::PermissionsExt;
    let gibber = Gibber::new();
    import(&gibber, "Is the sky blue?");
    let permit = |folder, file| {
        fs::set_permissions(gibber.path("chats.db"), fs::Permissions::from_mode(file)).unwrap();
        fs::set_permissions(gibber.directory.path(), fs::Permissions::from_mode(folder)).unwrap();
    };
    // Whoever may everything (root) may not what a program that it starts from here wants; others cannot, and need not.
    for capability in [CapabilitySet::DAC_OVERRIDE, CapabilitySet::DAC_READ_SEARCH] {
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    for file in [0o600, 0o400] {
        permit(0o500, file);
        let list = gibber.run(&["sessions", "list"]);
        let import = gibber.run(&["sessions", "import", gibber.path("import.json").to_str().unwrap()]);
        permit(0o700, 0o600);
        assert!(stdout_of(list).contains("Is the sky blue?"), "{file:o}");
        let error = failure(&import, 1);
        assert!(error.contains("chats.db"), "{error}");
    }
}

#[test]
fn a_damaged_row_is_said_and_does_not_hide_the_other_chats() {
    let damages = [
        ("UPDATE sessions SET created = 'yesterday' WHERE id = ?1", "`created`"),
        ("UPDATE sessions SET updated = x'00ff' WHERE id = ?1", "`updated`"),
        ("UPDATE sessions SET updated = 1.5 WHERE id = ?1", "`updated`"),
        ("UPDATE sessions SET title = x'ff00' WHERE id = ?1", "`title`"),
        ("UPDATE sessions SET title = CAST(x'ff41' AS TEXT) WHERE id = ?1", "`title`"),
        ("UPDATE sessions SET model = x'00' WHERE id = ?1", "`model`"),
        ("UPDATE sessions SET head = -1 WHERE id = ?1", "`head`"),
        ("UPDATE sessions SET head = 'x' WHERE id = ?1", "`head`"),
        ("UPDATE messages SET content = x'ff' WHERE session = ?1 AND id = 0", "`content`"),
        ("UPDATE messages SET role = x'ff' WHERE session = ?1 AND id = 0", "`role`"),
        ("UPDATE messages SET state = 5.5, parent = 'x' WHERE session = ?1 AND id = 1", "`parent`"),
        ("UPDATE messages SET id = 4294967295 WHERE session = ?1 AND id = 1", "`id`"),
        ("UPDATE messages SET id = 'two' WHERE session = ?1 AND id = 1", "`id`"),
        ("UPDATE messages SET id = -3 WHERE session = ?1 AND id = 1", "`id`"),
    ];
    for (damage, column) in damages {
        let gibber = Gibber::new();
        let (damaged, sound) = (import(&gibber, "first"), import(&gibber, "second"));
        database(&gibber).execute(damage, [damaged.parse::<i64>().unwrap()]).unwrap();
        let list = gibber.run(&["sessions", "list"]);
        let show = gibber.run(&["sessions", "show", &damaged]);
        let said = [&list.stderr, &show.stderr].map(|stderr| String::from_utf8_lossy(stderr).into_owned()).concat();
        assert!(said.contains(&damaged) && said.contains(column) && !said.contains(&sound), "{damage}: {said}");
        let list = stdout_of(list);
        assert!(list.contains(&damaged) && list.contains(&sound), "{damage}: {list}");
        assert!(stdout_of(show).contains("Yes."), "{damage}: what can be read is shown");
        assert!(gibber.stdout(&["sessions", "search", "second"]).contains(&sound), "{damage}");
        gibber.stdout(&["sessions", "export", &damaged]);
    }
}

#[test]
fn the_database_of_another_program_is_named_as_such() {
    let gibber = Gibber::new();
    database(&gibber).execute_batch("CREATE TABLE bookmarks (x); PRAGMA user_version = 1").unwrap();
    let error = failure(&gibber.run(&["sessions", "list"]), 1);
    assert!(error.contains("chats.db is damaged or is not a chat database"), "{error}");
    fs::remove_file(gibber.path("chats.db")).unwrap();
    fs::create_dir(gibber.path("chats.db")).unwrap();
    let error = failure(&gibber.run(&["sessions", "list"]), 1);
    assert!(error.contains("chats.db: it is a folder"), "{error}");
}

#[test]
fn an_empty_database_has_no_chats() {
    let gibber = Gibber::new();
    gibber.write("chats.db", "");
    assert_eq!(gibber.stdout(&["sessions", "list"]), "");
    import(&gibber, "first");
    assert_eq!(gibber.stdout(&["sessions", "list"]).lines().count(), 1);
}

#[test]
fn ids_of_sixty_three_bits_are_texts_as_well() {
    let gibber = Gibber::new();
    let id: i64 = import(&gibber, "first").parse().unwrap();
    assert!((1..1 << 53).contains(&id), "{id}");
    let old = (1_i64 << 62) + 1;
    database(&gibber)
        .execute_batch(&format!("UPDATE sessions SET id = {old}; UPDATE messages SET session = {old}"))
        .unwrap();
    for command in [&["sessions", "list", "--json"][..], &["sessions", "search", "first", "--json"]] {
        let row = &json_lines(&gibber.stdout(command))[0];
        assert_eq!((&row["id"], &row["id_str"]), (&old.into(), &old.to_string().into()), "{command:?}");
    }
    // As text, as jq prints one, and as programs that count with floats have it.
    for form in
        [old.to_string(), format!("\"{old}\""), "4611686018427388000".to_owned(), "4.611686018427388e18".to_owned()]
    {
        assert!(gibber.stdout(&["sessions", "show", &form]).contains("first"), "{form}");
    }
    import(&gibber, "near");
    database(&gibber).execute_batch(&format!("UPDATE sessions SET id = {} WHERE title = 'near'", old + 1)).unwrap();
    failure(&gibber.run(&["sessions", "show", "4611686018427388000"]), 1);
    gibber.stdout(&["sessions", "delete", &old.to_string()]);
    assert_eq!(gibber.stdout(&["sessions", "list"]).lines().count(), 1);
}

#[cfg(unix)]
#[test]
fn every_folder_of_the_programs_own_is_for_the_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let gibber = Gibber::new();
    let config = gibber.path("config");
    let config = config.to_str().unwrap();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-llama");
    gibber.stdout(&["run", "--raw", "-m", model, "-n", "1", "--quantize", "q8_0", "hello", "--config-dir", config]);
    let mut folders = vec![std::path::PathBuf::from(config)];
    while let Some(folder) = folders.pop() {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { assert_eq!(mode(&path), 0o600, "{}", path.display()) }
        }
    }
}
