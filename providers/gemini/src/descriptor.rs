use crate::config::Config;
use pollux_sdk::{Alias, Descriptor, Dialect, Model, Operation};

pub(crate) fn describe(config: &Config) -> Descriptor {
    Descriptor {
        id: "gemini",
        title: "Gemini API",
        kind: "gemini",
        dialects: &[Dialect::Gemini],
        operations: &[Operation::Generate, Operation::CountTokens, Operation::Embed, Operation::Models],
        models: config.model_list.iter().map(Model::named).collect(),
        aliases: &[Alias::Shared("/v1beta"), Alias::Shared("/v1")],
        endpoints: Vec::new(),
        request_headers: &["x-goog-api-client", "user-agent"],
        reply_headers: &[],
        login: None,
        single_use_refresh: false,
    }
}
