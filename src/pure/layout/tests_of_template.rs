//! Paths of records, in zones of every kind.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::template::{NULL_PARTITION, Template};
use crate::pure::calendar::YEARS;

const TIME: i64 = 1_795_366_982_000; // 2026-11-22T17:03:02Z

fn render(template: &str, zone: TimeZone, millis: Option<i64>) -> String {
    Template::parse(template, zone).unwrap().render("a/b", 7, millis)
}

#[test]
fn renders_in_the_zone() {
    let check = |t, zone: &str, ms, want: &str| {
        assert_eq!(render(t, TimeZone::get(zone).unwrap(), ms), want);
    };
    check("{topic}/dt=%Y-%m-%d/hr=%H", "UTC", Some(TIME), "a%2Fb/dt=2026-11-22/hr=17");
    check("x-{topic}/dt=%F/hr=%H%M", "Asia/Kathmandu", Some(TIME), "x-a%2Fb/dt=2026-11-22/hr=2248");
    check("{topic}/p={partition}/w=%G-%V", "UTC", Some(TIME), "a%2Fb/p=7/w=2026-47");
    let null = "a%2Fb/dt=__HIVE_DEFAULT_PARTITION__/hr=__HIVE_DEFAULT_PARTITION__";
    for unusable in [None, Some(-1), Some(i64::MIN), Some(i64::MAX), Some(YEARS.1 + 1)] {
        check("{topic}/dt=%Y-%m-%d/hr=%H", "UTC", unusable, null);
    }
    // There it is the year 10000 already.
    check("{topic}/dt=%Y-%m-%d/hr=%H", "Asia/Tokyo", Some(YEARS.1), null);
    check("{topic}/dt=%Y", "UTC", Some(0), "a%2Fb/dt=1970");
}

#[test]
fn the_last_day_has_a_directory() {
    let check = |zone: &str, ms, want: &str| {
        assert_eq!(render("dt=%F/hr=%H", TimeZone::get(zone).unwrap(), Some(ms)), want);
    };
    check("UTC", 253_402_214_400_000, "dt=9999-12-31/hr=00");
    check("UTC", YEARS.1, "dt=9999-12-31/hr=23");
    check("America/New_York", YEARS.1, "dt=9999-12-31/hr=18");
}

/// When summer time ends, clocks show an hour twice.
#[test]
fn an_hour_that_comes_twice_has_two_directories_by_its_offset() {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let (first, second) = (1_792_887_300_000, 1_792_887_300_000 + 3_600_000);
    let at = |text: &str, ms| Template::parse(text, zone.clone()).unwrap().render("t", 0, Some(ms));
    assert_eq!(at("dt=%F/hr=%H", first), "dt=2026-10-25/hr=02");
    assert_eq!(at("dt=%F/hr=%H", second), "dt=2026-10-25/hr=02");
    assert_eq!(at("dt=%F/hr=%H%z", first), "dt=2026-10-25/hr=02+0200");
    assert_eq!(at("dt=%F/hr=%H%z", second), "dt=2026-10-25/hr=02+0100");
    let template = Template::parse("dt=%F/hr=%H%z", zone.clone()).unwrap();
    assert_ne!(template.bucket(Some(first)), template.bucket(Some(second)));
    assert_eq!(template.bucket(Some(first)), template.bucket(Some(first + 60_000)));
    assert!(template.may_contain("dt=2026-10-25/hr=02+0100/f", ["t"].into_iter()));
    let null = template.render("t", 0, None);
    assert_eq!(null, format!("dt={NULL_PARTITION}/hr={NULL_PARTITION}"));
    let new_york = TimeZone::get("America/New_York").unwrap();
    assert_eq!(Template::parse("%z", new_york).unwrap().render("t", 0, Some(TIME)), "-0500");
    assert_eq!(Template::parse("%z", TimeZone::UTC).unwrap().render("t", 0, Some(0)), "+0000");
    // The warning is about paths that cannot tell them apart, and names the hour.
    let doubled = |text: &str, zone: &TimeZone| {
        Template::parse(text, zone.clone()).unwrap().doubled_hour(first - 86_400_000)
    };
    assert_eq!(doubled("dt=%F/hr=%H", &zone).as_deref(), Some("2026-10-25 02:00"));
    for text in ["dt=%F/hr=%H%z", "dt=%F", "x"] {
        assert_eq!(doubled(text, &zone), None, "{text}");
    }
    for plain in ["UTC", "Asia/Kathmandu", "Asia/Tokyo"] {
        assert_eq!(doubled("dt=%F/hr=%H", &TimeZone::get(plain).unwrap()), None, "{plain}");
    }
    let lord_howe = TimeZone::get("Australia/Lord_Howe").unwrap();
    assert_eq!(doubled("dt=%F/hr=%H", &lord_howe).as_deref(), Some("2027-04-04 01:30"));
}

/// Until 1972, Monrovia was 44 minutes and 30 seconds behind.
#[test]
fn an_offset_of_seconds_is_exact() {
    let zone = TimeZone::get("Africa/Monrovia").unwrap();
    let template = Template::parse("hr=%H%M%S", zone.clone()).unwrap();
    let hours = Template::parse("hr=%H", zone).unwrap();
    for second in 0..86_400 {
        let (ms, local) = (second * 1_000, second + 86_400 - 2_670);
        let (h, m, s) = (local / 3_600 % 24, local / 60 % 60, local % 60);
        assert_eq!(template.render("t", 0, Some(ms)), format!("hr={h:02}{m:02}{s:02}"));
        assert_eq!(hours.bucket(Some(ms)), Some(local / 3_600 - 24));
    }
}

#[test]
fn the_quarantine_has_a_directory_a_day() {
    let template = Template::of_quarantine(TimeZone::get("Asia/Tokyo").unwrap());
    let at = |ms| template.render("a/b", 7, ms);
    assert_eq!(at(Some(TIME)), "_quarantine/a%2Fb/dt=2026-11-23");
    assert_eq!(at(None), "_quarantine/a%2Fb/dt=__HIVE_DEFAULT_PARTITION__");
    assert_ne!(template.bucket(Some(TIME)), template.bucket(Some(TIME + 86_400_000)));
}

/// Whatever a path is rendered from, a file that lies there is one of its table.
#[test]
fn a_null_partition_belongs_to_the_table() {
    for text in ["dt=%Y-%m-%d/{topic}", "%F%H/{topic}", "c={field:c}/{topic}", "k={key}/dt=%F"] {
        let template = Template::parse(text, TimeZone::UTC).unwrap();
        for (millis, values) in [(None, ""), (Some(TIME), ""), (None, "a%2Fb"), (Some(TIME), "x")] {
            let path = template.render_with("t", 0, millis, values);
            let topics = || ["t"].into_iter();
            assert!(template.may_contain(&format!("{path}/f"), topics()), "{text}: {path}");
        }
    }
    // Of another column.
    let template = Template::parse("dt=%Y-%m-%d/{topic}", TimeZone::UTC).unwrap();
    assert!(!template.may_contain(&format!("x={NULL_PARTITION}/t/f"), ["t"].into_iter()));
}

#[test]
fn a_capture_is_a_part_of_the_topic() {
    let regex = regex::Regex::new("^(?:app-(?<team>[a-z]+)-(?<env>[a-z]+)?.*)$").unwrap();
    let template = Template::parse("{capture:team}/e={capture:env}/{topic}", TimeZone::UTC);
    let template = template.unwrap().of_topics(Some(&regex)).unwrap();
    assert_eq!(template.render("app-red-live", 0, None), "red/e=live/app-red-live");
    let null = format!("red/e={NULL_PARTITION}/app-red-7");
    assert_eq!(template.render("app-red-7", 0, None), null);
    assert_eq!(template.table("app-red-live").directory, "red/e=live/app-red-live");
}

#[test]
fn bad_templates_are_named() {
    let check = |text: &str, want: &str| {
        let got = Template::parse(text, TimeZone::UTC).unwrap_err().to_string();
        assert!(got.contains(want), "{text}: {got}");
    };
    check("", "empty");
    check("/a", "begin or end");
    check("a//b", "begin or end");
    check("../a", "not the name of a directory");
    check("_a", "skip");
    check("{tpoic}", "{tpoic}");
    check("{topic", "no '}'");
    check("%Q", "%Q");
    check("%e", "%e");
    check("a b", "' '");
}

#[test]
fn a_name_is_a_column_once() {
    let check = |text: &str| {
        let template = Template::parse(text, TimeZone::UTC).unwrap();
        template.check_names(&["topic", "timestamp", "HR"]).map_err(|e| e.to_string())
    };
    for good in ["{topic}/dt=%F/h=%H", "timestamp/%Y", "{topic}/a={partition}", "t={topic}"] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for (bad, want) in [
        ("{topic}/timestamp=%Y", "\"timestamp\" is a column"),
        ("TimeStamp=%Y-%m", "is a column"),
        ("{topic}/dt=%F/hr=%H", "\"hr\" is a column"),
        ("topic={topic}/dt=%F", "\"topic\" is a column"),
        ("{topic}/dt=%Y/Dt=%m", "two directories are named \"Dt\""),
    ] {
        assert!(check(bad).unwrap_err().contains(want), "{bad}: {:?}", check(bad));
    }
}

/// A stranger's file may have a name that can be read in very many ways, and a template with
/// many times: looking is no search through all of them.
#[test]
fn a_long_name_is_compared_at_once() {
    let template = Template::parse("dt=%Y%m%d%H%M%S{partition}x", TimeZone::UTC).unwrap();
    let topics = || ["t", "tt"].into_iter();
    let digits = "1".repeat(4_000);
    assert!(template.may_contain(&format!("dt={digits}x/f"), topics()));
    assert!(!template.may_contain(&format!("dt={digits}y/f"), topics()));
    assert!(!template.may_contain("dt=111111x/f", topics()), "one for each of seven fields");
    assert!(!template.may_contain("x", topics()) && !template.may_contain("", topics()));
}

const ZONES: [&str; 6] = [
    "UTC",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Africa/Monrovia",
    "Europe/Berlin",
];

proptest! {
    /// The cache by bucket must never put two directories under one key.
    #[test]
    fn one_bucket_is_one_directory(
        a in prop_oneof![0..=YEARS.1, 0..100_000_000_000_i64], shift in 0i64..4_000_000,
        zone in prop::sample::select(ZONES.to_vec()),
        text in prop::sample::select(vec![
            "%H", "%Y-%m-%d", "%M", "%S", "%j", "x", "%Y%S", "%H%z", "%z", "%F-%M%z",
        ]),
    ) {
        let t = Template::parse(text, TimeZone::get(zone).unwrap()).unwrap();
        let b = a + shift;
        if t.bucket(Some(a)) == t.bucket(Some(b)) {
            prop_assert_eq!(t.render("t", 0, Some(a)), t.render("t", 0, Some(b)));
        }
    }
}
