//! Finds the valid name that a mistyped name most likely means.

/// The candidate with the smallest edit distance to `name`, if it is close enough to be a typing
/// error. The first of equals.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = name.to_lowercase();
    let edits_max = (written.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            let edits = strsim::damerau_levenshtein(&written, &candidate.to_lowercase());
            (edits, candidate)
        })
        .filter(|(edits, _)| *edits <= edits_max)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let check = |name: &str, expect: Option<&str>| {
            assert_eq!(
                nearest(name, ["id", "email", "Name", "balance"]),
                expect,
                "{name}"
            );
        };
        check("emial", Some("email"));
        check("NAME", Some("Name"));
        check("balnce", Some("balance"));
        check("zebra", None);
        check("", None);
    }
}
