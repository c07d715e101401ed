use arrow::array::{Array, AsArray};
use arrow::datatypes::Int32Type;

use super::*;

fn push(column: &mut Column, text: &str) {
    let Values::Bytes { bytes, .. } = &mut column.values else {
        unreachable!()
    };
    bytes.extend_from_slice(text.as_bytes());
    column.finish_value();
}

#[test]
fn a_broken_append_is_undone() {
    let mut column = Column::new(&DataType::Utf8);
    push(&mut column, "a");
    column.append_unset();
    push(&mut column, "gone");
    let Values::Bytes { bytes, .. } = &mut column.values else {
        unreachable!()
    };
    bytes.extend_from_slice(b"half");
    column.truncate(2);
    column.append_null();
    push(&mut column, "b");
    assert!(!column.same(0, 3) && column.same(1, 2));
    let Taken { array, unset, .. } = column.take(&DataType::Utf8).unwrap();
    let texts: Vec<_> = array.as_string::<i32>().iter().collect();
    assert_eq!(texts, [Some("a"), None, None, Some("b")]);
    assert_eq!(
        unset.unwrap().iter().collect::<Vec<_>>(),
        [false, true, false, false]
    );
    assert_eq!(column.len(), 0);
}

#[test]
fn numbers_and_lists() {
    let list = DataType::List(std::sync::Arc::new(arrow::datatypes::Field::new(
        "item",
        DataType::Int32,
        true,
    )));
    let mut column = Column::new(&list);
    for round in 0..2 {
        let Values::List { items, .. } = &mut column.values else {
            unreachable!()
        };
        let Values::Int32(numbers) = &mut items.values else {
            unreachable!()
        };
        numbers.push(7);
        items.finish_value();
        items.append_null();
        column.finish_value();
        column.append_null();
        if round == 0 {
            column.truncate(0);
        }
    }
    let Taken { array, unset, .. } = column.take(&list).unwrap();
    let lists = array.as_list::<i32>();
    assert_eq!(
        lists
            .value(0)
            .as_primitive::<Int32Type>()
            .iter()
            .collect::<Vec<_>>(),
        [Some(7), None]
    );
    assert!(lists.is_null(1) && unset.is_none());
}
