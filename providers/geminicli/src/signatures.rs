//! Thought signatures. Gemini signs the first function call of a model turn and wants that signature back with
//! it; clients that speak plain Gemini often lose it.

use lru::LruCache;
use pollux_sdk::{Bytes, Call, Payload, mentions};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::{
    hash::{BuildHasher, RandomState},
    num::NonZero,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What Gemini CLI itself sends for a call whose signature is lost; upstream takes it (2026-08).
const PLACEHOLDER: &str = "skip_thought_signature_validator";
/// Together they cap the memory: 64 MiB, in practice a tenth of it.
const MOST: NonZero<usize> = NonZero::new(4096).expect("not zero");
const LONGEST: usize = 16 << 10;

/// Bytes of a body to be replaced.
pub(crate) type Edit = (Range<usize>, Bytes);

/// One conversation: its model and how it began. Gemini clients send no session id, but always the beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conversation(u64);

type Seen = LruCache<(u64, u64), Box<str>>;

/// The signatures seen lately, by conversation and function call.
#[derive(Debug)]
pub(crate) struct Signatures {
    hasher: RandomState,
    seen: Mutex<Seen>,
}

impl Default for Signatures {
    fn default() -> Self {
        Self { hasher: RandomState::new(), seen: Mutex::new(LruCache::new(MOST)) }
    }
}

impl Signatures {
    /// The conversation of a request; `None` where no function can be called.
    pub(crate) fn conversation(&self, call: &Call) -> Option<Conversation> {
        call.body.raw("tools")?;
        let contents = call.body.raw("contents")?;
        let turns = serde_json::Deserializer::from_slice(contents.strip_prefix(b"[")?);
        let first = turns.into_iter::<&RawValue>().next()?.ok()?;
        Some(Conversation(self.hasher.hash_one((&call.model, first.get()))))
    }

    /// Remembers the signed calls of an answer.
    pub(crate) fn learn(&self, conversation: Conversation, candidates: &Value) {
        let candidates = candidates.as_array().into_iter().flatten();
        let parts = candidates.filter_map(|candidate| candidate["content"]["parts"].as_array());
        for part in parts.flatten() {
            if let Some(key) = self.key(conversation, &part["functionCall"])
                && let Some(signature) = part["thoughtSignature"].as_str()
                && (1..=LONGEST).contains(&signature.len())
            {
                self.seen().put(key, signature.into());
            }
        }
    }

    /// The signatures that a request lacks: one for the first function call of each model turn.
    pub(crate) fn missing(&self, conversation: Option<Conversation>, body: &Payload) -> Vec<Edit> {
        if !mentions(body.bytes(), "functionCall\"") && !mentions(body.bytes(), "function_call\"") {
            return Vec::new();
        }
        let contents = body.raw("contents").unwrap_or_default();
        let turns: Vec<Turn<'_>> = serde_json::from_slice(&contents).unwrap_or_default();
        let edit = |turn: &Turn<'_>| {
            let (range, part, call) = turn.parts.iter().flatten().find_map(|raw| {
                let range = range_in(body.bytes(), raw.get());
                let part = Payload::new(body.bytes().slice(range.clone()));
                let call = part.raw("functionCall").or_else(|| part.raw("function_call"))?;
                Some((range, part, call))
            })?;
            let signed = |key| part.text(key).is_some_and(|signature| !signature.is_empty());
            if signed("thoughtSignature") || signed("thought_signature") {
                return None;
            }
            let call: Value = serde_json::from_slice(&call).unwrap_or_default();
            let key = conversation.and_then(|conversation| self.key(conversation, &call));
            let known = key.and_then(|key| self.seen().get(&key).cloned());
            let signature = Value::from(known.as_deref().unwrap_or(PLACEHOLDER)).to_string();
            let changes = [("thought_signature", None), ("thoughtSignature", Some(signature.as_bytes()))];
            Some((range, part.with(&changes)))
        };
        turns.iter().filter_map(edit).collect()
    }

    /// Clients write a call anew, so spaces and the order of members do not count, nor does an id.
    fn key(&self, conversation: Conversation, call: &Value) -> Option<(u64, u64)> {
        Some((conversation.0, self.hasher.hash_one((call["name"].as_str()?, &call["args"]))))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize)]
struct Turn<'a> {
    #[serde(borrow)]
    parts: Option<Vec<&'a RawValue>>,
}

/// Where `part`, a slice of `whole`, lies in it.
fn range_in(whole: &[u8], part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}
