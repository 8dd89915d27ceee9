//! How the database is opened: for writing, and for reading where nothing can be written.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tempfile::TempDir;

use super::super::{StoreError, files};
use gibber_files::private;

/// How long a write waits for another program that holds the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one that brings the database to the present format waits for who does that already.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(60);

/// The steps from an empty file to the present format; `PRAGMA user_version` counts those that were taken. Steps are
/// added, never changed.
///
/// The second makes `messages` a table of rows with an index beside it: in a tree without row ids every comparison on the
/// way down may read a whole message, of any length.
const MIGRATIONS: [&str; 2] = [
    "
    CREATE TABLE sessions (
        id      INTEGER PRIMARY KEY,
        title   TEXT NOT NULL,
        model   TEXT NOT NULL,
        system  TEXT NOT NULL,
        head    INTEGER,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL
    );
    CREATE TABLE messages (
        session INTEGER NOT NULL,
        id      INTEGER NOT NULL,
        parent  INTEGER,
        role    TEXT NOT NULL,
        content TEXT NOT NULL,
        state   TEXT NOT NULL,
        PRIMARY KEY (session, id)
    ) WITHOUT ROWID;
    CREATE INDEX sessions_by_update ON sessions (updated DESC);
",
    "
    ALTER TABLE sessions ADD COLUMN settings TEXT;
    ALTER TABLE sessions ADD COLUMN changes INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE messages_as_rows (
        session    INTEGER NOT NULL,
        id         INTEGER NOT NULL,
        parent     INTEGER,
        role       TEXT NOT NULL,
        content    TEXT NOT NULL,
        state      TEXT NOT NULL,
        provenance TEXT,
        PRIMARY KEY (session, id)
    );
    INSERT INTO messages_as_rows SELECT session, id, parent, role, content, state, NULL FROM messages ORDER BY session, id;
    DROP TABLE messages;
    ALTER TABLE messages_as_rows RENAME TO messages;
",
];

/// What tells a file from another of the same name: its device and its number there.
pub(in crate::store) type Identity = (u64, u64);

/// An open file.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: Connection,
    /// Whether other programs can read and write at the same time.
    pub(super) is_shared: bool,
    /// What is not read with it, though it is there; a sentence.
    pub(super) misses: Option<String>,
    /// The copy of the database as it was before it was brought to the present format, where that was done now.
    pub(super) former: Option<PathBuf>,
    /// The folder of the copy that is read instead, where there is one; it goes with this.
    _copy: Option<TempDir>,
}

/// Opens the database at `path`, makes it (for the user alone) where it is missing, and brings it to the present format.
///
/// # Errors
/// Every [`StoreError`] but `NoHome` and `UnknownSession`.
pub(super) fn to_write(path: &Path) -> Result<Opened, StoreError> {
    if let Some(directory) = path.parent() {
        files::private_directory(directory)?;
    }
    // SQLite would make the file with the process's umask; the files it makes beside it take this one's mode.
    gibber_files::open_with(private::options().append(true).create(true), path)
        .map_err(|source| StoreError::io("open", path, source))?;
    let failed = |error| StoreError::database(path, error);
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    // A commit then survives the death of the process at once, and that of the machine after a checkpoint; readers and the
    // writer do not wait for each other.
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).map_err(failed)?;
    connection.pragma_update(None, "synchronous", "normal").map_err(failed)?;
    // What was deleted is not left in the file, where a repair might find it.
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(())).map_err(failed)?;
    let former = migrate(&mut connection, path)?;
    Ok(Opened { former, ..Opened::new(connection) })
}

impl Opened {
    fn new(connection: Connection) -> Self {
        Self { connection, is_shared: true, misses: None, former: None, _copy: None }
    }
}

/// Opens the database at `path` for reading alone, also where the disk is full or nothing may be written there. `None`
/// where there is none, or one in which nothing was ever put.
///
/// # Errors
/// Every [`StoreError`] but `NoHome` and `UnknownSession`.
pub(super) fn to_read(path: &Path) -> Result<Option<Opened>, StoreError> {
    match path.metadata().and_then(|metadata| gibber_files::check(&metadata)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        checked => checked.map_err(|source| StoreError::io("read", path, source))?,
    }
    let opened = first_that_reads(path).map_err(|error| StoreError::database(path, error))?;
    let failed = |error| StoreError::database(path, error);
    let found = format(&opened.connection).map_err(failed)?;
    if found > present() {
        return Err(newer(path, found));
    }
    match found == 0 && is_empty(&opened.connection).map_err(failed)? {
        true => Ok(None),
        // One of an earlier format is read as it is.
        false => Ok(Some(opened)),
    }
}

/// Opens a database to read from it; `None` where it cannot be opened in this way.
type Way = fn(&Path) -> rusqlite::Result<Option<Opened>>;

/// The ways to read, the best first.
const WAYS: [Way; 5] = [shared, alone, unchanging, from_a_copy, without_log];

/// # Errors
/// That of the first way, since the others are not what anybody would mend.
fn first_that_reads(path: &Path) -> rusqlite::Result<Opened> {
    let mut first = None;
    for way in WAYS {
        match way(path).and_then(|opened| opened.map(probed).transpose()) {
            Ok(Some(opened)) => return Ok(opened),
            Ok(None) => {}
            Err(error) if first.is_none() && is_final(&error) => return Err(error),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or(rusqlite::Error::InvalidQuery))
}

/// Whether no other way would do better.
fn is_final(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DatabaseLocked, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseCorrupt | DatabaseLocked | NotADatabase))
}

/// A connection opens nothing before the first statement.
fn probed(opened: Opened) -> rusqlite::Result<Opened> {
    // What is sorted need not fit on a disk that is full.
    opened.connection.pragma_update(None, "temp_store", "memory")?;
    opened.connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(opened)
}

/// With the index of the log in a file beside the database (`-shm`), as all programs that share it do. The file has to be
/// there, or to be made.
fn shared(path: &Path) -> rusqlite::Result<Option<Opened>> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    Ok(Some(Opened::new(connection)))
}

/// With that index in memory, which only one program at a time can do: nothing is written, but the log must be there or be
/// made, empty.
fn alone(path: &Path) -> rusqlite::Result<Option<Opened>> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update_and_check(None, "locking_mode", "exclusive", |_| Ok(()))?;
    Ok(Some(Opened { is_shared: false, ..Opened::new(connection) }))
}

/// As a file that nobody changes: without a log, and where none can be made, that is so.
fn unchanging(path: &Path) -> rusqlite::Result<Option<Opened>> {
    if has_log(path) { Ok(None) } else { immutable(path).map(Some) }
}

/// Whether what was written last is in the log alone.
fn has_log(path: &Path) -> bool {
    std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

fn immutable(path: &Path) -> rusqlite::Result<Opened> {
    let address = format!("file:{}?immutable=1", escaped(path));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Ok(Opened { is_shared: false, ..Opened::new(connect(Path::new(&address), flags)?) })
}

/// With its log, in a folder where something can be written.
fn from_a_copy(path: &Path) -> rusqlite::Result<Option<Opened>> {
    let Ok(folder) = tempfile::Builder::new().prefix("gibber-").tempdir() else { return Ok(None) };
    let copied = folder.path().join("chats.db");
    let is_copied = |ending: &str| std::fs::copy(beside(path, ending), beside(&copied, ending)).is_ok();
    if !is_copied("") || !is_copied("-wal") {
        return Ok(None);
    }
    let connection = connect(&copied, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    Ok(Some(Opened { is_shared: false, _copy: Some(folder), ..Opened::new(connection) }))
}

/// As a file that nobody changes, though there is a log that cannot be read: what is in that alone is missed.
fn without_log(path: &Path) -> rusqlite::Result<Option<Opened>> {
    if !has_log(path) {
        return Ok(None);
    }
    let log = beside(path, "-wal");
    let misses = format!(
        "{} cannot be read, or not from here: the newest messages, which are in it alone, and changed titles are missing",
        log.display()
    );
    Ok(Some(Opened { misses: Some(misses), ..immutable(path)? }))
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Which file `path` names now.
pub(in crate::store) fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// The files in which SQLite keeps what is not in the database at `path` yet, those that are there.
pub(in crate::store) fn logs(path: &Path) -> Vec<(PathBuf, Identity)> {
    let logs = ["-wal", "-shm"].map(|ending| beside(path, ending));
    logs.into_iter().filter_map(|log| identity(&log).map(|identity| (log, identity))).collect()
}

/// Puts the logs of a database that was moved away out of the way of the one in its place: SQLite would take them for its
/// own, and write pages of the other over it.
///
/// # Errors
/// What the system says.
pub(in crate::store) fn put_aside(logs: &[(PathBuf, Identity)]) -> Result<(), StoreError> {
    for (log, _) in logs.iter().filter(|(log, was)| identity(log) == Some(*was)) {
        std::fs::rename(log, beside(log, ".former")).map_err(|error| StoreError::io("move", log, error))?;
    }
    Ok(())
}

/// The name of a file that belongs to the database at `path`.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A path as part of an address (RFC 3986): relative ones stay so.
fn escaped(path: &Path) -> String {
    let mut escaped = String::new();
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The format of the database.
pub(super) fn format(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// The format that this version writes.
fn present() -> i64 {
    MIGRATIONS.len() as i64
}

/// All formats there are, the newest first.
pub(super) fn formats() -> impl Iterator<Item = i64> {
    (1..=present()).rev()
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)).map(|count| count == 0)
}

fn newer(path: &Path, found: i64) -> StoreError {
    StoreError::Newer { path: path.into(), found, known: present() }
}

/// Makes an empty database of a `format`, laid out as one that has come to it from the first.
pub(super) fn make(path: &Path, format: i64) -> Result<(), StoreError> {
    let make = || -> rusqlite::Result<()> {
        let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        take_steps(&transaction, 0, format)?;
        transaction.commit()?;
        connection.execute_batch("VACUUM")
    };
    make().map_err(|error| StoreError::database(path, error))
}

fn take_steps(connection: &Connection, from: i64, to: i64) -> rusqlite::Result<()> {
    for (step, format) in MIGRATIONS.iter().zip(1..) {
        if (from + 1..=to).contains(&format) {
            connection.execute_batch(step)?;
        }
    }
    connection.pragma_update(None, "user_version", to)
}

/// Brings the database to the present format, after a copy of it was made where anything is in it; returns the copy.
fn migrate(connection: &mut Connection, path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let failed = |error| StoreError::database(path, error);
    // Who has nothing to change waits for nobody.
    let found = format(connection).map_err(failed)?;
    if found == present() {
        return Ok(None);
    }
    if found > present() {
        return Err(newer(path, found));
    }
    connection.busy_timeout(MIGRATION_TIMEOUT).map_err(failed)?;
    // Takes the lock before it looks again, so that two programs that start at once do not both migrate.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found = format(&transaction).map_err(failed)?;
    let former = match found {
        found if found == present() => return Ok(None),
        found if found > present() => return Err(newer(path, found)),
        0 if is_empty(&transaction).map_err(failed)? => None,
        // Tables without a format are another program's.
        ..=0 => return Err(StoreError::Corrupt { path: path.into() }),
        found => Some(keep(path, found)?),
    };
    let taken = take_steps(&transaction, found, present()).and_then(|()| transaction.commit());
    if let (Err(_), Some(copy)) = (&taken, &former) {
        // It is tried again, and makes another one then.
        let _ = std::fs::remove_file(copy);
    }
    taken.map_err(failed)?;
    // The pages that the former tables have left go, and tables come to lie where a repair looks for them first. Where
    // others have the database open it stays as it is, which is no worse.
    let _ = connection.execute_batch("VACUUM");
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    Ok(former)
}

/// Copies the database, with what is in its log, before it is brought to another format; returns the copy.
fn keep(path: &Path, format: i64) -> Result<PathBuf, StoreError> {
    let names = (1..).map(|number: u32| match number {
        1 => format!("chats-format-{format}.db"),
        number => format!("chats-format-{format}-{number}.db"),
    });
    let mut copies = names.map(|name| path.with_file_name(name));
    let copy = copies.find(|copy| !copy.exists()).unwrap_or_else(|| beside(path, "-former"));
    // SQLite takes a file that is there and empty, with the mode that it has.
    gibber_files::open_with(private::options().append(true).create(true), &copy)
        .map_err(|source| StoreError::io("write", &copy, source))?;
    let write = || -> rusqlite::Result<()> {
        let source = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        source.execute("VACUUM INTO ?1", [copy.to_string_lossy()]).map(drop)
    };
    let outcome = write().map_err(|error| StoreError::database(&copy, error));
    if outcome.is_err() {
        // The error is what counts; an empty file in its place would look like a copy.
        let _ = std::fs::remove_file(&copy);
    }
    outcome.map(|()| copy)
}
