use super::Live;
use bytes::Bytes;
use futures_util::stream::{Stream, unfold};
use std::convert::Infallible;

impl Live {
    /// The body of the client's answer. Polled only while the client reads, so a slow client slows its own upstream.
    pub fn into_stream(self: Box<Self>) -> impl Stream<Item = Result<Bytes, Infallible>> + 'static {
        unfold(self, |mut live| async move { live.next_write().await.map(|bytes| (Ok(bytes), live)) })
    }
}
