//! The names of the series and their help, in groups. docs/metrics.md lists them.
//!
//! Label values come from closed sets; topic and partition stand on gauges only.

/// A series' name and its help.
pub(super) type Text = (&'static str, &'static str);

pub(super) const BUILD: Text =
    ("alluvium_build_info", "1, with the version and the revision of the source as labels.");
pub(super) const RECORDS: Text =
    ("alluvium_records_total", "Records that were read, including those that were read again.");
pub(super) const BYTES: Text =
    ("alluvium_record_bytes_total", "Bytes of keys and values that were read.");
pub(super) const WORDS: Text = (
    "alluvium_words_total",
    "Words of source records that were counted, including those that were counted again.",
);
pub(super) const LOSSY_VALUES: Text = (
    "alluvium_lossy_values_total",
    "Values that are not UTF-8, and were counted with replacement characters.",
);
pub(super) const UNTIMED: Text = (
    "alluvium_untimed_records_total",
    "Records counted by another time than the mapping's, because that time is missing or \
     unreadable.",
);
pub(super) const UNCOUNTED: Text = (
    "alluvium_uncounted_records_total",
    "Records without anything to count: no value, no key, or no such field.",
);
pub(super) const UNFIT: Text = (
    "alluvium_unfit_records_total",
    "Records that did not become rows of the archive: bad ones in the quarantine (quarantined) or \
     left out (skipped), and tombstones that are left out (dropped). Records that are read again \
     count again.",
);
pub(super) const SCHEMAS: Text = (
    "alluvium_schemas_total",
    "Tries at a schema that records name: found in the root (kept) or in the registry (fetched), \
     not in the registry (missing), not to be used (unusable), or without an answer (failed).",
);
pub(super) const RESULTS: Text =
    ("alluvium_results_total", "Counts published in committed transactions.");
pub(super) const PARTIALS: Text =
    ("alluvium_partials_total", "Messages of partial counts sent in committed transactions.");
pub(super) const COMMITS: Text = (
    "alluvium_commits_total",
    "Transactions by outcome: ok, or doubt (the positions were read back).",
);
pub(super) const COMMIT_SECONDS: Text = (
    "alluvium_commit_duration_seconds",
    "Duration of a commit by step: send (records to the client), deliver (until the brokers have \
     the records), offsets, end.",
);
pub(super) const STORE_SECONDS: Text = (
    "alluvium_store_operation_duration_seconds",
    "Duration of one operation of the store, including failed operations.",
);
/// Names of before the first release, which has them for one release more.
pub(super) const OLD_COMMIT_SECONDS: Text = (
    "alluvium_commit_seconds",
    "Deprecated, absent after the first release: use alluvium_commit_duration_seconds.",
);
pub(super) const OLD_STORE_SECONDS: Text = (
    "alluvium_store_seconds",
    "Deprecated, absent after the first release: use alluvium_store_operation_duration_seconds.",
);
pub(super) const ARCHIVE_LATENCY: Text = (
    "alluvium_archive_latency_seconds",
    "From a record's timestamp until the ledger has the record. One observation for the records \
     that a partition has read within a second, by the first one's timestamp.",
);
pub(super) const RESULTS_LATENCY: Text = (
    "alluvium_results_latency_seconds",
    "From a record's timestamp until its results are committed: of source partitions (role source) \
     until its counts or partial counts are sent, of messages with partial counts (role partials) \
     until the merge has taken them. One observation for the records that a partition has read \
     within a second, by the first one's timestamp.",
);
pub(super) const COUNT_LATENCY: Text = (
    "alluvium_count_latency_seconds",
    "From the end of a window until its final counts are published; one observation for each \
     window and partition of the partials topic (of the source topic with scope = \"partition\"). \
     No record of the window is newer than its end: from a record's timestamp until its count is \
     published, it takes as long, and what was left of the window. Mappings that do not count have \
     no series.",
);
pub(super) const TRANSACTION_RECORDS: Text =
    ("alluvium_transaction_records", "Offsets whose results one committed transaction carries.");
pub(super) const ROLLS: Text =
    ("alluvium_rolls_total", "Attempts that were sealed, by the rule that ended them.");
pub(super) const FILES: Text = ("alluvium_files_total", "Files appended to the ledger.");
pub(super) const FILE_BYTES: Text =
    ("alluvium_file_bytes_total", "Bytes of files appended to the ledger.");
pub(super) const APPENDS: Text = ("alluvium_appends_total", "Appends to the ledger, by verdict.");
pub(super) const GAP_RECORDS: Text = (
    "alluvium_gap_offsets_total",
    "Offsets in gap entries: retention deleted the records before they were archived.",
);
pub(super) const OFFSETS_MOVED: Text = (
    "alluvium_offsets_moved_total",
    "Committed offsets that another program wrote into the group; the counts continued from there.",
);
pub(super) const STORE_ERRORS: Text =
    ("alluvium_store_errors_total", "Failed operations of the store, by class.");
pub(super) const KAFKA_ERRORS: Text =
    ("alluvium_kafka_errors_total", "Failed operations of Kafka, by step.");
pub(super) const REBALANCES: Text =
    ("alluvium_rebalances_total", "Generations of the group that this instance took part in.");
pub(super) const ASSIGNED: Text =
    ("alluvium_assigned_partitions", "Partitions that this instance owns.");
pub(super) const DORMANT: Text = (
    "alluvium_dormant_partitions",
    "Partitions without a record for a minute, where this instance has hundreds: nothing is \
     fetched for them until the end of their log, which is asked for every second, has moved.",
);
pub(super) const RESULTS_POSITION: Text =
    ("alluvium_results_position", "P: the next offset whose results are not committed.");
pub(super) const ARCHIVE_POSITION: Text =
    ("alluvium_archive_position", "A: the next offset that is not in the ledger.");
pub(super) const COMMITTED_OFFSET: Text = ("alluvium_committed_offset", "F: the committed offset.");
pub(super) const LOG_END_OFFSET: Text =
    ("alluvium_log_end_offset", "The partition's last stable offset.");
pub(super) const RESULTS_LAG: Text =
    ("alluvium_results_lag_records", "Offsets from P to the log's end, where that is known.");
pub(super) const ARCHIVE_LAG: Text =
    ("alluvium_archive_lag_records", "Offsets from A to the log's end, where that is known.");
pub(super) const ARCHIVE_DELAY: Text = (
    "alluvium_archive_delay_seconds",
    "Age of the oldest record that is not in the ledger: seconds since it was read.",
);
pub(super) const NEEDED_DELAY: Text = (
    "alluvium_needed_delay_seconds",
    "Of partitions that are not archived: age of the oldest record that is not counted, or of the \
     oldest partial counts that an open window needs; seconds since it was read.",
);
pub(super) const RESULTS_DELAY: Text = (
    "alluvium_results_delay_seconds",
    "Age of the oldest record whose results are not committed: seconds since it was read.",
);
pub(super) const RETENTION_HEADROOM: Text = (
    "alluvium_retention_headroom_seconds",
    "Seconds until the broker may delete the oldest record that is not archived, or the oldest \
     partial counts that an open window needs.",
);
pub(super) const DETACHED: Text =
    ("alluvium_archive_detached", "1 while the store does not answer and results continue alone.");
pub(super) const STOPPED: Text =
    ("alluvium_partition_stopped", "1 for a partition that is stopped and needs attention.");
pub(super) const PAUSED: Text =
    ("alluvium_partition_paused", "1 while an operator has paused the mapping in this instance.");
pub(super) const OPEN_WINDOWS: Text =
    ("alluvium_merge_open_windows", "Windows that are open, by partition of the partials topic.");
pub(super) const HELD_BACK: Text = (
    "alluvium_merge_held_back_seconds",
    "Seconds that a window which is over by the clock has waited for a source partition.",
);
pub(super) const OPEN_TRANSACTION: Text = (
    "alluvium_open_transaction_seconds",
    "Seconds that records have waited behind a transaction of their producer that does not end.",
);
pub(super) const BROKERS_UNREACHABLE: Text = (
    "alluvium_brokers_unreachable_seconds",
    "Seconds for which no broker has answered; 0 while one does.",
);
pub(super) const ROOT_UNAVAILABLE: Text = (
    "alluvium_root_unavailable_seconds",
    "Seconds for which the root of an archive has failed or refused files; 0 while it works.",
);
pub(super) const COMMITS_FAILING: Text = (
    "alluvium_commits_failing_seconds",
    "Seconds since a worker of this instance can't commit; 0 while all can.",
);
pub(super) const MISSING_TOPICS: Text =
    ("alluvium_missing_topics", "Topics that a mapping names and no broker has.");
pub(super) const AMBIGUOUS_TOPICS: Text = (
    "alluvium_ambiguous_topics",
    "Topics that topics_regex of two mappings match, so that nobody reads them.",
);
pub(super) const UNMATCHED_MAPPINGS: Text = (
    "alluvium_unmatched_mappings",
    "Mappings whose topics_regex matches no topic, so that nothing is read for them.",
);
pub(super) const READY: Text =
    ("alluvium_ready", "1 while /readyz says that this instance is ready, else 0.");
pub(super) const BUFFERED_BYTES: Text = (
    "alluvium_buffered_bytes",
    "Bytes in memory: of open files, and of data on its way to the store.",
);
pub(super) const QUEUED_BYTES: Text = (
    "alluvium_store_queue_bytes",
    "Bytes on their way to the store; reading pauses above a fifth of the worker's budget.",
);
pub(super) const MEMORY_BUDGET: Text =
    ("alluvium_memory_budget_bytes", "daemon.memory, which all workers share.");
pub(super) const TICKET_AGE: Text = (
    "alluvium_kerberos_ticket_age_seconds",
    "Seconds since the Kerberos credential cache was written, unless the daemon has a keytab.",
);
