//! The messages of `pgoutput`, as PostgreSQL's documentation of the logical replication protocol says them
//! (chapter "Logical Replication Message Formats", version 1). Begin and commit are read by the client.

use bytes::Buf as _;

use crate::error::{Error, Result};

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    Relation(RelationMessage),
    Insert {
        relation: u32,
        new: Vec<Value<'a>>,
    },
    Update {
        relation: u32,
        old: Option<Old<'a>>,
        new: Vec<Value<'a>>,
    },
    Delete {
        relation: u32,
        old: Old<'a>,
    },
    Truncate {
        relations: Vec<u32>,
    },
    /// The name of the replication origin of the transaction.
    Origin(&'a str),
    /// A type, or something that a later server says.
    Other,
}

/// What a table is from here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RelationMessage {
    pub(super) id: u32,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) columns: Vec<ColumnMessage>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnMessage {
    pub(super) name: String,
    /// Whether it is part of the replica identity.
    pub(super) identity: bool,
    pub(super) type_id: u32,
    pub(super) type_modifier: i32,
}

/// What an old row says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Old<'a> {
    /// Whether it is the whole row, and not the replica identity alone.
    pub(super) whole: bool,
    pub(super) values: Vec<Value<'a>>,
}

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    /// A large value that the update left as it was (R14).
    Unchanged,
    Text(&'a [u8]),
}

/// Reads a message.
///
/// # Errors
/// `Unavailable` where it ends too early or has a form that is not the documented one.
pub(super) fn parse(bytes: &[u8]) -> Result<Message<'_>> {
    let mut input = Input(bytes);
    let message = input.message();
    message.ok_or_else(|| Error::Unavailable {
        message: format!(
            "PostgreSQL sent a change of {} bytes in a form that is not the documented one",
            bytes.len()
        ),
        cause: None,
    })
}

/// The bytes that are left.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn message(&mut self) -> Option<Message<'a>> {
        Some(match self.byte()? {
            b'R' => Message::Relation(self.relation()?),
            b'I' => {
                let relation = self.number()?;
                (self.byte()? == b'N').then_some(())?;
                let new = self.values()?;
                Message::Insert { relation, new }
            }
            b'U' => {
                let relation = self.number()?;
                let mut kind = self.byte()?;
                let mut old = None;
                if matches!(kind, b'K' | b'O') {
                    old = Some(self.old(kind)?);
                    kind = self.byte()?;
                }
                (kind == b'N').then_some(())?;
                let new = self.values()?;
                Message::Update { relation, old, new }
            }
            b'D' => {
                let relation = self.number()?;
                let kind = self.byte()?;
                matches!(kind, b'K' | b'O').then_some(())?;
                let old = self.old(kind)?;
                Message::Delete { relation, old }
            }
            b'T' => {
                let count = self.number()?;
                // Whether it cascades and restarts sequences.
                self.byte()?;
                let relations = (0..count).map(|_| self.number()).collect::<Option<_>>()?;
                Message::Truncate { relations }
            }
            b'O' => {
                // Where the transaction was committed at its origin.
                self.take(8)?;
                Message::Origin(self.text()?)
            }
            _ => Message::Other,
        })
    }

    fn relation(&mut self) -> Option<RelationMessage> {
        let id = self.number()?;
        let schema = match self.text()? {
            "" => "pg_catalog".to_owned(),
            schema => schema.to_owned(),
        };
        let name = self.text()?.to_owned();
        // The replica identity of the table; the columns say theirs.
        self.byte()?;
        let count = self.short()?;
        let columns = (0..count).map(|_| self.column()).collect::<Option<_>>()?;
        Some(RelationMessage {
            id,
            schema,
            name,
            columns,
        })
    }

    fn column(&mut self) -> Option<ColumnMessage> {
        let identity = self.byte()? & 1 == 1;
        let name = self.text()?.to_owned();
        let type_id = self.number()?;
        let type_modifier = self.take(4)?.get_i32();
        Some(ColumnMessage {
            name,
            identity,
            type_id,
            type_modifier,
        })
    }

    fn old(&mut self, kind: u8) -> Option<Old<'a>> {
        Some(Old {
            whole: kind == b'O',
            values: self.values()?,
        })
    }

    fn values(&mut self) -> Option<Vec<Value<'a>>> {
        let count = self.short()?;
        let mut values = Vec::with_capacity(count.into());
        for _ in 0..count {
            values.push(match self.byte()? {
                b'n' => Value::Null,
                b'u' => Value::Unchanged,
                b't' => {
                    let length = self.number()?;
                    Value::Text(self.take(usize::try_from(length).ok()?)?)
                }
                _ => return None,
            });
        }
        Some(values)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn short(&mut self) -> Option<u16> {
        Some(self.take(2)?.get_u16())
    }

    fn number(&mut self) -> Option<u32> {
        Some(self.take(4)?.get_u32())
    }

    /// A text that ends with a zero.
    fn text(&mut self) -> Option<&'a str> {
        let length = memchr::memchr(0, self.0)?;
        let bytes = self.take(length)?;
        self.take(1)?;
        std::str::from_utf8(bytes).ok()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_documented_and_cut_ones_are_refused() {
        let values = |texts: &[&[u8]]| -> Vec<u8> {
            let mut bytes = (texts.len() as u16).to_be_bytes().to_vec();
            for text in texts {
                bytes.push(b't');
                bytes.extend((text.len() as u32).to_be_bytes());
                bytes.extend(*text);
            }
            bytes
        };
        let mut update = vec![b'U', 0, 0, 0, 7, b'K'];
        update.extend(values(&[b"1"]));
        update.push(b'N');
        update.extend([0, 3, b'n', b'u', b't', 0, 0, 0, 2, b'a', b'b']);
        let expect = Message::Update {
            relation: 7,
            old: Some(Old {
                whole: false,
                values: vec![Value::Text(b"1")],
            }),
            new: vec![Value::Null, Value::Unchanged, Value::Text(b"ab")],
        };
        assert_eq!(parse(&update).unwrap(), expect);
        for length in 0..update.len() {
            assert!(parse(&update[..length]).is_err(), "{length}");
        }
        let mut relation = vec![b'R', 0, 0, 0, 9];
        relation.extend(b"s\0t\0d\0\x01\x01id\0\0\0\0\x14\xff\xff\xff\xff");
        let Message::Relation(found) = parse(&relation).unwrap() else {
            panic!("it is a relation");
        };
        assert_eq!((found.schema.as_str(), found.name.as_str()), ("s", "t"));
        assert_eq!(
            found.columns,
            [ColumnMessage {
                name: "id".to_owned(),
                identity: true,
                type_id: 20,
                type_modifier: -1
            }]
        );
        let truncate = [b'T', 0, 0, 0, 2, 0, 0, 0, 0, 7, 0, 0, 0, 9];
        let expect = Message::Truncate {
            relations: vec![7, 9],
        };
        assert_eq!(parse(&truncate).unwrap(), expect);
        assert_eq!(parse(b"Y123").unwrap(), Message::Other);
        let origin = [b"O\0\0\0\0\0\0\0\x01", &b"two\0"[..]].concat();
        assert_eq!(parse(&origin).unwrap(), Message::Origin("two"));
    }
}
