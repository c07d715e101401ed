//! Wrappers around any sink: retry, breaker, throttle, metering.
