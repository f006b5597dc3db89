use pollux_sdk::{Call, Effect, Failure, Verdict, kit::google::GoogleError};

pub(crate) fn classify(call: &Call, failure: &Failure<'_>) -> Verdict {
    let error = GoogleError::read(failure.body);
    match error.status(failure) {
        None => failure.usual(),
        // Of a proxy's 404 Google knows nothing.
        Some(404) if error.code() == 404 => Verdict::rotate(Effect::DropModel),
        Some(status) => error.judge(status, &call.model, failure),
    }
}
