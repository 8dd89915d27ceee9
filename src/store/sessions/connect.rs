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

/// The steps from an empty file to the present format; `PRAGMA user_version` counts those that were taken. Steps are
/// added, never changed.
const MIGRATIONS: [&str; 1] = ["
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
"];

/// What tells a file from another of the same name: its device and its number there.
type Identity = (u64, u64);

/// An open file.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: Connection,
    /// Which file it is.
    pub(super) identity: Option<Identity>,
    /// Whether other programs can read and write at the same time.
    pub(super) is_shared: bool,
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
    migrate(&mut connection, path)?;
    Ok(Opened { connection, identity: identity(path), is_shared: true, _copy: None })
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
    let found = version(&opened.connection).map_err(failed)?;
    match found.cmp(&(MIGRATIONS.len() as i64)) {
        std::cmp::Ordering::Equal => Ok(Some(opened)),
        std::cmp::Ordering::Greater => Err(newer(path, found)),
        std::cmp::Ordering::Less => {
            let count = "SELECT count(*) FROM sqlite_schema";
            let tables: i64 = opened.connection.query_row(count, [], |row| row.get(0)).map_err(failed)?;
            drop(opened);
            if tables == 0 { Ok(None) } else { to_write(path).map(Some) }
        }
    }
}

/// Opens a database to read from it; `None` where it cannot be opened in this way.
type Way = fn(&Path) -> rusqlite::Result<Option<Opened>>;

/// The ways to read, the best first.
const WAYS: [Way; 4] = [shared, alone, unchanging, from_a_copy];

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
    Ok(Some(Opened { connection, identity: None, is_shared: true, _copy: None }))
}

/// With that index in memory, which only one program at a time can do: nothing is written, but the log must be there or be
/// made, empty.
fn alone(path: &Path) -> rusqlite::Result<Option<Opened>> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update_and_check(None, "locking_mode", "exclusive", |_| Ok(()))?;
    Ok(Some(Opened { connection, identity: None, is_shared: false, _copy: None }))
}

/// As a file that nobody changes: without a log, and where none can be made, that is so.
fn unchanging(path: &Path) -> rusqlite::Result<Option<Opened>> {
    if std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0) {
        return Ok(None);
    }
    let address = format!("file:{}?immutable=1", escaped(path));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Ok(Some(Opened { connection: connect(Path::new(&address), flags)?, identity: None, is_shared: false, _copy: None }))
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
    Ok(Some(Opened { connection, identity: None, is_shared: false, _copy: Some(folder) }))
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Which file `path` names now.
pub(super) fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
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

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn newer(path: &Path, found: i64) -> StoreError {
    StoreError::Newer { path: path.into(), found, known: MIGRATIONS.len() as i64 }
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::database(path, error);
    let known = MIGRATIONS.len() as i64;
    // Who has nothing to change waits for nobody.
    if version(connection).map_err(failed)? == known {
        return Ok(());
    }
    // Takes the lock before it looks again, so that two programs that start at once do not both migrate.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found = version(&transaction).map_err(failed)?;
    let Some(steps) = usize::try_from(found).ok().and_then(|done| MIGRATIONS.get(done..)) else {
        return Err(newer(path, found));
    };
    for step in steps {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(failed)?;
    transaction.commit().map_err(failed)
}
