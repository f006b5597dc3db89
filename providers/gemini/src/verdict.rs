use pollux_sdk::kit::{google::GoogleError, oauth::is_word};
use pollux_sdk::{Call, Effect, Failure, Reason, Scope, Verdict, mentions};
use std::time::Duration;

/// Where Google serves nobody, it may after somebody has moved the gateway or changed its proxy.
const ELSEWHERE: Duration = Duration::from_hours(1);

pub(crate) fn classify(call: &Call, failure: &Failure<'_>) -> Verdict {
    let error = GoogleError::read(failure.body);
    let Some(status) = error.status(failure) else { return failure.usual() };
    match status {
        400 if is_elsewhere(&error) => failure.cool(Scope::Credential, ELSEWHERE),
        403 if is_of_another_key(call, &error) => Verdict::DELIVER,
        // The model may be there in another version of the API, or with another method, or for another key.
        404 => Verdict::rotate(Effect::None),
        _ => suspension(status, &error)
            .map_or_else(|| error.judge(status, &call.model, failure), Verdict::suspend),
    }
}

/// Why the key is out, if this reply says so. A key cannot be renewed, so what refuses it refuses it for good.
pub(crate) fn suspension(status: u16, error: &GoogleError) -> Option<Reason> {
    let word = error.reason().to_ascii_lowercase();
    let known = is_word(&word);
    match status {
        400 if word == "api_key_invalid" || error.message().starts_with("API key ") => {
            Some(error.because("api_key_invalid"))
        }
        401 => Some(error.because("api_key_invalid")),
        // A firewall's 403 is not Google's.
        403 if error.code() == 403 && known => Some(error.because(word)),
        403 if error.code() == 403 => Some(error.because("permission_denied")),
        _ => None,
    }
}

/// Google tells it in a sentence only (2026).
fn is_elsewhere(error: &GoogleError) -> bool {
    let text = error.message();
    text.contains("location is not supported") || text.contains("not available in your country")
}

/// Files and caches belong to the key that made them. Whoever names one of somebody else's is refused without a
/// reason, and that is about the request: nobody may take accounts out with it.
fn is_of_another_key(call: &Call, error: &GoogleError) -> bool {
    let names = ["fileUri", "file_uri", "cachedContent", "cached_content"];
    let said = error.message();
    error.reason().is_empty()
        && names.iter().any(|name| mentions(call.body.bytes(), name))
        && ["File", "file", "ached"].iter().any(|word| said.contains(word))
}
