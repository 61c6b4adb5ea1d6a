import io.trino.sql.parser.ParsingOptions;
import io.trino.sql.parser.SqlParser;
import java.nio.charset.StandardCharsets;

/**
 * Parses the statements of its standard input as Trino does, and prints `parsed`, or `refused` with
 * the reason, for each: comments begin lines, and statements end with a line.
 */
public class ParseByTrino {
    public static void main(String[] arguments) throws Exception {
        String text = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
        String statements = text.replaceAll("(?m)^--.*$", "");
        for (String statement : statements.split(";\\s*(\n|$)")) {
            if (statement.isBlank()) {
                continue;
            }
            try {
                new SqlParser().createStatement(statement, new ParsingOptions());
                System.out.println("parsed " + statement.trim().split("\\s")[0]);
            } catch (Exception e) {
                System.out.println("refused " + e.getMessage() + ": " + statement);
            }
        }
    }
}
