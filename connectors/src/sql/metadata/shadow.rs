//! The shadow: the source's last image of every row, the base where changes carry none.

use super::{MetadataTables, SHADOW_TABLE, literal};

impl MetadataTables {
    /// The key and the image of those of `keys` that have one.
    pub fn read_shadow<'a>(
        &self,
        target: &str,
        keys: impl IntoIterator<Item = &'a str>,
    ) -> Vec<String> {
        let begin = format!(
            "SELECT {} FROM {} WHERE {}",
            self.names(&["key", "image"]),
            self.name(SHADOW_TABLE),
            self.own_target(target)
        );
        self.with_keys(&begin, keys, "")
    }

    /// Keeps the image of each key in place of the one that was. A key stands once.
    pub fn write_shadow<'a>(
        &self,
        target: &str,
        images: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Vec<String> {
        let own = [&self.pipeline, &self.sink, target].map(|text: &str| literal(text));
        let rows = images.into_iter().map(|(key, image)| {
            let mut row = own.to_vec();
            row.extend([literal(key), literal(image)]);
            row
        });
        let image = self.name("image");
        let words = self.dialect;
        let key = self.names(&["pipeline", "sink", "target", "key"]);
        let replace = format!(
            "{}{image} = {}",
            (words.or_update)(&key),
            (words.excluded)(&image)
        );
        let columns = ["pipeline", "sink", "target", "key", "image"];
        self.insert(SHADOW_TABLE, &columns, rows, &replace)
    }

    /// Forgets the images of `keys`; one that has none is no error.
    pub fn delete_shadow<'a>(
        &self,
        target: &str,
        keys: impl IntoIterator<Item = &'a str>,
    ) -> Vec<String> {
        self.with_keys(&self.clear_shadow(target), keys, "")
    }

    /// Forgets every image of `target`, for a truncate (R13).
    pub fn clear_shadow(&self, target: &str) -> String {
        format!(
            "DELETE FROM {} WHERE {}",
            self.name(SHADOW_TABLE),
            self.own_target(target)
        )
    }
}
