use super::EXIT_CONFIGURATION;
use crate::{
    files::{create, text},
    settings::Settings,
    startup::peek_store,
    store::Row,
};
use pollux_sdk::Provider;
use serde_json::Value;
use std::{collections::BTreeMap, fs, io, path::Path, process::ExitCode, sync::Arc};

/// `pollux export ...`: reads the store itself, since no request may ever be answered with a token.
pub async fn export(
    settings: &Settings,
    providers: &BTreeMap<&'static str, Arc<dyn Provider>>,
    to: &Path,
    include_secrets: bool,
) -> ExitCode {
    if !include_secrets {
        eprintln!(
            "pollux: an export holds every account's tokens in plain text; say --include-secrets to have it"
        );
        return ExitCode::FAILURE;
    }
    let rows = match peek_store(&settings.basic).await {
        Ok(store) => {
            let rows = store.list().await;
            store.close().await;
            rows
        }
        Err(error) => Err(error),
    };
    let rows = match rows {
        Ok(rows) => rows,
        Err(error) => {
            eprintln!("pollux: {error}");
            let code = if error.is_configuration() { EXIT_CONFIGURATION } else { 1 };
            return ExitCode::from(code);
        }
    };
    eprintln!(
        "pollux: WARNING: these files hold tokens in plain text. Who has them has the accounts. A refresh token may be \
         good for one use: do not let two programs use one account's."
    );
    let mut code = ExitCode::SUCCESS;
    for row in &rows {
        match write(providers, to, row) {
            Ok(path) => println!("{path}"),
            Err(reason) => {
                eprintln!("pollux: account {}: {reason}", row.id);
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

fn write(
    providers: &BTreeMap<&'static str, Arc<dyn Provider>>,
    to: &Path,
    row: &Row,
) -> Result<String, String> {
    let provider = providers.get(row.provider.as_str());
    let provider = provider.ok_or_else(|| format!("provider `{}` is not at work", row.provider))?;
    if row.credential.access.is_none() && row.credential.refresh.is_none() {
        return Err("it has no token that can be read".into());
    }
    let mut file = Value::Null;
    provider.export(&row.credential, &mut file);
    let folder = to.join(&row.provider);
    let path = folder.join(file_name(row));
    let failed = |error: io::Error| format!("{} cannot be written: {}", path.display(), error.kind());
    make_folder(&folder).map_err(failed)?;
    create(&path, &text(&file)).map_err(failed)?;
    Ok(path.display().to_string())
}

/// For the owner alone, also where it does not exist yet.
fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// A name that no file system minds and that no two accounts share.
fn file_name(row: &Row) -> String {
    let plain =
        |letter: char| if letter.is_ascii_alphanumeric() || "@.-".contains(letter) { letter } else { '_' };
    let label: String =
        row.credential.label.as_deref().unwrap_or("account").chars().take(80).map(plain).collect();
    format!("{}-{label}.json", row.id)
}
