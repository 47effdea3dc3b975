//! A node inside an axum service: `POST /calls` places a call, `GET /calls/{id}` says how it stands.
//!
//! ```text
//! cargo run -p holdline-examples --bin embed
//! curl -d '{"to":"sip:answer@127.0.0.1:5061"}' -H 'content-type: application/json' http://127.0.0.1:8080/calls
//! curl http://127.0.0.1:8080/calls/…
//! ```
//!
//! In a cluster any instance of the service answers for any call: the id says where it lives.

use std::error::Error;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use holdline::{Call, Dialog, DialogHandler, DialogId, Node, Request, Result, UseError};
use serde::{Deserialize, Serialize};

struct Phone;

impl DialogHandler for Phone {
    type Data = ();
    type Msg = ();

    async fn on_invite(&self, dialog: &mut Dialog<'_, Self>, _invite: &Request) -> Result {
        dialog.answer(None)
    }
}

#[derive(Deserialize)]
struct NewCall {
    to: String,
}

#[derive(Serialize)]
struct CallStatus {
    id: String,
    state: String,
    node: String,
    version: u64,
}

type Failure = (StatusCode, String);

async fn place(
    State(node): State<Node<Phone>>,
    Json(call): Json<NewCall>,
) -> std::result::Result<(StatusCode, Json<CallStatus>), Failure> {
    let dialog = node.invite(Call::to(call.to)).await.map_err(failure)?;
    let id = dialog.id().to_string();
    let placed = CallStatus { id, state: "initial".into(), node: node.name().to_string(), version: 0 };
    Ok((StatusCode::CREATED, Json(placed)))
}

async fn status(
    State(node): State<Node<Phone>>,
    Path(id): Path<String>,
) -> std::result::Result<Json<CallStatus>, Failure> {
    let id: DialogId = id.parse().map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}")))?;
    let info = node.dialog(&id).map_err(failure)?.info().await.map_err(failure)?;
    let state = info.state().as_str_name().trim_start_matches("DIALOG_STATE_").to_lowercase();
    let id = DialogId { call_id: info.call_id, local_tag: info.local_tag, remote_tag: info.remote_tag };
    Ok(Json(CallStatus { id: id.to_string(), state, node: info.node, version: info.version }))
}

fn failure(error: UseError) -> Failure {
    let status = match error {
        UseError::NotOurs(_) | UseError::Refused(_) => StatusCode::NOT_FOUND,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, error.to_string())
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("info,ractor=warn").init();
    let node = Node::builder(Phone).udp("127.0.0.1:5070".parse()?).start().await?;
    let app =
        Router::new().route("/calls", post(place)).route("/calls/{id}", get(status)).with_state(node.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    println!("SIP at {}, HTTP at {}", node.local_addr(), listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) }).await?;
    node.shutdown().await;
    Ok(())
}
