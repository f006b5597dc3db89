use pollux_sdk::kit::google::{Progress, is_error, unlisted};
use pollux_sdk::{
    At, Call, Dialect, Event, Model, Operation, Payload, PoolView, Reader, Reply, Shape, Step, Summary,
};
use serde_json::{Value, json};

/// Leaves the answer as it is, counts its tokens and sees its end.
pub(crate) struct Answer(Progress);

impl Answer {
    pub(crate) fn new(answers: Shape) -> Self {
        Self(Progress::new(answers))
    }
}

impl Reader for Answer {
    fn read(&mut self, event: Event<'_>) -> Step {
        let document = Payload::new(unlisted(event.data));
        if is_error(&document) {
            return Step::same(At::Fault);
        }
        self.0.see(&document);
        Step::same(self.0.at())
    }

    fn finish(&mut self) -> Summary {
        self.0.finish()
    }
}

/// Lists models in Google's own words, as far as a key's list has told them.
pub(crate) fn models(call: &Call, pool: &PoolView<'_>) -> Option<Reply> {
    if call.endpoint.operation != Operation::Models || call.endpoint.dialect != Dialect::Gemini {
        return None;
    }
    if call.endpoint.path.contains("{model}") {
        let model = pool.models.iter().find(|model| model.id == call.model)?;
        return model.entry.is_object().then(|| Reply::json(&model.entry));
    }
    if pool.models.iter().all(|model| model.entry.is_null()) {
        return None;
    }
    Some(Reply::json(&json!({"models": pool.models.iter().map(told).collect::<Vec<_>>()})))
}

fn told(model: &Model) -> Value {
    if model.entry.is_object() {
        return model.entry.clone();
    }
    json!({"name": format!("models/{}", model.id), "displayName": model.id})
}
