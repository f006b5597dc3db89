//! Whose a credential file is.

use super::Spot;
use pollux_sdk::{Credential, Provider, Recognition};
use serde_json::Value;
use std::{fmt, sync::Arc};

/// A file that a provider takes.
pub struct Sorted {
    /// Who takes it.
    pub provider: Arc<dyn Provider>,
    /// What it holds.
    pub credential: Credential,
    /// See [`Recognition::Replaces`].
    pub replaces: Option<&'static str>,
    /// Where content and name disagree.
    pub remark: Option<String>,
}

impl fmt::Debug for Sorted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sorted").field("provider", &self.provider.descriptor().id).finish_non_exhaustive()
    }
}

/// A provider that would take the file, and how sure it is.
struct Taker<'a> {
    provider: &'a Arc<dyn Provider>,
    credential: Credential,
    recognition: Recognition,
}

/// The words that stand for a provider in names.
pub fn words(provider: &dyn Provider) -> impl Iterator<Item = &'static str> {
    let about = provider.descriptor();
    [about.id, about.kind].into_iter()
}

/// Finds the provider whose file it is. The content decides; where it leaves a choice, the folder's name, then the
/// beginning of the file's.
///
/// # Errors
/// Says why nobody can use it, without a word of its content.
pub fn sort(spot: &Spot, file: &Value, providers: &[Arc<dyn Provider>]) -> Result<Sorted, String> {
    let mut takers = Vec::new();
    let mut unusable = None;
    for provider in providers {
        match provider.recognise(file) {
            Recognition::Foreign => {}
            Recognition::Unusable(reason) => {
                unusable = unusable.or_else(|| Some(format!("{}: {}", title(provider), reason.text)));
            }
            recognition => takers.extend(provider.import(file).map(|credential| Taker {
                provider,
                credential,
                recognition,
            })),
        }
    }
    let sure = takers.iter().any(Taker::is_sure);
    if let Some(reason) = unusable.filter(|_| !sure) {
        // It is one vendor's beyond doubt: no other may get to see its tokens.
        return Err(reason);
    }
    takers.retain(|taker| !sure || taker.is_sure());
    let named = |taker: &Taker<'_>| spot.names(taker.provider.as_ref());
    let named_any = providers.iter().any(|provider| spot.names(provider.as_ref()));
    let mut disagrees = named_any && !takers.iter().any(named);
    if takers.len() > 1 && !disagrees {
        takers.retain(|taker| !named_any || named(taker));
    }
    disagrees &= !takers.is_empty();
    match takers.len() {
        0 => Err("it holds no login that a provider at work knows".into()),
        1 if !disagrees || sure => {
            let remark =
                disagrees.then(|| format!("its content is {}'s, its name says otherwise", list(&takers)));
            takers.pop().map(|taker| taker.taken(remark)).ok_or_else(String::new)
        }
        1 => Err(format!("its name and its content disagree: it may be {}'s", list(&takers))),
        _ => Err(format!(
            "it may be of {}: put it into a folder of that name, or begin its name with it",
            list(&takers)
        )),
    }
}

impl Taker<'_> {
    fn is_sure(&self) -> bool {
        matches!(self.recognition, Recognition::Own | Recognition::Replaces(_))
    }

    fn taken(self, remark: Option<String>) -> Sorted {
        let replaces = match self.recognition {
            Recognition::Replaces(member) => Some(member),
            _ => None,
        };
        Sorted { provider: Arc::clone(self.provider), credential: self.credential, replaces, remark }
    }
}

impl Spot {
    /// Whether folder or file is named after the provider. The folder comes first: inside one that is named after
    /// somebody, files may be called as they like.
    fn names(&self, provider: &dyn Provider) -> bool {
        let begins = |word: &str| {
            let rest = self.stem.strip_prefix(word);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', '-', '.']))
        };
        match &self.folder {
            Some(folder) => words(provider).any(|word| word == folder),
            None => words(provider).any(begins),
        }
    }
}

fn title(provider: &Arc<dyn Provider>) -> &'static str {
    provider.descriptor().title
}

fn list(takers: &[Taker<'_>]) -> String {
    takers.iter().map(|taker| taker.provider.descriptor().id).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests;
