//! Answers from the pool's state: lists of models, and what providers answer themselves.

use super::Owner;
use crate::relay::{Answer, Body, fault_answer};
use actix_web::HttpRequest;
use pollux_dialect::{Fault, Listed, model_object, models_list};
use pollux_sdk::{Account, Call, Dialect, HeaderMap, Model, Operation, PoolView, Quota, StatusCode};
use std::time::SystemTime;

/// The first provider that claims the request answers it; otherwise the dialect does. A list that is shared is
/// claimed only by those who speak the language that it is asked for in.
pub(super) fn answer(owners: &[Owner], request: &HttpRequest, call: &Call) -> Answer {
    let (dialect, operation) = (call.endpoint.dialect, call.endpoint.operation);
    let speaks = |owner: &&Owner| {
        let dialects = owner.service.provider.descriptor().dialects;
        dialects.iter().any(|one| same_lists(*one, dialect))
    };
    let asked = |owner: &&Owner| operation != Operation::Models || speaks(owner);
    if let Some(answer) = owners.iter().filter(asked).find_map(|owner| claimed(owner, call)) {
        return answer;
    }
    if operation != Operation::Models {
        return fault_answer(call, &Fault::not_found(request.path()));
    }
    // OpenAI's list is the one for everybody: it has the models of all.
    let all = same_lists(dialect, Dialect::Chat);
    let listed: Vec<&Owner> = owners.iter().filter(|owner| all || speaks(owner)).collect();
    list(&listed, request.match_info().get("model"), call)
}

/// `OpenAI`'s two dialects have one shape of list.
fn same_lists(one: Dialect, other: Dialect) -> bool {
    let openai = |dialect| matches!(dialect, Dialect::Responses | Dialect::Chat);
    one == other || openai(one) && openai(other)
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

fn list(owners: &[&Owner], wanted: Option<&str>, call: &Call) -> Answer {
    let dialect = call.endpoint.dialect;
    let offered: Vec<(&Owner, Vec<Model>)> =
        owners.iter().map(|owner| (*owner, owner.service.models())).collect();
    let mut models: Vec<Listed<'_>> = Vec::new();
    for (owner, offers) in &offered {
        let about = owner.service.provider.descriptor();
        for model in offers {
            // What several serve is one model.
            if models.iter().all(|listed| listed.id != model.id) {
                models.push(Listed {
                    id: &model.id,
                    entry: Some(&model.entry),
                    operations: about.operations,
                    owned_by: about.id,
                    ..Listed::default()
                });
            }
        }
    }
    let body = match wanted.map(|wanted| (wanted, models.iter().find(|model| model.id == wanted))) {
        None => models_list(dialect, &models),
        Some((_, Some(model))) => model_object(dialect, model),
        Some((wanted, None)) => {
            let known: Vec<&str> = models.iter().map(|model| model.id).collect();
            let unknown = Fault::unknown_model(dialect, wanted, &known);
            return fault_answer(call, &Fault { status: 404, ..unknown });
        }
    };
    Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: Body::Whole(body) }
}
