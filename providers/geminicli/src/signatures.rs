//! Thought signatures. Gemini signs the first function call of a model turn and wants that signature back with
//! it; clients that speak plain Gemini often lose it.

use lru::LruCache;
use pollux_sdk::kit::{each, first};
use pollux_sdk::{Bytes, Call, Payload, elements, mentions};
use serde_json::Value;
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
        let first = first(&call.body.raw("contents")?)?;
        Some(Conversation(self.hasher.hash_one((&call.model, first))))
    }

    /// Remembers the signed calls of an answer.
    pub(crate) fn learn(&self, conversation: Conversation, candidates: &Value) {
        for part in each(candidates).flat_map(|candidate| each(&candidate["content"]["parts"])) {
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
        let list =
            |payload: &Payload, key| payload.raw(key).and_then(|raw| elements(&raw)).unwrap_or_default();
        let edit = |turn: Bytes| {
            let mut parts = list(&Payload::new(turn), "parts").into_iter().map(Payload::new);
            let (part, call) = parts.find_map(|part| {
                let name =
                    ["functionCall", "function_call"].into_iter().find(|name| part.raw(name).is_some())?;
                let call = part.value(name);
                Some((part, call))
            })?;
            let signed = |key| part.text(key).is_some_and(|signature| !signature.is_empty());
            if !call.is_object() || signed("thoughtSignature") || signed("thought_signature") {
                return None;
            }
            let key = conversation.and_then(|conversation| self.key(conversation, &call));
            let known = key.and_then(|key| self.seen().get(&key).cloned());
            let signature = Value::from(known.as_deref().unwrap_or(PLACEHOLDER)).to_string();
            let changes = [("thought_signature", None), ("thoughtSignature", Some(signature.as_bytes()))];
            Some((range_in(body.bytes(), part.bytes()), part.with(&changes)))
        };
        list(body, "contents").into_iter().filter_map(edit).collect()
    }

    /// Clients write a call anew, so spaces and the order of members do not count, nor does an id.
    fn key(&self, conversation: Conversation, call: &Value) -> Option<(u64, u64)> {
        Some((conversation.0, self.hasher.hash_one((call["name"].as_str()?, &call["args"]))))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where `part`, a slice of `whole`, lies in it.
fn range_in(whole: &Bytes, part: &Bytes) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}
