//! Plays the person in front of the simulator's consent page, over plain HTTP.

use super::http::{Answer, get};

/// What the person presses.
#[derive(Clone, Copy, Debug)]
pub enum Decision<'a> {
    /// Allow, as the account with this label.
    Allow(&'a str),
    /// Deny.
    Deny,
}

/// Opens an authorize URL and decides: the URL the browser is sent back to, or the page that refused.
pub async fn consent(authorize_url: &str, decision: Decision<'_>) -> Result<String, Box<Answer>> {
    let page = get(authorize_url, &[]).await;
    let text = page.text();
    let request = text.split_once("name=\"request\" value=\"").and_then(|(_, rest)| rest.split('"').next());
    let Some(request) = request.filter(|_| page.status == 200) else { return Err(Box::new(page)) };
    let origin: String = authorize_url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let submit = match decision {
        Decision::Allow(label) => {
            format!("{origin}/consent?request={request}&decision=allow&account={label}")
        }
        Decision::Deny => format!("{origin}/consent?request={request}&decision=deny"),
    };
    let answer = get(&submit, &[]).await;
    match answer.header("location") {
        Some(location) if answer.status == 302 => Ok(location.to_owned()),
        _ => Err(Box::new(answer)),
    }
}
