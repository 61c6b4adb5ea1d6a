//! The names of the series and their help, in groups. docs/metrics.md lists them.
//!
//! Label values come from closed sets; topic and partition stand on gauges only.

/// A series' name and its help.
pub(super) type Text = (&'static str, &'static str);

pub(super) const BUILD: Text = ("alluvium_build_info", "1, with the version as a label.");
pub(super) const RECORDS: Text =
    ("alluvium_records_total", "Records read, those that were read again too.");
pub(super) const BYTES: Text = ("alluvium_record_bytes_total", "Bytes of keys and values read.");
pub(super) const WORDS: Text = ("alluvium_words_total", "Words counted.");
pub(super) const LOSSY_VALUES: Text =
    ("alluvium_lossy_values_total", "Values that are not UTF-8 and were counted lossily.");
pub(super) const UNTIMED: Text = (
    "alluvium_untimed_records_total",
    "Records counted by another time than the mapping's: theirs is missing or unreadable.",
);
pub(super) const UNCOUNTED: Text = (
    "alluvium_uncounted_records_total",
    "Records with nothing to count: no value, no key, no such field.",
);
pub(super) const RESULTS: Text =
    ("alluvium_results_total", "Counts published in committed transactions.");
pub(super) const PARTIALS: Text =
    ("alluvium_partials_total", "Messages of partial counts sent in committed transactions.");
pub(super) const COMMITS: Text =
    ("alluvium_commits_total", "Transactions by outcome: ok, or doubt (positions were read back).");
pub(super) const COMMIT_SECONDS: Text = (
    "alluvium_commit_seconds",
    "Time of one commit by step: send (records into the client), deliver (until the brokers \
     have them), offsets, end.",
);
pub(super) const STORE_SECONDS: Text =
    ("alluvium_store_seconds", "Time of one operation of the store, failed ones too.");
pub(super) const ROLLS: Text =
    ("alluvium_rolls_total", "Attempts sealed, by the rule that ended them.");
pub(super) const FILES: Text = ("alluvium_files_total", "Files appended to the ledger.");
pub(super) const FILE_BYTES: Text =
    ("alluvium_file_bytes_total", "Bytes of files appended to the ledger.");
pub(super) const APPENDS: Text =
    ("alluvium_appends_total", "Appends to the ledger, by what came of them.");
pub(super) const GAP_RECORDS: Text =
    ("alluvium_gap_offsets_total", "Offsets in gap entries: retention took them.");
pub(super) const STORE_ERRORS: Text =
    ("alluvium_store_errors_total", "Failed store operations, by class.");
pub(super) const KAFKA_ERRORS: Text =
    ("alluvium_kafka_errors_total", "Failed Kafka operations, by step.");
pub(super) const REBALANCES: Text =
    ("alluvium_rebalances_total", "Generations of the group that this instance took part in.");
pub(super) const ASSIGNED: Text =
    ("alluvium_assigned_partitions", "Partitions that this instance owns.");
pub(super) const RESULTS_POSITION: Text =
    ("alluvium_results_position", "P: the next offset whose counts are not committed.");
pub(super) const ARCHIVE_POSITION: Text =
    ("alluvium_archive_position", "A: the next offset that is not in the ledger.");
pub(super) const COMMITTED_OFFSET: Text = ("alluvium_committed_offset", "F: the committed offset.");
pub(super) const LOG_END_OFFSET: Text =
    ("alluvium_log_end_offset", "The partition's last stable offset.");
pub(super) const RESULTS_LAG: Text =
    ("alluvium_results_lag_records", "Offsets from P to the log's end.");
pub(super) const ARCHIVE_LAG: Text =
    ("alluvium_archive_lag_records", "Offsets from A to the log's end.");
pub(super) const ARCHIVE_DELAY: Text = (
    "alluvium_archive_delay_seconds",
    "Since the oldest record that is not in the ledger was read.",
);
pub(super) const RESULTS_DELAY: Text = (
    "alluvium_results_delay_seconds",
    "Since the oldest record was read whose results are not committed.",
);
pub(super) const RETENTION_HEADROOM: Text = (
    "alluvium_retention_headroom_seconds",
    "Until the broker may delete the oldest record that is not archived.",
);
pub(super) const DETACHED: Text =
    ("alluvium_archive_detached", "1 while the store does not answer and results go on alone.");
pub(super) const STOPPED: Text =
    ("alluvium_partition_stopped", "1 for a partition that a person has to look after.");
pub(super) const PAUSED: Text =
    ("alluvium_partition_paused", "1 while a person has paused the mapping in this instance.");
pub(super) const OPEN_WINDOWS: Text = (
    "alluvium_merge_open_windows",
    "Windows that are not whole yet, by partition of the partials topic.",
);
pub(super) const HELD_BACK: Text = (
    "alluvium_merge_held_back_seconds",
    "For so long nothing was heard of a source partition that windows wait for.",
);
pub(super) const BUFFERED_BYTES: Text =
    ("alluvium_buffered_bytes", "Memory of open files and of bytes on their way to the store.");
pub(super) const QUEUED_BYTES: Text = (
    "alluvium_store_queue_bytes",
    "Bytes on their way to the store; a quarter of the worker's budget at most.",
);
pub(super) const MEMORY_BUDGET: Text =
    ("alluvium_memory_budget_bytes", "daemon.memory, shared by all workers.");
pub(super) const TICKET_AGE: Text = (
    "alluvium_kerberos_ticket_age_seconds",
    "Since the Kerberos credential cache was written; absent without one.",
);
