//! What every look at an archive begins with: the root's identity, its ledgers, and the files that
//! readers see and no entry names.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::clients::store::{Store, StoreError};
use crate::common::config::{Config, Topics};
use crate::engine::archive::files;
use crate::engine::archive::ledger::EntryTemplate;
use crate::engine::archive::listing::{Finding, FindingKind, LedgerListing, LedgerPath, read_file};
use crate::engine::archive::root::{FoundIdentity, find_identity};
use crate::outside::audit::private::Private;
use crate::outside::audit::rows;
use crate::pure::layout::Template;
use crate::pure::layout::names::{self, IDENTITY, PRIVATE, QUARANTINE, is_quarantined};
use crate::pure::protocol::{Entry, FileRef};
use crate::pure::record::Offset;

/// One root: its ledgers, and what belongs to none of them.
pub struct Survey {
    pub ledgers: Vec<(LedgerPath, LedgerListing)>,
    pub findings: Vec<Finding>,
    /// Staged files that no entry names, by partition.
    pub staged: BTreeMap<LedgerPath, usize>,
}

impl Survey {
    /// Reads the ledgers of a root and lists its files. A daemon may go on writing meanwhile: the
    /// files are listed before the ledgers are read, so that what appears in between is not taken
    /// for foreign.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn read(store: &dyn Store, config: &Config) -> Result<Survey, StoreError> {
        let walked = store.walk("").await?;
        let visible: Vec<String> = walked.files.into_iter().map(|(path, _)| path).collect();
        let mut findings = Vec::new();
        let ledgers = LedgerListing::all(store, &mut findings).await?;
        let told = findings.iter().chain(ledgers.iter().flat_map(|(_, of)| &of.findings));
        let told: BTreeSet<&str> = told.map(|finding| finding.path.as_str()).collect();
        let untold = walked.refused.iter().filter(|(path, _)| !told.contains(path.as_str()));
        let unlisted: Vec<_> = untold.map(|(path, e)| Finding::unlisted(path, e)).collect();
        findings.extend(unlisted);
        findings.extend(walked.twice.into_iter().map(|path| {
            Finding {
                kind: FindingKind::ForeignFile,
                path,
                detail:
                    "it is a link to a directory of the root: readers that follow it see rows twice"
                        .into(),
            }
        }));
        findings.extend(identity_findings(store, &ledgers).await?);
        let private = Private::of(&visible, &ledgers);
        findings.extend(private.findings);
        let tables = Tables::of(config, store.url(), &ledgers);
        let named: BTreeSet<&str> = named(&ledgers).map(|file| file.path.as_str()).collect();
        let foreign = visible.into_iter().filter(|path| {
            !named.contains(path.as_str()) && !is_hidden(path) && tables.contain(path)
        });
        let detail = match is_all_read(&ledgers, &findings) {
            true => "readers see the file, and no entry names it",
            false => "readers see the file, and no entry that can be read names it",
        };
        let foreign: Vec<_> = foreign
            .map(|path| Finding { kind: FindingKind::ForeignFile, path, detail: detail.into() })
            .collect();
        findings.extend(foreign);
        Ok(Survey { ledgers, findings, staged: private.staged })
    }
}

/// Whether no ledger has an entry that could not be read.
fn is_all_read(ledgers: &[(LedgerPath, LedgerListing)], findings: &[Finding]) -> bool {
    use FindingKind::{UnreadableDirectory, UnreadableEntry};
    let of_ledgers = ledgers.iter().flat_map(|(_, listing)| &listing.findings);
    let mut all = of_ledgers.chain(findings.iter().filter(|f| f.path.starts_with(PRIVATE)));
    !all.any(|f| matches!(f.kind, UnreadableDirectory | UnreadableEntry))
}

fn named(ledgers: &[(LedgerPath, LedgerListing)]) -> impl Iterator<Item = &FileRef> {
    ledgers.iter().flat_map(|(_, listing)| &listing.entries).flat_map(|entry| &entry.files)
}

/// What readers of Hive's tables skip. The quarantine has readers of its own.
fn is_hidden(path: &str) -> bool {
    let path = if is_quarantined(path) { &path[QUARANTINE.len()..] } else { path };
    path.starts_with(PRIVATE) || path.split('/').any(|name| name.starts_with(['_', '.']))
}

/// Where readers of this root's tables look.
struct Tables {
    templates: Vec<Template>,
    /// The names of the topics as path segments.
    topics: BTreeSet<String>,
    /// The directories of files that entries name; another template may have named them.
    directories: BTreeSet<String>,
}

impl Tables {
    fn of(config: &Config, url: &str, ledgers: &[(LedgerPath, LedgerListing)]) -> Tables {
        let mut topics: BTreeSet<String> = ledgers.iter().map(|(p, _)| p.topic.clone()).collect();
        for mapping in &config.mappings {
            if let Topics::Names(names) = &mapping.topics {
                topics.extend(names.iter().map(|name| names::escape_segment(name)));
            }
            topics.extend(mapping.count.iter().map(|c| names::escape_segment(&c.output_topic)));
        }
        let here = config.archives().filter(|a| a.root.url() == url);
        Tables {
            templates: here.map(|archive| archive.template.clone()).collect(),
            topics,
            directories: named(ledgers).map(|file| directory(&file.path).to_string()).collect(),
        }
    }

    fn contain(&self, path: &str) -> bool {
        let topics = || self.topics.iter().map(String::as_str);
        let name = path.rsplit('/').next().unwrap_or_default();
        name.starts_with("part-")
            || self.directories.contains(directory(path))
            || self.templates.iter().any(|template| template.may_contain(path, topics()))
    }
}

fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// What is wrong with the root's identity, by what its ledgers say.
///
/// # Errors
/// The store does not answer.
pub async fn identity_findings(
    store: &dyn Store,
    ledgers: &[(LedgerPath, LedgerListing)],
) -> Result<Vec<Finding>, StoreError> {
    let find = |kind, path: &str, detail: String| Finding { kind, path: path.into(), detail };
    let entries = || ledgers.iter().flat_map(|(_, listing)| &listing.entries);
    let mut findings = Vec::new();
    match find_identity(store).await? {
        FoundIdentity::Missing if entries().next().is_none() => {}
        FoundIdentity::Missing => findings.push(find(
            FindingKind::MissingIdentity,
            IDENTITY,
            "the identity file is missing; alluvium repair writes it anew from the ledgers".into(),
        )),
        FoundIdentity::Unreadable(e) => findings.push(find(
            FindingKind::WrongIdentity,
            IDENTITY,
            format!(
                "the identity file can't be read: {e}; move it aside, and alluvium repair writes \
                 it anew from the ledgers"
            ),
        )),
        FoundIdentity::Is(root) => {
            for (place, listing) in ledgers {
                let mut others = listing.entries.iter().filter(|e| e.root != root);
                findings.extend(others.next().map(|entry| {
                    find(
                        FindingKind::WrongIdentity,
                        &names::entry_in(&place.path(), entry.key()),
                        format!(
                            "the entry belongs to root {}, and this is root {root}",
                            entry.root
                        ),
                    )
                }));
            }
        }
    }
    Ok(findings)
}

/// A file that an entry names, where it lies now.
pub struct FoundFile {
    pub path: String,
    pub bytes: Bytes,
    /// Why it can't be read, or what its length or its checksum says.
    pub damage: Option<(FindingKind, String)>,
}

/// Reads a file that an entry names, at its place or staged still, and compares it with the entry.
///
/// # Errors
/// The store does not answer.
pub async fn find_file(
    store: &dyn Store,
    entry: &Entry,
    file: &FileRef,
) -> Result<Option<FoundFile>, StoreError> {
    let found = read_file(store, entry, file).await?;
    Ok(found.map(|(path, read)| match read {
        Ok(bytes) => FoundFile { damage: damage(file, &bytes), path, bytes },
        Err(why) => {
            let damage = Some((FindingKind::UnreadableFile, why));
            FoundFile { damage, path, bytes: Bytes::new() }
        }
    }))
}

/// The offsets of the rows of a file that has the length and the checksum of its entry; [`None`]
/// where they say nothing of themselves, as in text.
///
/// # Errors
/// The rows are not those that the entry names.
pub fn rows_of(
    entry: &Entry,
    file: &FileRef,
    bytes: &Bytes,
) -> Result<Option<Vec<Offset>>, (FindingKind, String)> {
    let places = rows::places(&file.path, bytes.clone())
        .map_err(|e| (FindingKind::WrongRows, format!("the file can't be read: {e}")))?;
    if places.rows != file.rows {
        let detail = format!("the file has {} rows, and the entry says {}", places.rows, file.rows);
        return Err((FindingKind::WrongRows, detail));
    }
    let Some(offsets) = places.offsets else { return Ok(None) };
    let is = (offsets.iter().min().copied(), offsets.iter().max().copied());
    if is != (Some(file.first_offset), Some(file.last_offset)) && !offsets.is_empty() {
        let detail = format!(
            "the entry says that the file has offsets {} to {}, which is not so",
            file.first_offset, file.last_offset
        );
        return Err((FindingKind::WrongRows, detail));
    }
    let said = file.min_time.zip(file.max_time);
    if places.is_raw && said != places.times {
        let shown = |times: Option<(i64, i64)>| {
            times.map_or("none".into(), |(min, max)| format!("{min} to {max} ms"))
        };
        let detail = format!(
            "the entry says that the times of the file's records are {}, and they are {}",
            shown(said),
            shown(places.times)
        );
        return Err((FindingKind::WrongEntry, detail));
    }
    match other_footer(entry, file, bytes) {
        Some(detail) => Err((FindingKind::WrongEntry, detail)),
        None => Ok(Some(offsets)),
    }
}

/// What the footer of a Parquet file says otherwise than the entry. Files of version 1 of the
/// columns have none. An entry that a repair has put back has a cause, and an attempt of its own.
fn other_footer(entry: &Entry, file: &FileRef, bytes: &Bytes) -> Option<String> {
    let said = rows::footer(bytes.clone()).ok()?;
    let of = EntryTemplate {
        topic: entry.topic.clone(),
        incarnation: entry.incarnation,
        partition: entry.partition,
        root: entry.root.clone(),
        topic_id: entry.topic_id.clone(),
        config: entry.config.clone(),
    };
    let offsets = (file.first_offset, file.last_offset);
    let is_repaired = entry.cause.is_some();
    let wanted = files::footer(&of, entry.attempt, entry.from, offsets).into_iter();
    let mut wanted = wanted.filter(|(name, _)| !is_repaired || !name.starts_with("attempt"));
    wanted.find_map(|(name, value)| {
        let found = said.get(name).filter(|found| **found != value)?;
        Some(format!("the file's footer has {name} {found:?}, and the entry says {value:?}"))
    })
}

/// What a file's length or its checksum says, compared with its entry.
#[must_use]
pub fn damage(file: &FileRef, bytes: &Bytes) -> Option<(FindingKind, String)> {
    if bytes.len() as u64 != file.bytes {
        let detail =
            format!("the file has {} bytes, and the entry says {}", bytes.len(), file.bytes);
        return Some((FindingKind::TruncatedFile, detail));
    }
    let checksum = format!("{:08x}", crc32c::crc32c(bytes));
    let detail = format!("the file's CRC-32C is {checksum}, and the entry says {}", file.checksum);
    (checksum != file.checksum).then_some((FindingKind::ChangedFile, detail))
}
