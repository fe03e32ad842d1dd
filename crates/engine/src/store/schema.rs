//! What a file says of itself, and how one of an older version becomes one of today's.
//!
//! Every file has one table of our own beside the others. It holds the kind and version of the file, and for each table its
//! counts, written in the same transaction as what they count: a table that lost records without a word is found out, and
//! no start has to read a file to know what is in it.

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::medium::Counts;
use super::record::{self, Stamp};

/// Bytes to bytes, which every table is.
pub(super) type Definition<'n> = TableDefinition<'n, &'static [u8], &'static [u8]>;

/// Our own table.
pub(super) const OWN: &str = "tidemill";
const VERSION_KEY: &[u8] = b"schema";
const COUNTS: &str = "counts/";

/// What a file is for, and the version of what is in it.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// `spool` or `deliveries`.
    pub kind: &'static str,
    /// The version that this program writes, counted from 1.
    pub version: u32,
    /// The ways from older versions, one for each.
    pub(super) migrations: &'static [Migration],
}

/// How the records of one version become those of the next, in one transaction with the new version number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Migration {
    /// The version that it starts from.
    pub(super) from: u32,
    /// The beginning of the names of the tables whose values change.
    pub(super) tables: &'static str,
    /// A value as it becomes; the sentence of an error ends the start and leaves the file as it was.
    pub(super) convert: fn(&[u8]) -> Result<Vec<u8>, String>,
}

impl Schema {
    /// Events that were taken from a source and are not settled.
    pub const SPOOL: Schema = Schema { kind: "spool", version: 1, migrations: &[] };
    /// Deliveries that wait or were given up, and what was done already.
    pub const DELIVERIES: Schema = Schema { kind: "deliveries", version: 1, migrations: &[] };
    /// All of them.
    pub const ALL: [Schema; 2] = [Schema::SPOOL, Schema::DELIVERIES];
}

/// Why the tables of a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Redb(#[from] redb::Error),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Damaged(String),
}

/// Marks a file that is new, leaves one of today's version alone, and migrates an older one; answers whether anything has
/// changed.
pub(super) fn prepare(transaction: &WriteTransaction, schema: &Schema) -> Result<bool, Error> {
    match version(transaction)? {
        None => mark(transaction, schema).map(|()| true),
        Some((kind, _)) if kind != schema.kind => {
            Err(Error::Refused(format!("it is a file of the kind '{kind}' and not '{}'", schema.kind)))
        }
        Some((_, found)) if found > schema.version => Err(Error::Refused(format!(
            "it was written by a newer version of tidemill (format {found}, this one knows {}); run that version, or name another folder with 'state: {{ dir: ... }}'",
            schema.version
        ))),
        Some((_, found)) if found == schema.version => Ok(false),
        Some((_, found)) => {
            for version in found..schema.version {
                let steps = schema.migrations.iter().filter(|step| step.from == version);
                let mut known = false;
                for step in steps {
                    known = true;
                    migrate(transaction, step)?;
                }
                if !known {
                    return Err(Error::Refused(format!(
                        "it is of format {version}, from which there is no way to {}; run an older version of tidemill until it is empty",
                        schema.version
                    )));
                }
            }
            mark(transaction, schema).map(|()| true)
        }
    }
}

fn migrate(transaction: &WriteTransaction, step: &Migration) -> Result<(), Error> {
    let names: Vec<String> = tables(transaction)?.into_iter().filter(|name| name.starts_with(step.tables)).collect();
    for name in names {
        let seed = record::seed(&name);
        let mut table = transaction.open_table(Definition::new(&name)).map_err(redb::Error::from)?;
        let mut changed = Vec::new();
        for row in table.iter().map_err(redb::Error::from)? {
            let (key, value) = row.map_err(redb::Error::from)?;
            let Some(record) = record::read(seed, key.value(), value.value()) else {
                return Err(Error::Damaged(format!("a record of table '{name}' is damaged")));
            };
            let converted = (step.convert)(record.value).map_err(Error::Refused)?;
            changed.push((key.value().to_vec(), bytes(seed, key.value(), record.stamp, &converted)));
        }
        let mut counts = counts(transaction, &name)?;
        counts.bytes = 0;
        for (key, value) in changed {
            counts.bytes += (key.len() + value.len()) as u64;
            table.insert(key.as_slice(), value.as_slice()).map_err(redb::Error::from)?;
        }
        drop(table);
        count(transaction, &name, &counts)?;
    }
    Ok(())
}

/// The names of the tables that are not our own.
pub(super) fn tables(transaction: &WriteTransaction) -> Result<Vec<String>, redb::Error> {
    use redb::TableHandle;
    Ok(transaction.list_tables()?.map(|table| table.name().to_owned()).filter(|name| name != OWN).collect())
}

/// The kind and version that a file says it has.
fn version(transaction: &WriteTransaction) -> Result<Option<(String, u32)>, Error> {
    let own = transaction.open_table(Definition::new(OWN)).map_err(redb::Error::from)?;
    let found = own.get(VERSION_KEY).map_err(redb::Error::from)?;
    found.map(|value| read_version(value.value())).transpose()
}

/// The kind and version in the record that a file keeps of itself.
pub(super) fn read_version(bytes: &[u8]) -> Result<(String, u32), Error> {
    let damaged = || Error::Damaged("the record of its version is damaged".to_owned());
    let record = record::read(record::seed(OWN), VERSION_KEY, bytes).ok_or_else(damaged)?;
    let (version, kind) = record.value.split_first_chunk::<4>().ok_or_else(damaged)?;
    let kind = String::from_utf8(kind.to_vec()).map_err(|_| damaged())?;
    Ok((kind, u32::from_le_bytes(*version)))
}

fn mark(transaction: &WriteTransaction, schema: &Schema) -> Result<(), Error> {
    let value: Vec<u8> = schema.version.to_le_bytes().into_iter().chain(schema.kind.bytes()).collect();
    own(transaction, VERSION_KEY, &value)?;
    Ok(())
}

/// The counts of one table; nothing for one that has none.
pub(super) fn counts(transaction: &WriteTransaction, name: &str) -> Result<Counts, Error> {
    let key = format!("{COUNTS}{name}");
    let own = transaction.open_table(Definition::new(OWN)).map_err(redb::Error::from)?;
    let found = own.get(key.as_bytes()).map_err(redb::Error::from)?;
    let Some(found) = found else { return Ok(Counts::default()) };
    let damaged = || Error::Damaged(format!("the record of what is in table '{name}' is damaged"));
    let record = record::read(record::seed(OWN), key.as_bytes(), found.value()).ok_or_else(damaged)?;
    let (rows, rest) = record.value.split_first_chunk::<8>().ok_or_else(damaged)?;
    let (bytes, highest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    Ok(Counts { rows: u64::from_le_bytes(*rows), bytes: u64::from_le_bytes(*bytes), highest: highest.to_vec() })
}

/// Writes the counts of one table.
pub(super) fn count(transaction: &WriteTransaction, name: &str, counts: &Counts) -> Result<(), redb::Error> {
    let mut value = Vec::with_capacity(16 + counts.highest.len());
    value.extend_from_slice(&counts.rows.to_le_bytes());
    value.extend_from_slice(&counts.bytes.to_le_bytes());
    value.extend_from_slice(&counts.highest);
    own(transaction, format!("{COUNTS}{name}").as_bytes(), &value)
}

fn own(transaction: &WriteTransaction, key: &[u8], value: &[u8]) -> Result<(), redb::Error> {
    let mut own = transaction.open_table(Definition::new(OWN))?;
    own.insert(key, bytes(record::seed(OWN), key, Stamp::default(), value).as_slice())?;
    Ok(())
}

/// A record with its checksum.
pub(super) fn bytes(seed: u32, key: &[u8], stamp: Stamp, value: &[u8]) -> Vec<u8> {
    let mut bytes = key.to_vec();
    record::write(seed, &mut bytes, 0, stamp, |into| into.extend_from_slice(value));
    bytes.split_off(key.len())
}
