//! Writes families of metrics with their labels.

use std::fmt::Result;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric as _, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::Histogram;

pub(super) const GAUGE: MetricType = MetricType::Gauge;
pub(super) const COUNTER: MetricType = MetricType::Counter;
pub(super) const HISTOGRAM: MetricType = MetricType::Histogram;
pub(super) const INFO: MetricType = MetricType::Info;

/// The labels of a value: names and values.
pub(super) type Labels<'a> = Vec<(&'a str, &'a str)>;

/// Writes families of metrics.
pub(super) struct Out<'a>(DescriptorEncoder<'a>);

impl<'a> Out<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    pub(super) fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        encode: impl FnOnce(Family<'_>) -> Result,
    ) -> Result {
        encode(Family(self.0.encode_descriptor(name, help, None, kind)?))
    }
}

/// Writes the values of one family.
pub(super) struct Family<'a>(MetricEncoder<'a>);

impl Family<'_> {
    pub(super) fn gauge(&mut self, labels: &Labels<'_>, value: f64) -> Result {
        self.0.encode_family(labels)?.encode_gauge(&value)
    }

    pub(super) fn counter(&mut self, labels: &Labels<'_>, value: u64) -> Result {
        let mut encoder = self.0.encode_family(labels)?;
        encoder.encode_counter::<NoLabelSet, u64, f64>(&value, None)
    }

    pub(super) fn seconds(&mut self, value: f64) -> Result {
        self.0.encode_counter::<NoLabelSet, f64, f64>(&value, None)
    }

    pub(super) fn histogram(&mut self, labels: &Labels<'_>, histogram: &Histogram) -> Result {
        histogram.encode(self.0.encode_family(labels)?)
    }

    pub(super) fn info(&mut self, labels: &Labels<'_>) -> Result {
        self.0.encode_info(labels)
    }
}
