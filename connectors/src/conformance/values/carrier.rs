//! Values as changes carry them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationMicrosecondArray,
    Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, ListBuilder, StringArray,
    StringBuilder, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field};

use super::meaning::Meaning;
use crate::change::Logical;
use crate::text::write_text;

/// Values of one kind.
pub(super) struct Carrier {
    pub(super) field: Field,
    values: ArrayRef,
    /// What the values mean by themselves.
    pub(super) meaning: Meaning,
}

impl Carrier {
    fn plain(values: impl arrow::array::Array + 'static, meaning: Meaning) -> Self {
        Self {
            field: Field::new("c", values.data_type().clone(), true),
            values: Arc::new(values),
            meaning,
        }
    }

    fn logical(kind: Logical, values: Vec<String>, meaning: Meaning) -> Self {
        Self {
            field: kind.field("c"),
            values: Arc::new(StringArray::from(values)),
            meaning,
        }
    }

    /// Whether the values are texts of any kind.
    pub(super) fn is_text(&self) -> bool {
        self.field.data_type() == &DataType::Utf8
    }

    pub(super) fn name(&self) -> String {
        match Logical::of(&self.field) {
            Some(kind) => format!("{kind:?}"),
            None => self.field.data_type().to_string(),
        }
    }

    pub(super) fn take(&self, places: &[usize]) -> ArrayRef {
        let places: UInt32Array = places.iter().map(|&place| place as u32).collect();
        arrow::compute::take(&self.values, &places, None).unwrap()
    }

    /// What was sent, as text, in each way in which it may be said: a float of 4 bytes is also the one of 8
    /// bytes with its value, and may be a whole number; true is 1.
    pub(super) fn texts(&self, place: usize) -> Vec<String> {
        let mut text = Vec::new();
        match self.field.data_type() {
            DataType::Binary => {
                let bytes = arrow::array::AsArray::as_binary::<i32>(&self.values).value(place);
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                return vec![hex];
            }
            DataType::Duration(_) => {
                let values = self
                    .values
                    .as_any()
                    .downcast_ref::<DurationMicrosecondArray>();
                let microseconds = values.unwrap().value(place);
                write_text(&self.field, &self.values, place, &mut text);
                return vec![
                    format!("PT{}S", microseconds as f64 / 1e6),
                    String::from_utf8(text).unwrap(),
                ];
            }
            _ => write_text(&self.field, &self.values, place, &mut text),
        }
        let mut texts = vec![String::from_utf8(text).unwrap()];
        let double = if let Some(values) = self.values.as_any().downcast_ref::<Float32Array>() {
            Some(f64::from(values.value(place)))
        } else {
            let values = self.values.as_any().downcast_ref::<Float64Array>();
            values.map(|values| values.value(place))
        };
        if let Some(value) = double {
            texts.push(format!("{value:?}"));
            if value.is_finite() && value.fract() == 0.0 {
                texts.push(format!("{}", value as i128));
            }
        }
        if self.field.data_type() == &DataType::Boolean {
            texts.push(if texts[0] == "true" { "1" } else { "0" }.to_owned());
        }
        texts
    }
}

/// `count` values of each carrier, the same for the same seed.
pub(super) fn carriers(seed: u64, count: usize) -> Vec<Carrier> {
    let mut random = Random { state: seed };
    let mut many = |pool: &[&str]| -> Vec<String> {
        (0..count)
            .map(|_| pool[random.next(pool.len() as u64) as usize].to_owned())
            .collect()
    };
    let texts = many(TEXTS);
    let numbers = many(NUMBERS);
    let instants = many(INSTANTS);
    let mixed = many(&[TEXTS, NUMBERS, INSTANTS].concat());
    let lists = many(&["{1.50,2}", "{1.005}", "{abc,abcd}", "{}", "{\"ab  \"}"]);
    let elements: Vec<Vec<String>> = (0..count)
        .map(|place| vec![mixed[place].clone(), texts[place].clone()])
        .collect();
    let decimals: Vec<i128> = (0..count)
        .map(|_| i128::from(random.integer() % 10_i64.pow(random.next(12) as u32 + 1)))
        .collect();
    let integers: Vec<i64> = (0..count)
        .map(|_| random.integer() >> random.next(63))
        .collect();
    let floats: Vec<f64> = (0..count)
        .map(|place| match place % 4 {
            0 => integers[place] as f64,
            1 => integers[place] as f64 / 1e7,
            2 => f64::from_bits(integers[place] as u64 & 0x7fdf_ffff_ffff_ffff),
            _ => [-0.0, f64::NAN, f64::INFINITY, 0.1][place / 4 % 4],
        })
        .collect();
    let micros: Vec<i64> = integers
        .iter()
        .enumerate()
        .map(|(place, value)| {
            let step = [1, 1_000, 1_000_000, 60_000_000][place % 4];
            value.rem_euclid(2_000_000_000_000_000) / step * step
        })
        .collect();
    let of_day: Vec<i64> = micros.iter().map(|value| value % 86_400_000_000).collect();
    let bits: Vec<String> = integers
        .iter()
        .map(|value| format!("{:b}", value.unsigned_abs() % 512))
        .collect();
    let json: Vec<String> = (0..count)
        .map(|place| format!("{{\"a\": [{}, \"{}\"]}}", integers[place], place))
        .collect();
    let uuids: Vec<String> = integers
        .iter()
        .map(|value| {
            format!(
                "6F1e4a52-7b0e-4d6b-9d2c-{:012x}",
                value.unsigned_abs() >> 20
            )
        })
        .collect();
    let spans: Vec<String> = micros
        .iter()
        .map(|value| format!("PT{}S", (value % 1_000_000_000) as f64 / 1e6))
        .collect();
    let zoned: Vec<String> = of_day
        .iter()
        .map(|value| {
            let (seconds, part) = (value / 1_000_000, value % 1_000_000);
            let (minutes, seconds) = (seconds / 60, seconds % 60);
            format!(
                "{:02}:{:02}:{seconds:02}.{part:06}Z",
                minutes / 60,
                minutes % 60
            )
        })
        .collect();
    let mut list = ListBuilder::new(StringBuilder::new());
    for elements in &elements {
        list.append_value(elements.iter().map(Some));
    }
    let mut decimal_list = ListBuilder::new(
        arrow::array::Decimal128Builder::new().with_data_type(DataType::Decimal128(12, 3)),
    );
    for value in &decimals {
        decimal_list.append_value([Some(*value % 1_000_000_000), None]);
    }
    let list_of = |meaning: Meaning| Meaning::List(Box::new(meaning));
    vec![
        Carrier::plain(
            BooleanArray::from_iter(integers.iter().map(|value| Some(value % 2 == 0))),
            Meaning::Number,
        ),
        Carrier::plain(
            Int16Array::from_iter_values(integers.iter().map(|&value| value as i16)),
            Meaning::Number,
        ),
        Carrier::plain(
            Int32Array::from_iter_values(integers.iter().map(|&value| value as i32)),
            Meaning::Number,
        ),
        Carrier::plain(Int64Array::from(integers.clone()), Meaning::Number),
        Carrier::plain(
            UInt64Array::from_iter_values(integers.iter().map(|&value| value as u64)),
            Meaning::Number,
        ),
        Carrier::plain(
            Float32Array::from_iter_values(floats.iter().map(|&value| value as f32)),
            Meaning::Single,
        ),
        Carrier::plain(Float64Array::from(floats), Meaning::Number),
        Carrier::plain(
            Decimal128Array::from_iter_values(decimals.clone())
                .with_precision_and_scale(18, 2)
                .unwrap(),
            Meaning::Number,
        ),
        Carrier::plain(
            Decimal128Array::from_iter_values(decimals.iter().map(|value| value % 1_000))
                .with_precision_and_scale(6, 4)
                .unwrap(),
            Meaning::Number,
        ),
        Carrier::logical(Logical::Numeric, numbers.clone(), Meaning::Number),
        Carrier::plain(StringArray::from(texts), Meaning::Text),
        Carrier::plain(StringArray::from(numbers), Meaning::Text),
        Carrier::plain(StringArray::from(instants), Meaning::Text),
        Carrier::plain(StringArray::from(lists), Meaning::Text),
        Carrier::plain(
            BinaryArray::from_iter_values(integers.iter().map(|value| {
                let bytes = value.to_be_bytes();
                bytes[(value.unsigned_abs() % 8) as usize..].to_vec()
            })),
            Meaning::Bytes,
        ),
        Carrier::plain(
            Date32Array::from_iter_values(integers.iter().map(|value| (value % 60_000) as i32)),
            Meaning::Instant,
        ),
        Carrier::plain(Time64MicrosecondArray::from(of_day), Meaning::Time),
        Carrier::plain(
            TimestampMicrosecondArray::from(micros.clone()),
            Meaning::Instant,
        ),
        Carrier::plain(
            TimestampMillisecondArray::from_iter_values(micros.iter().map(|value| value / 1_000))
                .with_timezone("UTC"),
            Meaning::Instant,
        ),
        Carrier::plain(
            DurationMicrosecondArray::from_iter_values(
                micros.iter().map(|value| value % 1_000_000_000),
            ),
            Meaning::Span,
        ),
        Carrier::logical(Logical::Interval, spans, Meaning::Span),
        Carrier::logical(Logical::TimeTz, zoned, Meaning::Time),
        Carrier::logical(Logical::Json, json, Meaning::Json),
        Carrier::logical(Logical::Uuid, uuids, Meaning::Uuid),
        Carrier::logical(Logical::Bits(9), bits, Meaning::Text),
        Carrier::plain(list.finish(), list_of(Meaning::Text)),
        Carrier::plain(decimal_list.finish(), list_of(Meaning::Number)),
    ]
}

const TEXTS: &[&str] = &[
    "",
    "a",
    "abc",
    "abcd",
    "abc  ",
    "ab ",
    " ab",
    "ABC",
    "äöü",
    "äöüß",
    "o'k",
    "back\\slash",
    "tab\t",
    "x123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890",
    "happy",
    "Happy",
    "sad,happy",
    "007",
    "12 ",
    "1_000",
    "0x10",
    "true",
    "[1,5)",
    "(1, 2.50)",
    "10.0.0.1",
    "08:00:2b:01:02:03",
    "<a/>",
    "{\"a\":1}",
    "01011",
    "6f1e4a52-7b0e-4d6b-9d2c-0a1b2c3d4e5f",
];

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "1.0",
    "1.50",
    "1.005",
    "12.345",
    "1234.56",
    "12345.6",
    "-0.5",
    "0.1",
    "1e3",
    "1.5e-7",
    "0.1234567890123456789",
    "16777217",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "123456789012345678901234567890.123",
    "1e400",
    "1e-400",
    "2024",
    "1969",
    "70",
    "99",
    "255",
    "256",
    "00012",
    "32768",
    "-129",
    "65536.0",
];

const INSTANTS: &[&str] = &[
    "2024-02-29",
    "2024-02-29 12:34:56",
    "2024-02-29T12:34:56Z",
    "2024-02-29T12:34:56+02:00",
    "2024-02-29 12:34:56.5",
    "2024-02-29 12:34:56.123456",
    "2024-02-29 12:34:56.1234567",
    "2024-02-29 00:00:00",
    "12:34:56",
    "12:34:56.123456",
    "12:34:56.9999999",
    "12:34:56+02",
    "24:00:00",
    "PT1.5S",
    "PT0.0000001S",
    "P1DT2H",
    "2023-02-29",
    "0000-00-00",
    "1969-12-31 23:59:59.999",
    "[2024-01-01,2024-01-05)",
    "[2024-01-01 10:00:00,2024-01-05 00:00:00)",
];

/// Numbers that come again for the same seed.
struct Random {
    state: u64,
}

impl Random {
    fn next(&mut self, bound: u64) -> u64 {
        // The constants of Knuth's MMIX.
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % bound
    }

    fn integer(&mut self) -> i64 {
        (self.next(1 << 31) as i64) << 33
            ^ (self.next(1 << 31) as i64) << 11
            ^ self.next(1 << 11) as i64
    }
}
