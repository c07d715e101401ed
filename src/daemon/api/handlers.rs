//! What each route does.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::{Json, http};

use super::Shared;
use super::answer::Refusal;
use super::guard::Trusted;
use crate::daemon::view::{Live, NotReady, Pipeline, Pipelines, Ready, Reloaded};
use crate::daemon::{Slot, metrics};

type Asked = State<Arc<Shared>>;
type Answer<T> = Result<Json<T>, Refusal>;

pub(super) async fn live(State(shared): Asked) -> Json<Live> {
    let uptime = shared.daemon.started_at.elapsed();
    Json(Live {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
    })
}

pub(super) async fn ready(State(shared): Asked, trusted: Option<Extension<Trusted>>) -> Response {
    let mut not_ready = Vec::new();
    if shared.daemon.is_stopping() {
        not_ready.push(NotReady {
            pipeline: None,
            state: "stopping".to_owned(),
            cause: None,
        });
    }
    for slot in shared.daemon.slots() {
        let state = slot.running().status.state();
        if !state.is_ready() {
            not_ready.push(NotReady {
                pipeline: Some(slot.name.clone()),
                state: state.name().to_owned(),
                cause: state.cause().map(str::to_owned),
            });
        }
    }
    let ready = not_ready.is_empty();
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    // Causes name systems: they are for those who may see them.
    if trusted.is_none() {
        not_ready.clear();
    }
    (status, Json(Ready { ready, not_ready })).into_response()
}

pub(super) async fn metrics(State(shared): Asked) -> Response {
    match metrics::text(&shared.daemon) {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            let what = format!("the metrics cannot be written: {error}");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, what, "ask again").into_response()
        }
    }
}

pub(super) async fn openapi(State(shared): Asked) -> Json<serde_json::Value> {
    Json(shared.description.clone())
}

pub(super) async fn pipelines(State(shared): Asked) -> Json<Pipelines> {
    let slots = shared.daemon.slots();
    Json(Pipelines {
        pipelines: slots.iter().map(|slot| Pipeline::of(slot)).collect(),
    })
}

pub(super) async fn pipeline(State(shared): Asked, Path(name): Path<String>) -> Answer<Pipeline> {
    Ok(Json(Pipeline::of(&*shared.slot(&name)?)))
}

pub(super) async fn pause(State(shared): Asked, Path(name): Path<String>) -> Answer<Pipeline> {
    let slot = shared.living(&name)?;
    shared.daemon.pause(&slot).map_err(not_kept)?;
    Ok(Json(Pipeline::of(&slot)))
}

pub(super) async fn resume(State(shared): Asked, Path(name): Path<String>) -> Answer<Pipeline> {
    let slot = shared.living(&name)?;
    shared.daemon.resume(&slot).map_err(not_kept)?;
    Ok(Json(Pipeline::of(&slot)))
}

pub(super) async fn restart(State(shared): Asked, Path(name): Path<String>) -> Answer<Pipeline> {
    let slot = shared.living(&name)?;
    if slot.is_paused() {
        let what = format!("the pipeline {name} is paused");
        return Err(Refusal::new(StatusCode::CONFLICT, what, "resume it"));
    }
    slot.restart();
    Ok(Json(Pipeline::of(&slot)))
}

pub(super) async fn run(State(shared): Asked, Path(name): Path<String>) -> Answer<Pipeline> {
    let slot = shared.living(&name)?;
    if slot.file().schedule.is_none() {
        let what = format!("the pipeline {name} has no [schedule]: it runs all the time");
        return Err(Refusal::new(StatusCode::CONFLICT, what, "restart it"));
    }
    if !slot.run_now() {
        let what = format!("the pipeline {name} does not wait for its time: it runs, or is paused");
        let remedy = "wait until it is `scheduled`, or resume it";
        return Err(Refusal::new(StatusCode::CONFLICT, what, remedy));
    }
    Ok(Json(Pipeline::of(&slot)))
}

pub(super) async fn reload(State(shared): Asked) -> Answer<Reloaded> {
    match shared.daemon.ask_reload().await {
        Ok(reloaded) => Ok(Json(reloaded)),
        Err(refused) => {
            let status = match shared.daemon.is_stopping() {
                true => StatusCode::SERVICE_UNAVAILABLE,
                false => StatusCode::UNPROCESSABLE_ENTITY,
            };
            let mut refusal = Refusal::new(status, refused.what, refused.remedy);
            refusal.problem.problems = Some(refused.problems);
            Err(refusal)
        }
    }
}

pub(super) async fn unknown(uri: http::Uri) -> Refusal {
    let what = format!("there is nothing at {}", uri.path());
    Refusal::new(
        StatusCode::NOT_FOUND,
        what,
        "GET /openapi.json lists what there is",
    )
}

pub(super) async fn wrong_method(method: http::Method, uri: http::Uri) -> Refusal {
    let what = format!("{} does not take {method}", uri.path());
    let remedy = "GET /openapi.json lists what there is";
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, what, remedy)
}

fn not_kept(error: std::io::Error) -> Refusal {
    let what = format!("the list of paused pipelines cannot be written: {error}");
    let remedy = "see to the state folder (`state` in syncline.toml); nothing was changed";
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, what, remedy)
}

impl Shared {
    /// The pipeline of this name.
    pub(super) fn slot(&self, name: &str) -> Result<Arc<Slot>, Refusal> {
        self.daemon.slot(name).ok_or_else(|| {
            let slots = self.daemon.slots();
            let names = slots.iter().map(|slot| slot.name.as_str());
            let remedy = match crate::function::nearest(name, names) {
                Some(near) => format!("did you mean {near}?"),
                None => "GET /v1/pipelines lists them".to_owned(),
            };
            let what = format!("there is no pipeline {name}");
            Refusal::new(StatusCode::NOT_FOUND, what, remedy)
        })
    }

    /// The pipeline of this name, if it still listens.
    fn living(&self, name: &str) -> Result<Arc<Slot>, Refusal> {
        let slot = self.slot(name)?;
        if slot.has_ended() || slot.is_stopping() {
            let what = format!("the pipeline {name} has ended");
            let remedy = "start the process again, or reload its configuration";
            return Err(Refusal::new(StatusCode::CONFLICT, what, remedy));
        }
        Ok(slot)
    }
}
