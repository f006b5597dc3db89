use pollux_sdk::{Call, Model, Operation, PoolView, Reply};
use serde_json::{Value, json};

/// The models as the vendor lists them; `None` for a model nobody has, and for all other operations.
pub(crate) fn answer(call: &Call, pool: &PoolView<'_>) -> Option<Reply> {
    if call.endpoint.operation != Operation::Models {
        return None;
    }
    if !call.model.is_empty() {
        return pool
            .models
            .iter()
            .find(|model| model.id == call.model)
            .map(|model| Reply::json(&entry(model)));
    }
    let ends = [pool.models.first(), pool.models.last()].map(|model| model.map(|model| model.id.as_str()));
    Some(Reply::json(&json!({
        "data": pool.models.iter().map(entry).collect::<Vec<_>>(),
        "has_more": false,
        "first_id": ends[0],
        "last_id": ends[1],
    })))
}

/// The vendor's own entry under the name that is offered here. Without one only the name is known, and a time before
/// all models says so, as it does in the vendor's lists.
fn entry(model: &Model) -> Value {
    let mut entry = json!({"type": "model", "id": model.id, "display_name": model.id, "created_at": "1970-01-01T00:00:00Z"});
    if let (Value::Object(all), Value::Object(known)) = (&mut entry, &model.entry) {
        all.extend(known.clone());
    }
    entry["id"] = model.id.as_str().into();
    entry
}
