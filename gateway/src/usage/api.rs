//! `/admin/usage` for the owner, `/usage` for each key.

use super::{
    OWNER, answer,
    answer::{Labels, Table},
    csv,
    question::{Question, Scope},
    spans::{Span, plan},
    subscriptions::{Paid, Spend},
};
use crate::{
    admin::admit,
    serve::{Context, fault, request_id, wrong_method},
    store::{Dimension, Filter, Group, Measures, Query, Row, State, StoreError},
};
use actix_web::{HttpRequest, HttpResponse, http::header, web};
use pollux_dialect::Fault;
use pollux_sdk::Dialect;
use serde_json::{Map, Value, json};
use std::{
    future::ready,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Where the owner asks, for sums and for single requests.
pub const ADMIN_PATHS: [&str; 2] = ["/admin/usage", "/admin/usage/requests"];

/// Mounts all of it.
pub fn mount(app: &mut web::ServiceConfig, context: &Arc<Context>) {
    let [sums, requests] = ADMIN_PATHS;
    for (path, scope) in [(sums, Scope::Sums), (requests, Scope::Requests), ("/usage", Scope::Own)] {
        let (context, lost) = (Arc::clone(context), Arc::clone(context));
        let handler = move |request: HttpRequest| ask(Arc::clone(&context), request, scope);
        let other = move |request: HttpRequest| {
            let mut refusal = wrong_method(&lost, &request, Some(Dialect::Responses));
            refusal.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET"));
            ready(refusal)
        };
        app.service(web::resource(path).route(web::get().to(handler)).default_service(web::to(other)));
    }
}

/// What is told, in either form.
struct Answer {
    table: Table,
    /// What JSON says around the rows.
    about: Vec<(&'static str, Value)>,
    /// There are more rows than were wanted.
    truncated: bool,
}

async fn ask(context: Arc<Context>, request: HttpRequest, scope: Scope) -> HttpResponse {
    let id = request_id(&request);
    let answered = async {
        let key = admitted(&context, &request, scope)?;
        let mut question = Question::read(request.query_string(), scope, SystemTime::now())?;
        if let Some(key) = key {
            question.filter.keys = vec![key.to_owned()];
        }
        let answer = match scope {
            Scope::Requests => requests(&context, &question).await?,
            Scope::Sums => owners(&context, &question).await?,
            Scope::Own => own(&context, &question).await?,
        };
        let accepted = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let csv = accepted.is_some_and(|accept| accept.trim_start().starts_with("text/csv"));
        if question.csv.unwrap_or(csv) { file(&answer) } else { Ok(object(answer)) }
    };
    match answered.await {
        Ok(mut response) => {
            for (name, value) in [("x-request-id", id.as_str()), ("cache-control", "no-store")] {
                if let Ok(value) = header::HeaderValue::from_str(value) {
                    response.headers_mut().insert(header::HeaderName::from_static(name), value);
                }
            }
            response
        }
        Err(refusal) => fault(Dialect::Responses, &refusal, &id),
    }
}

/// Whose use may be seen; `None` is everybody's.
fn admitted(context: &Context, request: &HttpRequest, scope: Scope) -> Result<Option<&'static str>, Fault> {
    if scope != Scope::Own {
        return admit(context, request).map(|()| None);
    }
    context.admit(request, true).map(|()| Some(OWNER))
}

/// The sums asked for, those of all of it, and for which time they are.
async fn sums(context: &Context, question: &Question) -> Result<(Vec<Group>, Answer), Fault> {
    let horizons = context.store.usage_horizons().await.map_err(unavailable)?;
    let hourly = question.by.contains(&Dimension::Hour);
    let plan = plan(question.span, hourly, horizons).map_err(|old| {
        let text = format!("`from`: by hour, usage is kept since {}", answer::moment(old.hours));
        Fault::bad_request(Some("from"), text)
    })?;
    let query = Query {
        parts: plan.parts,
        by: question.by.clone(),
        filter: question.filter.clone(),
        limit: question.limit + 1,
    };
    let mut groups = context.store.usage(&query).await.map_err(unavailable)?;
    let wanted = usize::try_from(question.limit).unwrap_or(usize::MAX);
    let truncated = groups.len() > wanted;
    let all = if truncated {
        groups.truncate(wanted);
        let all = Query { by: Vec::new(), ..query };
        context.store.usage(&all).await.map_err(unavailable)?
    } else {
        groups.clone()
    };
    let total = all.iter().fold(Measures::default(), |sum, group| sum.plus(&group.sums));
    let by: Vec<&str> = question.by.iter().map(|by| by.name()).collect();
    let [from, to] = answer::told(plan.span);
    let about = vec![
        ("recording", json!(context.usage.is_on())),
        from,
        to,
        ("group", json!(by)),
        ("total", answer::total(&total)),
    ];
    let table = answer::sums(question, &groups, &Labels::default());
    Ok((groups, Answer { table, about, truncated }))
}

async fn own(context: &Context, question: &Question) -> Result<Answer, Fault> {
    let (_, mut answer) = sums(context, question).await?;
    answer.about.insert(0, ("key", json!(question.filter.keys.first())));
    Ok(answer)
}

async fn owners(context: &Context, question: &Question) -> Result<Answer, Fault> {
    let (groups, mut answer) = sums(context, question).await?;
    let accounts = context.store.list().await.map_err(unavailable)?;
    if question.by.contains(&Dimension::Account) {
        let label = |row: &Row| Some((row.id, row.credential.label.clone()?));
        answer.table = answer::sums(question, &groups, &accounts.iter().filter_map(label).collect());
    }
    // What some keys or models drew from a subscription is no measure of it.
    let filter = &question.filter;
    if filter.keys.is_empty() && filter.models.is_empty() && filter.statuses.is_empty() {
        answer.about.push(("subscriptions", spend(context, &accounts, question)));
    }
    Ok(answer)
}

/// What the accounts cost themselves, to hold against what their use would cost at list prices.
fn spend(context: &Context, accounts: &[Row], question: &Question) -> Value {
    let Filter { providers, accounts: ids, .. } = &question.filter;
    let wanted = |row: &&Row| {
        (providers.is_empty() || providers.contains(&row.provider))
            && (ids.is_empty() || ids.contains(&row.id))
            && !matches!(row.state, State::Pending | State::Validating)
    };
    let paid = accounts.iter().filter(wanted).map(|row| Paid {
        provider: &row.provider,
        plans: row.credential.plans().collect(),
        since: millis(row.created_at),
    });
    let span = Span { to: question.span.to.min(millis(SystemTime::now())), ..question.span };
    let Spend { monthly, within, priced, unpriced } = context.settings.usage.subscriptions.spend(paid, span);
    json!({
        "usd_per_month": monthly,
        "usd_within": within,
        "accounts_with_price": priced,
        "accounts_without_price": unpriced,
    })
}

async fn requests(context: &Context, question: &Question) -> Result<Answer, Fault> {
    let Span { from, to } = question.span;
    let limit = question.limit + 1;
    let found = context.store.usage_requests((from, to), &question.filter, question.before, limit).await;
    let mut rows = found.map_err(unavailable)?;
    let wanted = usize::try_from(question.limit).unwrap_or(usize::MAX);
    let truncated = rows.len() > wanted;
    rows.truncate(wanted);
    let labels: Labels = context.store.account_labels().await.map_err(unavailable)?;
    let kept = context.store.usage_horizons().await.map_err(unavailable)?.requests;
    let [from, to] = answer::told(Span { from: from.max(kept), ..question.span });
    // The next page begins below the last row of this one.
    let next = truncated.then(|| rows.last().map(|row| row.id)).flatten();
    let about = vec![("recording", json!(context.usage.is_on())), from, to, ("before", json!(next))];
    Ok(Answer { table: answer::requests(&rows, &labels), about, truncated })
}

fn object(answer: Answer) -> HttpResponse {
    let mut members: Map<String, Value> =
        answer.about.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    members.insert("truncated".to_owned(), answer.truncated.into());
    members.insert("rows".to_owned(), answer.table.json().into());
    HttpResponse::Ok().json(members)
}

fn file(answer: &Answer) -> Result<HttpResponse, Fault> {
    let body = csv::render(&answer.table).map_err(|error| {
        tracing::error!(%error, "usage not written as CSV");
        Fault::internal()
    })?;
    let mut response = HttpResponse::Ok();
    response
        .content_type("text/csv; charset=utf-8")
        .insert_header(("content-disposition", "attachment; filename=\"usage.csv\""));
    if answer.truncated {
        response.insert_header(("x-pollux-truncated", "true"));
    }
    Ok(response.body(body))
}

fn millis(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn unavailable(error: StoreError) -> Fault {
    tracing::error!(%error, "store failed");
    Fault::new(503, "store_unavailable", "the store is not available")
}
