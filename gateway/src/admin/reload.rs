//! `POST /admin/reload`: credential files read anew, and what became of each.

use super::{admit, respond};
use crate::serve::Context;
use actix_web::{HttpRequest, HttpResponse, Route, web};
use pollux_dialect::Fault;
use serde_json::json;
use std::sync::Arc;

pub(super) fn route(context: &Arc<Context>) -> Route {
    let context = Arc::clone(context);
    web::post().to(move |request: HttpRequest| reload(Arc::clone(&context), request))
}

async fn reload(context: Arc<Context>, request: HttpRequest) -> HttpResponse {
    let answer = async {
        admit(&context, &request)?;
        let busy = || Fault::new(503, "busy", "the credential files are being read; ask again later");
        let report = context.files.reload().await.ok_or_else(busy)?;
        Ok(json!(report))
    };
    respond(&request, answer.await)
}
