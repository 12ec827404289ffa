// Independent readers: XML as the JDK reads it (Xerces), and forms as its URLDecoder does.
// Lines come in as `format charset base64`, and go out as in readers.py.
import java.io.*;
import java.net.URLDecoder;
import java.nio.charset.*;
import java.util.*;
import javax.xml.parsers.*;
import org.w3c.dom.*;
import org.xml.sax.InputSource;

public class Readers {
    public static void main(String[] arguments) throws Exception {
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        var out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.US_ASCII);
        for (String line; (line = in.readLine()) != null; ) {
            var parts = line.split(" ", -1);
            var body = Base64.getDecoder().decode(parts[2]);
            List<String[]> told = null;
            try {
                told = parts[0].equals("xml") ? xml(body) : form(body, Charset.forName(parts[1]));
            } catch (Exception refused) {
                // Nothing is read.
            }
            var name = parts[0].equals("xml") ? "jdk xml" : "jdk URLDecoder";
            out.println("{" + quote(name) + ":" + show(told) + "}");
        }
    }

    static List<String[]> form(byte[] body, Charset charset) throws Exception {
        var fields = new ArrayList<String[]>();
        var text = charset.newDecoder().decode(java.nio.ByteBuffer.wrap(body)).toString();
        for (var field : text.split("&", -1)) {
            var at = field.indexOf('=');
            var key = at < 0 ? field : field.substring(0, at);
            var value = at < 0 ? "" : field.substring(at + 1);
            fields.add(new String[] {URLDecoder.decode(key, charset), URLDecoder.decode(value, charset)});
        }
        return fields;
    }

    static List<String[]> xml(byte[] body) throws Exception {
        var factory = DocumentBuilderFactory.newInstance();
        factory.setNamespaceAware(true);
        var builder = factory.newDocumentBuilder();
        builder.setErrorHandler(null);
        var fields = new ArrayList<String[]>();
        flat(builder.parse(new InputSource(new ByteArrayInputStream(body))).getDocumentElement(), "", fields);
        return fields;
    }

    static void flat(Element element, String path, List<String[]> fields) {
        var children = new LinkedHashMap<String, List<Element>>();
        for (var child = element.getFirstChild(); child != null; child = child.getNextSibling())
            if (child instanceof Element inner) children.computeIfAbsent(inner.getLocalName(), name -> new ArrayList<>()).add(inner);
        if (children.isEmpty()) {
            if (!path.isEmpty()) fields.add(new String[] {path.substring(1), element.getTextContent()});
            return;
        }
        children.forEach((name, members) -> {
            for (var at = 0; at < members.size(); at++)
                flat(members.get(at), path + "/" + name + (members.size() == 1 ? "" : "/" + at), fields);
        });
    }

    static String show(List<String[]> fields) {
        if (fields == null) return "null";
        var shown = new StringJoiner(",", "[", "]");
        for (var field : fields) shown.add("[" + quote(field[0]) + "," + quote(field[1]) + "]");
        return shown.toString();
    }

    static String quote(String text) {
        var quoted = new StringBuilder("\"");
        for (var c : text.toCharArray()) quoted.append(c < 32 || c > 126 || c == '"' || c == '\\' ? String.format("\\u%04x", (int) c) : String.valueOf(c));
        return quoted.append('"').toString();
    }
}
