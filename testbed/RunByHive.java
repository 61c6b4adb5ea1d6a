import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hive.conf.HiveConf;
import org.apache.hadoop.hive.metastore.api.FieldSchema;
import org.apache.hadoop.hive.ql.DriverFactory;
import org.apache.hadoop.hive.ql.IDriver;
import org.apache.hadoop.hive.ql.processors.CommandProcessor;
import org.apache.hadoop.hive.ql.processors.CommandProcessorFactory;
import org.apache.hadoop.hive.ql.session.SessionState;
import org.apache.hadoop.hive.serde2.FetchFormatter;
import org.apache.hadoop.hive.serde2.objectinspector.ObjectInspector;
import org.apache.hadoop.hive.serde2.objectinspector.ObjectInspectorUtils;

/**
 * Runs the statements of its standard input as Hive does: comments begin lines, and statements end
 * with a line. It prints a line of JSON for each SELECT, with the names of its columns and its rows
 * (bytes in Base64), and one for each statement that fails. The first argument is a directory for
 * the metastore and for what Hive needs beside it.
 */
public class RunByHive {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Rows as values, and not as text that would lose bytes. */
    public static class Values implements FetchFormatter<Object> {
        @Override
        public void initialize(Configuration settings, java.util.Properties table) {}

        @Override
        public Object convert(Object row, ObjectInspector of) {
            return plain(ObjectInspectorUtils.copyToStandardJavaObject(row, of));
        }

        @Override
        public void close() {}
    }

    /** A value that JSON has: dates, times and decimals are text. */
    private static Object plain(Object value) {
        if (value instanceof List) {
            List<Object> all = new ArrayList<>();
            ((List<?>) value).forEach(part -> all.add(plain(part)));
            return all;
        }
        if (value instanceof Map) {
            Map<String, Object> all = new LinkedHashMap<>();
            ((Map<?, ?>) value).forEach((name, part) -> all.put(name.toString(), plain(part)));
            return all;
        }
        boolean isOfJson = value == null || value instanceof Boolean || value instanceof byte[]
            || value instanceof Integer || value instanceof Long || value instanceof Double;
        return isOfJson ? value : value.toString();
    }

    private static HiveConf settings(String place) {
        HiveConf settings = new HiveConf(SessionState.class);
        Map<String, String> all = Map.ofEntries(
            Map.entry("javax.jdo.option.ConnectionURL",
                "jdbc:derby:;databaseName=" + place + "/metastore;create=true"),
            Map.entry("metastore.schema.verification", "false"),
            Map.entry("hive.metastore.schema.verification", "false"),
            Map.entry("datanucleus.schema.autoCreateAll", "true"),
            Map.entry("hive.metastore.warehouse.dir", place + "/warehouse"),
            Map.entry("hive.metastore.warehouse.external.dir", place + "/warehouse"),
            Map.entry("hive.exec.scratchdir", place + "/scratch"),
            Map.entry("hive.exec.local.scratchdir", place + "/local"),
            Map.entry("hive.downloaded.resources.dir", place + "/resources"),
            Map.entry("hive.querylog.location", place + "/log"),
            Map.entry("hadoop.tmp.dir", place + "/tmp"),
            Map.entry("fs.defaultFS", "file:///"),
            Map.entry("hive.execution.engine", "mr"),
            Map.entry("mapreduce.framework.name", "local"),
            Map.entry("hive.stats.autogather", "false"),
            Map.entry("hive.support.concurrency", "false"),
            Map.entry("hive.txn.manager", "org.apache.hadoop.hive.ql.lockmgr.DummyTxnManager"),
            Map.entry("hive.notification.event.poll.interval", "0"),
            Map.entry("hive.query.results.cache.enabled", "false"),
            Map.entry("hive.fetch.task.conversion", "more"),
            Map.entry("hive.fetch.task.conversion.threshold", "-1"),
            Map.entry("hive.resultset.use.unique.column.names", "false"),
            Map.entry("list.sink.output.formatter", Values.class.getName()));
        all.forEach(settings::set);
        return settings;
    }

    /** Hive 3 returns a code, and Hive 4 has thrown what went wrong. */
    private static void run(IDriver driver, String statement) throws Exception {
        Object answer = driver.run(statement);
        try {
            Object code = answer.getClass().getMethod("getResponseCode").invoke(answer);
            if (!code.equals(0)) {
                throw new IllegalStateException(answer.toString());
            }
        } catch (NoSuchMethodException e) {
            // It is Hive 4.
        }
    }

    private static Map<String, Object> answer(String statement) {
        try {
            // Settings are no statements of the language: shells know them.
            CommandProcessor command = CommandProcessorFactory.getForHiveCommand(
                statement.split("\\s+"), SessionState.get().getConf());
            if (command != null) {
                command.run(statement.substring(statement.indexOf(' ') + 1).strip());
                return null;
            }
        } catch (Exception fault) {
            return Map.of("failed", statement, "why", fault.toString());
        }
        IDriver driver = DriverFactory.newDriver(SessionState.get().getConf());
        try {
            run(driver, statement);
            if (!statement.toUpperCase().startsWith("SELECT")) {
                return null;
            }
            List<String> names = new ArrayList<>();
            for (FieldSchema column : driver.getSchema().getFieldSchemas()) {
                names.add(column.getName());
            }
            List<Object> rows = new ArrayList<>();
            List<Object> part = new ArrayList<>();
            while (driver.getResults(part)) {
                rows.addAll(part);
                part.clear();
            }
            return Map.of("columns", names, "rows", rows);
        } catch (Throwable fault) {
            StringBuilder why = new StringBuilder();
            for (Throwable cause = fault; cause != null; cause = cause.getCause()) {
                why.append(cause).append("; ");
            }
            return Map.of("failed", statement, "why", why.toString());
        } finally {
            driver.close();
        }
    }

    public static void main(String[] arguments) throws Exception {
        String text = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
        String place = Files.createDirectories(java.nio.file.Path.of(arguments[0])).toString();
        System.setProperty("derby.system.home", place);
        SessionState.start(new SessionState(settings(place)));
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, "UTF-8");
        for (String statement : text.replaceAll("(?m)^--.*$", "").split(";\\s*(\n|$)")) {
            if (!statement.isBlank()) {
                Map<String, Object> answer = answer(statement.strip());
                if (answer != null) {
                    out.println(JSON.writeValueAsString(answer));
                }
            }
        }
        out.flush();
        // Threads of the metastore go on.
        System.exit(0);
    }
}
