use pollux_sdk::kit::google::{Progress, is_error, unlisted};
use pollux_sdk::{At, Event, Payload, Reader, Shape, Step, Summary};

/// Leaves the answer as it is, counts its tokens and sees its end.
pub(crate) struct Answer(Progress);

impl Answer {
    pub(crate) fn new(answers: Shape) -> Self {
        Self(Progress::new(answers))
    }
}

impl Reader for Answer {
    fn read(&mut self, event: Event<'_>) -> Step {
        let document = Payload::new(unlisted(event.data));
        if is_error(&document) {
            return Step::same(At::Fault);
        }
        self.0.see(&document);
        Step::same(self.0.at())
    }

    fn finish(&mut self) -> Summary {
        self.0.finish()
    }
}
