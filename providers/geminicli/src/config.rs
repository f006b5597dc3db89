use pollux_sdk::kit::oauth::{Section, Usual};
use pollux_sdk::{Method, Reason, Request, Secret};

/// The vendor's own values. The client is Gemini CLI's own installed app: `OAUTH_CLIENT_ID` and
/// `OAUTH_CLIENT_SECRET` of google-gemini/gemini-cli, `packages/core/src/code_assist/oauth2.ts` (read 2026-11-21).
/// The comment there says, after Google's guide to installed applications, that this secret is not treated as one.
pub(crate) const USUAL: Usual = Usual {
    models: &["gemini-2.5-pro"],
    api_url: "https://cloudcode-pa.googleapis.com",
    authorize_url: "https://accounts.google.com/o/oauth2/v2/auth",
    token_url: "https://oauth2.googleapis.com/token",
    userinfo_url: "https://www.googleapis.com/oauth2/v2/userinfo",
    client_id: "681255809395-oo8ft2oprdrnp9e3aqf6av3hmdib135j.apps.googleusercontent.com",
    client_secret: "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",
};

/// A JSON request of one login.
pub(crate) fn request(own: &Section, method: Method, url: &str, access: &Secret) -> Result<Request, Reason> {
    Request { method, ..Request::post(url, "") }.agent(&own.user_agent).bearer(access)
}
