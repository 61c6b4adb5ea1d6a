//! What `alluvium repair` has shown or done, for programs.

use serde_json::{Value, json};

/// What `--json` prints. Scripts read it: a field may be added, none may be renamed or removed.
pub(super) fn as_json(code: u8, applied: bool, lines: &[String]) -> Value {
    let of_partition = |line: &String| {
        // What belongs to a partition begins with its name, "topic/partition: ".
        let (name, text) = line.split_once(": ")?;
        let (topic, partition) = name.rsplit_once('/').filter(|_| !name.contains("://"))?;
        let partition: i32 = partition.parse().ok()?;
        Some(json!({ "topic": topic, "partition": partition, "text": text }))
    };
    let partitions: Vec<Value> = lines.iter().filter_map(of_partition).collect();
    json!({ "applied": applied, "exit_code": code, "partitions": partitions, "lines": lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_partitions_are_told_apart() {
        let lines = [
            "a/b/3: the ledger has a gap: offsets 1 to 2",
            "    would name it",
            "hdfs://nn:8020/data/_alluvium/ledger/orders/0/3: not looked at: denied",
            "1 of 1 partitions need a repair",
        ];
        let lines = lines.map(String::from);
        let told = as_json(65, false, &lines);
        let of_partition = json!({
            "topic": "a/b", "partition": 3, "text": "the ledger has a gap: offsets 1 to 2"
        });
        assert_eq!(told["partitions"], json!([of_partition]));
        assert_eq!((&told["lines"], &told["exit_code"]), (&json!(lines), &json!(65)));
    }
}
