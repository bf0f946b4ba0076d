//! Our own paths below `/_elastane/lb`: load balancers as the data plane
//! serves them, which rule a request hits, how targets stand, zonal shift and
//! a new process for the data plane.

mod explain;
mod shift;
mod views;

pub use explain::{Explanation, Question};
pub use shift::Shift;
pub use views::{BalancerView, GroupView};

use crate::admin::json;
use crate::server::{Server, plain};
use elastane_wire::HttpResponse;
use std::sync::Arc;

/// Where these paths begin.
pub const BALANCERS: &str = "/_elastane/lb";

/// Running totals as Prometheus reads them.
pub const METRICS: &str = "/_elastane/metrics";

/// Answers a request to a path below [`BALANCERS`], of which `rest` is left.
pub async fn respond(server: &Server, method: &str, rest: &str, body: &[u8]) -> HttpResponse {
    match (method, rest) {
        ("GET", "") => json(&views::balancers(server)),
        ("GET", "/targets") => json(&views::groups(server)),
        ("POST", "/explain") => match serde_json::from_slice(body) {
            Ok(question) => told(explain::explain(server, &question)),
            Err(err) => plain(400, &format!("the question is not understood: {err}\n")),
        },
        ("POST", "/shift") => match serde_json::from_slice(body) {
            Ok(shift) => told(shift::shift(server, shift).await),
            Err(err) => plain(400, &format!("the order is not understood: {err}\n")),
        },
        ("POST", "/upgrade-proxy") => upgrade(server).await,
        _ => plain(404, "there is no such path; `elastane lb` knows those that are\n"),
    }
}

/// Running totals of the data plane.
pub async fn metrics(server: &Server) -> HttpResponse {
    let Some(text) = server.world.proxy.prometheus().await else {
        return plain(503, "the data plane does not answer\n");
    };
    HttpResponse {
        status: 200,
        headers: vec![("content-type", "text/plain; version=0.0.4; charset=utf-8".into())],
        body: text.into_bytes(),
    }
}

fn told<T: serde::Serialize>(outcome: Result<T, String>) -> HttpResponse {
    outcome.map_or_else(|why| plain(400, &format!("{why}\n")), |value| json(&value))
}

/// Has new processes of the data plane take over; answers when they serve.
async fn upgrade(server: &Server) -> HttpResponse {
    let supervisor = Arc::clone(&server.supervisor);
    match tokio::task::spawn_blocking(move || supervisor.upgrade()).await {
        Ok(Ok(pids)) => json(&pids),
        Ok(Err(why)) => plain(500, &format!("{why}\n")),
        Err(_) => plain(500, "the daemon is stopping\n"),
    }
}
