use crate::{Payload, elements, mentions};
use bytes::Bytes;
use std::collections::BTreeMap;

/// `OpenAI` Responses: the last event holds the document, if not always its items.
#[derive(Debug)]
pub(super) struct Responses {
    compact: bool,
    items: BTreeMap<u64, Bytes>,
    /// The response, and whether it is complete.
    last: Option<(Bytes, bool)>,
}

impl Responses {
    pub(super) const fn new(compact: bool) -> Self {
        Self { compact, items: BTreeMap::new(), last: None }
    }

    /// How many bytes are kept of it; `None` spoils the fold.
    pub(super) fn push(&mut self, data: &Bytes) -> Option<usize> {
        // Deltas, nearly all of a stream, end here. Then the type itself is compared: text may mention it too.
        if !["output_item.done", "response.completed", "response.incomplete", "response.failed"]
            .iter()
            .any(|name| mentions(data, name))
        {
            return Some(0);
        }
        let event = Payload::new(data.clone());
        match event.text("type").as_deref().unwrap_or_default() {
            "response.output_item.done" => {
                let index =
                    event.raw("output_index").and_then(|raw| std::str::from_utf8(&raw).ok()?.parse().ok());
                let next = self.items.last_key_value().map_or(0, |(last, _)| last.saturating_add(1));
                self.items.insert(index.unwrap_or(next), event.raw("item")?);
            }
            // An incomplete answer is a 200 of the real API as well, with its reason inside.
            kind @ ("response.completed" | "response.incomplete") => {
                self.last = Some((event.raw("response")?, kind == "response.completed"));
            }
            "response.failed" => return None,
            _ => return Some(0),
        }
        Some(data.len())
    }

    pub(super) fn finish(self) -> Option<Bytes> {
        let (response, complete) = self.last?;
        let response = Payload::new(response);
        let told = response.raw("output").and_then(|output| elements(&output)).unwrap_or_default();
        let items: Vec<Bytes> =
            if told.is_empty() { self.items.into_values().collect() } else { told.clone() };
        if self.compact {
            return if complete { compacted(&response, items) } else { None };
        }
        if !told.is_empty() || items.is_empty() {
            return response.is_object().then(|| response.bytes().clone());
        }
        // Upstream may complete with an empty `output` (Codex backend, 2026): the items came before.
        let output = [&b"["[..], &items.join(&b","[..]), b"]"].concat();
        Some(response.with(&[("output", Some(&output))]))
    }
}

/// The answer of `/responses/compact`, which clients refuse unless there is exactly one compaction.
fn compacted(response: &Payload, items: Vec<Bytes>) -> Option<Bytes> {
    let mut items = items.into_iter().filter(|item| {
        let item = Payload::new(item.clone());
        matches!(item.text("type").as_deref(), Some("compaction" | "compaction_summary"))
    });
    let (item, None) = (items.next()?, items.next()) else { return None };
    let output = [&b"["[..], &item, b"]"].concat();
    let [id, created, usage] = ["id", "created_at", "usage"].map(|key| response.raw(key));
    Some(Payload::new(Bytes::from_static(b"{}")).with(&[
        ("id", id.as_deref()),
        ("object", Some(b"\"response.compaction\"")),
        ("created_at", created.as_deref()),
        ("output", Some(&output)),
        ("usage", usage.as_deref()),
    ]))
}
