//! What an error of the client means: it goes on by itself, or a person has to do something.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::error::Error;
use crate::record::Partition;

/// How long one question to a broker may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The client goes on by itself.
    Passing,
    /// The topic is not there.
    UnknownTopic,
    /// The offset is not there any more.
    Expired,
    /// A person has to do this.
    Refused(&'static str),
}

/// What an error code means.
pub(super) fn judge(code: RDKafkaErrorCode) -> Verdict {
    use RDKafkaErrorCode as Code;
    match code {
        Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::InvalidTopic => Verdict::UnknownTopic,
        Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::NoOffset | Code::LogTruncation => {
            Verdict::Expired
        }
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::SecurityDisabled => Verdict::Refused(
            "check `sasl.mechanism`, `sasl.username`, `sasl.password` and `security.protocol` in `properties`",
        ),
        Code::TopicAuthorizationFailed => {
            Verdict::Refused("grant this user READ and DESCRIBE on the topic")
        }
        Code::GroupAuthorizationFailed => {
            Verdict::Refused("grant this user READ on the group, or set another `group`")
        }
        Code::ClusterAuthorizationFailed => {
            Verdict::Refused("grant this user access to the cluster")
        }
        Code::InvalidGroupId | Code::GroupMaxSizeReached => Verdict::Refused("set another `group`"),
        Code::InconsistentGroupProtocol => Verdict::Refused(
            "the group's other members assign partitions in another way: set `partition.assignment.strategy` in `properties` as they do, or another `group`",
        ),
        Code::InvalidSessionTimeout => {
            Verdict::Refused("set `session.timeout.ms` in `properties` to what the brokers allow")
        }
        Code::FencedInstanceId | Code::Fenced => Verdict::Refused(
            "another process is a member with the same `instance`: give each process its own",
        ),
        Code::BadMessage
        | Code::BadCompression
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::InvalidRecord => {
            Verdict::Refused("the broker's copy is damaged: restore it from a replica")
        }
        Code::MessageSizeTooLarge => {
            Verdict::Refused("raise `receive.message.max.bytes` in `properties`")
        }
        Code::UnsupportedVersion | Code::UnsupportedFeature | Code::UnsupportedCompressionType => {
            Verdict::Refused("the brokers and this client do not understand each other")
        }
        Code::Fatal => Verdict::Refused("the client cannot go on"),
        _ => Verdict::Passing,
    }
}

/// An error of a call that was made on purpose, `what` was being done.
pub(super) fn failed(what: &str, error: KafkaError) -> Error {
    let verdict = error.rdkafka_error_code().map_or(Verdict::Passing, judge);
    match verdict {
        Verdict::Refused(remedy) => Error::configuration_from(format!("{what}: {remedy}"), error),
        Verdict::UnknownTopic => Error::configuration_from(
            format!("{what}: the topic does not exist; create it or correct `topics`"),
            error,
        ),
        Verdict::Passing | Verdict::Expired => Error::unavailable(what, error),
    }
}

/// A failed call to `brokers`, with why its connection failed in the client's words: a log-in or a
/// certificate that is refused does not pass by itself.
pub(super) fn explained(error: Error, told: Option<String>, brokers: &str) -> Error {
    let reason = match (&error, told) {
        (Error::Unavailable { .. }, Some(reason)) => reason,
        // A broker that is spoken to without the TLS that it wants hangs up without a word.
        (Error::Unavailable { message, .. }, None) => {
            let hint = "no broker answers, or it wants another `security.protocol` in `properties`";
            return Error::unavailable(format!("{message}: {hint}"), error);
        }
        _ => return error,
    };
    let remedies = [
        (
            "certificate",
            "set `ssl.ca.location` in `properties` to the authority that signed the broker's certificate, and name the broker as the certificate does",
        ),
        (
            "uthentication",
            "check `sasl.mechanism`, `sasl.username` and `sasl.password` in `properties`",
        ),
    ];
    match remedies.iter().find(|(part, _)| reason.contains(part)) {
        Some((_, remedy)) => Error::configuration_from(
            format!("Kafka at {brokers} refuses: {reason}; {remedy}"),
            error,
        ),
        None => Error::unavailable(
            format!("Kafka at {brokers} does not answer: {reason}"),
            error,
        ),
    }
}

/// The position is not, or not any more, at the broker.
pub(super) fn expired(partition: &Partition, asked: i64, low: i64, high: i64) -> Error {
    let Partition { topic, number } = partition;
    let cause = if asked < low {
        format!(
            "the records from there on were deleted before they were read; load the table anew, or accept the gap: syncline positions set FILE --to beginning --topic {topic} --partition {number}"
        )
    } else {
        format!(
            "the topic was made anew or cut short; if that was meant: syncline positions reset FILE --topic {topic}"
        )
    };
    Error::configuration(format!(
        "{partition} has no position {asked}: the broker holds {low} to {high}; {cause}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r16_an_error_code_says_what_to_do() {
        use RDKafkaErrorCode as Code;
        for (code, passing) in [
            (Code::AllBrokersDown, true),
            (Code::BrokerTransportFailure, true),
            (Code::OperationTimedOut, true),
            (Code::NotCoordinator, true),
            (Code::PollExceeded, true),
            (Code::NotLeaderForPartition, true),
            (Code::SaslAuthenticationFailed, false),
            (Code::TopicAuthorizationFailed, false),
            (Code::UnknownTopicOrPartition, false),
            (Code::AutoOffsetReset, false),
            (Code::BadMessage, false),
        ] {
            assert_eq!(judge(code) == Verdict::Passing, passing, "{code:?}");
        }
    }
}
