//! One column of the rows that are being decoded: plain vectors that can be cut back.
//!
//! Every append adds one entry. A row that turns out bad half-way is undone by
//! [`Column::truncate`], also where an append stopped in the middle of a text. The Arrow array is
//! made once, at the end.

use arrow::array::{
    ArrayData, ArrayRef, BooleanArray, BooleanBufferBuilder, ListArray, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, i256};
use arrow::error::ArrowError;

/// The values by how they are stored; what they mean is the data type's business.
#[derive(Debug)]
pub(super) enum Values {
    Boolean(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    UInt8(Vec<u8>),
    UInt16(Vec<u16>),
    UInt32(Vec<u32>),
    UInt64(Vec<u64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal128(Vec<i128>),
    Decimal256(Vec<i256>),
    /// Text or binary; the first end is 0.
    Bytes {
        ends: Vec<i32>,
        bytes: Vec<u8>,
    },
    /// The first end is 0.
    List {
        ends: Vec<i32>,
        items: Box<Column>,
    },
}

/// See the module docs.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) values: Values,
    len: usize,
    /// Set where valid; made at the first null.
    valid: Option<BooleanBufferBuilder>,
    /// Set where the source did not send the value (R14, R19); made at the first.
    unset: Option<BooleanBufferBuilder>,
    /// Set where the row does not carry the column at all (R19), a part of `unset`; made at the first.
    not_carried: Option<BooleanBufferBuilder>,
}

/// What [`Column::take`] gives.
pub(super) struct Taken {
    pub(super) array: ArrayRef,
    /// Where the source did not send the value.
    pub(super) unset: Option<BooleanBuffer>,
    /// Where the row does not carry the column, a part of `unset`.
    pub(super) not_carried: Option<BooleanBuffer>,
}

impl Values {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int8 => Self::Int8(Vec::new()),
            DataType::Int16 => Self::Int16(Vec::new()),
            DataType::Int32 | DataType::Date32 | DataType::Time32(_) => Self::Int32(Vec::new()),
            DataType::UInt8 => Self::UInt8(Vec::new()),
            DataType::UInt16 => Self::UInt16(Vec::new()),
            DataType::UInt32 => Self::UInt32(Vec::new()),
            DataType::UInt64 => Self::UInt64(Vec::new()),
            DataType::Float32 => Self::Float32(Vec::new()),
            DataType::Float64 => Self::Float64(Vec::new()),
            DataType::Decimal128(..) => Self::Decimal128(Vec::new()),
            DataType::Decimal256(..) => Self::Decimal256(Vec::new()),
            DataType::Utf8 | DataType::Binary => Self::Bytes {
                ends: vec![0],
                bytes: Vec::new(),
            },
            DataType::List(item) => Self::List {
                ends: vec![0],
                items: Box::new(Column::new(item.data_type())),
            },
            // Int64, Time64, Timestamp and Duration.
            _ => Self::Int64(Vec::new()),
        }
    }
}

/// Runs one expression over whichever vector holds the values.
macro_rules! with_vector {
    ($values:expr, $vector:ident => $each:expr, $boolean:ident => $bits:expr, ($ends:ident, $bytes:ident) => $text:expr, ($list_ends:ident, $items:ident) => $list:expr) => {
        match $values {
            Values::Boolean($boolean) => $bits,
            Values::Int8($vector) => $each,
            Values::Int16($vector) => $each,
            Values::Int32($vector) => $each,
            Values::Int64($vector) => $each,
            Values::UInt8($vector) => $each,
            Values::UInt16($vector) => $each,
            Values::UInt32($vector) => $each,
            Values::UInt64($vector) => $each,
            Values::Float32($vector) => $each,
            Values::Float64($vector) => $each,
            Values::Decimal128($vector) => $each,
            Values::Decimal256($vector) => $each,
            Values::Bytes {
                ends: $ends,
                bytes: $bytes,
            } => $text,
            Values::List {
                ends: $list_ends,
                items: $items,
            } => $list,
        }
    };
}

impl Column {
    pub(super) fn new(data_type: &DataType) -> Self {
        Self {
            values: Values::of(data_type),
            len: 0,
            valid: None,
            unset: None,
            not_carried: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Cuts the column back to `len` entries, and whatever a broken append left behind them.
    pub(super) fn truncate(&mut self, len: usize) {
        with_vector!(&mut self.values,
            vector => vector.truncate(len),
            bits => bits.truncate(len),
            (ends, bytes) => {
                ends.truncate(len + 1);
                bytes.truncate(ends[len].as_usize());
            },
            (ends, items) => {
                ends.truncate(len + 1);
                items.truncate(ends[len].as_usize());
            }
        );
        let masks = [&mut self.valid, &mut self.unset, &mut self.not_carried];
        for mask in masks.into_iter().flatten() {
            mask.truncate(len);
        }
        self.len = self.len.min(len);
    }

    /// Ends an append whose value stands in [`Column::values`] by now.
    #[inline]
    pub(super) fn finish_value(&mut self) {
        match &mut self.values {
            Values::Bytes { ends, bytes } => ends.push(bytes.len() as i32),
            Values::List { ends, items } => ends.push(items.len() as i32),
            _ => {}
        }
        self.mark_valid();
    }

    pub(super) fn append_null(&mut self) {
        self.append_default();
        self.mark_bits(false, false, false);
    }

    /// A value that the source withheld as unavailable (R14).
    pub(super) fn append_unset(&mut self) {
        self.append_default();
        self.mark_bits(false, true, false);
    }

    /// A column that the row does not carry (R19).
    pub(super) fn append_not_carried(&mut self) {
        self.append_default();
        self.mark_bits(false, true, true);
    }

    fn append_default(&mut self) {
        with_vector!(&mut self.values,
            vector => vector.push(Default::default()),
            bits => bits.append(false),
            (ends, bytes) => ends.push(bytes.len() as i32),
            (ends, items) => ends.push(items.len() as i32)
        );
    }

    #[inline]
    fn mark_valid(&mut self) {
        // What is not carried is unset.
        if self.valid.is_none() && self.unset.is_none() {
            self.len += 1;
            return;
        }
        self.mark_bits(true, false, false);
    }

    fn mark_bits(&mut self, valid: bool, unset: bool, not_carried: bool) {
        for (mask, bit, rest) in [
            (&mut self.valid, valid, true),
            (&mut self.unset, unset, false),
            (&mut self.not_carried, not_carried, false),
        ] {
            match mask {
                Some(mask) => mask.append(bit),
                None if bit == rest => {}
                None => {
                    let mut bits = BooleanBufferBuilder::new(self.len + 64);
                    bits.append_n(self.len, rest);
                    bits.append(bit);
                    *mask = Some(bits);
                }
            }
        }
        self.len += 1;
    }

    pub(super) fn is_null(&self, index: usize) -> bool {
        self.valid
            .as_ref()
            .is_some_and(|valid| !valid.get_bit(index))
    }

    pub(super) fn is_unset(&self, index: usize) -> bool {
        self.unset
            .as_ref()
            .is_some_and(|unset| unset.get_bit(index))
    }

    /// Whether the entry is what a `NOT NULL` column holds where a connector had no value for it:
    /// 0, false, nothing at all, or a text that says one of these.
    pub(super) fn is_zero(&self, index: usize) -> bool {
        with_vector!(&self.values,
            vector => is_default(&vector[index]),
            bits => !bits.get_bit(index),
            (ends, bytes) => says_zero(&bytes[ends[index].as_usize()..ends[index + 1].as_usize()]),
            (ends, _items) => ends[index] == ends[index + 1]
        )
    }

    /// Whether two entries hold the same value; nulls are the same.
    pub(super) fn same(&self, a: usize, b: usize) -> bool {
        if self.is_null(a) || self.is_null(b) {
            return self.is_null(a) == self.is_null(b);
        }
        let range = |ends: &[i32], i: usize| ends[i].as_usize()..ends[i + 1].as_usize();
        with_vector!(&self.values,
            vector => vector[a] == vector[b],
            bits => bits.get_bit(a) == bits.get_bit(b),
            (ends, bytes) => bytes[range(ends, a)] == bytes[range(ends, b)],
            (ends, items) => range(ends, a).len() == range(ends, b).len()
                && range(ends, a).zip(range(ends, b)).all(|(a, b)| items.same(a, b))
        )
    }

    /// The array and where it is unset; the column is empty afterwards.
    ///
    /// # Errors
    /// Where Arrow finds the values broken: a text that is not UTF-8.
    pub(super) fn take(&mut self, data_type: &DataType) -> Result<Taken, ArrowError> {
        let nulls = self.valid.take().map(|bits| NullBuffer::new(bits.build()));
        let unset = self.unset.take().map(BooleanBufferBuilder::build);
        let not_carried = self.not_carried.take().map(BooleanBufferBuilder::build);
        let len = std::mem::take(&mut self.len);
        let fresh = Values::of(data_type);
        let values = std::mem::replace(&mut self.values, fresh);
        let plain = |buffer: Buffer, nulls: Option<NullBuffer>| {
            let data = ArrayData::builder(data_type.clone());
            data.len(len).add_buffer(buffer).nulls(nulls)
        };
        let array = with_vector!(values,
            vector => {
                self.reserve(len, 0);
                make_array(plain(Buffer::from_vec(vector), nulls).build()?)
            },
            bits => std::sync::Arc::new(BooleanArray::new(bits.build(), nulls)),
            (ends, bytes) => {
                self.reserve(len, bytes.len());
                let data = plain(Buffer::from_vec(ends), nulls).add_buffer(Buffer::from_vec(bytes));
                make_array(data.build()?)
            },
            (ends, items) => {
                let mut items = items;
                let DataType::List(item) = data_type else {
                    return Err(ArrowError::SchemaError("a list has a list type".to_owned()));
                };
                let values = items.take(item.data_type())?.array;
                let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
                std::sync::Arc::new(ListArray::try_new(item.clone(), offsets, values, nulls)?)
            }
        );
        Ok(Taken {
            array,
            unset,
            not_carried,
        })
    }

    /// Room for as much as the batch before held.
    fn reserve(&mut self, len: usize, byte_len: usize) {
        with_vector!(&mut self.values,
            vector => vector.reserve(len),
            bits => bits.reserve(len),
            (ends, bytes) => {
                ends.reserve(len);
                bytes.reserve(byte_len);
            },
            (ends, _items) => ends.reserve(len)
        );
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Whether a text is the zero of its type: of a number, a time, an interval, bits, a UUID, an
/// instant, a document, a point, or base64 of the number 0.
fn says_zero(text: &[u8]) -> bool {
    let beginnings: [&[u8]; 3] = [
        b"1970-01-01T00:00:00",
        b"{\"x\":0.0,\"y\":0.0,",
        b"{\"scale\":0,\"value\":\"AA==\"",
    ];
    match text {
        b"" | b"{}" | b"[]" | b"null" | b"\"\"" | b"AA==" => true,
        _ if beginnings.iter().any(|zero| text.starts_with(zero)) => true,
        _ => text.contains(&b'0') && text.iter().all(|byte| b"0.:+-ZPYMDTHS".contains(byte)),
    }
}

#[cfg(test)]
mod tests;
