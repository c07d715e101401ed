//! What the target holds after a round: the next round of the same keys is decided against it.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;

use super::{Decider, broken, rows};
use crate::change::Changes;
use crate::conflict::{Decisions, Verdict};
use crate::error::Result;
use crate::sql::DeleteMode;
use crate::sql::scatter::{any, scatter, scatter_bits};

impl Decider<'_> {
    pub(super) fn move_rows(&mut self, decisions: &Decisions, keys: &[u32]) -> Result<()> {
        let count = self.groups.len();
        let is = |wanted: Verdict| {
            let bits = BooleanBuffer::collect_bool(keys.len(), |i| decisions.verdicts[i] == wanted);
            scatter_bits(&bits, keys, count)
        };
        let (written, deleted) = (is(Verdict::Write), is(Verdict::Delete));
        if written.count_set_bits() > 0 {
            self.held.rows = scatter(&self.held.rows, &decisions.rows, keys).map_err(broken)?;
            for (column, untouched) in self.untouched.iter_mut().enumerate() {
                let stays = match &decisions.untouched[column] {
                    Some(mask) => &scatter_bits(mask, keys, count) | &!&written,
                    None => !&written,
                };
                *untouched = &*untouched & &stays;
                self.held.foreign[column] = self.held.foreign[column]
                    .take()
                    .and_then(|foreign| any(&foreign & &stays));
            }
        }
        if self.rules.delete != DeleteMode::Soft && deleted.count_set_bits() > 0 {
            let gone: UInt32Array = (0..count)
                .map(|key| (!deleted.value(key)).then_some(key as u32))
                .collect();
            let columns = self.held.rows.columns().iter();
            let columns = columns
                .map(|column| arrow::compute::take(column, &gone, None))
                .collect::<Result<Vec<_>, _>>()
                .map_err(broken)?;
            self.held.rows =
                RecordBatch::try_new(self.held.rows.schema(), columns).map_err(broken)?;
            for foreign in &mut self.held.foreign {
                *foreign = foreign.take().and_then(|mask| any(&mask & &!&deleted));
            }
            // A row that comes after it begins anew.
            for untouched in &mut self.untouched {
                *untouched = &*untouched | &deleted;
            }
        }
        self.held.exists = BooleanBuffer::collect_bool(count, |key| self.keys[key].exists);
        if self.rules.delete == DeleteMode::Soft {
            let marked = BooleanBuffer::collect_bool(count, |key| self.keys[key].marked);
            self.held.marked = any(marked);
        }
        Ok(())
    }

    /// A delete leaves its version, a row takes it away.
    pub(super) fn move_tombstones(
        &mut self,
        round: &Changes,
        decisions: &Decisions,
        keys: &[u32],
        rows: &[u32],
    ) -> Result<()> {
        let Some(version) = self.rules.version else {
            return Ok(());
        };
        let changed = |verdict: &Verdict| matches!(verdict, Verdict::Delete | Verdict::Write);
        if !decisions.verdicts.iter().any(changed) {
            return Ok(());
        }
        let versions = rows::delete_versions(round, version)?;
        let tombstones = match &self.tombstones {
            Some(tombstones) => tombstones.clone(),
            None => arrow::array::new_null_array(versions.data_type(), self.groups.len()),
        };
        let (tombstones, buried) =
            rows::record_tombstones(&tombstones, &versions, &decisions.verdicts, keys)
                .map_err(broken)?;
        for index in buried {
            self.keys[keys[index] as usize].buried = Some(rows[index]);
        }
        self.tombstones = Some(tombstones);
        Ok(())
    }
}
