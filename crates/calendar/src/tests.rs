//! Expressions, zones, and the two nights a year when clocks change.

use std::time::Duration;

use proptest::prelude::*;
use types::Timestamp;
use types::options::{Concurrency, MissedRuns, Schedule};

use super::{Calendar, CalendarError, LeftOut};

fn calendar(cron: &str, zone: &str) -> Calendar {
    let schedule = Schedule {
        time_zone: zone.into(),
        ..Schedule::of(cron)
    };
    Calendar::of(&schedule).unwrap()
}

/// A moment given as seconds since the epoch in UTC.
fn at(year: i32, month: u32, day: u32, hour: u32, minute: u32) -> Timestamp {
    let date = chrono::NaiveDate::from_ymd_opt(year, month, day).unwrap();
    let secs = date
        .and_hms_opt(hour, minute, 0)
        .unwrap()
        .and_utc()
        .timestamp();
    Timestamp::from_secs(u64::try_from(secs).unwrap())
}

/// The due times in a span of hours, in UTC, hour and minute of the first day counted on.
fn due(calendar: &Calendar, from: Timestamp, hours: u64) -> Vec<String> {
    let end = from.plus(Duration::from_secs(hours * 3600));
    let mut found = Vec::new();
    let mut after = from;
    while let Some(next) = calendar.next_after(after).filter(|t| *t < end) {
        found.push(next.to_string()[11..16].to_owned());
        after = next;
    }
    found
}

#[test]
fn expressions_are_due_when_cron_says() {
    let from = at(2026, 1, 30, 12, 0);
    let cases = [
        ("*/5 * * * *", at(2026, 1, 30, 12, 5)),
        ("0 3 * * *", at(2026, 1, 31, 3, 0)),
        ("0 0 1 * *", at(2026, 2, 1, 0, 0)),
        ("0 0 * * MON", at(2026, 2, 2, 0, 0)),
        ("30 4 1,15 * 5", at(2026, 2, 1, 4, 30)),
        ("@daily", at(2026, 1, 31, 0, 0)),
        ("0 0 29 2 *", at(2028, 2, 29, 0, 0)),
        ("0 0 L * *", at(2026, 1, 31, 0, 0)),
    ];
    for (cron, expected) in cases {
        let calendar = calendar(cron, "");
        assert_eq!(calendar.next_after(from), Some(expected), "{cron}");
        assert_eq!(calendar.last_until(expected), Some(expected), "{cron}");
    }
}

#[test]
fn what_is_no_cron_expression_or_time_zone_is_refused_with_words() {
    for cron in [
        "",
        "* * * *",
        "61 * * * *",
        "* * * * * * * *",
        "every day",
        "@reboot",
        "*/0 * * * *",
    ] {
        let error = Calendar::of(&Schedule::of(cron)).unwrap_err();
        assert!(matches!(error, CalendarError::Cron { .. }), "{cron}");
        assert!(error.to_string().contains("write MINUTE HOUR"), "{error}");
    }
    let long = "1,".repeat(200);
    assert!(
        Calendar::of(&Schedule::of(long))
            .unwrap_err()
            .to_string()
            .contains("longer than 256")
    );
    for zone in ["Mars/Olympus", "Europe/Berlinn", "+02:00", " "] {
        let mut schedule = Schedule::of("* * * * *");
        schedule.time_zone = zone.into();
        let error = Calendar::of(&schedule).unwrap_err();
        assert_eq!(error, CalendarError::Zone(zone.into()));
    }
}

#[test]
fn an_expression_that_never_fires_has_no_next_time() {
    let from = at(2026, 3, 1, 0, 0);
    for cron in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 0 1 1 * 2020"] {
        assert_eq!(
            calendar(cron, "America/New_York").next_after(from),
            None,
            "{cron}"
        );
    }
    let leap_day = calendar("0 0 29 2 *", "").next_after(at(2096, 3, 1, 0, 0));
    assert_eq!(
        leap_day,
        Some(at(2104, 2, 29, 0, 0)),
        "eight years are not never"
    );
}

#[test]
fn a_time_in_the_gap_of_spring_is_due_once_right_after_it() {
    let spring = at(2026, 3, 28, 23, 0);
    assert_eq!(
        due(&calendar("30 2 * * *", "Europe/Berlin"), spring, 24),
        ["01:00"]
    );
    let half_hours = due(&calendar("*/30 * * * *", "Europe/Berlin"), spring, 4);
    assert_eq!(
        half_hours,
        [
            "23:30", "00:00", "00:30", "01:00", "01:30", "02:00", "02:30"
        ]
    );
}

#[test]
fn a_time_in_the_double_hour_of_autumn_is_due_once_and_an_interval_goes_on() {
    let autumn = at(2026, 10, 24, 23, 0);
    assert_eq!(
        due(&calendar("30 2 * * *", "Europe/Berlin"), autumn, 24),
        ["00:30"]
    );
    let half_hours = due(&calendar("*/30 * * * *", "Europe/Berlin"), autumn, 3);
    assert_eq!(half_hours, ["23:30", "00:00", "00:30", "01:00", "01:30"]);
}

#[test]
fn zones_shift_what_is_due() {
    let from = at(2026, 7, 1, 0, 0);
    let next = |zone| calendar("0 9 * * *", zone).next_after(from);
    assert_eq!(next("Asia/Tokyo"), Some(at(2026, 7, 2, 0, 0)));
    assert_eq!(next("America/New_York"), Some(at(2026, 7, 1, 13, 0)));
    assert_eq!(next("Asia/Kathmandu"), Some(at(2026, 7, 1, 3, 15)));
    assert_eq!(next("UTC"), next(""));
}

fn field(max: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        (1..20u32).prop_map(|n| format!("*/{n}")),
        (1..=max).prop_map(|n| n.to_string()),
        (1..=max, 1..=max).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
    ]
}

proptest! {
    #[test]
    fn due_times_follow_one_another_without_a_gap_in_either_direction(
        minute in field(59), hour in field(23), day in field(28), weekday in field(6),
        zone in prop::sample::select(vec![
            "", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
        ]),
        from in 1_700_000_000u64..1_900_000_000,
    ) {
        let calendar = calendar(&format!("{minute} {hour} {day} * {weekday}"), zone);
        let from = Timestamp::from_secs(from);
        let first = calendar.next_after(from).unwrap();
        prop_assert!(first > from);
        prop_assert_eq!(calendar.last_until(first), Some(first));
        let second = calendar.next_after(first).unwrap();
        prop_assert!(second > first);
        let before = Timestamp(second.0 - 1);
        prop_assert_eq!(calendar.last_until(before), Some(first));
        prop_assert_eq!(calendar.next_after(before), Some(second));
    }
}

#[test]
fn due_times_that_began_no_run_are_counted_from_when_the_run_began() {
    let schedule = Schedule::of("*/5 * * * *");
    let moment = |minute| at(2026, 5, 1, 12, minute);
    let begun = moment(0).plus(Duration::from_millis(300));
    assert_eq!(LeftOut::of(&schedule, begun, moment(0)), None);
    let left_out = LeftOut::of(&schedule, begun, moment(10)).unwrap();
    assert_eq!((left_out.count, left_out.newest), (2, moment(10)));
    assert_eq!(
        left_out.to_string(),
        "left out: 2 runs, last due 2026-05-01T12:10:00Z: this run was not over"
    );
    let years = LeftOut::of(&schedule, Timestamp::ZERO, moment(10)).unwrap();
    assert_eq!(years.count, 100);
}

#[test]
fn a_run_by_hand_and_a_changed_schedule_leave_nothing_out() {
    let schedule = Schedule::of("*/5 * * * *");
    let between = at(2026, 5, 1, 12, 7);
    assert_eq!(LeftOut::of(&schedule, Timestamp::ZERO, between), None);
}

#[test]
fn the_reason_of_a_due_time_without_a_run_follows_from_the_policies() {
    let reason = |concurrency, missed| {
        let schedule = Schedule {
            concurrency,
            missed,
            ..Schedule::of("@hourly")
        };
        let (begun, due) = (at(2026, 5, 1, 12, 1), at(2026, 5, 1, 13, 0));
        LeftOut::of(&schedule, begun, due).unwrap().reason
    };
    let (forbid, allow) = (Concurrency::Forbid, Concurrency::Allow);
    assert_eq!(reason(forbid, MissedRuns::Once), "this run was not over");
    assert_eq!(reason(allow, MissedRuns::Skip), "no manager led");
    assert!(reason(forbid, MissedRuns::Skip).contains(" or "));
}
