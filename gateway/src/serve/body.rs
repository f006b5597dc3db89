use actix_web::{HttpRequest, http::header, web};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt;
use pollux_dialect::Fault;
use std::{io::Read, time::Duration};
use tokio::time::timeout;

/// The longest silence within a request body.
const SILENCE: Duration = Duration::from_secs(30);
/// Bodies beyond this are decoded off the worker's own thread.
const BLOCKING_BYTES: usize = 256 << 10;

/// Reads and decodes a body. `limit` holds for what arrives and for what it decodes to.
pub async fn read(request: &HttpRequest, payload: web::Payload, limit: usize) -> Result<Bytes, Fault> {
    let too_large = || Fault::too_large(limit as u64);
    let encoding = encoding(request)?;
    let announced =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        return Err(too_large());
    }
    let body = collect(payload, limit, announced.unwrap_or(0)).await?;
    let decoded = match encoding {
        Encoding::Identity => return Ok(body),
        encoding if body.len() > BLOCKING_BYTES => {
            web::block(move || decode(encoding, &body, limit)).await.map_err(|_| Fault::internal())?
        }
        encoding => decode(encoding, &body, limit),
    };
    decoded.map_err(|error| match error {
        Undecodable::TooLarge => too_large(),
        Undecodable::Broken => Fault::bad_request(None, "the body is not what its content-encoding says"),
    })
}

async fn collect(mut payload: web::Payload, limit: usize, announced: usize) -> Result<Bytes, Fault> {
    let mut body = BytesMut::with_capacity(announced.min(1 << 20));
    loop {
        match timeout(SILENCE, payload.next()).await {
            Ok(Some(Ok(chunk))) if body.len() + chunk.len() > limit => {
                return Err(Fault::too_large(limit as u64));
            }
            Ok(Some(Ok(chunk))) => body.extend_from_slice(&chunk),
            Ok(Some(Err(_))) => return Err(Fault::bad_request(None, "the body broke off")),
            Ok(None) => return Ok(body.freeze()),
            Err(_) => return Err(Fault::new(408, "request_timeout", "the body did not come in time")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    Zstd,
    Gzip,
}

#[derive(Debug)]
enum Undecodable {
    TooLarge,
    Broken,
}

fn encoding(request: &HttpRequest) -> Result<Encoding, Fault> {
    let Some(value) = request.headers().get(header::CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
    match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "zstd" => Ok(Encoding::Zstd),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        other => Err(Fault::unsupported_encoding(other.get(..other.len().min(64)).unwrap_or("?"))),
    }
}

fn decode(encoding: Encoding, body: &[u8], limit: usize) -> Result<Bytes, Undecodable> {
    match encoding {
        Encoding::Identity => Ok(Bytes::copy_from_slice(body)),
        Encoding::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(|_| Undecodable::Broken)?;
            capped(decoder, limit)
        }
        Encoding::Gzip => capped(MultiGzDecoder::new(body), limit),
    }
}

fn capped(reader: impl Read, limit: usize) -> Result<Bytes, Undecodable> {
    let mut out = Vec::new();
    let cap = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(cap).read_to_end(&mut out).map_err(|_| Undecodable::Broken)?;
    if out.len() > limit { Err(Undecodable::TooLarge) } else { Ok(out.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn decodes_up_to_the_limit_and_not_beyond() {
        let data = vec![b'x'; 10_000];
        for (encoding, packed) in
            [(Encoding::Gzip, gzip(&data)), (Encoding::Zstd, zstd::encode_all(&data[..], 3).unwrap())]
        {
            assert!(packed.len() < 200);
            assert_eq!(decode(encoding, &packed, data.len()).unwrap(), data);
            assert!(matches!(decode(encoding, &packed, data.len() - 1), Err(Undecodable::TooLarge)));
            assert!(matches!(
                decode(encoding, &packed[..packed.len() / 2], data.len()),
                Err(Undecodable::Broken)
            ));
            assert!(matches!(decode(encoding, b"plain", 100), Err(Undecodable::Broken)));
        }
    }
}
