import java.io.File;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;

/**
 * The system's class loader as Hive 3 expects it, which is a URLClassLoader up to Java 8 alone.
 */
public class LoaderOfHive extends URLClassLoader {
    public LoaderOfHive(ClassLoader parent) throws MalformedURLException {
        super(urls(), parent.getParent());
    }

    private static URL[] urls() throws MalformedURLException {
        String[] files = System.getProperty("java.class.path").split(":");
        URL[] urls = new URL[files.length];
        for (int n = 0; n < files.length; n++) {
            urls[n] = new File(files[n]).toURI().toURL();
        }
        return urls;
    }
}
