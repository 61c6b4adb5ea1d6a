-- Spark: 
-- Recounts mapping.m: each row of the last statement's result is a word whose
-- counts do not add up to the words in the raw files. No row means that all do.
-- Records without a time and terms that were cut are left out. Windows from the
-- newest published one on may be open still, or not be archived whole: may_be_open
-- is true there.
SET spark.sql.legacy.codingErrorAction = true;
CREATE OR REPLACE TEMPORARY VIEW `records_0`
USING PARQUET OPTIONS (path 'hdfs://nn/data/{a,_quarantine/a}', recursiveFileLookup 'true', pathGlobFilter '*.parquet', mergeSchema 'true');
CREATE OR REPLACE TEMPORARY VIEW `records_1`
USING PARQUET OPTIONS (path 'hdfs://nn/data/{b.c,_quarantine/b.c}', recursiveFileLookup 'true', pathGlobFilter '*.parquet', mergeSchema 'true');
CREATE OR REPLACE TEMPORARY VIEW `counts`
USING PARQUET OPTIONS (path 'hdfs://nn/data/n', recursiveFileLookup 'true', pathGlobFilter '*.parquet', mergeSchema 'true');
CREATE OR REPLACE TEMPORARY VIEW recounted AS
SELECT window_start_ms, word, count(*) AS words FROM (
  SELECT window_start_ms, explode(filter(split(text, '[\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}]+'), w -> w <> '')) AS word FROM (
    SELECT coalesce(timestamp_ms, unix_millis(timestamp)) - pmod(coalesce(timestamp_ms, unix_millis(timestamp)), 2000) AS window_start_ms, coalesce(value, decode(value_bytes, 'UTF-8')) AS text FROM `records_0` WHERE topic = 'a' AND coalesce(timestamp_ms, unix_millis(timestamp)) IS NOT NULL
    UNION ALL
    SELECT coalesce(timestamp_ms, unix_millis(timestamp)) - pmod(coalesce(timestamp_ms, unix_millis(timestamp)), 2000) AS window_start_ms, coalesce(value, decode(value_bytes, 'UTF-8')) AS text FROM `records_1` WHERE topic = 'b.c' AND coalesce(timestamp_ms, unix_millis(timestamp)) IS NOT NULL
  ) AS records WHERE text IS NOT NULL
) AS words
WHERE octet_length(word) <= 1024 AND NOT (1012 < octet_length(word) AND word RLIKE '~[0-9a-f]{8}$')
GROUP BY window_start_ms, word;
CREATE OR REPLACE TEMPORARY VIEW published AS
SELECT window_start_ms, word, sum(`count`) AS words FROM (
  SELECT coalesce(window_start_ms, unix_millis(window_start)) AS window_start_ms, word, `count` FROM `counts`
  WHERE topic = 'n'
) AS counts
WHERE octet_length(word) <= 1024 AND NOT (1012 < octet_length(word) AND word RLIKE '~[0-9a-f]{8}$')
GROUP BY window_start_ms, word;
SELECT window_start_ms, word, coalesce(p.words, 0) AS published,
  coalesce(r.words, 0) AS recounted,
  window_start_ms >= (SELECT max(window_start_ms) FROM published) AS may_be_open
FROM published AS p FULL OUTER JOIN recounted AS r USING (window_start_ms, word)
WHERE coalesce(p.words, 0) <> coalesce(r.words, 0)
ORDER BY window_start_ms, word;

-- Spark: window = "1m", split = "space", lowercase = true, stop_words = ["it's", "a"]
-- Recounts mapping.m: each row of the last statement's result is a word whose
-- counts do not add up to the words in the raw files. No row means that all do.
-- Records without a time and terms that were cut are left out. Windows from the
-- newest published one on may be open still, or not be archived whole: may_be_open
-- is true there.
SET spark.sql.legacy.codingErrorAction = true;
CREATE OR REPLACE TEMPORARY VIEW `records_0`
USING PARQUET OPTIONS (path 'hdfs://nn/data/{a,_quarantine/a}', recursiveFileLookup 'true', pathGlobFilter '*.parquet', mergeSchema 'true');
CREATE OR REPLACE TEMPORARY VIEW `records_1`
USING PARQUET OPTIONS (path 'hdfs://nn/data/{b.c,_quarantine/b.c}', recursiveFileLookup 'true', pathGlobFilter '*.parquet', mergeSchema 'true');
CREATE OR REPLACE TEMPORARY VIEW `counts`
USING PARQUET OPTIONS (path 'hdfs://nn/data/n', recursiveFileLookup 'true', pathGlobFilter '*.parquet', mergeSchema 'true');
CREATE OR REPLACE TEMPORARY VIEW recounted AS
SELECT window_start_ms, word, count(*) AS words FROM (
  SELECT window_start_ms, explode(transform(CASE WHEN text = '' THEN array('') WHEN rtrim(text) = '' THEN array() ELSE split(rtrim(text), ' ', -1) END, w -> lower(w))) AS word FROM (
    SELECT coalesce(timestamp_ms, unix_millis(timestamp)) - pmod(coalesce(timestamp_ms, unix_millis(timestamp)), 60000) AS window_start_ms, coalesce(value, decode(value_bytes, 'UTF-8')) AS text FROM `records_0` WHERE topic = 'a' AND coalesce(timestamp_ms, unix_millis(timestamp)) IS NOT NULL
    UNION ALL
    SELECT coalesce(timestamp_ms, unix_millis(timestamp)) - pmod(coalesce(timestamp_ms, unix_millis(timestamp)), 60000) AS window_start_ms, coalesce(value, decode(value_bytes, 'UTF-8')) AS text FROM `records_1` WHERE topic = 'b.c' AND coalesce(timestamp_ms, unix_millis(timestamp)) IS NOT NULL
  ) AS records WHERE text IS NOT NULL
) AS words
WHERE octet_length(word) <= 1024 AND NOT (1012 < octet_length(word) AND word RLIKE '~[0-9a-f]{8}$') AND word NOT IN ('a', 'it\'s')
GROUP BY window_start_ms, word;
CREATE OR REPLACE TEMPORARY VIEW published AS
SELECT window_start_ms, word, sum(`count`) AS words FROM (
  SELECT coalesce(window_start_ms, unix_millis(window_start)) AS window_start_ms, word, `count` FROM `counts`
  WHERE topic = 'n'
) AS counts
WHERE octet_length(word) <= 1024 AND NOT (1012 < octet_length(word) AND word RLIKE '~[0-9a-f]{8}$')
GROUP BY window_start_ms, word;
SELECT window_start_ms, word, coalesce(p.words, 0) AS published,
  coalesce(r.words, 0) AS recounted,
  window_start_ms >= (SELECT max(window_start_ms) FROM published) AS may_be_open
FROM published AS p FULL OUTER JOIN recounted AS r USING (window_start_ms, word)
WHERE coalesce(p.words, 0) <> coalesce(r.words, 0)
ORDER BY window_start_ms, word;

-- Spark: by = "key", time = "arrival", archive = { format = "jsonl" }
-- Recounts mapping.m: each row of the last statement's result is a word whose
-- counts do not add up to the words in the raw files. No row means that all do.
-- Records without a time and terms that were cut are left out. Windows from the
-- newest published one on may be open still, or not be archived whole: may_be_open
-- is true there.
SET spark.sql.legacy.codingErrorAction = true;
CREATE OR REPLACE TEMPORARY VIEW `records_0`
USING PARQUET OPTIONS (path 'hdfs://nn/data/{a,_quarantine/a}', recursiveFileLookup 'true', pathGlobFilter '*.parquet', mergeSchema 'true');
CREATE OR REPLACE TEMPORARY VIEW `records_1`
USING PARQUET OPTIONS (path 'hdfs://nn/data/{b.c,_quarantine/b.c}', recursiveFileLookup 'true', pathGlobFilter '*.parquet', mergeSchema 'true');
CREATE OR REPLACE TEMPORARY VIEW `counts` (
  `window_start` STRING,
  `window_end` STRING,
  `word` STRING,
  `count` BIGINT,
  `kind` STRING,
  `source_partition` INT,
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `foreign_value` STRING
)
USING JSON OPTIONS (path 'hdfs://nn/data/n', recursiveFileLookup 'true', pathGlobFilter '*.jsonl.gz', mergeSchema 'true');
CREATE OR REPLACE TEMPORARY VIEW recounted AS
SELECT window_start_ms, word, count(*) AS words FROM (
  SELECT window_start_ms, explode(array(text)) AS word FROM (
    SELECT 0 AS window_start_ms, coalesce(key, decode(key_bytes, 'UTF-8')) AS text FROM `records_0` WHERE topic = 'a'
    UNION ALL
    SELECT 0 AS window_start_ms, coalesce(key, decode(key_bytes, 'UTF-8')) AS text FROM `records_1` WHERE topic = 'b.c'
  ) AS records WHERE text IS NOT NULL
) AS words
WHERE octet_length(word) <= 1024 AND NOT (1012 < octet_length(word) AND word RLIKE '~[0-9a-f]{8}$')
GROUP BY window_start_ms, word;
CREATE OR REPLACE TEMPORARY VIEW published AS
SELECT window_start_ms, word, sum(`count`) AS words FROM (
  SELECT 0 AS window_start_ms, word, `count` FROM `counts`
  WHERE topic = 'n'
) AS counts
WHERE octet_length(word) <= 1024 AND NOT (1012 < octet_length(word) AND word RLIKE '~[0-9a-f]{8}$')
GROUP BY window_start_ms, word;
SELECT window_start_ms, word, coalesce(p.words, 0) AS published,
  coalesce(r.words, 0) AS recounted,
  window_start_ms >= (SELECT max(window_start_ms) FROM published) AS may_be_open
FROM published AS p FULL OUTER JOIN recounted AS r USING (window_start_ms, word)
WHERE coalesce(p.words, 0) <> coalesce(r.words, 0)
ORDER BY window_start_ms, word;

-- Duckdb: 
-- Recounts mapping.m: each row of the last statement's result is a word whose
-- counts do not add up to the words in the raw files. No row means that all do.
-- Records without a time and terms that were cut are left out. Windows from the
-- newest published one on may be open still, or not be archived whole: may_be_open
-- is true there.
-- DuckDB has no function for text that is no UTF-8: the words of such records differ.
SET VARIABLE "records_0" = (SELECT list(file) FROM (
  SELECT file FROM glob('hdfs://nn/data/a/**/*.parquet')
  UNION ALL
  SELECT file FROM glob('hdfs://nn/data/_quarantine/a/**/*.parquet')
));
CREATE OR REPLACE VIEW "records_0" AS
SELECT * FROM read_parquet(getvariable('records_0'), hive_partitioning = false, union_by_name = true);
SET VARIABLE "records_1" = (SELECT list(file) FROM (
  SELECT file FROM glob('hdfs://nn/data/b.c/**/*.parquet')
  UNION ALL
  SELECT file FROM glob('hdfs://nn/data/_quarantine/b.c/**/*.parquet')
));
CREATE OR REPLACE VIEW "records_1" AS
SELECT * FROM read_parquet(getvariable('records_1'), hive_partitioning = false, union_by_name = true);
SET VARIABLE "counts" = (SELECT list(file) FROM (
  SELECT file FROM glob('hdfs://nn/data/n/**/*.parquet')
));
CREATE OR REPLACE VIEW "counts" AS
SELECT * FROM read_parquet(getvariable('counts'), hive_partitioning = false, union_by_name = true);
CREATE OR REPLACE VIEW recounted AS
SELECT window_start_ms, word, count(*) AS words FROM (
  SELECT window_start_ms, unnest(list_filter(regexp_split_to_array(text, '[\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+'), lambda w : w <> '')) AS word FROM (
    SELECT coalesce(timestamp_ms, epoch_ms(timestamp)) - (((coalesce(timestamp_ms, epoch_ms(timestamp)) % 2000) + 2000) % 2000) AS window_start_ms, coalesce(value, try(decode(value_bytes))) AS text FROM "records_0" WHERE topic = 'a' AND coalesce(timestamp_ms, epoch_ms(timestamp)) IS NOT NULL
    UNION ALL
    SELECT coalesce(timestamp_ms, epoch_ms(timestamp)) - (((coalesce(timestamp_ms, epoch_ms(timestamp)) % 2000) + 2000) % 2000) AS window_start_ms, coalesce(value, try(decode(value_bytes))) AS text FROM "records_1" WHERE topic = 'b.c' AND coalesce(timestamp_ms, epoch_ms(timestamp)) IS NOT NULL
  ) AS records WHERE text IS NOT NULL
) AS words
WHERE strlen(word) <= 1024 AND NOT (1012 < strlen(word) AND regexp_matches(word, '~[0-9a-f]{8}$'))
GROUP BY window_start_ms, word;
CREATE OR REPLACE VIEW published AS
SELECT window_start_ms, word, sum("count") AS words FROM (
  SELECT coalesce(window_start_ms, epoch_ms(window_start)) AS window_start_ms, word, "count" FROM "counts"
  WHERE topic = 'n'
) AS counts
WHERE strlen(word) <= 1024 AND NOT (1012 < strlen(word) AND regexp_matches(word, '~[0-9a-f]{8}$'))
GROUP BY window_start_ms, word;
SELECT window_start_ms, word, coalesce(p.words, 0) AS published,
  coalesce(r.words, 0) AS recounted,
  window_start_ms >= (SELECT max(window_start_ms) FROM published) AS may_be_open
FROM published AS p FULL OUTER JOIN recounted AS r USING (window_start_ms, word)
WHERE coalesce(p.words, 0) <> coalesce(r.words, 0)
ORDER BY window_start_ms, word;

-- Duckdb: window = "1m", split = "space", lowercase = true, stop_words = ["it's", "a"]
-- Recounts mapping.m: each row of the last statement's result is a word whose
-- counts do not add up to the words in the raw files. No row means that all do.
-- Records without a time and terms that were cut are left out. Windows from the
-- newest published one on may be open still, or not be archived whole: may_be_open
-- is true there.
-- DuckDB has no function for text that is no UTF-8: the words of such records differ.
SET VARIABLE "records_0" = (SELECT list(file) FROM (
  SELECT file FROM glob('hdfs://nn/data/a/**/*.parquet')
  UNION ALL
  SELECT file FROM glob('hdfs://nn/data/_quarantine/a/**/*.parquet')
));
CREATE OR REPLACE VIEW "records_0" AS
SELECT * FROM read_parquet(getvariable('records_0'), hive_partitioning = false, union_by_name = true);
SET VARIABLE "records_1" = (SELECT list(file) FROM (
  SELECT file FROM glob('hdfs://nn/data/b.c/**/*.parquet')
  UNION ALL
  SELECT file FROM glob('hdfs://nn/data/_quarantine/b.c/**/*.parquet')
));
CREATE OR REPLACE VIEW "records_1" AS
SELECT * FROM read_parquet(getvariable('records_1'), hive_partitioning = false, union_by_name = true);
SET VARIABLE "counts" = (SELECT list(file) FROM (
  SELECT file FROM glob('hdfs://nn/data/n/**/*.parquet')
));
CREATE OR REPLACE VIEW "counts" AS
SELECT * FROM read_parquet(getvariable('counts'), hive_partitioning = false, union_by_name = true);
CREATE OR REPLACE VIEW recounted AS
SELECT window_start_ms, word, count(*) AS words FROM (
  SELECT window_start_ms, unnest(list_transform(CASE WHEN text = '' THEN [''] WHEN rtrim(text, ' ') = '' THEN [] ELSE string_split(rtrim(text, ' '), ' ') END, lambda w : lower(w))) AS word FROM (
    SELECT coalesce(timestamp_ms, epoch_ms(timestamp)) - (((coalesce(timestamp_ms, epoch_ms(timestamp)) % 60000) + 60000) % 60000) AS window_start_ms, coalesce(value, try(decode(value_bytes))) AS text FROM "records_0" WHERE topic = 'a' AND coalesce(timestamp_ms, epoch_ms(timestamp)) IS NOT NULL
    UNION ALL
    SELECT coalesce(timestamp_ms, epoch_ms(timestamp)) - (((coalesce(timestamp_ms, epoch_ms(timestamp)) % 60000) + 60000) % 60000) AS window_start_ms, coalesce(value, try(decode(value_bytes))) AS text FROM "records_1" WHERE topic = 'b.c' AND coalesce(timestamp_ms, epoch_ms(timestamp)) IS NOT NULL
  ) AS records WHERE text IS NOT NULL
) AS words
WHERE strlen(word) <= 1024 AND NOT (1012 < strlen(word) AND regexp_matches(word, '~[0-9a-f]{8}$')) AND word NOT IN ('a', 'it''s')
GROUP BY window_start_ms, word;
CREATE OR REPLACE VIEW published AS
SELECT window_start_ms, word, sum("count") AS words FROM (
  SELECT coalesce(window_start_ms, epoch_ms(window_start)) AS window_start_ms, word, "count" FROM "counts"
  WHERE topic = 'n'
) AS counts
WHERE strlen(word) <= 1024 AND NOT (1012 < strlen(word) AND regexp_matches(word, '~[0-9a-f]{8}$'))
GROUP BY window_start_ms, word;
SELECT window_start_ms, word, coalesce(p.words, 0) AS published,
  coalesce(r.words, 0) AS recounted,
  window_start_ms >= (SELECT max(window_start_ms) FROM published) AS may_be_open
FROM published AS p FULL OUTER JOIN recounted AS r USING (window_start_ms, word)
WHERE coalesce(p.words, 0) <> coalesce(r.words, 0)
ORDER BY window_start_ms, word;

-- Duckdb: by = "key", time = "arrival", archive = { format = "jsonl" }
-- Recounts mapping.m: each row of the last statement's result is a word whose
-- counts do not add up to the words in the raw files. No row means that all do.
-- Records without a time and terms that were cut are left out. Windows from the
-- newest published one on may be open still, or not be archived whole: may_be_open
-- is true there.
-- DuckDB has no function for text that is no UTF-8: the words of such records differ.
SET VARIABLE "records_0" = (SELECT list(file) FROM (
  SELECT file FROM glob('hdfs://nn/data/a/**/*.parquet')
  UNION ALL
  SELECT file FROM glob('hdfs://nn/data/_quarantine/a/**/*.parquet')
));
CREATE OR REPLACE VIEW "records_0" AS
SELECT * FROM read_parquet(getvariable('records_0'), hive_partitioning = false, union_by_name = true);
SET VARIABLE "records_1" = (SELECT list(file) FROM (
  SELECT file FROM glob('hdfs://nn/data/b.c/**/*.parquet')
  UNION ALL
  SELECT file FROM glob('hdfs://nn/data/_quarantine/b.c/**/*.parquet')
));
CREATE OR REPLACE VIEW "records_1" AS
SELECT * FROM read_parquet(getvariable('records_1'), hive_partitioning = false, union_by_name = true);
SET VARIABLE "counts" = (SELECT list(file) FROM (
  SELECT file FROM glob('hdfs://nn/data/n/**/*.jsonl.gz')
));
CREATE OR REPLACE VIEW "counts" AS
SELECT * FROM read_json(getvariable('counts'), hive_partitioning = false, format = 'newline_delimited', columns = {
  'window_start': 'VARCHAR',
  'window_end': 'VARCHAR',
  'word': 'VARCHAR',
  'count': 'BIGINT',
  'kind': 'VARCHAR',
  'source_partition': 'INTEGER',
  'topic': 'VARCHAR',
  'partition': 'INTEGER',
  'offset': 'BIGINT',
  'foreign_value': 'VARCHAR'
});
CREATE OR REPLACE VIEW recounted AS
SELECT window_start_ms, word, count(*) AS words FROM (
  SELECT window_start_ms, unnest([text]) AS word FROM (
    SELECT 0 AS window_start_ms, coalesce(key, try(decode(key_bytes))) AS text FROM "records_0" WHERE topic = 'a'
    UNION ALL
    SELECT 0 AS window_start_ms, coalesce(key, try(decode(key_bytes))) AS text FROM "records_1" WHERE topic = 'b.c'
  ) AS records WHERE text IS NOT NULL
) AS words
WHERE strlen(word) <= 1024 AND NOT (1012 < strlen(word) AND regexp_matches(word, '~[0-9a-f]{8}$'))
GROUP BY window_start_ms, word;
CREATE OR REPLACE VIEW published AS
SELECT window_start_ms, word, sum("count") AS words FROM (
  SELECT 0 AS window_start_ms, word, "count" FROM "counts"
  WHERE topic = 'n'
) AS counts
WHERE strlen(word) <= 1024 AND NOT (1012 < strlen(word) AND regexp_matches(word, '~[0-9a-f]{8}$'))
GROUP BY window_start_ms, word;
SELECT window_start_ms, word, coalesce(p.words, 0) AS published,
  coalesce(r.words, 0) AS recounted,
  window_start_ms >= (SELECT max(window_start_ms) FROM published) AS may_be_open
FROM published AS p FULL OUTER JOIN recounted AS r USING (window_start_ms, word)
WHERE coalesce(p.words, 0) <> coalesce(r.words, 0)
ORDER BY window_start_ms, word;

