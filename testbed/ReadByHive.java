import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.Properties;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat;
import org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe;
import org.apache.hadoop.hive.serde2.objectinspector.ObjectInspectorUtils;
import org.apache.hadoop.io.ArrayWritable;
import org.apache.hadoop.io.NullWritable;
import org.apache.hadoop.mapred.FileInputFormat;
import org.apache.hadoop.mapred.InputSplit;
import org.apache.hadoop.mapred.JobConf;
import org.apache.hadoop.mapred.RecordReader;
import org.apache.hadoop.mapred.Reporter;

/**
 * Prints the rows of Parquet files as Hive's own reader has them, each an array of JSON with bytes
 * in Base64: names, types, and paths.
 */
public class ReadByHive {
    public static void main(String[] arguments) throws Exception {
        Properties table = new Properties();
        table.setProperty("columns", arguments[0]);
        table.setProperty("columns.types", arguments[1]);
        JobConf job = new JobConf();
        job.set("fs.defaultFS", "file:///");
        table.forEach((name, value) -> job.set((String) name, (String) value));
        for (int n = 2; n < arguments.length; n++) {
            FileInputFormat.addInputPath(job, new Path(arguments[n]));
        }
        ParquetHiveSerDe serde = new ParquetHiveSerDe();
        serde.initialize(job, table);
        ObjectMapper json = new ObjectMapper();
        MapredParquetInputFormat format = new MapredParquetInputFormat();
        for (InputSplit split : format.getSplits(job, 1)) {
            RecordReader<NullWritable, ArrayWritable> reader =
                format.getRecordReader(split, job, Reporter.NULL);
            NullWritable key = reader.createKey();
            ArrayWritable row = reader.createValue();
            while (reader.next(key, row)) {
                Object values = serde.deserialize(row);
                System.out.println(json.writeValueAsString(
                    ObjectInspectorUtils.copyToStandardJavaObject(
                        values, serde.getObjectInspector())));
            }
            reader.close();
        }
    }
}
