//! How sockets end, and what each side is told of it. Pure.

use yawc::{WebSocketError, close::CloseCode};

/// Reasons are for people; a close frame has room for 123 bytes.
const REASON_BYTES: usize = 120;

/// A close as it goes over a wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// Code.
    pub code: u16,
    /// For people.
    pub reason: String,
}

impl Close {
    /// A close of our own.
    pub fn new(code: u16, reason: &str) -> Self {
        Self { code, reason: shortened(reason).to_owned() }
    }
}

/// Why a socket is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The client closed it, or vanished without a word.
    Client(Option<u16>),
    /// The client broke the protocol or sent what is not taken.
    Misuse(u16, &'static str),
    /// Upstream closed it.
    Vendor(Close),
    /// Upstream vanished, or broke the protocol.
    Lost,
    /// One side takes no more bytes.
    Stalled(Party),
    /// Nothing happened for as long as the settings allow.
    Idle,
    /// The account can serve no more; another one can.
    Spent,
    /// This process goes down.
    Restart,
}

/// One of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// Ours.
    Client,
    /// Upstream.
    Vendor,
}

/// What follows from an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farewell {
    /// For the log.
    pub word: &'static str,
    /// Who ended it: `client`, `upstream` or `gateway`.
    pub by: &'static str,
    /// What the client is told; `None` where it is gone.
    pub client: Option<Close>,
    /// What upstream is told; `None` where it is gone.
    pub vendor: Option<Close>,
}

/// What both sides are told. `busy`: an answer was under way, and must not look complete.
pub fn farewell(end: &End, busy: bool) -> Farewell {
    let away = || Some(Close::new(1001, ""));
    let told = |word, by, client: Option<Close>, vendor| Farewell { word, by, client, vendor };
    match end {
        End::Client(Some(code)) => told("closed", "client", None, Some(Close::new(passed(*code, 1000), ""))),
        End::Client(None) => told("client_gone", "client", None, away()),
        End::Misuse(code, reason) => told("misused", "client", Some(Close::new(*code, reason)), away()),
        End::Vendor(close) => {
            let code = passed(close.code, 1001);
            let code = if busy && matches!(code, 1000 | 1001) { 1011 } else { code };
            told("upstream_closed", "upstream", Some(Close::new(code, &close.reason)), None)
        }
        End::Lost => told("upstream_lost", "upstream", Some(Close::new(1011, "upstream broke off")), None),
        End::Stalled(Party::Client) => told("client_stalled", "client", None, away()),
        End::Stalled(Party::Vendor) => {
            told("upstream_stalled", "upstream", Some(Close::new(1011, "upstream takes no more")), None)
        }
        End::Idle => told("idle", "gateway", Some(Close::new(1001, "idle for too long")), away()),
        End::Spent => {
            let reason = "this account can serve no more: reconnect for another one";
            told("spent", "gateway", Some(Close::new(1013, reason)), away())
        }
        End::Restart => {
            told("restart", "gateway", Some(Close::new(1012, "the gateway is shutting down")), away())
        }
    }
}

/// A code that may be sent; those that only stand for something (1005, 1006, 1015) and unknown ones may not.
fn passed(code: u16, instead: u16) -> u16 {
    if CloseCode::from(code).is_allowed() { code } else { instead }
}

/// The code for what a side did wrong; `None` where it is simply gone.
pub fn code_of(error: &WebSocketError) -> Option<(u16, &'static str)> {
    Some(match error {
        WebSocketError::FrameTooLarge => (1009, "a message is larger than 64 MiB"),
        WebSocketError::InvalidUTF8 => (1007, "a text is not UTF-8"),
        WebSocketError::IoError(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
            (1007, "a message could not be inflated")
        }
        error if error.is_closed() || error.is_io_error() => return None,
        _ => (1002, "a frame is not as RFC 6455 has it"),
    })
}

fn shortened(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(end: &End, busy: bool) -> (Option<u16>, Option<u16>) {
        let told = farewell(end, busy);
        (told.client.map(|close| close.code), told.vendor.map(|close| close.code))
    }

    #[test]
    fn each_end_is_told_to_the_other_side() {
        let vendor = |code| End::Vendor(Close::new(code, "r"));
        for (end, idle, busy) in [
            (End::Client(Some(1000)), (None, Some(1000)), (None, Some(1000))),
            (End::Client(Some(4001)), (None, Some(4001)), (None, Some(4001))),
            (End::Client(Some(1005)), (None, Some(1000)), (None, Some(1000))),
            (End::Client(Some(77)), (None, Some(1000)), (None, Some(1000))),
            (End::Client(None), (None, Some(1001)), (None, Some(1001))),
            (End::Misuse(1003, "x"), (Some(1003), Some(1001)), (Some(1003), Some(1001))),
            (vendor(1000), (Some(1000), None), (Some(1011), None)),
            (vendor(1001), (Some(1001), None), (Some(1011), None)),
            (vendor(1005), (Some(1001), None), (Some(1011), None)),
            (vendor(1009), (Some(1009), None), (Some(1009), None)),
            (vendor(4999), (Some(4999), None), (Some(4999), None)),
            (vendor(2999), (Some(1001), None), (Some(1011), None)),
            (End::Lost, (Some(1011), None), (Some(1011), None)),
            (End::Stalled(Party::Client), (None, Some(1001)), (None, Some(1001))),
            (End::Stalled(Party::Vendor), (Some(1011), None), (Some(1011), None)),
            (End::Idle, (Some(1001), Some(1001)), (Some(1001), Some(1001))),
            (End::Spent, (Some(1013), Some(1001)), (Some(1013), Some(1001))),
            (End::Restart, (Some(1012), Some(1001)), (Some(1012), Some(1001))),
        ] {
            assert_eq!((codes(&end, false), codes(&end, true)), (idle, busy), "{end:?}");
        }
    }

    #[test]
    fn a_reason_fits_into_its_frame_and_is_cut_between_letters() {
        assert_eq!(Close::new(1011, &"x".repeat(500)).reason.len(), 120);
        let umlauts = Close::new(1011, &format!("x{}", "ä".repeat(100))).reason;
        assert_eq!((umlauts.len(), umlauts.ends_with('ä')), (119, true));
    }
}
