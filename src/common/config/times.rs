//! Which time of a record counts, as windows and paths have it.

use toml::Value;

use crate::common::config::fields::{Faults, Fields};
use crate::pure::field_path::FieldPath;
use crate::pure::record_time::{Time, Unit};

/// The key `time`; [`None`] where it is not given, or is a fault.
pub(super) fn time(f: &mut Fields, faults: &mut Faults) -> Option<Time> {
    let hint =
        "must be \"record\", \"arrival\" or { field = \"name\", unit = \"ms\" } (s, ms, us, ns)";
    match f.take("time")? {
        Value::String(s) if s == "record" => return Some(Time::Record),
        Value::String(s) if s == "arrival" => return Some(Time::Arrival),
        Value::Table(t)
            if t.contains_key("field") && t.keys().all(|k| k == "field" || k == "unit") =>
        {
            let unit = t.get("unit").map_or(Some("ms"), Value::as_str);
            let units = [
                ("s", Unit::Seconds),
                ("ms", Unit::Millis),
                ("us", Unit::Micros),
                ("ns", Unit::Nanos),
            ];
            let unit = units.into_iter().find(|(name, _)| unit == Some(name));
            let path = field(f, "time.field", &t["field"], faults);
            match (path, unit) {
                (Some(path), Some((_, unit))) => return Some(Time::Field { path, unit }),
                (_, None) => {
                    faults.add(f.key("time.unit"), "must be \"s\", \"ms\", \"us\" or \"ns\"")
                }
                (None, _) => {}
            }
        }
        _ => faults.add(f.key("time"), hint),
    }
    None
}

/// A path to a field of a JSON value.
pub(super) fn field(
    f: &Fields,
    key: &str,
    value: &Value,
    faults: &mut Faults,
) -> Option<FieldPath> {
    let path = value.as_str().and_then(FieldPath::parse);
    if path.is_none() {
        faults.add(
            f.key(key),
            "must name a field of the JSON value, for example \"status\" or \"event.status\"",
        );
    }
    path
}
