//! The kinds of operators and quarantines. The kinds of sources and sinks are in the connectors'
//! registry.

use schemars::JsonSchema;
use syncline_connectors::kind::Kind;

use super::quarantine::{FileQuarantine, KafkaQuarantine, QuarantineConfig};
use crate::operator::{
    DedupeConfig, ExplodeConfig, FilterConfig, LookupConfig, MapConfig, MaskConfig,
    NormalizeConfig, OperatorConfig, RouteConfig, ValidateConfig,
};

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
    Kind {
        name: "normalize",
        schema: NormalizeConfig::json_schema,
        read: |value| serde_json::from_value(value).map(OperatorConfig::Normalize),
    },
    Kind {
        name: "mask",
        schema: MaskConfig::json_schema,
        read: |value| serde_json::from_value(value).map(OperatorConfig::Mask),
    },
    Kind {
        name: "route",
        schema: RouteConfig::json_schema,
        read: |value| serde_json::from_value(value).map(OperatorConfig::Route),
    },
    Kind {
        name: "dedupe",
        schema: DedupeConfig::json_schema,
        read: |value| serde_json::from_value(value).map(OperatorConfig::Dedupe),
    },
    Kind {
        name: "explode",
        schema: ExplodeConfig::json_schema,
        read: |value| serde_json::from_value(value).map(OperatorConfig::Explode),
    },
    Kind {
        name: "lookup",
        schema: LookupConfig::json_schema,
        read: |value| serde_json::from_value(value).map(OperatorConfig::Lookup),
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
