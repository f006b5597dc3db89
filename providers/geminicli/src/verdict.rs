use pollux_sdk::{Call, Cause, Effect, Failure, Scope, Verdict, kit::after};
use std::time::Duration;

pub(crate) use pollux_sdk::kit::{google::GoogleError, rfc3339 as instant, sentence};

/// A wait that upstream did not tell.
const UNTOLD_WAIT: Duration = Duration::from_mins(1);

pub(crate) fn classify(call: &Call, failure: &Failure<'_>) -> Verdict {
    let error = GoogleError::read(failure.body);
    let code = match failure.cause {
        Cause::Status(status) => status.as_u16(),
        Cause::Event => error.code(),
        _ => return failure.usual(),
    };
    match code {
        401 => Verdict::rotate(Effect::Refresh),
        403 => error.blocked().map_or_else(
            || Verdict::cool(Scope::Credential, after(failure.now, UNTOLD_WAIT)), // a firewall's, say: no ban
            Verdict::suspend,
        ),
        404 if error.code() == 404 => Verdict::rotate(Effect::DropModel), // not a proxy's 404
        429 => error.exhausted(&call.model, failure),
        499..=599 => Verdict::AGAIN,
        _ => Verdict::DELIVER,
    }
}
