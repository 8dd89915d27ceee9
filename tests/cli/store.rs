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

/// Whoever may everything (root) may not what a program that it starts from this test wants; others cannot, and need not.
#[cfg(unix)]
fn without_rights_of_its_own() {
    for capability in [CapabilitySet::DAC_OVERRIDE, CapabilitySet::DAC_READ_SEARCH] {
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
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
    without_rights_of_its_own();
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
        ("UPDATE messages SET role = 'wizard' WHERE session = ?1 AND id = 0", "`role`"),
        ("UPDATE messages SET role = 'USER' WHERE session = ?1 AND id = 0", "`role`"),
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

#[test]
fn the_first_number_that_floats_share_is_found_by_either() {
    let gibber = Gibber::new();
    import(&gibber, "first");
    // As a float it is 2^53.
    database(&gibber)
        .execute_batch(&format!("UPDATE sessions SET id = {0}; UPDATE messages SET session = {0}", (1_i64 << 53) + 1))
        .unwrap();
    for form in ["9007199254740993", "9007199254740992", "9.007199254740992e15"] {
        assert!(gibber.stdout(&["sessions", "show", form]).contains("first"), "{form}");
    }
    failure(&gibber.run(&["sessions", "show", "9007199254740991"]), 1);
}

#[test]
fn one_chat_is_shown_without_a_word_of_the_others() {
    let gibber = Gibber::new();
    let (damaged, sound) = (import(&gibber, "first"), import(&gibber, "second"));
    database(&gibber)
        .execute("UPDATE sessions SET created = 'yesterday' WHERE id = ?1", [damaged.parse::<i64>().unwrap()])
        .unwrap();
    for command in ["show", "export"] {
        let output = gibber.run(&["sessions", command, &sound]);
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let output = gibber.run(&["sessions", command, &damaged]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.matches(&damaged).count(), 1, "once: {said}");
    }
}

#[test]
fn a_full_disk_is_told_of_the_file_that_was_named() {
    let gibber = Gibber::new();
    let id = import(&gibber, "first");
    let file = gibber.path("chat.md");
    let error = failure(&on_a_full_disk(&gibber, &["sessions", "export", &id, file.to_str().unwrap()]), 1);
    // The folder of the test has such a name as well.
    let names_scratch = |error: &str| error.replace(gibber.directory.path().to_str().unwrap(), "").contains(".tmp");
    assert!(error.contains("chat.md") && !names_scratch(&error), "{error}");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-llama");
    let out = gibber.path("out.gguf");
    let error =
        failure(&on_a_full_disk(&gibber, &["models", "quantize", model, out.to_str().unwrap(), "--type", "q8_0"]), 1);
    assert!(error.contains("out.gguf") && !names_scratch(&error), "{error}");
    // What only saves time is done without.
    let output = on_a_full_disk(&gibber, &["run", "-m", model, "-n", "2", "--quantize", "q8_0", "Hi"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("in memory only") && !names_scratch(&said), "{said}");
    assert!(!file.exists() && !out.exists());
}

/// The directory that fails for the database fails for everything beside it.
#[cfg(unix)]
#[test]
fn what_cannot_be_saved_anywhere_near_is_put_where_temporary_files_are() {
    use std::os::unix::fs::PermissionsExt;
    let gibber = Gibber::new();
    let (config, temporary) = (gibber.path("config"), gibber.path("tmp"));
    fs::create_dir(&config).unwrap();
    fs::create_dir(&temporary).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o500)).unwrap();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-llama");
    without_rights_of_its_own();
    let mut command = gibber.command(&["repl", "-m", model, "-n", "2", "-p", "Is it kept?"]);
    let output = command.env("GIBBER_CONFIG_DIR", &config).env("TMPDIR", &temporary).output().unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o700)).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let files: Vec<_> = fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}: {said}");
    let file = files[0].to_str().unwrap();
    assert!(said.contains("not everything is saved") && said.contains(&format!("sessions import {file}")), "{said}");
    gibber.stdout(&["sessions", "import", file]);
    assert!(gibber.stdout(&["sessions", "show", "1"]).contains("Is it kept?"));
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

/// A config directory with sixty chats over many pages.
fn many_chats() -> Gibber {
    let gibber = Gibber::new();
    let id = import(&gibber, "chat 0");
    let database = database(&gibber);
    for number in 1..60 {
        let of = |query: &str| database.execute(query, [number, id.parse::<i64>().unwrap()]).unwrap();
        of("INSERT INTO sessions (id, title, model, system, head, created, updated)
             SELECT id + ?1, 'chat ' || ?1, model, system, head, created, ?1 FROM sessions WHERE id = ?2");
        of("INSERT INTO messages (session, id, parent, role, content, state)
            SELECT session + ?1, id, parent, role, content || hex(zeroblob(700)), state
            FROM messages WHERE session = ?2");
    }
    gibber
}

/// What is left of them after a repair: chats and messages.
fn repaired(gibber: &Gibber) -> (usize, u64) {
    let said = gibber.stdout(&["sessions", "repair"]);
    assert!(said.contains("the damaged file is kept as "), "{said}");
    let kept = said.lines().last().unwrap().split(" kept as ").nth(1).unwrap();
    assert!(Path::new(kept).exists(), "{said}");
    let list = gibber.run(&["sessions", "list", "--json"]);
    assert!(list.stderr.is_empty(), "{}", String::from_utf8_lossy(&list.stderr));
    let list = json_lines(&stdout_of(list));
    assert!(gibber.stdout(&["sessions", "repair"]).starts_with("nothing is wrong with "));
    (list.len(), list.iter().map(|chat| chat["messages"].as_u64().unwrap()).sum())
}

#[test]
fn a_sound_database_is_not_repaired() {
    let gibber = Gibber::new();
    import(&gibber, "first");
    let said = gibber.stdout(&["sessions", "repair"]);
    assert!(said.starts_with("nothing is wrong with ") && said.contains("1 chats with 2 messages"), "{said}");
    let error = failure(&Gibber::new().run(&["sessions", "repair"]), 1);
    assert!(error.contains("chats.db"), "{error}");
}

#[test]
fn a_database_whose_beginning_is_lost_comes_back_whole() {
    for (fill, length) in [(0, 100), (0xff, 16), (0xa5, 4096)] {
        let gibber = many_chats();
        let path = gibber.path("chats.db");
        let mut bytes = fs::read(&path).unwrap();
        bytes[..length].fill(fill);
        fs::write(&path, &bytes).unwrap();
        let error = failure(&gibber.run(&["sessions", "list"]), 1);
        assert!(error.contains("is damaged") && error.contains("`gibber sessions repair`"), "{error}");
        assert_eq!(repaired(&gibber), (60, 120), "{fill} {length}");
        assert!(gibber.stdout(&["sessions", "search", "chat 0"]).contains("chat 0"));
    }
}

#[test]
fn whichever_page_is_broken_the_others_come_back() {
    let pages = fs::read(many_chats().path("chats.db")).unwrap().len() / 4096;
    assert!(pages > 40, "{pages}");
    for page in (1..pages).step_by(5).chain([1, 2, 3]) {
        let gibber = many_chats();
        let path = gibber.path("chats.db");
        let mut bytes = fs::read(&path).unwrap();
        bytes[page * 4096..(page + 1) * 4096].fill(0x5a);
        fs::write(&path, &bytes).unwrap();
        let (chats, messages) = repaired(&gibber);
        assert!(chats >= 56 && messages >= 110, "page {page}: {chats} chats, {messages} messages");
    }
}

#[test]
fn of_a_file_that_was_cut_what_is_there_comes_back() {
    let gibber = many_chats();
    let path = gibber.path("chats.db");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2 + 100]).unwrap();
    let (chats, messages) = repaired(&gibber);
    assert!(chats >= 20 && messages >= 40, "{chats} chats, {messages} messages");
}

#[test]
fn damaged_rows_are_repaired() {
    let gibber = Gibber::new();
    let id = import(&gibber, "first");
    let damage = format!(
        "UPDATE sessions SET created = 'x'; UPDATE messages SET id = 'two' WHERE id = 1;
         INSERT INTO messages (session, id, parent, role, content, state)
         VALUES (77, 0, NULL, 'user', 'without its chat', 'complete'); -- {id}"
    );
    database(&gibber).execute_batch(&damage).unwrap();
    assert_eq!(repaired(&gibber), (2, 3));
    assert!(gibber.stdout(&["sessions", "show", &id]).contains("Yes."));
    assert!(gibber.stdout(&["sessions", "show", "77"]).contains("without its chat"));
}

#[test]
fn what_is_no_database_or_in_use_is_left_as_it_is() {
    let gibber = Gibber::new();
    let text = "not a database at all ".repeat(1000);
    let path = gibber.write("chats.db", &text);
    let error = failure(&gibber.run(&["sessions", "repair"]), 1);
    assert!(error.contains("nothing in ") && error.contains("chats.db"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert_eq!(fs::read_dir(gibber.directory.path()).unwrap().count(), 1, "nothing else is left");
    fs::remove_file(&path).unwrap();
    import(&gibber, "first");
    database(&gibber).execute_batch("PRAGMA user_version = 99").unwrap();
    let error = failure(&gibber.run(&["sessions", "repair"]), 1);
    assert!(error.contains("update gibber"), "{error}");
    let open = database(&gibber);
    open.execute_batch("PRAGMA user_version = 2").unwrap();
    open.query_row("SELECT count(*) FROM sessions", [], |_| Ok(())).unwrap();
    let error = failure(&gibber.run(&["sessions", "repair"]), 1);
    assert!(error.contains("in use by another program"), "{error}");
}

#[test]
fn a_chat_that_cannot_be_saved_is_saved_by_itself_later() {
    let gibber = Gibber::new();
    import(&gibber, "first");
    let other = database(&gibber);
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-llama");
    let mut command = gibber.command(&["repl", "-m", model, "--chat-template", "plain", "-n", "4"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let (sender, lines) = std::sync::mpsc::channel();
    let [stdout, stderr]: [Box<dyn Read + Send>; 2] =
        [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
    for stream in [stdout, stderr] {
        let sender = sender.clone();
        std::thread::spawn(move || {
            BufReader::new(stream).lines().map_while(Result::ok).for_each(|line| {
                let _ = sender.send(line);
            })
        });
    }
    drop(sender);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"Is it kept?\n").unwrap();
    // The line mode says what there is to say while it waits for a line.
    let wait_for = |wanted: &str| {
        let next = || lines.recv_timeout(std::time::Duration::from_secs(60));
        while !next().unwrap_or_else(|_| panic!("nobody says {wanted}")).contains(wanted) {}
    };
    wait_for("in use by another program");
    other.execute_batch("ROLLBACK").unwrap();
    wait_for("saved now");
    drop(stdin);
    child.wait().unwrap();
    assert!(gibber.stdout(&["sessions", "list"]).contains("Is it kept?"));
}

#[test]
fn a_chat_gets_another_title() {
    let gibber = Gibber::new();
    let id = import(&gibber, "first");
    gibber.stdout(&["sessions", "rename", "1", "an\nother \u{1b}[31mname"]);
    let list = json_lines(&gibber.stdout(&["sessions", "list", "--json"]));
    assert_eq!((&list[0]["title"], list[0]["id"].to_string()), (&"an other [31mname".into(), id));
    failure(&gibber.run(&["sessions", "rename", "1", " \n"]), 2);
}

/// A config directory with a database of the first format: a chat with branches, one with a long message, and the pages
/// that a deleted one has left.
fn of_the_first_format() -> Gibber {
    let gibber = Gibber::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chats-format-1.db");
    fs::write(gibber.path("chats.db"), fs::read(fixture).unwrap()).unwrap();
    gibber
}

fn format_of(path: &Path) -> i64 {
    Connection::open(path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

/// The exports of all chats, without the numbers of formats.
fn exports(gibber: &Gibber) -> Vec<String> {
    let chats = json_lines(&gibber.stdout(&["sessions", "list", "--json"]));
    chats.iter().map(|chat| gibber.stdout(&["sessions", "export", chat["id_str"].as_str().unwrap()])).collect()
}

#[test]
fn reading_a_database_of_the_first_format_changes_nothing() {
    let gibber = of_the_first_format();
    let before = fs::read(gibber.path("chats.db")).unwrap();
    assert!(gibber.stdout(&["sessions", "list"]).contains("Rivers of Europe"));
    assert!(gibber.stdout(&["sessions", "search", "seine"]).contains("漢字"));
    assert!(gibber.stdout(&["sessions", "show", "1"]).contains("word word end"));
    assert!(gibber.stdout(&["sessions", "repair"]).contains("nothing is wrong with "));
    assert_eq!(fs::read(gibber.path("chats.db")).unwrap(), before);
    assert_eq!(format_of(&gibber.path("chats.db")), 1);
}

#[test]
fn a_database_of_the_first_format_is_copied_and_then_written_in_the_new_one() {
    let gibber = of_the_first_format();
    let before = exports(&gibber);
    let said = gibber.run(&["sessions", "rename", "1", "At length"]);
    let warning = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(warning.contains("chats-format-1.db"), "the copy is named: {warning}");
    stdout_of(said);
    assert_eq!(format_of(&gibber.path("chats.db")), 2);
    let after = exports(&gibber);
    assert_eq!(after.len(), 2);
    assert!(after.iter().zip(&before).all(|(a, b)| a.lines().skip(4).eq(b.lines().skip(4))), "{after:?}");
    // Whoever wants to go back has all of it, in a file that is theirs alone.
    let copy = gibber.path("chats-format-1.db");
    assert_eq!(format_of(&copy), 1);
    let back = Gibber::new();
    fs::copy(&copy, back.path("chats.db")).unwrap();
    assert_eq!(exports(&back), before);
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&copy).unwrap().permissions()) & 0o777, 0o600);
    let again = gibber.run(&["sessions", "rename", "1", "At last"]);
    assert!(again.stderr.is_empty(), "it is done once");
}

#[test]
fn a_new_database_is_laid_out_as_one_of_the_first_format_that_was_brought_up() {
    let (old, new) = (of_the_first_format(), Gibber::new());
    let places = |gibber: &Gibber| -> Vec<(String, i64)> {
        import(gibber, "one");
        let database = database(gibber);
        let mut rows = database.prepare("SELECT name, rootpage FROM sqlite_schema ORDER BY rootpage").unwrap();
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    let tables = "SELECT sql FROM sqlite_schema WHERE name = 'messages'";
    let expected = places(&new);
    assert_eq!(places(&old), expected, "a repair looks for the tables there");
    for gibber in [&old, &new] {
        let sql: String = database(gibber).query_row(tables, [], |row| row.get(0)).unwrap();
        assert!(!sql.contains("WITHOUT ROWID"), "a long message would be read by every comparison on the way: {sql}");
    }
}

#[test]
fn damaged_databases_of_the_first_format_come_back_in_the_new_one() {
    for (start, end) in [(0, 100), (0, 4096), (4096, 8192)] {
        let gibber = of_the_first_format();
        let path = gibber.path("chats.db");
        let mut bytes = fs::read(&path).unwrap();
        bytes[start..end].fill(0x5a);
        fs::write(&path, &bytes).unwrap();
        gibber.stdout(&["sessions", "repair"]);
        assert_eq!(format_of(&path), 2);
        assert!(gibber.stdout(&["sessions", "search", "漢字"]).contains("The Seine"), "{start}");
        assert!(gibber.stdout(&["sessions", "search", "word end"]).contains("word end"), "{start}");
    }
}

#[cfg(unix)]
#[test]
fn an_old_database_where_nothing_can_be_written_is_read_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let gibber = of_the_first_format();
    let permit = |mode| fs::set_permissions(gibber.directory.path(), fs::Permissions::from_mode(mode)).unwrap();
    for capability in [CapabilitySet::DAC_OVERRIDE, CapabilitySet::DAC_READ_SEARCH] {
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    permit(0o500);
    let [list, found, rename] = [&["list"][..], &["search", "seine"], &["rename", "1", "New"]]
        .map(|arguments| gibber.run(&[&["sessions"], arguments].concat()));
    permit(0o700);
    assert!(list.stderr.is_empty() && stdout_of(list).contains("Rivers of Europe"));
    assert!(stdout_of(found).contains("漢字"));
    let error = failure(&rename, 1);
    assert!(error.contains("chats.db") || error.contains("chats-format-1.db"), "{error}");
    assert_eq!(format_of(&gibber.path("chats.db")), 1);
}

#[cfg(unix)]
#[test]
fn what_is_in_a_log_that_cannot_be_read_is_said_to_be_missing() {
    use std::os::unix::fs::PermissionsExt;
    let gibber = Gibber::new();
    import(&gibber, "in the file");
    let open = database(&gibber);
    open.execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE sessions SET title = 'in the log'").unwrap();
    let names = ["chats.db", "chats.db-wal"];
    let copies = names.map(|name| fs::read(gibber.path(name)).unwrap());
    drop(open);
    let other = Gibber::new();
    for (name, copy) in names.iter().zip(copies) {
        other.write(name, copy);
    }
    let permit = |name: &str, mode| fs::set_permissions(other.path(name), fs::Permissions::from_mode(mode)).unwrap();
    for capability in [CapabilitySet::DAC_OVERRIDE, CapabilitySet::DAC_READ_SEARCH] {
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    permit("chats.db-wal", 0o000);
    permit("", 0o500);
    let list = other.run(&["sessions", "list"]);
    permit("", 0o700);
    permit("chats.db-wal", 0o600);
    let said = String::from_utf8_lossy(&list.stderr).into_owned();
    assert!(said.contains("chats.db-wal cannot be read") && said.contains("are missing"), "{said}");
    assert!(stdout_of(list).contains("in the file"));
    assert!(other.stdout(&["sessions", "list"]).contains("in the log"));
}
