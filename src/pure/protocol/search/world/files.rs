//! The store's side: attempts, their staged and final files, and the ledgers.

use super::state::GAP;
use super::state::{ATTEMPTS, DONE, Files, LIVES, RECORDS, World, identity};
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::protocol::adopt::{self, Sealed};
use crate::pure::protocol::{AttemptId, EntryKey, EntryKind, Head, LedgerTail};
use crate::pure::record::{Offset, OffsetRange};

impl World {
    /// The last entry of this life's ledger.
    pub(super) fn tail(&self, life: u8) -> Option<Head> {
        let life = usize::from(life);
        let last = self.ledger[life].iter().rev().flatten().next().copied();
        let genesis = |to| Head { key: EntryKey::Genesis, attempt: DONE, to };
        last.or(self.genesis[life].map(genesis))
    }

    /// The newest incarnation that has a ledger; 0 if none has.
    pub(super) fn newest(&self) -> u8 {
        (0..LIVES as u8).rev().find(|l| self.genesis[usize::from(*l)].is_some()).unwrap_or(0)
    }

    pub(super) fn read_ledger_of(&self, life: u8) -> Option<LedgerTail> {
        let tail = self.tail(life)?;
        Some(LedgerTail { tail, of: identity(life), incarnation: life.into() })
    }

    /// The entry that stands where this attempt's would.
    pub(super) fn entry_of(&self, f: &Files) -> Option<Head> {
        let ledger = &self.ledger[usize::from(f.life)];
        ledger.get(usize::try_from(f.from.0).unwrap_or(RECORDS)).copied().flatten()
    }

    /// The attempt that an entry names, while something of it is left.
    pub(super) fn named_by(&self, entry: Head) -> Option<Files> {
        self.attempts.get(entry.attempt.0 as usize).copied().flatten()
    }

    pub(super) fn is_named(&self, f: &Files) -> bool {
        self.entry_of(f).and_then(|e| self.named_by(e)).as_ref() == Some(f)
    }

    pub(super) fn files(&mut self, id: AttemptId) -> &mut Files {
        self.attempts[id.0 as usize].as_mut().expect("referred to, so alive")
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = (AttemptId, Files)> + '_ {
        let all = self.attempts.iter().enumerate();
        all.filter_map(|(i, f)| f.map(|f| (AttemptId(i as u128), f)))
    }

    /// An id that is free; there is none of the number that is returned if all are in use.
    pub(super) fn free_id(&self) -> AttemptId {
        let free = (0..ATTEMPTS).find(|k| self.attempts[*k].is_none());
        AttemptId(free.unwrap_or(ATTEMPTS) as u128)
    }

    /// The manifest is renamed onto the entry's name, if it still lies there, and if nothing
    /// stands there already.
    pub(super) fn append(&mut self, id: AttemptId, overwrites: bool) {
        let f = *self.files(id);
        self.files(id).late = false;
        let slot = &mut self.ledger[usize::from(f.life)][f.from.0 as usize];
        if f.manifest && (slot.is_none() || overwrites) {
            *slot = Some(Head { key: EntryKey::At(f.from), attempt: id, to: f.to });
            self.files(id).manifest = false;
        }
    }

    fn sealed(&self, life: u8) -> impl Iterator<Item = Sealed<AttemptId>> + '_ {
        self.ids().map(move |(id, f)| {
            let is_whole = f.life == life && f.manifest && f.staged;
            Sealed { name: id, from: f.from, to: f.to, is_whole }
        })
    }

    /// The sealed attempt that is to be appended behind this entry.
    pub(super) fn sealed_behind(&self, life: u8, end: Offset) -> Option<AttemptId> {
        adopt::choose(self.sealed(life), end, None)
    }

    /// Appends the sealed attempts that lie behind the ledger's end.
    pub(super) fn adopt(&mut self, life: u8) {
        while let Some(tail) = self.tail(life)
            && let Some(id) = self.sealed_behind(life, tail.to)
        {
            self.append(id, false);
        }
    }

    /// Puts an entry without files, unless one stands there, or a sealed attempt is to be appended
    /// there: then that is done, and this is false.
    pub(super) fn put(&mut self, life: u8, kind: EntryKind, range: OffsetRange) -> bool {
        let at = usize::from(life);
        if kind == EntryKind::Genesis {
            if self.genesis[at].is_none() {
                self.genesis[at] = Some(range.to);
                (0..range.to.0).for_each(|r| self.expected[r as usize] = 0);
            }
            return true;
        }
        if let Some(id) = self.sealed_behind(life, range.from) {
            if planted(PlantedFault::GapOverSealed) {
                self.alarm = Some("a gap names records that a sealed attempt has");
            } else {
                self.append(id, false);
                return false;
            }
        }
        let to = match planted(PlantedFault::GapOverSealed) {
            true => range.to,
            false => adopt::gap_end(self.sealed(life), range),
        };
        let entry = Head { key: EntryKey::At(range.from), attempt: GAP, to };
        let _ = self.ledger[at][range.from.0 as usize].get_or_insert(entry);
        true
    }

    pub(super) fn publish(&mut self, id: AttemptId) {
        let f = self.files(id);
        (f.staged, f.published) = (false, true);
    }

    pub(super) fn delete(&mut self, id: AttemptId) {
        if let Some(f) = &mut self.attempts[id.0 as usize] {
            (f.manifest, f.staged) = (false, false);
        }
    }

    /// The author deletes an attempt of its own, the manifest first, unless the ledger names it
    /// then.
    pub(super) fn delete_own(&mut self, id: AttemptId) {
        match self.attempts[id.0 as usize] {
            Some(f) if self.is_named(&f) && !self.deletes_unseen() => {}
            _ => self.delete(id),
        }
    }

    fn deletes_unseen(&self) -> bool {
        planted(PlantedFault::DiscardAdopted) || planted(PlantedFault::DiscardTried)
    }

    /// Deletes the files that were there when somebody decided to settle the attempt; its manifest
    /// came later.
    pub(super) fn delete_files(&mut self, id: AttemptId) {
        if let Some(f) = &mut self.attempts[id.0 as usize] {
            f.staged = false;
        }
    }

    /// One record goes into an attempt's files.
    pub(super) fn write(&mut self, id: AttemptId, at: usize) {
        let f = self.files(id);
        let doubled = f.content >> at & 1 == 1;
        f.content |= if doubled { 0x80 } else { 1 << at };
        f.to = Offset(at as i64 + 1);
    }
}

impl Files {
    /// A new attempt, with files that are still empty.
    pub(super) fn writing(life: u8, from: Offset) -> Files {
        Files {
            life,
            from,
            to: from,
            content: 0,
            manifest: false,
            staged: true,
            published: false,
            late: false,
        }
    }

    pub(super) fn is_in_staging(&self) -> bool {
        self.manifest || self.staged
    }
}
