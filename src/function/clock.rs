//! `now()`, `current_date` and `current_time`: the time of a batch.
//!
//! DataFusion replaces these functions by a constant when it plans, but a daemon plans once and
//! runs for months. Syncline therefore reads them from a clock that the caller passes in and moves
//! once for each batch: all rows and expressions of one batch see the same time, in UTC.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

const DAY_MICROS: i64 = 86_400_000_000;

/// The time that `now()` returns. Clones share one time.
#[derive(Debug, Clone)]
pub struct Clock {
    micros: Arc<AtomicI64>,
    stopped: bool,
}

impl Clock {
    /// A clock that takes the system's time at every [`Clock::tick`].
    pub fn system() -> Self {
        let clock = Self {
            micros: Arc::default(),
            stopped: false,
        };
        clock.tick();
        clock
    }

    /// A clock that always shows this time, in microseconds since the epoch.
    pub fn stopped_at(micros: i64) -> Self {
        Self {
            micros: Arc::new(AtomicI64::new(micros)),
            stopped: true,
        }
    }

    /// Reads the system's time for a new batch. A stopped clock keeps its time.
    pub fn tick(&self) {
        if self.stopped {
            return;
        }
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let micros = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
        self.micros.store(micros, Ordering::Relaxed);
    }

    fn micros(&self) -> i64 {
        self.micros.load(Ordering::Relaxed)
    }
}

/// The functions that read `clock`.
pub(super) fn functions(clock: &Clock) -> [Arc<ScalarUDF>; 3] {
    [Reading::Now, Reading::Date, Reading::Time].map(|reading| {
        Arc::new(ScalarUDF::from(TimeFunction {
            reading,
            clock: clock.clone(),
            signature: Signature::nullary(Volatility::Volatile),
            aliases: reading.aliases().iter().map(ToString::to_string).collect(),
        }))
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reading {
    Now,
    Date,
    Time,
}

impl Reading {
    fn name(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Date => "current_date",
            Self::Time => "current_time",
        }
    }

    fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Now => &["current_timestamp"],
            Self::Date => &["today"],
            Self::Time => &[],
        }
    }
}

#[derive(Debug)]
struct TimeFunction {
    reading: Reading,
    clock: Clock,
    signature: Signature,
    aliases: Vec<String>,
}

impl PartialEq for TimeFunction {
    fn eq(&self, other: &Self) -> bool {
        self.reading == other.reading && Arc::ptr_eq(&self.clock.micros, &other.clock.micros)
    }
}

impl Eq for TimeFunction {}

impl Hash for TimeFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.reading.hash(state);
    }
}

impl ScalarUDFImpl for TimeFunction {
    fn name(&self) -> &str {
        self.reading.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.reading {
            Reading::Now => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Reading::Date => DataType::Date32,
            Reading::Time => DataType::Time64(TimeUnit::Microsecond),
        })
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let micros = self.clock.micros();
        let value = match self.reading {
            Reading::Now => ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())),
            Reading::Date => {
                let days = i32::try_from(micros.div_euclid(DAY_MICROS)).unwrap_or(i32::MAX);
                ScalarValue::Date32(Some(days))
            }
            Reading::Time => ScalarValue::Time64Microsecond(Some(micros.rem_euclid(DAY_MICROS))),
        };
        Ok(ColumnarValue::Scalar(value))
    }
}
