//! An explanation as text: the change, the row on all sides, then the reasons.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use syncline_connectors::conflict::same_json;
use syncline_connectors::conflict_queue::Explanation;

use super::{Answer, Report, layout, why};

/// Shown where a side has no value.
const NOTHING: &str = "-";

pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    for (number, answer) in report.answers.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        let explained = &answer.explained;
        let heads: Vec<Vec<String>> = heads(report, answer)
            .into_iter()
            .map(|(name, value)| vec![name.to_owned(), value])
            .collect();
        text.push_str(&layout::aligned(&heads));
        text.push('\n');
        text.push_str(&sides(explained));
        text.push('\n');
        for sentence in why::sentences(&report.options, explained) {
            let _ = writeln!(text, "{}", layout::one_line(&sentence));
        }
    }
    for entry in &report.rejected {
        let field = entry
            .field
            .as_ref()
            .map(|field| format!(" (column {field})"));
        let _ = writeln!(
            text,
            "the change does not reach sink {}: {} rejects it by {}{}: {}",
            report.sink,
            layout::one_line(&entry.stage),
            layout::one_line(&entry.rule),
            layout::one_line(&field.unwrap_or_default()),
            layout::one_line(&entry.reason)
        );
    }
    if report.answers.is_empty() && report.rejected.is_empty() {
        let _ = writeln!(
            text,
            "the change does not reach sink {}: it is filtered",
            report.sink
        );
    }
    text
}

fn heads(report: &Report, answer: &Answer) -> Vec<(&'static str, String)> {
    let explained = &answer.explained;
    let place = &explained.place;
    let letter = explained.operation.letter();
    let mut heads = vec![
        ("sink", format!("{}/{}", report.pipeline, report.sink)),
        ("table", layout::one_line(&explained.target)),
        ("key", layout::key(&explained.key)),
    ];
    let Some(read) = &report.read else {
        heads.push((
            "change",
            format!("{letter}, as given, of {}", report.source),
        ));
        return heads;
    };
    let event_time = place
        .event_time_ms
        .map(|time| format!(", at {}", layout::instant(time)));
    heads.push((
        "change",
        format!(
            "{letter} of {}: {}[{}] at {}{}",
            report.source,
            layout::one_line(&place.topic),
            place.partition,
            place.position,
            event_time.unwrap_or_default()
        ),
    ));
    let standing = match explained.position {
        Some(position) if explained.is_applied() => {
            format!("already applied: the sink's position is {position}")
        }
        Some(position) => format!("not applied yet: the sink's position is {position}"),
        None => "not applied yet: the sink has no position of this partition".to_owned(),
    };
    heads.push(("state", standing));
    if answer.earlier > 0 {
        heads.push((
            "before it",
            format!(
                "{} earlier changes of the row are not applied yet; the row that this change meets may differ from the current one",
                answer.earlier
            ),
        ));
    }
    if answer.truncated {
        heads.push(("after it", "the source truncated the table".to_owned()));
    }
    let end = match read.complete {
        true => "",
        false => "; the end was not reached: use a larger --timeout",
    };
    heads.push((
        "read",
        format!(
            "{} records of {}, {} changes of the row{end}",
            read.records, report.source, answer.changes
        ),
    ));
    heads
}

/// The row on all sides, one column on each line: `*` marks columns that differ between source and
/// target, `>` those whose value in the target would change.
fn sides(explained: &Explanation) -> String {
    let rows = &explained.rows;
    let all = [&rows.base, &rows.source, &rows.target, &rows.result];
    let all = all.map(|side| layout::object(side.as_ref()));
    let [_, source, target, result] = &all;
    let strategies = layout::object(Some(&explained.columns));
    let mut names: Vec<&String> = Vec::new();
    for name in all.iter().flat_map(Map::keys) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut heads = vec!["", "column", "base", "source", "target", "result"];
    heads.extend((!strategies.is_empty()).then_some("strategy"));
    let mut lines = vec![heads.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for name in names {
        let differ = |left: &Map<String, Value>, right: &Map<String, Value>| match (
            left.get(name),
            right.get(name),
        ) {
            (Some(left), Some(right)) => !same_json(left, right),
            (left, right) => left.is_some() != right.is_some(),
        };
        // A column that the change does not set cannot be in conflict.
        let apart = source.contains_key(name) && differ(source, target);
        let moves = differ(target, result);
        let marks = [(apart, "*"), (moves, ">")];
        let marks = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark);
        let mut line = vec![marks.collect(), layout::one_line(name)];
        line.extend(all.iter().map(|side| match side.get(name) {
            Some(value) => layout::one_line(&value.to_string()),
            None => NOTHING.to_owned(),
        }));
        if let Some(own) = strategies.get(name) {
            line.push(layout::plain(own));
        }
        lines.push(line);
    }
    layout::aligned(&lines)
}
