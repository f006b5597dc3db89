//! What a provider makes of failures.

use super::{
    Check, Finding,
    damage::{ODD_TEXTS, cuts, noise, variants},
    samples::{CauseSample, FailureSample, headers, wire},
    script::now,
    subject::Subject,
};
use bytes::Bytes;
use pollux_sdk::{Call, Cause, Effect, Failure, HeaderMap, HeaderValue, Next, Scope, StatusCode, Verdict};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) const CHECKS: &[Check] = &[
    ("each sample failure is judged as it says", samples),
    ("each sample cooldown ends when it says", deadlines),
    ("no failure cools an account for ever or into the past", bounds),
    ("another try is never more than a minute away", pauses),
    ("a broken connection is no account's fault", connection),
    ("what may have been paid for is not repeated", lost),
    ("what never left is tried again", unsent),
    ("a server's error costs no account", server_errors),
    ("a bare 400, 413 or 422 is the client's", client_errors),
    ("a refused credential is never the client's trouble", refused),
    ("a bare 429 rests the account or its model", limited),
    ("no failure makes it panic", odd),
];

const LONGEST: Duration = Duration::from_hours(400 * 24);

fn judge(subject: &Subject, call: &Call, cause: Cause, headers: &HeaderMap, body: &Bytes) -> Verdict {
    subject.provider.classify(call, &Failure { cause, headers, body, now: now() })
}

fn cause(sample: &FailureSample) -> Cause {
    match sample.cause {
        Some(CauseSample::Event) => Cause::Event,
        Some(CauseSample::Unsent) => Cause::Unsent,
        Some(CauseSample::Lost) => Cause::Lost,
        None => status(sample.status.unwrap_or(500)),
    }
}

fn status(status: u16) -> Cause {
    Cause::Status(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
}

fn judged(subject: &Subject, sample: &FailureSample) -> Result<Verdict, String> {
    let (headers, body) = (headers(&sample.headers), wire(sample.body.as_ref()));
    let now = UNIX_EPOCH + Duration::from_secs(sample.now);
    let failure = Failure { cause: cause(sample), headers: &headers, body: &body, now };
    Ok(subject.provider.classify(&subject.call(sample.call)?, &failure))
}

/// As the samples call them.
fn named(verdict: &Verdict) -> (&'static str, &'static str, Option<&str>) {
    let next = match verdict.next {
        Next::Deliver => "deliver",
        Next::Rotate => "rotate",
        Next::Again(_) => "again",
    };
    let (effect, code) = match &verdict.effect {
        Effect::None => ("none", None),
        Effect::Cool(Scope::Model, _) => ("cool_model", None),
        Effect::Cool(Scope::Credential, _) => ("cool_credential", None),
        Effect::Refresh => ("refresh", None),
        Effect::Suspend(reason) => ("suspend", Some(&*reason.code)),
        Effect::DropModel => ("drop_model", None),
        Effect::Unfit(reason) => ("unfit", Some(&*reason.code)),
        _ => ("unknown", None),
    };
    (next, effect, code)
}

fn samples(subject: &Subject) -> Finding {
    for sample in &subject.samples.failures {
        let verdict = judged(subject, sample)?;
        let expected = (sample.next.as_str(), sample.effect.as_str(), sample.code.as_deref());
        ensure!(
            named(&verdict) == expected,
            "`{}` is judged {:?}, not {expected:?}",
            sample.name,
            named(&verdict)
        );
    }
    Ok(())
}

fn deadlines(subject: &Subject) -> Finding {
    for sample in &subject.samples.failures {
        let (Effect::Cool(_, until), Some(told)) = (judged(subject, sample)?.effect, sample.until) else {
            continue;
        };
        let until = until.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        ensure!(until == told, "`{}` cools until {until}, not until {told}", sample.name);
    }
    Ok(())
}

/// Every failure of the samples, with every oddity in its body and in `retry-after`.
fn each_oddity(subject: &Subject, mut look: impl FnMut(&str, Verdict) -> Finding) -> Finding {
    for sample in &subject.samples.failures {
        let call = subject.call(sample.call)?;
        let told = headers(&sample.headers);
        for body in sample.body.iter().flat_map(variants) {
            look(&sample.name, judge(subject, &call, cause(sample), &told, &wire(Some(&body))))?;
        }
    }
    let call = subject.call(0)?;
    for code in [400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 451, 499, 500, 502, 503, 504, 529, 599] {
        for odd in ODD_TEXTS {
            let mut headers = HeaderMap::new();
            headers.extend(HeaderValue::from_str(odd).ok().map(|value| (http_retry_after(), value)));
            let name = format!("{code} with `retry-after: {odd}`");
            look(&name, judge(subject, &call, status(code), &headers, &Bytes::new()))?;
        }
    }
    Ok(())
}

const fn http_retry_after() -> pollux_sdk::HeaderName {
    pollux_sdk::HeaderName::from_static("retry-after")
}

fn bounds(subject: &Subject) -> Finding {
    each_oddity(subject, |name, verdict| {
        let Effect::Cool(_, until) = verdict.effect else { return Ok(()) };
        ensure!(until >= now(), "`{name}`, with an odd value in it, cools into the past");
        let far = until.duration_since(now()).unwrap_or(Duration::MAX);
        ensure!(
            far <= LONGEST,
            "`{name}`, with an odd value in it, cools for {} days",
            far.as_secs() / 86_400
        );
        Ok(())
    })
}

fn pauses(subject: &Subject) -> Finding {
    each_oddity(subject, |name, verdict| {
        let Next::Again(pause) = verdict.next else { return Ok(()) };
        ensure!(pause <= Duration::from_mins(1), "`{name}` holds the client for {pause:?}");
        Ok(())
    })
}

/// A judgement of nothing but a cause, for each sample call that goes upstream.
fn bare(subject: &Subject, cause: Cause, mut look: impl FnMut(Verdict) -> Finding) -> Finding {
    for (_, call) in subject.upstream()? {
        look(judge(subject, &call, cause, &HeaderMap::new(), &Bytes::new()))?;
    }
    Ok(())
}

fn connection(subject: &Subject) -> Finding {
    for cause in [Cause::Unsent, Cause::Lost] {
        bare(subject, cause, |verdict| {
            ensure!(verdict.effect == Effect::None, "{cause:?} has the effect {:?}", named(&verdict).1);
            Ok(())
        })?;
    }
    Ok(())
}

fn lost(subject: &Subject) -> Finding {
    bare(subject, Cause::Lost, |verdict| {
        ensure!(verdict.next == Next::Deliver, "a lost answer is followed by {:?}", verdict.next);
        Ok(())
    })
}

fn unsent(subject: &Subject) -> Finding {
    bare(subject, Cause::Unsent, |verdict| {
        ensure!(verdict.next != Next::Deliver, "a request that never left is given up");
        Ok(())
    })
}

fn server_errors(subject: &Subject) -> Finding {
    for code in 500..600 {
        bare(subject, status(code), |verdict| {
            let harmless = matches!(verdict.effect, Effect::None | Effect::Cool(..));
            ensure!(harmless, "a bare {code} has the effect {:?}", named(&verdict).1);
            Ok(())
        })?;
    }
    Ok(())
}

fn client_errors(subject: &Subject) -> Finding {
    for code in [400, 413, 422] {
        bare(subject, status(code), |verdict| {
            ensure!(verdict == Verdict::DELIVER, "a bare {code} is judged {:?}", named(&verdict));
            Ok(())
        })?;
    }
    Ok(())
}

/// Delivered, the client would take it for a verdict on its own key.
fn refused(subject: &Subject) -> Finding {
    for code in [401, 403] {
        bare(subject, status(code), |verdict| {
            ensure!(verdict.next != Next::Deliver, "a bare {code} goes to the client");
            Ok(())
        })?;
    }
    Ok(())
}

fn limited(subject: &Subject) -> Finding {
    bare(subject, status(429), |verdict| {
        let rests = matches!(verdict.effect, Effect::Cool(_, until) if until > now());
        ensure!(rests, "a bare 429 is judged {:?}", named(&verdict));
        Ok(())
    })
}

fn odd(subject: &Subject) -> Finding {
    each_oddity(subject, |_, _| Ok(()))?;
    let noise = noise();
    for sample in &subject.samples.failures {
        let (call, told) = (subject.call(sample.call)?, headers(&sample.headers));
        for cut in cuts(&wire(sample.body.as_ref())) {
            judge(subject, &call, cause(sample), &told, &cut);
        }
    }
    let mut headers = HeaderMap::new();
    headers.extend(HeaderValue::from_bytes(b"\xff\xfe").ok().map(|value| (http_retry_after(), value)));
    for (_, call) in subject.upstream()? {
        for cause in (400..600).map(status).chain([Cause::Event, Cause::Unsent, Cause::Lost]) {
            judge(subject, &call, cause, &headers, &Bytes::new());
        }
        for body in &noise {
            for cause in [400, 401, 403, 404, 429, 500].map(status).into_iter().chain([Cause::Event]) {
                judge(subject, &call, cause, &headers, body);
            }
        }
    }
    // A clock at its beginning, and one far ahead.
    for now in [UNIX_EPOCH, UNIX_EPOCH + Duration::from_hours(24 * 365 * 200)] {
        each_at(subject, now)?;
    }
    Ok(())
}

fn each_at(subject: &Subject, now: SystemTime) -> Finding {
    for sample in &subject.samples.failures {
        let (headers, body) = (headers(&sample.headers), wire(sample.body.as_ref()));
        let failure = Failure { cause: cause(sample), headers: &headers, body: &body, now };
        subject.provider.classify(&subject.call(sample.call)?, &failure);
    }
    Ok(())
}
