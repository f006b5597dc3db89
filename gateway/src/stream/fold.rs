//! Unary calls to an upstream that only streams: its events are read and folded into one document.

use super::Live;
use crate::relay::Failed;
use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures_util::{StreamExt, future};
use pollux_dialect::Fold;
use pollux_sdk::{At, Cause, Emit, Event};
use tokio::time::{Instant, timeout, timeout_at};

impl Live {
    /// Reads to the end and folds the events into one document. Nothing of it was delivered yet, so every failure
    /// may still rotate.
    pub async fn fold(&mut self) -> Result<Bytes, Failed> {
        let lost = || Failed::without_reply(Cause::Lost);
        let limits = self.service.limits.clone();
        let endpoint = &self.call.endpoint;
        let mut fold = Fold::new(endpoint.dialect, endpoint.operation).limit(limits.answer_bytes);
        let mut left = limits.answer_bytes;
        let within = move |chunk: &Result<Bytes, reqwest::Error>| {
            let rest = chunk.as_ref().ok().and_then(|chunk| left.checked_sub(chunk.len()));
            left = rest.unwrap_or(0);
            future::ready(rest.is_some())
        };
        let Some(input) = self.input.take() else { return Err(lost()) };
        // What is beyond the cap, or behind a broken connection, ends the stream without an end.
        let mut events = input.take_while(within).eventsource();
        let deadline = Instant::now() + limits.response;
        while let Ok(next) = timeout_at(deadline, timeout(limits.idle, events.next())).await {
            let Ok(Some(Ok(event))) = next else { break };
            let data = Bytes::from(event.data);
            // The specification's default, where there is no `event:` line.
            let name = if event.event == "message" { "" } else { event.event.as_str() };
            let step = self.reader.read(Event { name, data: &data });
            match (step.at, step.emit) {
                (At::Fault, _) => return Err(self.fault(data)),
                (_, Emit::Same) => fold.push(&data),
                (_, Emit::Data(data)) => fold.push(&data),
                (_, Emit::Skip) => {}
            }
            if step.at == At::End {
                self.ended = true;
                return fold.finish().ok_or_else(lost);
            }
        }
        Err(lost())
    }
}
