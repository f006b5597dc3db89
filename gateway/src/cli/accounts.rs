use super::{
    AccountsCommand, EXIT_CONFIGURATION,
    remote::{self, Answer},
    stored,
};
use crate::{limits, settings::Settings};
use pollux_sdk::{Method, Provider};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, process::ExitCode, sync::Arc};

/// What is to be done, whoever does it.
#[derive(Debug, PartialEq)]
pub(super) enum Order<'a> {
    List,
    Show(&'a str),
    Act(&'a str, &'static str),
    Set(&'a str, Value),
    Remove(&'a str),
}

/// `pollux accounts ...`: the running gateway does it, which alone may touch its store; without one, it is done here.
pub async fn accounts(
    settings: &Settings,
    providers: &BTreeMap<&'static str, Arc<dyn Provider>>,
    command: &AccountsCommand,
) -> ExitCode {
    let order = match order(command) {
        Ok(order) => order,
        Err(mistake) => return complain(&mistake, ExitCode::FAILURE),
    };
    let key = settings.basic.admin_key.as_ref();
    let open = settings.basic.local;
    if key.is_none() && !open && remote::is_there(settings).await {
        let text = "set basic.admin_key first, and restart the gateway";
        return complain(text, ExitCode::from(EXIT_CONFIGURATION));
    }
    let (method, path, body) = order.request();
    let answer = match key {
        None if !open => Answer::Nobody,
        key => remote::ask(settings, key, method, &path, body).await,
    };
    let done = match answer {
        Answer::Done(value) => Ok(value),
        Answer::Refused(text) => Err(text),
        Answer::Nobody => stored::execute(settings, providers, &order).await,
    };
    match done {
        Ok(value) => {
            print!("{}", told(&value));
            ExitCode::SUCCESS
        }
        Err(text) => complain(&text, ExitCode::FAILURE),
    }
}

fn complain(text: &str, code: ExitCode) -> ExitCode {
    eprintln!("pollux: {text}");
    code
}

fn order(command: &AccountsCommand) -> Result<Order<'_>, String> {
    use AccountsCommand::{Approve, ForgetCooldown, List, Pause, Refresh, Remove, Resume, Set, Show};
    Ok(match command {
        List => Order::List,
        Show { id } => Order::Show(id),
        Remove { id } => Order::Remove(id),
        Approve { id } => Order::Act(id, "approve"),
        Pause { id } => Order::Act(id, "pause"),
        Resume { id } => Order::Act(id, "resume"),
        Refresh { id } => Order::Act(id, "refresh"),
        ForgetCooldown { id } => Order::Act(id, "forget-cooldown"),
        Set { id, values } => Order::Set(id, change(values)?),
    })
}

impl Order<'_> {
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::List => None,
            Self::Show(id) | Self::Act(id, _) | Self::Set(id, _) | Self::Remove(id) => Some(id),
        }
    }

    fn request(&self) -> (Method, String, Option<&Value>) {
        let one = |id: &str| {
            let segment: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
            format!("/admin/accounts/{segment}")
        };
        match self {
            Self::List => (Method::GET, "/admin/accounts".to_owned(), None),
            Self::Show(id) => (Method::GET, one(id), None),
            Self::Remove(id) => (Method::DELETE, one(id), None),
            Self::Act(id, action) => (Method::POST, format!("{}/{action}", one(id)), None),
            Self::Set(id, change) => (Method::PATCH, one(id), Some(change)),
        }
    }
}

/// Name and limits are the host's; everything else is the provider's.
fn change(values: &[(String, String)]) -> Result<Value, String> {
    let (mut change, mut extra) = (Map::new(), Map::new());
    for (key, value) in values {
        let said = match key.as_str() {
            _ if value.is_empty() => Value::Null,
            // What is no number is left as it is, for the check to refuse it by name.
            "priority" | "weight" | "max_concurrency" => {
                value.parse::<i64>().map_or_else(|_| value.as_str().into(), Value::from)
            }
            _ => value.as_str().into(),
        };
        let ours = key == "label" || limits::KEYS.contains(&key.as_str());
        if ours { &mut change } else { &mut extra }.insert(key.clone(), said);
    }
    limits::Wanted::take_all(&mut change.clone()).map_err(|wrong| wrong.to_string())?;
    if !extra.is_empty() {
        change.insert("extra".into(), extra.into());
    }
    Ok(change.into())
}

/// One account as lines, or all of them as a table.
fn told(value: &Value) -> String {
    let Some(accounts) = value.as_array() else {
        return format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default());
    };
    let text = |account: &Value, key: &str| match &account[key] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let mut lines = vec![format!("{:<6} {:<12} {:<16} {:<32} REASON", "ID", "PROVIDER", "STATE", "LABEL")];
    for account in accounts {
        let reason = account.pointer("/reason/text").and_then(Value::as_str).unwrap_or("");
        let link = account.pointer("/reason/link").and_then(Value::as_str).unwrap_or("");
        let [id, provider, state, label] = ["id", "provider", "state", "label"].map(|key| text(account, key));
        let line = format!("{id:<6} {provider:<12} {state:<16} {label:<32} {reason} {link}");
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tells_the_hosts_facts_from_the_providers() {
        let set =
            |text: &str| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).unwrap();
        let values =
            ["project=my-project", "priority=2", "max_concurrency=", "note=", "label=mine", "weight=3"];
        assert_eq!(
            change(&values.map(set)).unwrap(),
            json!({"priority": 2, "max_concurrency": null, "label": "mine", "weight": 3,
                "extra": {"project": "my-project", "note": null}})
        );
        assert_eq!(change(&[set("weight=2")]).unwrap(), json!({"weight": 2}));
        for wrong in [
            "priority=high",
            "max_concurrency=many",
            "max_concurrency=-1",
            "max_concurrency=0",
            "weight=0",
            "proxy=p:1",
        ] {
            let mistake = change(&[set(wrong)]).unwrap_err();
            assert!(mistake.starts_with(wrong.split('=').next().unwrap()), "{wrong}: {mistake}");
        }
    }

    #[test]
    fn an_id_cannot_lead_elsewhere() {
        let (_, path, _) = Order::Show("../accounts?x").request();
        assert_eq!(path, "/admin/accounts/..%2Faccounts%3Fx");
    }
}
