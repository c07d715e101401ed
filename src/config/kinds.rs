//! The kinds of operators and quarantines. The kinds of sources and sinks are in the connectors'
//! registry.

use schemars::JsonSchema;
use syncline_connectors::kind::Kind;

use super::quarantine::{FileQuarantine, KafkaQuarantine, QuarantineConfig};
use crate::operator::{FilterConfig, MapConfig, OperatorConfig, ValidateConfig};

/// Every kind of operator.
pub(crate) const OPERATORS: &[Kind<OperatorConfig>] = &[
    Kind {
        name: "map",
        schema: MapConfig::json_schema,
        read: |value| serde_json::from_value(value).map(OperatorConfig::Map),
    },
    Kind {
        name: "filter",
        schema: FilterConfig::json_schema,
        read: |value| serde_json::from_value(value).map(OperatorConfig::Filter),
    },
    Kind {
        name: "validate",
        schema: ValidateConfig::json_schema,
        read: |value| serde_json::from_value(value).map(OperatorConfig::Validate),
    },
];

/// Every kind of quarantine.
pub(crate) const QUARANTINES: &[Kind<QuarantineConfig>] = &[
    Kind {
        name: "file",
        schema: FileQuarantine::json_schema,
        read: |value| serde_json::from_value(value).map(QuarantineConfig::File),
    },
    Kind {
        name: "kafka",
        schema: KafkaQuarantine::json_schema,
        read: |value| serde_json::from_value(value).map(QuarantineConfig::Kafka),
    },
];

/// The `type` of an operator.
pub(crate) fn operator_kind(operator: &OperatorConfig) -> &'static str {
    match operator {
        OperatorConfig::Map(_) => "map",
        OperatorConfig::Filter(_) => "filter",
        OperatorConfig::Validate(_) => "validate",
    }
}
