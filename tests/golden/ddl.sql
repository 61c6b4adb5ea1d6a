-- orders --engine hive
-- The files are compressed with zstd, which Hive 3 reads only where the native library
-- of Hadoop has zstd. Files of the codec gzip need no library.
-- Hive 3 fails at decimals of up to 18 digits in Parquet, which Hive 4 reads.
CREATE EXTERNAL TABLE `shop_orders` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `timestamp` BIGINT COMMENT 'microseconds since 1970',
  `timestamp_type` STRING,
  `key` STRING,
  `key_bytes` BINARY,
  `value` STRING,
  `value_bytes` BINARY,
  `headers` ARRAY<STRUCT<key: STRING, value: BINARY>>,
  `timestamp_ms` BIGINT,
  `header_keys_bytes` ARRAY<BINARY>,
  `user` STRING,
  `price` DECIMAL(12,2),
  `at` BIGINT COMMENT 'microseconds since 1970',
  `a_b` BOOLEAN
)
PARTITIONED BY (`dt` STRING, `hr` STRING)
STORED AS PARQUET
LOCATION 'hdfs://nn/data/shop.orders';
-- Again whenever there are new directories:
MSCK REPAIR TABLE `shop_orders`;

-- orders --engine spark
CREATE TABLE `shop_orders` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `timestamp` TIMESTAMP,
  `timestamp_type` STRING,
  `key` STRING,
  `key_bytes` BINARY,
  `value` STRING,
  `value_bytes` BINARY,
  `headers` ARRAY<STRUCT<key: STRING, value: BINARY>>,
  `timestamp_ms` BIGINT,
  `header_keys_bytes` ARRAY<BINARY>,
  `user` STRING,
  `price` DECIMAL(12,2),
  `at` TIMESTAMP,
  `a_b` BOOLEAN,
  `dt` STRING,
  `hr` STRING
)
USING PARQUET
PARTITIONED BY (`dt`, `hr`)
LOCATION 'hdfs://nn/data/shop.orders';
-- Again whenever there are new directories:
MSCK REPAIR TABLE `shop_orders`;

-- orders --engine trino
-- Times are UTC if the catalog's file has hive.parquet.time-zone=UTC, and otherwise of the zone of
-- the server's Java. They have microseconds in sessions with this setting alone, and in all sessions
-- if that file has hive.timestamp-precision=MICROSECONDS.
SET SESSION hive.timestamp_precision = 'MICROSECONDS';
CREATE TABLE hive.default."shop_orders" (
  "topic" VARCHAR,
  "partition" INTEGER,
  "offset" BIGINT,
  "timestamp" TIMESTAMP(6),
  "timestamp_type" VARCHAR,
  "key" VARCHAR,
  "key_bytes" VARBINARY,
  "value" VARCHAR,
  "value_bytes" VARBINARY,
  "headers" ARRAY(ROW(key VARCHAR, value VARBINARY)),
  "timestamp_ms" BIGINT,
  "header_keys_bytes" ARRAY(VARBINARY),
  "user" VARCHAR,
  "price" DECIMAL(12,2),
  "at" TIMESTAMP(6),
  "a_b" BOOLEAN,
  "dt" VARCHAR,
  "hr" VARCHAR
)
WITH (
  external_location = 'hdfs://nn/data/shop.orders',
  format = 'PARQUET',
  partitioned_by = ARRAY['dt', 'hr']
);
-- Again whenever there are new directories:
CALL hive.system.sync_partition_metadata('default', 'shop_orders', 'ADD');

-- orders --engine duckdb --root file:///copy/
CREATE VIEW "shop_orders" AS
SELECT * FROM read_parquet('/copy/shop.orders/**/*.parquet', hive_partitioning = true, hive_types = {"dt": VARCHAR, "hr": VARCHAR}, union_by_name = true);

-- orders --engine spark --quarantine
CREATE TABLE `shop_orders_quarantine` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `timestamp` TIMESTAMP,
  `timestamp_type` STRING,
  `key` STRING,
  `key_bytes` BINARY,
  `value` STRING,
  `value_bytes` BINARY,
  `headers` ARRAY<STRUCT<key: STRING, value: BINARY>>,
  `timestamp_ms` BIGINT,
  `header_keys_bytes` ARRAY<BINARY>,
  `error` STRING,
  `dt` STRING
)
USING PARQUET
PARTITIONED BY (`dt`)
LOCATION 'hdfs://nn/data/_quarantine/shop.orders';
-- Again whenever there are new directories:
MSCK REPAIR TABLE `shop_orders_quarantine`;

-- orders --engine hive --counts --table counts
CREATE EXTERNAL TABLE `counts` (
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
PARTITIONED BY (`dt` STRING)
ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'
STORED AS TEXTFILE
LOCATION 'hdfs://nn/data/order-counts';
-- Again whenever there are new directories:
MSCK REPAIR TABLE `counts`;

-- orders --engine duckdb --counts
-- DuckDB does not read hdfs:// by itself: copy the files, and give the directory of
-- the copy as --root file:///…
CREATE VIEW "order_counts" AS
SELECT * FROM read_json('hdfs://nn/data/order-counts/**/*.jsonl.gz', hive_partitioning = true, hive_types = {"dt": VARCHAR}, format = 'newline_delimited', columns = {
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

-- all --engine duckdb --topic log-a
-- DuckDB does not read hdfs:// by itself: copy the files, and give the directory of
-- the copy as --root file:///…
CREATE VIEW "log_a" AS
SELECT * FROM read_json('hdfs://nn/data/log-a/**/*.jsonl.gz', hive_partitioning = false, format = 'newline_delimited', columns = {
  'topic': 'VARCHAR',
  'partition': 'INTEGER',
  'offset': 'BIGINT',
  'timestamp': 'VARCHAR',
  'timestamp_type': 'VARCHAR',
  'key': 'VARCHAR',
  'key_bytes': 'VARCHAR',
  'value': 'JSON',
  'value_bytes': 'VARCHAR',
  'headers': 'STRUCT(key VARCHAR, key_bytes VARCHAR, value VARCHAR, value_bytes VARCHAR)[]'
});

-- old --engine hive
-- The files are compressed with zstd, which Hive 3 reads only where the native library
-- of Hadoop has zstd. Files of the codec gzip need no library.
CREATE EXTERNAL TABLE `o` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `timestamp` BIGINT COMMENT 'microseconds since 1970',
  `timestamp_type` STRING,
  `key` STRING,
  `key_bytes` BINARY,
  `value` STRING,
  `value_bytes` BINARY,
  `headers` ARRAY<STRUCT<key: STRING, value: BINARY>>,
  `timestamp_ms` BIGINT,
  `header_keys_bytes` ARRAY<BINARY>,
  `at` BIGINT COMMENT 'microseconds since 1970'
)
PARTITIONED BY (`dt` STRING, `hr` STRING)
STORED AS PARQUET
LOCATION 'hdfs://nn/data/o';
-- Again whenever there are new directories:
MSCK REPAIR TABLE `o`;

-- old --engine trino
CREATE TABLE hive.default."o" (
  "topic" VARCHAR,
  "partition" INTEGER,
  "offset" BIGINT,
  "timestamp" BIGINT COMMENT 'microseconds since 1970',
  "timestamp_type" VARCHAR,
  "key" VARCHAR,
  "key_bytes" VARBINARY,
  "value" VARCHAR,
  "value_bytes" VARBINARY,
  "headers" ARRAY(ROW(key VARCHAR, value VARBINARY)),
  "timestamp_ms" BIGINT,
  "header_keys_bytes" ARRAY(VARBINARY),
  "at" BIGINT COMMENT 'microseconds since 1970',
  "dt" VARCHAR,
  "hr" VARCHAR
)
WITH (
  external_location = 'hdfs://nn/data/o',
  format = 'PARQUET',
  partitioned_by = ARRAY['dt', 'hr']
);
-- Again whenever there are new directories:
CALL hive.system.sync_partition_metadata('default', 'o', 'ADD');

-- lines --engine hive
CREATE EXTERNAL TABLE `l` (
  `value` STRING
)
PARTITIONED BY (`dt` STRING, `hr` STRING)
ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.RegexSerDe'
WITH SERDEPROPERTIES ('input.regex' = '(?s)^(.*)$')
STORED AS TEXTFILE
LOCATION 'hdfs://nn/data/l';
-- Again whenever there are new directories:
MSCK REPAIR TABLE `l`;

-- lines --engine spark
CREATE TABLE `l` (
  `value` STRING,
  `dt` STRING,
  `hr` STRING
)
USING TEXT
PARTITIONED BY (`dt`, `hr`)
LOCATION 'hdfs://nn/data/l';
-- Again whenever there are new directories:
MSCK REPAIR TABLE `l`;

-- lines --engine trino
-- Trino has this format since version 409.
CREATE TABLE hive.default."l" (
  "value" VARCHAR,
  "dt" VARCHAR,
  "hr" VARCHAR
)
WITH (
  external_location = 'hdfs://nn/data/l',
  format = 'REGEX',
  regex = '(?s)^(.*)$',
  partitioned_by = ARRAY['dt', 'hr']
);
-- Again whenever there are new directories:
CALL hive.system.sync_partition_metadata('default', 'l', 'ADD');

-- lines --engine duckdb
-- DuckDB does not read hdfs:// by itself: copy the files, and give the directory of
-- the copy as --root file:///…
CREATE VIEW "l" AS
SELECT * REPLACE (coalesce(value, '') AS value) FROM read_csv('hdfs://nn/data/l/**/*.txt', hive_partitioning = true, hive_types = {"dt": VARCHAR, "hr": VARCHAR}, columns = {'value': 'VARCHAR'}, header = false, auto_detect = false, quote = '', escape = '', max_line_size = 67108864, delim = chr(30) || chr(31) || chr(30) || chr(31), new_line = '\n');

-- lines --engine spark --quarantine
CREATE TABLE `l_quarantine` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `timestamp` STRING,
  `timestamp_type` STRING,
  `key` STRING,
  `key_bytes` STRING,
  `value` STRING,
  `value_bytes` STRING,
  `headers` ARRAY<STRUCT<key: STRING, key_bytes: STRING, value: STRING, value_bytes: STRING>>,
  `error` STRING,
  `dt` STRING
)
USING JSON
PARTITIONED BY (`dt`)
LOCATION 'hdfs://nn/data/_quarantine/l';
-- Again whenever there are new directories:
MSCK REPAIR TABLE `l_quarantine`;

-- rows --engine hive
CREATE EXTERNAL TABLE `r` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `timestamp` BIGINT COMMENT 'microseconds since 1970',
  `timestamp_type` STRING,
  `key` STRING,
  `key_bytes` BINARY,
  `value` STRING,
  `value_bytes` BINARY,
  `headers` ARRAY<STRUCT<key: STRING, value: BINARY>>,
  `timestamp_ms` BIGINT,
  `header_keys_bytes` ARRAY<BINARY>,
  `at` BIGINT COMMENT 'microseconds since 1970'
)
PARTITIONED BY (`dt` STRING, `hr` STRING)
STORED AS AVRO
LOCATION 'hdfs://nn/data/r';
-- Again whenever there are new directories:
MSCK REPAIR TABLE `r`;

-- rows --engine spark
CREATE TABLE `r` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `timestamp` TIMESTAMP,
  `timestamp_type` STRING,
  `key` STRING,
  `key_bytes` BINARY,
  `value` STRING,
  `value_bytes` BINARY,
  `headers` ARRAY<STRUCT<key: STRING, value: BINARY>>,
  `timestamp_ms` BIGINT,
  `header_keys_bytes` ARRAY<BINARY>,
  `at` TIMESTAMP,
  `dt` STRING,
  `hr` STRING
)
USING AVRO
PARTITIONED BY (`dt`, `hr`)
LOCATION 'hdfs://nn/data/r';
-- Again whenever there are new directories:
MSCK REPAIR TABLE `r`;

-- rows --engine trino
CREATE TABLE hive.default."r" (
  "topic" VARCHAR,
  "partition" INTEGER,
  "offset" BIGINT,
  "timestamp" BIGINT COMMENT 'microseconds since 1970',
  "timestamp_type" VARCHAR,
  "key" VARCHAR,
  "key_bytes" VARBINARY,
  "value" VARCHAR,
  "value_bytes" VARBINARY,
  "headers" ARRAY(ROW(key VARCHAR, value VARBINARY)),
  "timestamp_ms" BIGINT,
  "header_keys_bytes" ARRAY(VARBINARY),
  "at" BIGINT COMMENT 'microseconds since 1970',
  "dt" VARCHAR,
  "hr" VARCHAR
)
WITH (
  external_location = 'hdfs://nn/data/r',
  format = 'AVRO',
  partitioned_by = ARRAY['dt', 'hr']
);
-- Again whenever there are new directories:
CALL hive.system.sync_partition_metadata('default', 'r', 'ADD');

-- typed --engine hive
CREATE EXTERNAL TABLE `t` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `timestamp` STRING,
  `timestamp_type` STRING,
  `key` STRING,
  `key_bytes` STRING,
  `headers` ARRAY<STRUCT<key: STRING, key_bytes: STRING, value: STRING, value_bytes: STRING>>,
  `at` STRING,
  `raw` STRING,
  `n` BIGINT,
  `price` DECIMAL(12,2),
  `day` DATE
)
PARTITIONED BY (`dt` STRING, `hr` STRING)
ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'
STORED AS TEXTFILE
LOCATION 'hdfs://nn/data/t';
-- Again whenever there are new directories:
MSCK REPAIR TABLE `t`;

-- typed --engine spark
CREATE TABLE `t` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `timestamp` STRING,
  `timestamp_type` STRING,
  `key` STRING,
  `key_bytes` STRING,
  `headers` ARRAY<STRUCT<key: STRING, key_bytes: STRING, value: STRING, value_bytes: STRING>>,
  `at` TIMESTAMP,
  `raw` STRING,
  `n` BIGINT,
  `price` DECIMAL(12,2),
  `day` DATE,
  `dt` STRING,
  `hr` STRING
)
USING JSON
PARTITIONED BY (`dt`, `hr`)
LOCATION 'hdfs://nn/data/t';
-- Again whenever there are new directories:
MSCK REPAIR TABLE `t`;

-- typed --engine trino
CREATE TABLE hive.default."t" (
  "topic" VARCHAR,
  "partition" INTEGER,
  "offset" BIGINT,
  "timestamp" VARCHAR,
  "timestamp_type" VARCHAR,
  "key" VARCHAR,
  "key_bytes" VARCHAR,
  "headers" ARRAY(ROW(key VARCHAR, key_bytes VARCHAR, value VARCHAR, value_bytes VARCHAR)),
  "at" VARCHAR,
  "raw" VARCHAR,
  "n" BIGINT,
  "price" DECIMAL(12,2),
  "day" DATE,
  "dt" VARCHAR,
  "hr" VARCHAR
)
WITH (
  external_location = 'hdfs://nn/data/t',
  format = 'JSON',
  partitioned_by = ARRAY['dt', 'hr']
);
-- Again whenever there are new directories:
CALL hive.system.sync_partition_metadata('default', 't', 'ADD');

-- typed --engine duckdb
-- DuckDB does not read hdfs:// by itself: copy the files, and give the directory of
-- the copy as --root file:///…
CREATE VIEW "t" AS
SELECT * FROM read_json('hdfs://nn/data/t/**/*.jsonl.gz', hive_partitioning = true, hive_types = {"dt": VARCHAR, "hr": VARCHAR}, format = 'newline_delimited', columns = {
  'topic': 'VARCHAR',
  'partition': 'INTEGER',
  'offset': 'BIGINT',
  'timestamp': 'VARCHAR',
  'timestamp_type': 'VARCHAR',
  'key': 'VARCHAR',
  'key_bytes': 'VARCHAR',
  'headers': 'STRUCT(key VARCHAR, key_bytes VARCHAR, value VARCHAR, value_bytes VARCHAR)[]',
  'at': 'TIMESTAMPTZ',
  'raw': 'VARCHAR',
  'n': 'BIGINT',
  'price': 'DECIMAL(12,2)',
  'day': 'DATE'
});

-- orders --engine hive --quarantine
-- The files are compressed with zstd, which Hive 3 reads only where the native library
-- of Hadoop has zstd. Files of the codec gzip need no library.
CREATE EXTERNAL TABLE `shop_orders_quarantine` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `timestamp` BIGINT COMMENT 'microseconds since 1970',
  `timestamp_type` STRING,
  `key` STRING,
  `key_bytes` BINARY,
  `value` STRING,
  `value_bytes` BINARY,
  `headers` ARRAY<STRUCT<key: STRING, value: BINARY>>,
  `timestamp_ms` BIGINT,
  `header_keys_bytes` ARRAY<BINARY>,
  `error` STRING
)
PARTITIONED BY (`dt` STRING)
STORED AS PARQUET
LOCATION 'hdfs://nn/data/_quarantine/shop.orders';
-- Again whenever there are new directories:
MSCK REPAIR TABLE `shop_orders_quarantine`;

-- orders --engine trino --quarantine
-- Times are UTC if the catalog's file has hive.parquet.time-zone=UTC, and otherwise of the zone of
-- the server's Java. They have microseconds in sessions with this setting alone, and in all sessions
-- if that file has hive.timestamp-precision=MICROSECONDS.
SET SESSION hive.timestamp_precision = 'MICROSECONDS';
CREATE TABLE hive.default."shop_orders_quarantine" (
  "topic" VARCHAR,
  "partition" INTEGER,
  "offset" BIGINT,
  "timestamp" TIMESTAMP(6),
  "timestamp_type" VARCHAR,
  "key" VARCHAR,
  "key_bytes" VARBINARY,
  "value" VARCHAR,
  "value_bytes" VARBINARY,
  "headers" ARRAY(ROW(key VARCHAR, value VARBINARY)),
  "timestamp_ms" BIGINT,
  "header_keys_bytes" ARRAY(VARBINARY),
  "error" VARCHAR,
  "dt" VARCHAR
)
WITH (
  external_location = 'hdfs://nn/data/_quarantine/shop.orders',
  format = 'PARQUET',
  partitioned_by = ARRAY['dt']
);
-- Again whenever there are new directories:
CALL hive.system.sync_partition_metadata('default', 'shop_orders_quarantine', 'ADD');

-- orders --engine trino --counts
CREATE TABLE hive.default."order_counts" (
  "window_start" VARCHAR,
  "window_end" VARCHAR,
  "word" VARCHAR,
  "count" BIGINT,
  "kind" VARCHAR,
  "source_partition" INTEGER,
  "topic" VARCHAR,
  "partition" INTEGER,
  "offset" BIGINT,
  "foreign_value" VARCHAR,
  "dt" VARCHAR
)
WITH (
  external_location = 'hdfs://nn/data/order-counts',
  format = 'JSON',
  partitioned_by = ARRAY['dt']
);
-- Again whenever there are new directories:
CALL hive.system.sync_partition_metadata('default', 'order_counts', 'ADD');

-- lines --engine hive --quarantine
CREATE EXTERNAL TABLE `l_quarantine` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `timestamp` STRING,
  `timestamp_type` STRING,
  `key` STRING,
  `key_bytes` STRING,
  `value` STRING,
  `value_bytes` STRING,
  `headers` ARRAY<STRUCT<key: STRING, key_bytes: STRING, value: STRING, value_bytes: STRING>>,
  `error` STRING
)
PARTITIONED BY (`dt` STRING)
ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'
STORED AS TEXTFILE
LOCATION 'hdfs://nn/data/_quarantine/l';
-- Again whenever there are new directories:
MSCK REPAIR TABLE `l_quarantine`;

-- registered --engine duckdb
-- DuckDB does not read hdfs:// by itself: copy the files, and give the directory of
-- the copy as --root file:///…
CREATE VIEW "ty" AS
SELECT * FROM read_parquet('hdfs://nn/data/ty/**/*.parquet', hive_partitioning = true, hive_types = {"dt": VARCHAR, "hr": VARCHAR}, union_by_name = true);

-- nested --engine hive
-- No reader of JSON lines that Hive has can read a value that is an object, so a row has its
-- whole line: get_json_object(`line`, '$.value') is the value, '$.offset' the offset.
CREATE EXTERNAL TABLE `ne` (
  `line` STRING
)
PARTITIONED BY (`Day` STRING)
ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.RegexSerDe'
WITH SERDEPROPERTIES ('input.regex' = '(?s)^(.*)$')
STORED AS TEXTFILE
LOCATION 'hdfs://nn/data/ne';
-- Hive 3 finds no rows, because it looks for directories of lower case. Hive 4 finds them.
-- Again whenever there are new directories:
MSCK REPAIR TABLE `ne`;

-- nested --engine spark
CREATE TABLE `ne` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `timestamp` STRING,
  `timestamp_type` STRING,
  `key` STRING,
  `key_bytes` STRING,
  `value` STRING,
  `value_bytes` STRING,
  `headers` ARRAY<STRUCT<key: STRING, key_bytes: STRING, value: STRING, value_bytes: STRING>>,
  `Day` STRING
)
USING JSON
PARTITIONED BY (`Day`)
LOCATION 'hdfs://nn/data/ne';
-- Again whenever there are new directories:
MSCK REPAIR TABLE `ne`;

-- nested --engine trino
-- Trino 476 has this format, and 368 does not.
CREATE TABLE hive.default."ne" (
  "topic" VARCHAR,
  "partition" INTEGER,
  "offset" BIGINT,
  "timestamp" VARCHAR,
  "timestamp_type" VARCHAR,
  "key" VARCHAR,
  "key_bytes" VARCHAR,
  "value" VARCHAR,
  "value_bytes" VARCHAR,
  "headers" ARRAY(ROW(key VARCHAR, key_bytes VARCHAR, value VARCHAR, value_bytes VARCHAR)),
  "Day" VARCHAR
)
WITH (
  external_location = 'hdfs://nn/data/ne',
  format = 'OPENX_JSON',
  partitioned_by = ARRAY['Day']
);
-- Again whenever there are new directories:
CALL hive.system.sync_partition_metadata('default', 'ne', 'ADD', false);

-- packed --engine hive
-- The files are compressed with lz4 (LZ4_RAW), which Hive 4 reads, and Hive 3 does not. Both read
-- files of the codec gzip.
CREATE EXTERNAL TABLE `p` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `timestamp` BIGINT COMMENT 'microseconds since 1970',
  `timestamp_type` STRING,
  `key` STRING,
  `key_bytes` BINARY,
  `value` STRING,
  `value_bytes` BINARY,
  `headers` ARRAY<STRUCT<key: STRING, value: BINARY>>,
  `timestamp_ms` BIGINT,
  `header_keys_bytes` ARRAY<BINARY>
)
STORED AS PARQUET
LOCATION 'hdfs://nn/data/p';

-- packed --engine spark
-- The files are compressed with lz4 (LZ4_RAW), which Spark 4.0 reads, and Spark 3.2 does not.
CREATE TABLE `p` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `timestamp` TIMESTAMP,
  `timestamp_type` STRING,
  `key` STRING,
  `key_bytes` BINARY,
  `value` STRING,
  `value_bytes` BINARY,
  `headers` ARRAY<STRUCT<key: STRING, value: BINARY>>,
  `timestamp_ms` BIGINT,
  `header_keys_bytes` ARRAY<BINARY>
)
USING PARQUET
LOCATION 'hdfs://nn/data/p';

-- packed --engine trino
-- The files are compressed with lz4 (LZ4_RAW), which Trino does not read (476 was tried).
-- It reads files of the other codecs.
-- Times are UTC if the catalog's file has hive.parquet.time-zone=UTC, and otherwise of the zone of
-- the server's Java. They have microseconds in sessions with this setting alone, and in all sessions
-- if that file has hive.timestamp-precision=MICROSECONDS.
SET SESSION hive.timestamp_precision = 'MICROSECONDS';
CREATE TABLE hive.default."p" (
  "topic" VARCHAR,
  "partition" INTEGER,
  "offset" BIGINT,
  "timestamp" TIMESTAMP(6),
  "timestamp_type" VARCHAR,
  "key" VARCHAR,
  "key_bytes" VARBINARY,
  "value" VARCHAR,
  "value_bytes" VARBINARY,
  "headers" ARRAY(ROW(key VARCHAR, value VARBINARY)),
  "timestamp_ms" BIGINT,
  "header_keys_bytes" ARRAY(VARBINARY)
)
WITH (
  external_location = 'hdfs://nn/data/p',
  format = 'PARQUET'
);

-- packed_rows --engine hive
-- The files are compressed with zstandard, which Hive 4 reads, and Hive 3 does not. Both read
-- files of the codecs deflate and snappy.
CREATE EXTERNAL TABLE `pr` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `timestamp` BIGINT COMMENT 'microseconds since 1970',
  `timestamp_type` STRING,
  `key` STRING,
  `key_bytes` BINARY,
  `value` STRING,
  `value_bytes` BINARY,
  `headers` ARRAY<STRUCT<key: STRING, value: BINARY>>,
  `timestamp_ms` BIGINT,
  `header_keys_bytes` ARRAY<BINARY>
)
STORED AS AVRO
LOCATION 'hdfs://nn/data/pr';

-- packed_rows --engine trino
-- The files are compressed with zstandard, which Trino 476 reads, and 368 does not.
CREATE TABLE hive.default."pr" (
  "topic" VARCHAR,
  "partition" INTEGER,
  "offset" BIGINT,
  "timestamp" BIGINT COMMENT 'microseconds since 1970',
  "timestamp_type" VARCHAR,
  "key" VARCHAR,
  "key_bytes" VARBINARY,
  "value" VARCHAR,
  "value_bytes" VARBINARY,
  "headers" ARRAY(ROW(key VARCHAR, value VARBINARY)),
  "timestamp_ms" BIGINT,
  "header_keys_bytes" ARRAY(VARBINARY)
)
WITH (
  external_location = 'hdfs://nn/data/pr',
  format = 'AVRO'
);

-- values --engine hive
CREATE EXTERNAL TABLE `v` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `timestamp` BIGINT COMMENT 'microseconds since 1970',
  `timestamp_type` STRING,
  `key` STRING,
  `key_bytes` BINARY,
  `value` STRING,
  `value_bytes` BINARY,
  `headers` ARRAY<STRUCT<key: STRING, value: BINARY>>,
  `timestamp_ms` BIGINT,
  `header_keys_bytes` ARRAY<BINARY>,
  `orderId` BIGINT,
  `price` DECIMAL(9,2),
  `at` BIGINT COMMENT 'microseconds since 1970',
  `day` DATE
)
PARTITIONED BY (`kind` STRING)
STORED AS AVRO
LOCATION 'hdfs://nn/data/v'
TBLPROPERTIES ('avro.schema.literal' = '{"fields":[{"default":null,"name":"topic","type":["null","string"]},{"default":null,"name":"partition","type":["null","int"]},{"default":null,"name":"offset","type":["null","long"]},{"default":null,"name":"timestamp","type":["null","long"]},{"default":null,"name":"timestamp_type","type":["null","string"]},{"default":null,"name":"key","type":["null","string"]},{"default":null,"name":"key_bytes","type":["null","bytes"]},{"default":null,"name":"value","type":["null","string"]},{"default":null,"name":"value_bytes","type":["null","bytes"]},{"default":null,"name":"headers","type":["null",{"items":["null",{"fields":[{"default":null,"name":"key","type":["null","string"]},{"default":null,"name":"value","type":["null","bytes"]}],"name":"r2","type":"record"}],"type":"array"}]},{"default":null,"name":"timestamp_ms","type":["null","long"]},{"default":null,"name":"header_keys_bytes","type":["null",{"items":["null","bytes"],"type":"array"}]},{"default":null,"name":"orderId","type":["null","long"]},{"default":null,"name":"price","type":["null",{"logicalType":"decimal","precision":9,"scale":2,"type":"bytes"}]},{"default":null,"name":"at","type":["null","long"]},{"default":null,"name":"day","type":["null",{"logicalType":"date","type":"int"}]}],"name":"r1","type":"record"}');
-- Without this setting, Hive refuses directories whose values have escaped characters. Hive 3 does
-- not find the rows of values with a space, and makes empty directories for them.
SET hive.msck.path.validation=ignore;
-- Again whenever there are new directories:
MSCK REPAIR TABLE `v`;

-- prices --engine hive
-- The files are compressed with zstd, which Hive reads only where the native library of Hadoop
-- has zstd. Files of the codec gzip need no library.
-- Hive 4 reads decimals in JSON lines as numbers of 64 bits, and loses the digits behind the 15th.
-- Hive 3 reads all digits.
CREATE EXTERNAL TABLE `pc` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `timestamp` STRING,
  `timestamp_type` STRING,
  `key` STRING,
  `key_bytes` STRING,
  `headers` ARRAY<STRUCT<key: STRING, key_bytes: STRING, value: STRING, value_bytes: STRING>>,
  `price` DECIMAL(20,2)
)
ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'
STORED AS TEXTFILE
LOCATION 'hdfs://nn/data/pc';

