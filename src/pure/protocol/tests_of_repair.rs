//! Every stop has its repair, and no repair decides what only a person knows.

use std::sync::Arc;

use super::committed::Committed;
use super::partition::{KnownPosition, Sinks, Unsure};
use super::recovery::{Identity, LedgerTail, OnGap};
use super::repair::{ABSENT, Facts, Refused, RepairPlan};
use crate::pure::formats::entry::{AttemptId, EntryKey, EntryKind, EntryName, Head};
use crate::pure::formats::metadata::{Marks, Metadata};
use crate::pure::record::{Offset, OffsetRange};

fn identity(topic_id: &str) -> Arc<Identity> {
    Arc::new(Identity { root: "r".into(), topic_id: topic_id.into() })
}

fn ledger(incarnation: u32, to: i64, topic_id: &str) -> LedgerTail {
    let key = if to == 0 { EntryKey::Genesis } else { EntryKey::At(Offset(0)) };
    let tail = Head { key, attempt: AttemptId(1), to: Offset(to) };
    LedgerTail { tail, of: identity(topic_id), incarnation }
}

fn committed(offset: i64, p: i64, incarnation: u32) -> Committed {
    let entry = Some(EntryName { incarnation, key: EntryKey::Genesis });
    let (root, topic_id) = ("r".into(), "t".into());
    let (marks, partials) = (Marks { watermark: Some(4), ..Marks::default() }, None);
    let p = Offset(p);
    let metadata = Metadata { p, entry, root, topic_id, marks, lost: None, partials };
    Committed { offset: Offset(offset), metadata: Some(metadata) }
}

/// Ten records; five of them archived, seven counted.
fn whole() -> Facts {
    Facts {
        sinks: Sinks { counts: true, archive: true, keeps_state: false },
        identity: identity("t"),
        partials: None,
        on_gap: OnGap::Stop,
        committed: Some(committed(5, 7, 0)),
        ledger: Some(ledger(0, 5, "t")),
        newest: 0,
        log: OffsetRange { from: Offset(0), to: Offset(10) },
        start: Offset(0),
        published: None,
        merged: Ok(None),
    }
}

/// Does what a repair says, to the facts.
fn carry_out(facts: &mut Facts, repair: RepairPlan) {
    if let Some(put) = repair.put {
        let mut new = ledger(put.incarnation, put.range.to.0, "");
        new.of = Arc::clone(&facts.identity);
        if put.kind == EntryKind::Genesis {
            new.tail.key = EntryKey::Genesis;
        }
        facts.newest = facts.newest.max(put.incarnation);
        facts.ledger = Some(new);
    }
    if let Some((offset, metadata)) = repair.commit {
        let text = metadata.encode(offset);
        facts.committed = Some(Committed::decode(offset, &text).unwrap());
    }
}

/// Every way to be stopped: the repair leads to an owner that goes on, with these positions;
/// also if it dies between its two steps.
#[test]
fn every_stop_has_its_cure() {
    type Break = fn(&mut Facts);
    let cases: [(&str, Break, (i64, i64)); 10] = [
        ("nothing_committed", |f| (f.committed, f.published) = (None, Some(Offset(7))), (5, 7)),
        ("no_ledger", |f| f.ledger = None, (5, 7)),
        ("committed_beyond_ledger", |f| f.ledger = Some(ledger(0, 3, "t")), (3, 7)),
        ("other_topic", |f| f.identity = identity("u"), (0, 0)),
        (
            "other_topic",
            |f| (f.identity, f.newest, f.start) = (identity("u"), 4, Offset(2)),
            (2, 2),
        ),
        ("other_incarnation", |f| f.ledger = Some(ledger(1, 0, "t")), (0, 0)),
        ("archive_gap", |f| f.log.from = Offset(9), (9, 9)),
        (
            "results_gap",
            |f| {
                (f.log.from, f.ledger) = (Offset(8), Some(ledger(0, 9, "t")));
            },
            (9, 8),
        ),
        ("beyond_log", |f| f.log.to = Offset(4), (4, 4)),
        (
            "other_root",
            |f| {
                f.identity = Arc::new(Identity { root: "s".into(), topic_id: "t".into() });
                f.ledger = None;
            },
            (5, 7),
        ),
    ];
    for (label, change, (a, p)) in cases {
        for dies in [false, true] {
            let mut facts = whole();
            change(&mut facts);
            assert_eq!(facts.diagnose().unwrap_err().label(), label);
            let mut rounds = 0;
            while let Some(mut repair) = facts.repair(None).unwrap() {
                if dies && rounds == 0 && repair.put.is_some() {
                    repair.commit = None;
                }
                carry_out(&mut facts, repair);
                rounds += 1;
                assert!(rounds < 5, "{label}: {:?}", facts.diagnose());
            }
            let machine = facts.diagnose().unwrap();
            let part = machine.rules().unwrap();
            assert_eq!((part.a(), part.p()), (Some(Offset(a)), Some(Offset(p))), "{label}");
        }
    }
}

#[test]
fn what_only_a_person_knows_is_asked() {
    let mut facts = Facts { committed: None, ..whole() };
    assert_eq!(facts.repair(None), Err(Refused::Choice { archived: Offset(5) }));
    for (from, f) in [(0, 0), (5, 5), (8, 5)] {
        let (offset, m) = facts.repair(Some(Offset(from))).unwrap().unwrap().commit.unwrap();
        assert_eq!((offset, m.p), (Offset(f), Offset(from)));
    }
    facts.sinks.counts = false;
    let (offset, _) = facts.repair(None).unwrap().unwrap().commit.unwrap();
    assert_eq!(offset, Offset(5), "without counts the ledger knows it all");
}

/// The old topic of partial counts is gone, and with it what the open windows had counted.
#[test]
fn another_partials_topic_stops_until_the_loss_is_accepted() {
    let mut facts = Facts { partials: Some("new".into()), ..whole() };
    assert!(facts.diagnose().is_ok(), "an earlier build did not name the topic");
    let committed = facts.committed.as_mut().unwrap();
    committed.metadata.as_mut().unwrap().partials = Some("old".into());
    let absent = Facts { partials: Some(ABSENT.into()), ..facts.clone() };
    assert_eq!(absent.repair(None), Err(Refused::NoPartials));
    let stop = facts.diagnose().unwrap_err();
    assert_eq!(stop.label(), "other_partials");
    assert!(stop.to_string().contains("records below offset 7"), "{stop}");
    for (count_from, p, f, watermark) in [(None, 7, 5, Some(4)), (Some(Offset(2)), 2, 2, None)] {
        let mut facts = facts.clone();
        let repair = facts.repair(count_from).unwrap().unwrap();
        let (offset, m) = repair.commit.as_ref().unwrap();
        assert_eq!((*offset, m.p, m.marks.watermark), (Offset(f), Offset(p), watermark));
        carry_out(&mut facts, repair);
        let machine = facts.diagnose().unwrap();
        assert_eq!(machine.rules().unwrap().p(), Some(Offset(p)));
        // It is made again once more.
        facts.partials = Some("third".into());
        assert_eq!(facts.diagnose().unwrap_err().label(), "other_partials");
    }
}

#[test]
fn copies_and_old_backups_are_left_alone() {
    let other = Arc::new(Identity { root: "s".into(), topic_id: "t".into() });
    let copy = Facts { identity: other, ..whole() };
    assert!(matches!(copy.repair(None), Err(Refused::Copy { .. })));
    let old = Facts { committed: Some(committed(5, 7, 2)), ..whole() };
    assert_eq!(old.repair(None), Err(Refused::OldBackup { committed: 2, ledger: 0 }));
    assert_eq!(whole().repair(None), Ok(None), "nothing is wrong");
}

/// The merge of a partition of partial counts that has nothing committed: of its counts, one that
/// can be read was published with these positions, and others can't be read.
fn merging() -> Facts {
    let marks = Marks { watermark: Some(4), ..Marks::default() };
    let known = Some(KnownPosition { p: Offset(6), replay: Offset(3), marks });
    let why = "the header of the record at o/0, offset 9, is damaged".to_string();
    Facts {
        sinks: Sinks { counts: true, archive: false, keeps_state: true },
        committed: None,
        ledger: None,
        merged: Err(Unsure { known, why }),
        ..whole()
    }
}

#[test]
fn a_merge_whose_counts_cannot_all_be_read_continues_where_a_person_says() {
    let mut facts = merging();
    let stop = facts.diagnose().unwrap_err();
    assert_eq!(stop.label(), "results_unknown");
    let text = stop.to_string();
    assert!(text.contains("o/0, offset 9") && text.contains("ends at 10"), "{text}");
    let refused = Refused::Merged { known: Offset(6), end: Offset(10) };
    assert_eq!(facts.repair(None), Err(refused));
    // As the newest count says that can be read, behind all, and from the beginning.
    for (from, f, watermark) in [(6, 3, Some(4)), (10, 10, None), (0, 0, None)] {
        let mut facts = facts.clone();
        let repair = facts.repair(Some(Offset(from))).unwrap().unwrap();
        let (offset, m) = repair.commit.as_ref().unwrap();
        assert_eq!((*offset, m.p, m.marks.watermark), (Offset(f), Offset(from), watermark));
        carry_out(&mut facts, repair);
        let machine = facts.diagnose().unwrap();
        assert_eq!(machine.rules().unwrap().p(), Some(Offset(from)));
    }
    facts.merged = Err(Unsure { known: None, why: "gone".into() });
    let refused = Refused::Merged { known: Offset(0), end: Offset(10) };
    assert_eq!(facts.repair(None), Err(refused), "nothing of it can be read");
}

/// Retention has deleted partial counts behind the last ones that were published for sure.
#[test]
fn partial_counts_that_may_never_have_been_published_are_named() {
    let mut facts = merging();
    facts.merged = Ok(facts.merged.unwrap_err().known);
    facts.log.from = Offset(8);
    assert_eq!(facts.diagnose().unwrap_err().label(), "results_gap");
    let repair = facts.repair(None).unwrap().unwrap();
    let lost = repair.commit.as_ref().unwrap().1.lost;
    assert_eq!(lost, Some(OffsetRange { from: Offset(3), to: Offset(8) }));
    carry_out(&mut facts, repair);
    assert_eq!(facts.diagnose().unwrap().rules().unwrap().p(), Some(Offset(8)));
}
