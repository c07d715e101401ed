//! Changes that are left out for their replication origin: what another pipeline wrote here.
//!
//! A change without an origin is never left out: it was made by a user of the source. A delete, a
//! truncate and a change of a key are left out like any other change.

use super::head::Head;

/// Patterns of origins; see the module docs.
#[derive(Debug)]
pub(super) struct Origins {
    /// The texts between the asterisks of each pattern.
    patterns: Vec<Vec<Box<[u8]>>>,
}

impl Origins {
    pub(super) fn new(patterns: &[String]) -> Self {
        let parts = |pattern: &String| {
            let parts = pattern.split('*');
            parts.map(|part| part.as_bytes().into()).collect()
        };
        Self {
            patterns: patterns.iter().map(parts).collect(),
        }
    }

    /// Whether nothing is left out.
    pub(super) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a change is left out.
    #[inline]
    pub(super) fn matches(&self, head: &Head<'_>) -> bool {
        match &head.origin {
            Some(origin) if !self.is_empty() => self
                .patterns
                .iter()
                .any(|pattern| pattern_matches(pattern, origin)),
            _ => false,
        }
    }
}

/// Whether a name is that of an origin that is left out.
pub(crate) fn is_origin_of(patterns: &[String], name: &str) -> bool {
    let Origins { patterns } = Origins::new(patterns);
    patterns
        .iter()
        .any(|pattern| pattern_matches(pattern, name.as_bytes()))
}

/// Whether a name is the parts of a pattern, in their order, with any text between them.
fn pattern_matches(parts: &[Box<[u8]>], name: &[u8]) -> bool {
    let [first, middle @ .., last] = parts else {
        return parts.first().is_some_and(|only| **only == *name);
    };
    let Some(mut rest) = name.strip_prefix(&**first) else {
        return false;
    };
    for part in middle {
        if part.is_empty() {
            continue;
        }
        let found = rest
            .windows(part.len())
            .position(|window| *window == **part);
        let Some(at) = found else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_with_asterisks() {
        let check = |pattern: &str, name: &str, expect: bool| {
            let origins = Origins::new(&[pattern.to_owned()]);
            let head = Head {
                origin: Some(name.as_bytes().into()),
                ..Head::default()
            };
            assert_eq!(origins.matches(&head), expect, "{pattern} {name}");
        };
        check("syncline_b-to-a_a_0", "syncline_b-to-a_a_0", true);
        check("syncline_b-to-a_a_0", "syncline_b-to-a_a_01", false);
        check("syncline_*", "syncline_b-to-a_a_0", true);
        check("syncline_*", "pg_16395", false);
        check("*", "", true);
        check("", "", true);
        check("", "a", false);
        check("a*a", "a", false);
        check("a*a", "aa", true);
        check("a**c", "abc", true);
        check("*_a_*", "syncline_b-to-a_a_0", true);
        check("*b*b*", "ab", false);
        check("*b*b", "abb", true);
        check("a*b*c", "a-c-b", false);
    }

    #[test]
    fn what_a_user_wrote_is_never_left_out() {
        assert!(!Origins::new(&["*".to_owned()]).matches(&Head::default()));
    }
}
