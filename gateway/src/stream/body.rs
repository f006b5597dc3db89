use super::Live;
use crate::server::Leaving;
use bytes::Bytes;
use futures_util::stream::{Stream, unfold};
use std::convert::Infallible;

impl Live {
    /// The body of the client's answer. Polled only while the client reads, so a slow client slows its own upstream.
    pub fn into_stream(
        self: Box<Self>,
        leaving: Leaving,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + 'static {
        unfold((self, leaving), |(mut live, leaving)| async move {
            let bytes = tokio::select! {
                biased;
                bytes = live.next_write() => bytes?,
                () = leaving.gone() => return None,
            };
            Some((Ok(bytes), (live, leaving)))
        })
    }
}
