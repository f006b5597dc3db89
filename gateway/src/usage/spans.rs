//! Which rows answer for which time: single requests at the ragged ends, sums by hour and by day between them.
//!
//! Pure. What was asked for is met to the millisecond while single requests are kept; before that it is widened to
//! whole hours, and before those to whole days.

use crate::store::{DAY, HOUR, Horizons, Part, Source};

/// Unix milliseconds: `from` is in it, `to` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its beginning.
    pub from: i64,
    /// Its end.
    pub to: i64,
}

/// Where the answer comes from, and for which span it then is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Without gaps and overlaps.
    pub parts: Vec<Part>,
    /// What they make together.
    pub span: Span,
}

/// Hours were asked for of a time of which only days are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOld {
    /// Since when hours are known.
    pub hours: i64,
}

/// Plans `span`. With `hourly`, sums by day will not do.
pub fn plan(span: Span, hourly: bool, horizons: Horizons) -> Result<Plan, TooOld> {
    if hourly && span.from < horizons.hours {
        return Err(TooOld { hours: horizons.hours });
    }
    let grain = |at: i64| match at {
        at if at < horizons.hours => DAY,
        at if at < horizons.requests => HOUR,
        _ => 1,
    };
    let span = Span { from: down(span.from, grain(span.from)), to: up(span.to, grain(span.to)) };
    let hours = Span { from: up(span.from, HOUR), to: down(span.to, HOUR) };
    let mut parts = Vec::new();
    let mut part = |source, from, to| {
        if from < to {
            parts.push(Part { source, from, to });
        }
    };
    if hours.from >= hours.to {
        part(Source::Requests, span.from, span.to);
        return Ok(Plan { parts, span });
    }
    part(Source::Requests, span.from, hours.from);
    let days = Span { from: up(hours.from, DAY), to: down(hours.to, DAY) };
    if hourly || days.from >= days.to {
        part(Source::Hours, hours.from, hours.to);
    } else {
        part(Source::Hours, hours.from, days.from);
        part(Source::Days, days.from, days.to);
        part(Source::Hours, days.to, hours.to);
    }
    part(Source::Requests, hours.to, span.to);
    Ok(Plan { parts, span })
}

fn down(at: i64, grain: i64) -> i64 {
    at - at.rem_euclid(grain)
}

fn up(at: i64, grain: i64) -> i64 {
    down(at.saturating_add(grain - 1), grain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: Horizons = Horizons { requests: 0, hours: 0 };

    fn parts(from: i64, to: i64, hourly: bool, horizons: Horizons) -> Vec<(Source, i64, i64)> {
        let plan = plan(Span { from, to }, hourly, horizons).unwrap();
        plan.parts.into_iter().map(|part| (part.source, part.from, part.to)).collect()
    }

    #[test]
    fn the_coarsest_rows_that_will_do_are_taken() {
        use Source::{Days, Hours, Requests};
        assert_eq!(parts(0, 3 * DAY, false, ALL), [(Days, 0, 3 * DAY)]);
        assert_eq!(parts(0, 3 * DAY, true, ALL), [(Hours, 0, 3 * DAY)]);
        assert_eq!(parts(5, 9, false, ALL), [(Requests, 5, 9)]);
        assert_eq!(parts(HOUR - 1, HOUR + 1, false, ALL), [(Requests, HOUR - 1, HOUR + 1)]);
        assert_eq!(
            parts(HOUR - 7, 2 * DAY + HOUR + 3, false, ALL),
            [
                (Requests, HOUR - 7, HOUR),
                (Hours, HOUR, DAY),
                (Days, DAY, 2 * DAY),
                (Hours, 2 * DAY, 2 * DAY + HOUR),
                (Requests, 2 * DAY + HOUR, 2 * DAY + HOUR + 3),
            ]
        );
    }

    #[test]
    fn what_is_gone_is_answered_more_coarsely_and_said_so() {
        let horizons = Horizons { requests: 10 * DAY + HOUR, hours: 5 * DAY };
        let wide = |from, to| plan(Span { from, to }, false, horizons).unwrap().span;
        assert_eq!(wide(4 * DAY + 1, 20 * DAY + 1), Span { from: 4 * DAY, to: 20 * DAY + 1 });
        assert_eq!(wide(6 * DAY + 1, 7 * DAY + 1), Span { from: 6 * DAY, to: 7 * DAY + HOUR });
        let refused = plan(Span { from: 4 * DAY, to: 6 * DAY }, true, horizons);
        assert_eq!(refused, Err(TooOld { hours: 5 * DAY }));
    }

    proptest! {
        #[test]
        fn parts_make_the_span_and_only_ask_for_what_is_there(
            from in 0..400 * DAY, length in 1..400 * DAY, hourly: bool,
            hours in 0..300_i64, requests in 0..24 * 300_i64,
        ) {
            let horizons = Horizons { hours: hours * DAY, requests: (requests * HOUR).max(hours * DAY) };
            let asked = Span { from, to: from + length };
            let Ok(plan) = plan(asked, hourly, horizons) else {
                prop_assert!(hourly && from < horizons.hours);
                return Ok(());
            };
            let mut at = plan.span.from;
            for part in &plan.parts {
                prop_assert_eq!(part.from, at, "a gap or an overlap in {:?}", plan.parts);
                prop_assert!(part.from < part.to);
                let (grain, since) = match part.source {
                    Source::Requests => (1, horizons.requests),
                    Source::Hours => (HOUR, horizons.hours),
                    Source::Days => (DAY, 0),
                };
                prop_assert!(part.from % grain == 0 && part.to % grain == 0);
                prop_assert!(part.from >= since, "{:?} before {}", part, since);
                prop_assert!(!hourly || part.source != Source::Days);
                at = part.to;
            }
            prop_assert_eq!(at, plan.span.to);
            prop_assert!(plan.span.from <= asked.from && asked.to <= plan.span.to);
            prop_assert!(asked.from - plan.span.from < DAY && plan.span.to - asked.to < DAY);
            if from >= horizons.requests {
                prop_assert_eq!(plan.span, asked);
            }
        }
    }
}
