//! From the store into the files: renewed tokens.

use super::{Clerk, blocking, parse, read, unavailable};
use crate::{
    files::{
        folder::{self, Stamp},
        write,
    },
    relay::Service,
    store::{FileRow, Row, State, StoreError},
};
use serde_json::Value;
use std::{io, path::Path};

impl Clerk {
    /// The account of a file. It may have been merged into another one since the file was looked up.
    pub(super) async fn held_by(&self, known: &FileRow) -> Result<Option<Row>, StoreError> {
        let mut account = known.account;
        for _ in 0..3 {
            let Some(id) = account else { return Ok(None) };
            if let Some(row) = self.store.get(id).await? {
                return Ok(Some(row));
            }
            account = self.store.account_of(&known.path).await?.filter(|now| *now != id);
        }
        Ok(None)
    }

    /// Files whose accounts were renewed get the new tokens.
    pub(super) async fn write_renewals(&mut self) {
        let accounts = self.store.take_renewals();
        if accounts.is_empty() || self.folders.is_empty() || !self.write_back {
            return;
        }
        let files = match self.store.files_of(&accounts).await {
            Ok(files) => files,
            // The next start finds them to be old.
            Err(error) => return self.complain("", &error.to_string()),
        };
        for file in files {
            if let Err(reason) = self.renew_file(&file).await {
                self.complain(&file.path, &reason);
            }
        }
    }

    async fn renew_file(&mut self, known: &FileRow) -> Result<(), String> {
        let path = Path::new(&known.path);
        let Some(service) = self.service(&known.provider) else { return Ok(()) };
        if !self.folders.iter().any(|root| path.starts_with(root)) {
            return Ok(());
        }
        let stamp = folder::stamp_of(path);
        let text = read(path).await?;
        if self.store.digest(&text) != known.digest {
            return Ok(()); // somebody changed it, and it is about to be looked at
        }
        if let Some(row) = self.held_by(known).await.map_err(unavailable)? {
            self.bring_up_to_date(path, &parse(&text)?, stamp, &service, &row).await;
        }
        Ok(())
    }

    /// Writes the stored tokens into a file that has others. Whether it did.
    pub(super) async fn bring_up_to_date(
        &mut self,
        path: &Path,
        file: &Value,
        stamp: Option<Stamp>,
        service: &Service,
        row: &Row,
    ) -> bool {
        if !self.write_back || row.state == State::RefreshUnknown {
            return false;
        }
        let Some(next) = write::renewed(service.provider.as_ref(), file, &row.credential) else {
            return false;
        };
        let text = write::text(&next);
        let digest = self.store.digest(&text);
        let target = path.to_owned();
        let written = blocking(move || {
            write::replace(&target, &text, stamp)
                .map(|done| done.then(|| folder::stamp_of(&target)).flatten())
        });
        match written.await.unwrap_or_else(|| Err(io::ErrorKind::Other.into())) {
            Ok(Some(stamp)) => {
                self.seen.insert(path.to_owned(), Some(stamp));
                tracing::info!(file = %path.display(), account = %row.label(), "tokens written back");
                if let Err(error) = self.store.file_written(&path.display().to_string(), &digest).await {
                    // It counts as changed then, by tokens that are known.
                    self.complain("", &error.to_string());
                }
                true
            }
            Ok(None) => false,
            Err(error) => {
                let reason = format!("its new tokens cannot be written back: {}", error.kind());
                self.complain(&path.display().to_string(), &reason);
                false
            }
        }
    }
}
