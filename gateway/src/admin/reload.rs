//! Credential files read anew, and what became of each.

use super::Outcome;
use crate::serve::Context;
use pollux_dialect::Fault;
use serde_json::json;
use std::sync::Arc;

pub(super) async fn reload(context: Arc<Context>) -> Outcome {
    let busy = || Fault::new(503, "busy", "the credential files are being read; ask again later");
    let report = context.files.reload().await.ok_or_else(busy)?;
    Ok(json!(report))
}
