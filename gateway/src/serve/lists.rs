//! Answers from the pool's state: lists of models, and what providers answer themselves.

use super::Owner;
use crate::relay::{Answer, Body, fault_answer};
use actix_web::HttpRequest;
use pollux_dialect::{Fault, Listed, model_object, models_list};
use pollux_sdk::{Account, Call, HeaderMap, Operation, PoolView, Quota, StatusCode};
use std::time::SystemTime;

/// The first provider that claims the request answers it; otherwise the dialect does.
pub(super) fn answer(owners: &[Owner], request: &HttpRequest, call: &Call) -> Answer {
    for owner in owners {
        if let Some(answer) = claimed(owner, call) {
            return answer;
        }
    }
    match (owners.first(), call.endpoint.operation) {
        (Some(owner), Operation::Models) => list(owner, request.match_info().get("model"), call),
        _ => fault_answer(call, &Fault::not_found(request.path())),
    }
}

fn claimed(owner: &Owner, call: &Call) -> Option<Answer> {
    let accounts = owner.service.pool.accounts(SystemTime::now());
    let now = SystemTime::now();
    let quotas: Vec<Quota> =
        accounts.iter().map(|(held, _)| owner.service.pool.quota_of(held.id, now)).collect();
    let accounts: Vec<Account<'_>> = accounts
        .iter()
        .zip(&quotas)
        .map(|((held, usable), quota)| Account { credential: &held.credential, usable: *usable, quota })
        .collect();
    let models = owner.service.models();
    let view = PoolView { accounts: &accounts, models: &models, now };
    let reply = owner.service.provider.answer(call, &view)?;
    Some(Answer { status: reply.status, headers: reply.headers, body: Body::Whole(reply.body) })
}

fn list(owner: &Owner, wanted: Option<&str>, call: &Call) -> Answer {
    let about = owner.service.provider.descriptor();
    let dialect = call.endpoint.dialect;
    let models = owner.service.models();
    let listed = models.iter().map(|model| Listed {
        id: &model.id,
        entry: Some(&model.entry),
        operations: about.operations,
        owned_by: about.id,
        ..Listed::default()
    });
    let listed: Vec<Listed<'_>> = listed.collect();
    let body = match wanted {
        None => models_list(dialect, &listed),
        Some(wanted) => {
            let Some(model) = listed.iter().find(|model| model.id == wanted) else {
                let known: Vec<&str> = listed.iter().map(|model| model.id).collect();
                return fault_answer(call, &Fault::unknown_model(dialect, wanted, &known));
            };
            model_object(dialect, model)
        }
    };
    Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: Body::Whole(body) }
}
