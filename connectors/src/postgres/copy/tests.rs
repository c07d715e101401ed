use std::sync::Arc;

use arrow::array::{
    Date32Array, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::{Field, Int32Type as I32};

use super::*;
use crate::postgres::instant::{EPOCH_US, TOO_FINE};

fn check(column: ArrayRef, row: usize, expect: Result<&[u8], &Unfit>) {
    let mut out = Vec::new();
    let put = Cells::of(&column).unwrap().put(row, &mut out);
    match (put, expect) {
        (Ok(()), Ok(bytes)) => {
            assert_eq!(out[..4], (bytes.len() as i32).to_be_bytes());
            assert_eq!(&out[4..], bytes);
        }
        (Err(unfit), Err(expect)) => assert_eq!(&unfit, expect),
        (found, expect) => panic!("found {found:?}, expected {expect:?}"),
    }
}

#[test]
fn cells_are_what_postgres_reads() {
    check(Arc::new(Int16Array::from(vec![-2])), 0, Ok(&[255, 254]));
    check(Arc::new(BooleanArray::from(vec![true])), 0, Ok(&[1]));
    check(
        Arc::new(StringArray::from(vec!["é"])),
        0,
        Ok("é".as_bytes()),
    );
    check(Arc::new(Date32Array::from(vec![10_957])), 0, Ok(&[0; 4]));
    check(
        Arc::new(Date32Array::from(vec![i32::MAX])),
        0,
        Ok(&i32::MAX.to_be_bytes()),
    );
    check(
        Arc::new(Time64MicrosecondArray::from(vec![86_400_000_000])),
        0,
        Ok(&86_400_000_000_i64.to_be_bytes()),
    );
    check(
        Arc::new(TimestampMicrosecondArray::from(vec![i64::MIN])),
        0,
        Ok(&i64::MIN.to_be_bytes()),
    );
    check(
        Arc::new(TimestampNanosecondArray::from(vec![
            EPOCH_US * 1_000 + 7_000,
        ])),
        0,
        Ok(&7_i64.to_be_bytes()),
    );
}

#[test]
fn what_cannot_be_kept_exactly_is_refused_r3() {
    check(Arc::new(StringArray::from(vec!["a\0b"])), 0, Err(&NUL));
    check(
        Arc::new(TimestampNanosecondArray::from(vec![1])),
        0,
        Err(&TOO_FINE),
    );
    let nested = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
    let inner = ListArray::from_iter_primitive::<I32, _, _>(vec![
        Some(vec![Some(1)]),
        Some(vec![Some(2), Some(3)]),
    ]);
    assert_eq!(inner.data_type(), &nested);
    let outer = ListArray::new(
        Arc::new(Field::new("item", nested, true)),
        arrow::buffer::OffsetBuffer::from_lengths([2]),
        Arc::new(inner),
        None,
    );
    check(Arc::new(outer), 0, Err(&RAGGED));
}

#[test]
fn a_null_is_a_length_of_minus_one() {
    let mut out = Vec::new();
    let column: ArrayRef = Arc::new(Int32Array::from(vec![None, Some(1)]));
    Cells::of(&column).unwrap().put(0, &mut out).unwrap();
    assert_eq!(out, (-1_i32).to_be_bytes());
}

#[test]
fn arrays_name_their_element_type() {
    let list = ListArray::from_iter_primitive::<I32, _, _>(vec![Some(vec![Some(7), None])]);
    let mut expect = Vec::new();
    for word in [1_i32, 1, 23, 2, 1, 4, 7, -1] {
        expect.extend_from_slice(&word.to_be_bytes());
    }
    check(Arc::new(list), 0, Ok(&expect));
    let empty = ListArray::from_iter_primitive::<I32, Vec<Option<i32>>, _>(vec![Some(Vec::new())]);
    let mut expect = Vec::new();
    for word in [0_i32, 0, 23] {
        expect.extend_from_slice(&word.to_be_bytes());
    }
    check(Arc::new(empty), 0, Ok(&expect));
}
