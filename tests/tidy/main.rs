//! What the house is built by, read from its source: which room may import which, how long a file,
//! a function and a line may be, and what every rule, series, dependency and task needs. Starts no
//! server and takes a second.
//!
//! Each check is a function from text to faults. A test beside it feeds it a small text that
//! breaks the rule, so that the check itself is seen to fail.

mod dependencies;
mod hubs;
mod imports;
mod rooms;
mod rules;
mod series;
mod sizes;
mod source;
mod tasks;
mod tokens;

/// Rules that a single file can break.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rule {
    FileLength,
    FunctionLength,
    LineLength,
    Hub,
    Task,
}

/// Files that are being taken apart at this moment, with the rule that they still break. To be
/// emptied; a line whose file keeps the rule by now fails.
const BEING_REWRITTEN: &[(Rule, &str)] = &[
    (Rule::FileLength, "src/engine/worker/mod.rs"),
    (Rule::FileLength, "src/pure/protocol/partition.rs"),
    (Rule::FileLength, "src/pure/protocol/search/world.rs"),
    (Rule::FunctionLength, "src/engine/worker/task.rs"),
    (Rule::FunctionLength, "src/outside/daemon/run.rs"),
    (Rule::FunctionLength, "src/pure/protocol/search/world/owner.rs"),
    (Rule::LineLength, "src/clients/kafka/native.rs"),
    (Rule::LineLength, "src/clients/kafka/offsets.rs"),
    (Rule::LineLength, "src/clients/kafka/published.rs"),
    (Rule::LineLength, "src/clients/store/hdfs/pipelines.rs"),
    (Rule::LineLength, "src/engine/worker/commit.rs"),
    (Rule::LineLength, "src/engine/worker/mod.rs"),
    (Rule::LineLength, "src/engine/worker/task.rs"),
    (Rule::LineLength, "src/engine/worker/task/archive.rs"),
    (Rule::LineLength, "src/engine/worker/task/delay.rs"),
    (Rule::LineLength, "src/engine/worker/task/merge.rs"),
    (Rule::LineLength, "src/engine/worker/task/recovery.rs"),
    (Rule::LineLength, "src/outside/cli/command.rs"),
    (Rule::LineLength, "src/pure/count/merge.rs"),
    (Rule::LineLength, "src/pure/count/output.rs"),
    (Rule::LineLength, "src/pure/count/partials.rs"),
    (Rule::LineLength, "src/pure/protocol/metadata.rs"),
    (Rule::LineLength, "src/pure/protocol/partition.rs"),
    (Rule::LineLength, "src/pure/protocol/recovery.rs"),
    (Rule::LineLength, "src/pure/protocol/repair.rs"),
    (Rule::LineLength, "src/pure/protocol/search/mod.rs"),
    (Rule::Hub, "src/engine/worker/lives/mod.rs"),
    (Rule::Hub, "src/engine/worker/mod.rs"),
    (Rule::Hub, "src/pure/protocol/search/mod.rs"),
    (Rule::Task, "src/clients/kafka/transaction.rs"),
    (Rule::Task, "src/clients/store/hdfs/pipelines.rs"),
    (Rule::Task, "src/clients/store/tasks.rs"),
    (Rule::Task, "src/engine/archive/task.rs"),
    (Rule::Task, "src/engine/worker/mod.rs"),
];
