//! Which columns identify a row, carried from the sinks back to their source (R2, R10).
//!
//! A decoder knows the key of a record. Where a record has none, the key of the sinks is the key of their
//! source, as far as they agree on one; and where a sink has a key of its own, an update that changes it has
//! to bring its row before, or the sink cannot tell that it is a change of key. A map between them gives a
//! column another name, and an expression makes one of others.

use std::collections::BTreeSet;

use super::{Input, Plan, SinkPlan, SourcePlan};
use crate::failure::Failure;

impl Plan {
    /// Where neither a source nor its sink names a key, the sink's one table does. Asks the targets.
    ///
    /// # Errors
    /// Where a target does not answer or refuses.
    pub async fn take_keys(&mut self) -> Result<(), Failure> {
        for source in &mut self.sources {
            if source.config.decoding().key.is_some() {
                continue;
            }
            for sink in &mut source.sinks {
                let found = sink.config.default_key().await;
                sink.default_key = found.map_err(|error| Failure::of_sink(&sink.name, error))?;
            }
            source.tell_keys();
        }
        Ok(())
    }
}

impl SourcePlan {
    /// Tells the decoder what the sinks say about keys.
    pub(super) fn tell_keys(&mut self) {
        self.decoding.key = self.config.decoding().key.clone();
        self.decoding.before_without_key = false;
        let mut watched = BTreeSet::new();
        let mut agreed: Option<Vec<String>> = None;
        let mut disagree = false;
        for sink in self.sinks.iter().filter(|sink| sink.is_database()) {
            let Some(key) = sink.key() else {
                self.decoding.before_without_key = true;
                disagree = true;
                continue;
            };
            match self.key_behind(sink, &key) {
                Some(columns) => {
                    let same = |known: &Vec<String>| {
                        known.len() == columns.len()
                            && columns.iter().all(|column| known.contains(column))
                    };
                    disagree |= agreed.as_ref().is_some_and(|known| !same(known));
                    watched.extend(columns.iter().cloned());
                    agreed.get_or_insert(columns);
                }
                // Any column may make it another key.
                None => {
                    self.decoding.before = true;
                    disagree = true;
                }
            }
        }
        self.decoding.watched = watched.into_iter().collect();
        if self.decoding.key.is_none() && !disagree {
            self.decoding.key = agreed;
        }
    }

    /// The source's columns that a sink's key columns are, each as it is; `None` where one of them is made
    /// of others, or comes in different ways.
    fn key_behind(&self, sink: &SinkPlan, key: &[String]) -> Option<Vec<String>> {
        let column = |name: &String| {
            let mut found = BTreeSet::new();
            let all = sink
                .inputs
                .iter()
                .all(|&input| self.columns_behind_all(input, name, &mut found));
            let mut found = found.into_iter();
            found.next().filter(|_| all && found.next().is_none())
        };
        key.iter().map(column).collect()
    }

    /// Adds the source's columns behind one of an input; `false` where it is made of others.
    fn columns_behind_all(&self, input: Input, output: &str, found: &mut BTreeSet<String>) -> bool {
        let Input::Step(index) = input else {
            found.insert(output.to_owned());
            return true;
        };
        let step = &self.steps[index];
        step.config.column_behind(output).is_some_and(|column| {
            step.inputs
                .iter()
                .all(|&input| self.columns_behind_all(input, &column, found))
        })
    }
}

impl SinkPlan {
    fn is_database(&self) -> bool {
        self.config.options().is_some()
    }

    /// The columns that identify a row of it, where its settings or its table say them.
    pub(crate) fn key(&self) -> Option<Vec<String>> {
        let options = self.config.options()?;
        options.key.or_else(|| self.default_key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const SOURCE: &str =
        "[sources.crm]\ntype = \"file\"\npath = \"unused\"\nformat = \"debezium-json\"\n";

    fn sink(name: &str, input: &str, key: &str) -> String {
        format!(
            "[sinks.{name}]\ntype = \"sqlite\"\npath = \"unused.db\"\ntable = \"t\"\ninputs = [\"{input}\"]\n{key}\n"
        )
    }

    /// The decoder's key, the columns that it watches, and whether it reads every row before.
    #[track_caller]
    fn check(rest: &str, key: Option<&[&str]>, watched: &[&str], before: bool) {
        let text = format!("{SOURCE}{rest}");
        let file = config::load_text("keys.toml", text.clone(), &|_| None).expect(&text);
        let plan = Plan::new(&file);
        let decoding = &plan.sources[0].decoding;
        let key = key.map(|key| key.iter().map(|&name| name.to_owned()).collect());
        assert_eq!((&decoding.key, decoding.before), (&key, before), "{text}");
        assert_eq!(decoding.watched, watched, "{text}");
    }

    #[test]
    fn the_key_of_the_sinks_is_that_of_their_source_where_they_agree() {
        let (id, mail) = ("key = [\"id\"]", "key = [\"mail\"]");
        check(&sink("a", "crm", id), Some(&["id"]), &["id"], false);
        check(&sink("a", "crm", ""), None, &[], false);
        let two = |a: &str, b: &str| sink("a", "crm", a) + &sink("b", "crm", b);
        check(&two(id, id), Some(&["id"]), &["id"], false);
        check(
            &two("key = [\"a\", \"b\"]", "key = [\"b\", \"a\"]"),
            Some(&["a", "b"]),
            &["a", "b"],
            false,
        );
        check(&two(id, mail), None, &["id", "mail"], false);
        check(&two(id, ""), None, &["id"], false);
        let log = "[sinks.log]\ntype = \"file\"\npath = \"log\"\ninputs = [\"crm\"]\n";
        check(&(sink("a", "crm", id) + log), Some(&["id"]), &["id"], false);
    }

    #[test]
    fn a_map_gives_the_key_its_name() {
        let map = |what: &str| {
            format!("[operators.tidy]\ntype = \"map\"\ninputs = [\"crm\"]\n{what}\n")
                + &sink("a", "tidy", "key = [\"id\"]")
        };
        let number: Option<&[&str]> = Some(&["number"]);
        check(
            &map("rename = { number = \"id\" }"),
            number,
            &["number"],
            false,
        );
        check(
            &map("set = { id = \"number\" }"),
            number,
            &["number"],
            false,
        );
        check(&map("set = { id = \"number + 1\" }"), None, &[], true);
        let joined = map("rename = { number = \"id\" }")
            .replace("inputs = [\"tidy\"]", "inputs = [\"tidy\", \"crm\"]");
        check(&joined, None, &[], true);
    }
}
