//! The part of OAuth both vendors share: consent page, codes that work once, PKCE.

use std::collections::HashMap;
use std::fmt::Write as _;

use url::Url;

use super::reply::Reply;
use super::token;

/// What an authorize request asked for, once it was found good.
#[derive(Clone, Debug)]
pub(crate) struct Authorization {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) scope: String,
    pub(crate) state: Option<String>,
    pub(crate) challenge: Option<String>,
    pub(crate) offline: bool,
    /// Consent is to be asked for even if it was given before.
    pub(crate) consent: bool,
}

#[derive(Debug)]
struct Code {
    authorization: Authorization,
    account: String,
    expires: u64,
    used: bool,
}

/// Consent pages shown and codes given out.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pending: HashMap<String, Authorization>,
    codes: HashMap<String, Code>,
}

impl Desk {
    /// The page on which a person chooses an account and allows or denies.
    ///
    /// Each account has a form with a button `#allow-<label>`; `#deny` refuses. Submitting is a GET of
    /// `/consent?request=…&decision=allow&account=…`, so that a plain HTTP client can do it too.
    pub(crate) fn show(&mut self, authorization: Authorization, accounts: &[(String, String)]) -> Reply {
        let request = token::random();
        let mut page = format!(
            "<!DOCTYPE html><html><head><title>Choose an account</title><link rel=\"icon\" href=\"data:,\"></head><body>\
             <h1>{} wants access</h1><p>{}</p>",
            escape(&authorization.client_id),
            escape(&authorization.scope)
        );
        for (label, email) in accounts {
            let _ = write!(
                page,
                "<form action=\"/consent\" method=\"get\">\
                 <input type=\"hidden\" name=\"request\" value=\"{request}\">\
                 <input type=\"hidden\" name=\"account\" value=\"{0}\">\
                 <button class=\"allow\" id=\"allow-{0}\" name=\"decision\" value=\"allow\">Allow as {1}</button>\
                 </form>",
                escape(label),
                escape(email)
            );
        }
        let _ = write!(
            page,
            "<form action=\"/consent\" method=\"get\">\
             <input type=\"hidden\" name=\"request\" value=\"{request}\">\
             <button id=\"deny\" name=\"decision\" value=\"deny\">Deny</button></form></body></html>"
        );
        self.pending.insert(request, authorization);
        Reply::html(200, page)
    }

    /// Sends the browser back with a code, or with the denial.
    pub(crate) fn decide(&mut self, request: &str, account: Option<&str>) -> Reply {
        let Some(authorization) = self.pending.remove(request) else {
            return Reply::html(400, "<h1>This request is no longer open</h1>");
        };
        let Ok(mut location) = Url::parse(&authorization.redirect_uri) else {
            return Reply::html(400, "<h1>redirect_uri_mismatch</h1>");
        };
        match account {
            Some(account) => {
                let code = self.issue(authorization.clone(), account);
                location.query_pairs_mut().append_pair("code", &code);
                location.query_pairs_mut().append_pair("scope", &authorization.scope);
            }
            None => drop(location.query_pairs_mut().append_pair("error", "access_denied")),
        }
        if let Some(state) = &authorization.state {
            location.query_pairs_mut().append_pair("state", state);
        }
        Reply::redirect(location.as_str())
    }

    /// A code for this account.
    pub(crate) fn issue(&mut self, authorization: Authorization, account: &str) -> String {
        let code = format!("4/sim-{}", token::random());
        let (account, expires) = (account.to_owned(), token::now() + 600);
        self.codes.insert(code.clone(), Code { authorization, account, expires, used: false });
        code
    }

    /// Whose code this is.
    pub(crate) fn owner(&self, code: &str) -> Option<String> {
        self.codes.get(code).map(|code| code.account.clone())
    }

    /// Gives out what a code stands for, once, to the client it was made for and to nobody else.
    pub(crate) fn redeem(
        &mut self,
        code: &str,
        client_id: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
    ) -> Option<(Authorization, String)> {
        let code = self.codes.get_mut(code)?;
        let authorization = &code.authorization;
        let proven = match (&authorization.challenge, verifier) {
            (None, _) => true,
            (Some(challenge), Some(verifier)) => {
                (43..=128).contains(&verifier.len()) && token::challenge(verifier) == *challenge
            }
            (Some(_), None) => false,
        };
        let fresh = !code.used && code.expires > token::now();
        // A code is spent by the first attempt, whatever comes of it.
        code.used = true;
        (fresh
            && proven
            && authorization.client_id == client_id
            && authorization.redirect_uri == redirect_uri)
            .then(|| (authorization.clone(), code.account.clone()))
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
