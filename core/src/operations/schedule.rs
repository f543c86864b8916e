//! When something recurring is due next: cron expressions in a time zone.

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::{Error, Result};

/// Longest expression, in bytes.
const EXPRESSION_BYTES_MAX: usize = 256;

/// A cron expression with its time zone, both understood.
pub(super) struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

impl Schedule {
    /// Errors: `invalid` (no cron expression of five fields, or of six with seconds; no zone of the IANA database).
    pub(super) fn parse(expression: &str, zone: Option<&str>) -> Result<Self> {
        if expression.len() > EXPRESSION_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the cron expression has more than {EXPRESSION_BYTES_MAX} bytes; shorten it"
            )));
        }
        let cron =
            CronParser::builder().seconds(Seconds::Optional).build().parse(expression).map_err(|_| {
                // The parser's own words quote the expression.
                Error::invalid("not a cron expression; give five fields, such as `0 9 * * 1-5`")
            })?;
        let zone = TimeZone::get(zone.unwrap_or("UTC"))
            .map_err(|_| Error::invalid("there is no such time zone; give one such as `Europe/Berlin`"))?;
        Ok(Self { cron, zone })
    }

    /// The first time after `now`, in ms. `None` where there is none.
    pub(super) fn after(&self, now: u64) -> Option<u64> {
        let now = Timestamp::from_millisecond(i64::try_from(now).ok()?).ok()?.to_zoned(self.zone.clone());
        let next = self.cron.find_next_occurrence(&now, false).ok()?;
        u64::try_from(next.timestamp().as_millisecond()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(expression: &str, zone: &str, now: &str) -> Option<String> {
        let now: Timestamp = now.parse().unwrap();
        let schedule = Schedule::parse(expression, Some(zone)).unwrap();
        let next = schedule.after(u64::try_from(now.as_millisecond()).unwrap())?;
        Some(Timestamp::from_millisecond(i64::try_from(next).unwrap()).unwrap().to_string())
    }

    #[test]
    fn the_zone_of_the_user_decides_also_when_clocks_change() {
        let berlin = |now| after("0 9 * * *", "Europe/Berlin", now).unwrap();
        assert_eq!(berlin("2026-03-28T12:00:00Z"), "2026-03-29T07:00:00Z");
        assert_eq!(berlin("2026-03-27T12:00:00Z"), "2026-03-28T08:00:00Z");
        assert_eq!(after("*/5 * * * *", "UTC", "2026-01-01T00:05:00Z").unwrap(), "2026-01-01T00:10:00Z");
    }

    #[test]
    fn a_time_that_never_comes_is_none() {
        assert_eq!(after("0 0 30 2 *", "UTC", "2026-01-01T00:00:00Z"), None);
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for (expression, zone) in [
            ("", "UTC"),
            ("every day", "UTC"),
            ("61 * * * *", "UTC"),
            ("* * * *", "UTC"),
            ("0 9 * * *", "Mars/Olympus"),
        ] {
            assert_eq!(
                Schedule::parse(expression, Some(zone)).err().unwrap().kind,
                crate::ErrorKind::Invalid
            );
        }
    }
}
