//! The positions of one sink, for a person who looks at them or moves them.

use std::collections::BTreeSet;

use super::lock::SinkLock;
use super::tables::{create_tables, missing};
use super::{Execute, as_text, nullable, number, targets, text};
use crate::error::{Error, Result};
use crate::positions::{Change, Kept, KeptPosition, ReplayMark, WriterMark};
use crate::record::{Held, Partition};
use crate::sql::POSITIONS_TABLE;
use crate::sql::identifier::literal;

/// Reads what is kept; nothing where no pipeline has written to the database. A partition with several
/// writers stands where the last of them does.
pub(crate) async fn read<E: Execute>(
    connection: &mut E,
    pipeline: &str,
    sink: &str,
) -> Result<Kept, E::Failure> {
    let mut kept = read_all(connection, pipeline, sink).await?;
    kept.positions = together(&kept.positions);
    Ok(kept)
}

/// Each partition once, where the last of its writers stands.
fn together(kept: &[KeptPosition]) -> Vec<KeptPosition> {
    let positions = kept
        .iter()
        .filter(|kept| WriterMark::read(&kept.partition).is_none());
    let lowest = |position: &KeptPosition| {
        let mut position = position.clone();
        for next in writers_of(kept, &position.source, &position.partition) {
            position.held.next = position.held.next.min(next.held.next);
        }
        position
    };
    positions.map(lowest).collect()
}

/// The positions of the writers of a partition, but for the first; none where it has one.
fn writers_of<'k>(
    kept: &'k [KeptPosition],
    source: &str,
    partition: &Partition,
) -> Vec<&'k KeptPosition> {
    let marks = kept.iter().filter_map(|kept| {
        let mark = WriterMark::read(&kept.partition)?;
        let own = kept.source == source && mark.of() == *partition;
        own.then_some((mark.writer, kept))
    });
    let marks: Vec<_> = marks.collect();
    let first = marks.iter().find(|(writer, _)| *writer == 1);
    let count = first.and_then(|(_, kept)| kept.held.incarnation.as_deref()?.parse().ok());
    let count: usize = count.unwrap_or(1);
    let used = marks.into_iter().filter(|(writer, _)| *writer < count);
    used.map(|(_, kept)| kept).collect()
}

async fn read_all<E: Execute>(
    connection: &mut E,
    pipeline: &str,
    sink: &str,
) -> Result<Kept, E::Failure> {
    let missing = missing(connection).await?;
    let mut kept = Kept::default();
    if missing.positions {
        return Ok(kept);
    }
    let incarnation = if missing.incarnation {
        as_text(E::DIALECT, "NULL")
    } else {
        "incarnation".to_owned()
    };
    let number_column = E::DIALECT.own_tables.partition;
    let sql = format!(
        "SELECT source, topic, {}, {}, {incarnation} FROM {POSITIONS_TABLE} \
         WHERE pipeline = {} AND sink = {} ORDER BY source, topic, {POSITIONS_TABLE}.{number_column}",
        as_text(E::DIALECT, number_column),
        as_text(E::DIALECT, "position"),
        literal(pipeline),
        literal(sink)
    );
    for row in connection.rows(&sql).await? {
        kept.positions.push(KeptPosition {
            source: text(&row, 0)?.to_owned(),
            partition: Partition {
                topic: text(&row, 1)?.into(),
                number: number(&row, 2)?,
            },
            held: Held {
                next: number(&row, 3)?,
                incarnation: row.get(4).cloned().flatten().map(Into::into),
            },
        });
    }
    if !missing.targets {
        let target = targets::kept(connection, pipeline, sink).await?;
        kept.table = target.setting;
        kept.tables = target.tables.keys().map(ToString::to_string).collect();
    }
    Ok(kept)
}

/// Makes changes, all or none. Where every position of the sink goes, so does what is known of its
/// tables; where some do, the tables that are gone are forgotten. The marks of a replay ([`ReplayMark`]) go
/// with what is read again.
///
/// # Errors
/// `Configuration` where the pipeline runs, or where a position is not where `change` says.
pub(crate) async fn change<E: Execute>(
    connection: &mut E,
    pipeline: &str,
    sink: &str,
    changes: &[Change],
) -> Result<(), E::Failure> {
    let lock = take(connection, pipeline, sink).await?;
    connection.execute(E::DIALECT.begin).await?;
    let made = make(connection, pipeline, sink, changes).await;
    let end = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
    connection.execute(end).await?;
    connection.release(&lock).await?;
    made
}

/// Forgets which tables the positions of the sink belong to.
///
/// # Errors
/// `Configuration` where the pipeline runs.
pub(crate) async fn forget_tables<E: Execute>(
    connection: &mut E,
    pipeline: &str,
    sink: &str,
) -> Result<(), E::Failure> {
    let lock = take(connection, pipeline, sink).await?;
    connection.execute(&targets::forget(pipeline, sink)).await?;
    connection.release(&lock).await
}

/// Takes the sink's lock alone, with the tables at hand.
async fn take<E: Execute>(
    connection: &mut E,
    pipeline: &str,
    sink: &str,
) -> Result<SinkLock, E::Failure> {
    let lock = SinkLock::new(pipeline, sink);
    if !connection.take_alone(&lock, false).await? {
        return Err(lock.held().into());
    }
    create_tables(connection, false).await?;
    Ok(lock)
}

async fn make<E: Execute>(
    connection: &mut E,
    pipeline: &str,
    sink: &str,
    changes: &[Change],
) -> Result<(), E::Failure> {
    join_writers::<E>(connection, pipeline, sink, changes).await?;
    for change in changes {
        let sql = statement::<E>(pipeline, sink, change);
        let moved = match connection.execute(&sql).await {
            Err(failure) if E::is_duplicate(&failure) => 0,
            other => other?,
        };
        if moved != 1 {
            return Err(Error::configuration(format!(
                "the position of {} was moved meanwhile: look at it again with `syncline positions show`",
                change.partition
            ))
            .into());
        }
    }
    let kept = read(connection, pipeline, sink).await?.positions;
    let (marks, left): (Vec<_>, Vec<_>) = kept
        .into_iter()
        .partition(|kept| ReplayMark::read(&kept.partition).is_some());
    for mark in marks {
        // A record that is read again can be refused again, and its next replay has to write it.
        if left.is_empty() || changes.iter().any(|change| is_read_again(change, &mark)) {
            let forget = Change {
                source: mark.source,
                partition: mark.partition,
                from: Some(mark.held.next),
                to: None,
            };
            let sql = statement::<E>(pipeline, sink, &forget);
            connection.execute(&sql).await?;
        }
    }
    let removed = changes.iter().any(|change| change.to.is_none());
    if removed && left.is_empty() {
        connection.execute(&targets::forget(pipeline, sink)).await?;
    } else if removed {
        let kept = targets::kept(connection, pipeline, sink).await?;
        let gone: BTreeSet<_> = targets::missing(connection, kept.tables.keys())
            .await?
            .into_iter()
            .collect();
        for target in gone {
            let sql = targets::forget_table(pipeline, sink, &target);
            connection.execute(&sql).await?;
        }
    }
    Ok(())
}

/// Sets partitions that are about to change to where the last of their writers stands, as one writer.
async fn join_writers<E: Execute>(
    connection: &mut E,
    pipeline: &str,
    sink: &str,
    changes: &[Change],
) -> Result<(), E::Failure> {
    let kept = read_all(connection, pipeline, sink).await?.positions;
    let together = together(&kept);
    let concerned = |source: &str, partition: &Partition| {
        let mut changes = changes.iter();
        changes.any(|change| change.source == source && change.partition == *partition)
    };
    for position in kept {
        let mark = WriterMark::read(&position.partition);
        let partition = mark
            .as_ref()
            .map_or(position.partition.clone(), WriterMark::of);
        if !concerned(&position.source, &partition) {
            continue;
        }
        let lowest = together
            .iter()
            .find(|kept| kept.source == position.source && kept.partition == partition);
        let joined = Change {
            from: Some(position.held.next),
            to: lowest
                .filter(|_| mark.is_none())
                .map(|kept| kept.held.clone()),
            source: position.source.clone(),
            partition: position.partition.clone(),
        };
        if joined.to.as_ref() != Some(&position.held) {
            let sql = statement::<E>(pipeline, sink, &joined);
            connection.execute(&sql).await?;
        }
    }
    Ok(())
}

/// Whether the record that a replay marked lies where `change` makes its source read again.
fn is_read_again(change: &Change, kept: &KeptPosition) -> bool {
    let Some(mark) = ReplayMark::read(&kept.partition) else {
        return false;
    };
    let from = change.to.as_ref().map(|to| to.next);
    kept.source == change.source
        && *mark.topic == *change.partition.topic
        && mark.number == change.partition.number
        && from.is_none_or(|from| mark.offset >= from)
}

fn statement<E: Execute>(pipeline: &str, sink: &str, change: &Change) -> String {
    let (pipeline, sink, source) = (literal(pipeline), literal(sink), literal(&change.source));
    let number_column = E::DIALECT.own_tables.partition;
    let (topic, number) = (literal(&change.partition.topic), change.partition.number);
    let own = format!(
        "pipeline = {pipeline} AND sink = {sink} AND source = {source} AND topic = {topic} AND {number_column} = {number}"
    );
    let now = E::DIALECT.now;
    match (&change.from, &change.to) {
        (Some(from), None) => {
            format!("DELETE FROM {POSITIONS_TABLE} WHERE {own} AND position = {from}")
        }
        (Some(from), Some(to)) => format!(
            "UPDATE {POSITIONS_TABLE} SET position = {}, incarnation = {}, updated_at = {now} \
             WHERE {own} AND position = {from}",
            to.next,
            nullable(to.incarnation.as_deref())
        ),
        (None, to) => {
            let (next, incarnation) = match to {
                Some(to) => (to.next, to.incarnation.as_deref()),
                None => (0, None),
            };
            format!(
                "INSERT INTO {POSITIONS_TABLE} (pipeline, sink, source, topic, {number_column}, position, incarnation, updated_at) \
                 VALUES ({pipeline}, {sink}, {source}, {topic}, {number}, {next}, {}, {now})",
                nullable(incarnation)
            )
        }
    }
}
