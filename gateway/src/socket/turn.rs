use crate::story::Story;
use pollux_sdk::Call;

/// One answer under way.
#[derive(Debug)]
pub(super) struct Turn {
    /// The frame that asked, without its body.
    pub(super) call: Call,
    /// The client has seen something of the answer.
    pub(super) delivered: bool,
    /// Told when the answer is over.
    pub(super) story: Story,
}
