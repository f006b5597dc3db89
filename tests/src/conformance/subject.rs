//! The provider under test, with its samples made into calls, events and a credential.

use super::{
    guarded,
    samples::{Answer, Samples, headers, wire},
};
use bytes::Bytes;
use pollux_dialect::endpoints;
use pollux_sdk::{
    At, Call, ConfigError, Credential, Emit, Endpoint, Event, Facts, Inbound, Lease, Operation, Payload,
    Provider, Reader, Refusal, Registration, Secret, Settings, Shape,
};
use serde_json::Value;
use std::sync::Arc;

pub(super) struct Subject {
    id: &'static str,
    pub(super) registered: fn(Settings) -> Result<Arc<dyn Provider>, ConfigError>,
    pub(super) samples: Samples,
    pub(super) provider: Arc<dyn Provider>,
    /// Its tokens are long and marked, so that they are found wherever they leak.
    pub(super) credential: Credential,
}

/// One event of a sample, and what it became.
pub(super) type Seen = (At, Emit);

impl Subject {
    /// Gets ready; an error names the step that failed.
    pub(super) fn open(registration: &Registration) -> Result<Self, (usize, String)> {
        let samples = Samples::read(registration.samples).map_err(|text| (0, text))?;
        let settings = Settings { id: registration.id, section: samples.config.clone() };
        let built = guarded(|| (registration.build)(settings).map_err(|error| error.to_string()));
        let provider = built.map_err(|text| (1, text))?;
        let credential = guarded(|| credential(provider.as_ref(), &samples)).map_err(|text| (2, text))?;
        Ok(Self { id: registration.id, registered: registration.build, samples, provider, credential })
    }

    pub(super) const fn id(&self) -> &'static str {
        self.id
    }

    pub(super) fn build(&self, section: Value) -> Result<Arc<dyn Provider>, ConfigError> {
        (self.registered)(Settings { id: self.id, section })
    }

    /// The sample configuration with one more key.
    pub(super) fn config_with(&self, key: &str, value: impl Into<Value>) -> Value {
        let mut section = self.samples.config.clone();
        section[key] = value.into();
        section
    }

    /// The route of a sample call; `None` where the provider has no such route.
    pub(super) fn endpoint(&self, index: usize) -> Option<Endpoint> {
        let sample = &self.samples.calls[index];
        self.routes().into_iter().find(|route| route.path == sample.path && route.method == *sample.method)
    }

    /// Every route the host mounts for it.
    pub(super) fn routes(&self) -> Vec<Endpoint> {
        let about = self.provider.descriptor();
        let standard = about.dialects.iter().flat_map(|dialect| endpoints(*dialect));
        standard.chain(about.endpoints.iter().cloned()).collect()
    }

    /// A sample call as the host would make it.
    pub(super) fn call(&self, index: usize) -> Result<Call, String> {
        self.call_of(index, wire(self.samples.calls[index].body.as_ref()))
    }

    /// A sample call with another body.
    pub(super) fn call_of(&self, index: usize, body: Bytes) -> Result<Call, String> {
        let sample = &self.samples.calls[index];
        let endpoint = self.endpoint(index).ok_or_else(|| {
            format!(
                "call {index} is to {} {}, which is no route of its dialects or its own",
                sample.method, sample.path
            )
        })?;
        let body = Payload::new(body);
        let facts = self.facts(index, &endpoint, &body);
        Ok(Call {
            dialect: endpoint.dialect,
            endpoint,
            model: sample.model.clone(),
            shape: facts.shape.unwrap_or(Shape::Whole),
            query: sample.query.clone(),
            headers: headers(&sample.headers),
            body,
        })
    }

    pub(super) fn facts(&self, index: usize, endpoint: &Endpoint, body: &Payload) -> Facts {
        let sample = &self.samples.calls[index];
        let model = endpoint.path.contains("{model}").then_some(sample.model.as_str());
        let headers = headers(&sample.headers);
        self.provider.probe(&Inbound { endpoint, model, query: &sample.query, headers: &headers, body })
    }

    /// The sample calls that go upstream.
    pub(super) fn upstream(&self) -> Result<Vec<(usize, Call)>, String> {
        let calls = (0..self.samples.calls.len()).map(|index| Ok((index, self.call(index)?)));
        let calls: Vec<_> = calls.collect::<Result<_, String>>()?;
        Ok(calls.into_iter().filter(|(_, call)| goes_upstream(call.endpoint.operation)).collect())
    }

    pub(super) fn lease(&self) -> Lease<'_> {
        Lease::new(&self.credential, false)
    }

    /// The reader of a sample answer's call.
    pub(super) fn reader(&self, sample: &Answer) -> Result<Box<dyn Reader>, String> {
        let attempt = self.provider.prepare(&self.call(sample.call)?, &self.lease());
        attempt.map(|attempt| attempt.reader).map_err(|error| told(sample.call, &error))
    }

    /// What is secret in the credential.
    pub(super) fn secrets(&self) -> Vec<&str> {
        [&self.credential.access, &self.credential.refresh]
            .into_iter()
            .flatten()
            .map(Secret::expose)
            .collect()
    }

    /// Fails where a secret shows.
    pub(super) fn is_clean(&self, place: &str, text: &str) -> Result<(), String> {
        let shown = self.secrets().into_iter().any(|secret| text.contains(secret));
        if shown { Err(format!("{place} shows a token of the account")) } else { Ok(()) }
    }
}

pub(super) const fn goes_upstream(operation: Operation) -> bool {
    !matches!(operation, Operation::Models | Operation::Local(_))
}

pub(super) fn told(index: usize, refusal: &Refusal) -> String {
    format!("call {index} is refused: {refusal}")
}

/// The events of an answer; one in a single document is one event.
pub(super) fn events(sample: &Answer) -> Vec<(&str, Bytes)> {
    match &sample.events {
        Some(events) => events.iter().map(|event| (event.name.as_str(), wire(Some(&event.data)))).collect(),
        None => vec![("", wire(sample.body.as_ref()))],
    }
}

pub(super) fn read_all(reader: &mut dyn Reader, events: &[(&str, Bytes)]) -> Vec<Seen> {
    let read = |(name, data): &(&str, Bytes)| {
        let step = reader.read(Event { name, data });
        (step.at, step.emit)
    };
    events.iter().map(read).collect()
}

fn credential(provider: &dyn Provider, samples: &Samples) -> Result<Credential, String> {
    let file = &samples.files[0];
    let mut credential = provider.import(file).ok_or("`import` does not take the first of `files`")?;
    let account = &samples.account;
    let marked = |token: &str, mark: &str| Secret::new(format!("{token}-{mark}-of-conformance"));
    let access = account.access.as_deref().or(credential.access.as_ref().map(Secret::expose));
    let access = access.ok_or("neither the first of `files` nor `account` has an access token")?;
    credential.access = Some(marked(access, "access"));
    credential.refresh = credential.refresh.as_ref().map(|token| marked(token.expose(), "refresh"));
    credential.subject = account.subject.clone().or(credential.subject);
    credential.label = account.label.clone().or(credential.label);
    credential.extra.extend(account.extra.clone());
    Ok(credential)
}
