//! Replies on their way back.

use super::{
    Check, Finding,
    damage::{cuts, noise, variants},
    samples::{Answer, UsageSample, wire},
    subject::{Seen, Subject, events, read_all},
};
use bytes::Bytes;
use pollux_sdk::{At, Emit, Event, Shape, Summary, Usage};

pub(super) const CHECKS: &[Check] = &[
    ("each sample answer comes in the shape announced", shapes),
    ("each sample answer ends", answers_end),
    ("a stream is not over at its first event", streams_last),
    ("a prelude comes before the answer only", preludes),
    ("each sample answer tells its usage and its id", summaries),
    ("each sample fault is seen, and none before it", faults),
    ("a reader that finished starts anew", anew),
    ("what a reader makes of an event is JSON of like size", rewritten),
    ("no event makes a reader panic", odd_events),
];

fn read(subject: &Subject, sample: &Answer) -> Result<(Vec<Seen>, Summary), String> {
    let mut reader = subject.reader(sample)?;
    let seen = read_all(&mut *reader, &events(sample));
    Ok((seen, reader.finish()))
}

fn shapes(subject: &Subject) -> Finding {
    for sample in subject.samples.answers.iter().chain(&subject.samples.faults) {
        let call = subject.call(sample.call)?;
        let attempt = subject.provider.prepare(&call, &subject.lease());
        let attempt = attempt.map_err(|error| format!("`{}`: {error}", sample.name))?;
        let expected = match call.shape {
            Shape::Socket => Shape::Socket,
            _ if sample.body.is_some() => Shape::Whole,
            _ => Shape::Events,
        };
        ensure!(attempt.answers == expected, "`{}` is announced as {:?}", sample.name, attempt.answers);
    }
    Ok(())
}

fn answers_end(subject: &Subject) -> Finding {
    for sample in &subject.samples.answers {
        let (seen, _) = read(subject, sample)?;
        let ended = seen.iter().any(|(at, _)| *at == At::End);
        ensure!(ended, "`{}` counts as broken off: no event of it is its end", sample.name);
        let fault = seen.iter().position(|(at, _)| *at == At::Fault);
        ensure!(fault.is_none(), "event {} of `{}` counts as a fault", fault.unwrap_or(0), sample.name);
    }
    Ok(())
}

/// Otherwise one that breaks off would count as whole.
fn streams_last(subject: &Subject) -> Finding {
    let streams = subject.samples.answers.iter().filter(|sample| events(sample).len() > 1);
    let seen = streams.map(|sample| Ok(read(subject, sample)?.0)).collect::<Result<Vec<_>, String>>()?;
    let lasting = seen.iter().any(|events| events.first().is_some_and(|(at, _)| *at != At::End));
    ensure!(
        seen.is_empty() || lasting,
        "each of the streamed sample answers counts as whole after one event"
    );
    Ok(())
}

fn preludes(subject: &Subject) -> Finding {
    for sample in subject.samples.answers.iter().chain(&subject.samples.faults) {
        let (seen, _) = read(subject, sample)?;
        let late =
            seen.iter().skip_while(|(at, _)| *at == At::Prelude).position(|(at, _)| *at == At::Prelude);
        ensure!(late.is_none(), "`{}` has a prelude after its first event of worth", sample.name);
    }
    Ok(())
}

fn summaries(subject: &Subject) -> Finding {
    for sample in &subject.samples.answers {
        let (_, summary) = read(subject, sample)?;
        let usage = sample.usage.map(|UsageSample { input, cache_read, cache_write, output, reasoning }| {
            Usage { input, cache_read, cache_write, output, reasoning }
        });
        let (name, told) = (&sample.name, summary.usage);
        ensure!(told == usage, "`{name}` tells the usage {told:?}, not {usage:?}");
        ensure!(summary.id == sample.id, "`{name}` tells the id {:?}, not {:?}", summary.id, sample.id);
        let Some(usage) = told else { continue };
        let part = |part: Option<u64>| part.unwrap_or(0);
        let cached = part(usage.cache_read).saturating_add(part(usage.cache_write)) <= usage.input;
        ensure!(
            cached && part(usage.reasoning) <= usage.output,
            "`{name}`: a part is more than the whole in {usage:?}"
        );
    }
    Ok(())
}

fn faults(subject: &Subject) -> Finding {
    for sample in &subject.samples.faults {
        let (seen, _) = read(subject, sample)?;
        let first = seen.iter().position(|(at, _)| matches!(at, At::Fault | At::End));
        let at = first.map(|place| (place + 1, seen[place].0));
        let expected = Some((seen.len(), At::Fault));
        ensure!(at == expected, "`{}` is no fault at its last event: {at:?}", sample.name);
    }
    Ok(())
}

fn anew(subject: &Subject) -> Finding {
    for sample in &subject.samples.answers {
        let mut reader = subject.reader(sample)?;
        let first = (read_all(&mut *reader, &events(sample)), reader.finish());
        let left = reader.finish();
        ensure!(left == Summary::default(), "`{}` leaves {left:?} behind after `finish`", sample.name);
        let second = (read_all(&mut *reader, &events(sample)), reader.finish());
        ensure!(first == second, "`{}` is read otherwise the second time", sample.name);
    }
    Ok(())
}

/// What upstream did not say, the client must not hear; an envelope is taken off, an id put in at most.
fn rewritten(subject: &Subject) -> Finding {
    for sample in &subject.samples.answers {
        let told: usize = events(sample).iter().map(|(_, data)| data.len()).sum();
        let (seen, _) = read(subject, sample)?;
        for ((_, emit), (_, data)) in seen.iter().zip(events(sample)) {
            let Emit::Data(given) = emit else { continue };
            let valid = serde_json::from_slice::<serde::de::IgnoredAny>(given).is_ok();
            ensure!(
                valid || given == &data,
                "`{}`: what the client gets of an event is no JSON",
                sample.name
            );
            ensure!(given.len() <= told + 256, "`{}` grows on its way to the client", sample.name);
        }
    }
    Ok(())
}

fn odd_events(subject: &Subject) -> Finding {
    let noise = noise();
    for sample in subject.samples.answers.iter().chain(&subject.samples.faults) {
        let mut reader = subject.reader(sample)?;
        let mut read = |name: &str, data: &Bytes| {
            reader.read(Event { name, data });
        };
        for (name, data) in events(sample) {
            for odd in cuts(&data).chain(noise.iter().cloned()) {
                read(name, &odd);
            }
        }
        let told = sample.events.iter().flatten().map(|event| (event.name.as_str(), &event.data));
        for (name, value) in told.chain(sample.body.iter().map(|body| ("", body))) {
            for odd in variants(value) {
                read(name, &wire(Some(&odd)));
            }
        }
        for name in ["", "of_no_vendor", "\u{10ffff}"] {
            for odd in &noise {
                read(name, odd);
            }
        }
        reader.finish();
    }
    Ok(())
}
