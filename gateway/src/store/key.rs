//! Where the sealing key comes from.

use super::{StoreError, location};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use pollux_sdk::Secret;
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    path::Path,
};

pub(super) type Key = [u8; 32];

/// A key file is some forty bytes; whatever is longer is another file.
const LIMIT: u64 = 4096;

pub(super) fn from_secret(secret: &Secret) -> Result<Key, StoreError> {
    parse(secret.expose()).ok_or_else(|| StoreError::KeyMalformed("POLLUX_SEALING_KEY".into()))
}

/// The key in the file; `None` if there is no such file.
pub(super) fn from_file(path: &Path) -> Result<Option<Key>, StoreError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(StoreError::file(path))?,
    };
    let mut text = String::new();
    match file.take(LIMIT).read_to_string(&mut text) {
        Err(error) if error.kind() != ErrorKind::InvalidData => Err(StoreError::file(path)(error)),
        _ => parse(&text).map(Some).ok_or_else(|| StoreError::KeyMalformed(path.display().to_string())),
    }
}

/// Makes a key and keeps it in the file. Whoever finds one there already takes that.
pub(super) fn create(path: &Path) -> Result<Key, StoreError> {
    let key: Key = rand::random();
    // The name appears with the whole key behind it or not at all: a crash cannot leave half a key.
    let draft = location::with_suffix(path, &format!(".{:016x}", rand::random::<u64>()));
    let written = write(&draft, &key).and_then(|()| publish(&draft, path));
    let _ = fs::remove_file(&draft);
    written.map_err(StoreError::file(path))?;
    from_file(path)?.ok_or_else(|| StoreError::file(path)(ErrorKind::NotFound.into()))
}

fn write(draft: &Path, key: &Key) -> io::Result<()> {
    let mut file = location::private().write(true).create_new(true).open(draft)?;
    file.write_all(hex(key).as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn publish(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        // Some mounted folders know no hard links.
        Err(_) => fs::rename(draft, path)?,
        Ok(()) => {}
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn parse(text: &str) -> Option<Key> {
    let text = text.trim();
    let bytes = if text.len() == 64 { unhex(text)? } else { unbase64(text)? };
    bytes.try_into().ok()
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let plain = text.replace('-', "+").replace('_', "/");
    GeneralPurpose::new(&alphabet::STANDARD, config).decode(plain).ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair.first()?)? << 4 | digit(pair.get(1)?)?)).collect()
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_hex_and_from_either_base64_with_or_without_padding() {
        let key: Key = [0xfb; 32];
        let standard = base64::prelude::BASE64_STANDARD.encode(key);
        let url = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(key);
        assert_ne!(standard.trim_end_matches('='), url);
        for text in [hex(&key), hex(&key).to_uppercase(), standard, url, format!(" {}\n", hex(&key))] {
            assert_eq!(parse(&text), Some(key), "{text}");
        }
    }

    #[test]
    fn what_is_not_32_bytes_is_no_key() {
        for text in ["", "short", &hex(&[1; 31]), &hex(&[1; 33]), &"é".repeat(32), &"z".repeat(64)] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
