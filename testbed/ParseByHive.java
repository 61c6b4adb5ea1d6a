import java.nio.charset.StandardCharsets;
import org.apache.hadoop.hive.conf.HiveConf;
import org.apache.hadoop.hive.ql.Context;
import org.apache.hadoop.hive.ql.parse.ParseDriver;

/**
 * Parses the statements of its standard input as Hive does, and prints `parsed`, or `refused` with
 * the reason, for each: comments begin lines, and statements end with a line.
 */
public class ParseByHive {
    public static void main(String[] arguments) throws Exception {
        String text = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
        String statements = text.replaceAll("(?m)^--.*$", "");
        HiveConf settings = new HiveConf();
        settings.set("_hive.hdfs.session.path", "/tmp");
        settings.set("_hive.local.session.path", "/tmp");
        for (String statement : statements.split(";\\s*(\n|$)")) {
            if (statement.isBlank()) {
                continue;
            }
            if (statement.strip().startsWith("SET ")) {
                // This is no statement of the language, but one of Hive's shells.
                System.out.println("parsed SET");
                continue;
            }
            try {
                new ParseDriver().parse(statement, new Context(settings));
                System.out.println("parsed " + statement.trim().split("\\s")[0]);
            } catch (Exception e) {
                System.out.println("refused " + e.getMessage() + ": " + statement);
            }
        }
    }
}
