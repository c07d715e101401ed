//! Every route, once: its path, what it does, what it answers, and its handler.

use std::sync::Arc;

use axum::routing::{MethodRouter, get, post};
use schemars::{JsonSchema as _, Schema, SchemaGenerator};

use super::{Shared, handlers, lists};
use crate::daemon::view;

/// A route.
pub(super) struct Route {
    /// `get` or `post`, as OpenAPI writes it.
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) answer: Answer,
    /// What it may refuse with, beside a wrong token: status and reason.
    pub(super) refusals: &'static [(&'static str, &'static str)],
    /// Parameters of the query: name and meaning.
    pub(super) query: &'static [(&'static str, &'static str)],
    pub(super) handler: MethodRouter<Arc<Shared>>,
}

/// What a route answers where all is well.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// The content type.
    Text(&'static str),
}

const UNKNOWN: (&str, &str) = ("404", "There is no such pipeline.");
const LIMIT: (&str, &str) = ("limit", "At most so many, 1 to 1000; 100 by default.");
const BEFORE: (&str, &str) = ("before", "Go on behind a page: its `next`.");
const PIPELINE: (&str, &str) = ("pipeline", "Only those of this pipeline.");

/// Every route; of a path that is there for GET and for POST there is none.
pub(super) fn routes() -> Vec<Route> {
    let ready = "Whether every pipeline does what it should. 503 where one does not, and while the process drains.";
    let live = "Whether the process answers. It says nothing about pipelines: see /readyz.";
    let json = Answer::Json;
    let one = json(view::Pipeline::json_schema);
    let mut routes = vec![
        route(
            "/livez",
            live,
            json(view::Live::json_schema),
            get(handlers::live),
        ),
        route(
            "/readyz",
            ready,
            json(view::Ready::json_schema),
            get(handlers::ready),
        ),
        route(
            "/health",
            "As /livez.",
            json(view::Live::json_schema),
            get(handlers::live),
        ),
        route(
            "/ready",
            "As /readyz.",
            json(view::Ready::json_schema),
            get(handlers::ready),
        ),
        route(
            "/metrics",
            "Every metric, in OpenMetrics text.",
            Answer::Text(crate::daemon::metrics::CONTENT_TYPE),
            get(handlers::metrics),
        ),
        route(
            "/openapi.json",
            "This document.",
            Answer::Text("application/json"),
            get(handlers::openapi),
        ),
        route(
            "/v1/pipelines",
            "Every pipeline as it is now.",
            json(view::Pipelines::json_schema),
            get(handlers::pipelines),
        ),
        Route {
            refusals: &[UNKNOWN],
            ..route(
                "/v1/pipelines/{name}",
                "One pipeline as it is now.",
                one,
                get(handlers::pipeline),
            )
        },
        route(
            "/v1/connections",
            "The health of each system that a pipeline works with.",
            json(view::Connections::json_schema),
            get(lists::connections),
        ),
        Route {
            query: &[LIMIT, PIPELINE, BEFORE],
            refusals: &[("400", "The limit is none."), UNKNOWN],
            ..route(
                "/v1/quarantine",
                "Rejected changes, the newest first, without their values.",
                json(view::Quarantine::json_schema),
                get(lists::quarantine),
            )
        },
        Route {
            query: &[LIMIT, PIPELINE],
            refusals: &[("400", "The limit is none."), UNKNOWN],
            ..route(
                "/v1/conflicts",
                "Conflicts that wait for a person, the oldest first, without their rows.",
                json(view::Conflicts::json_schema),
                get(lists::conflicts),
            )
        },
        Route {
            method: "post",
            refusals: &[
                ("422", "The configuration is wrong; nothing was changed."),
                ("503", "The process is about to end."),
            ],
            ..route(
                "/v1/reload",
                "Read the configuration again: only pipelines that differ are drained and begun again.",
                json(view::Reloaded::json_schema),
                post(handlers::reload),
            )
        },
    ];
    let actions: [(&str, &str, MethodRouter<Arc<Shared>>); 4] = [
        (
            "/v1/pipelines/{name}/pause",
            "Drain a pipeline and keep it stopped, also over a restart of the process.",
            post(handlers::pause),
        ),
        (
            "/v1/pipelines/{name}/resume",
            "Let a paused pipeline go on.",
            post(handlers::resume),
        ),
        (
            "/v1/pipelines/{name}/restart",
            "Drain a pipeline and begin it again.",
            post(handlers::restart),
        ),
        (
            "/v1/pipelines/{name}/run",
            "Run a pipeline now that waits for the next time of its schedule.",
            post(handlers::run),
        ),
    ];
    for (path, summary, handler) in actions {
        routes.push(Route {
            method: "post",
            refusals: &[
                UNKNOWN,
                (
                    "409",
                    "It has ended, is paused, or does not wait for its time.",
                ),
                ("500", "The list of paused pipelines cannot be written."),
            ],
            ..route(path, summary, one, handler)
        });
    }
    routes
}

fn route(
    path: &'static str,
    summary: &'static str,
    answer: Answer,
    handler: MethodRouter<Arc<Shared>>,
) -> Route {
    Route {
        method: "get",
        path,
        summary,
        answer,
        refusals: &[],
        query: &[],
        handler,
    }
}
