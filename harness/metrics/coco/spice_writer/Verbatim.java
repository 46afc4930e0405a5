import java.io.Reader;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import javax.script.AbstractScriptEngine;
import javax.script.Bindings;
import javax.script.ScriptContext;
import javax.script.ScriptEngine;
import javax.script.ScriptEngineFactory;
import javax.script.SimpleBindings;

/**
 * Stands in for the JavaScript engine that Java had until version 14.
 *
 * SPICE asks JavaScript for one thing only: to indent the JSON that it has made (variable "jsonString") into "result". This
 * hands it over as it is. Compile with: javac --release 8 Verbatim.java
 */
public final class Verbatim extends AbstractScriptEngine implements ScriptEngineFactory {
    @Override public Object eval(String script, ScriptContext context) {
        Object json = context.getAttribute("jsonString");
        context.setAttribute("result", json, ScriptContext.ENGINE_SCOPE);
        return json;
    }

    @Override public Object eval(Reader script, ScriptContext context) { return eval("", context); }
    @Override public Bindings createBindings() { return new SimpleBindings(); }
    @Override public ScriptEngineFactory getFactory() { return this; }
    @Override public ScriptEngine getScriptEngine() { return new Verbatim(); }
    @Override public List<String> getNames() { return Arrays.asList("JavaScript"); }
    @Override public List<String> getExtensions() { return Collections.emptyList(); }
    @Override public List<String> getMimeTypes() { return Collections.emptyList(); }
    @Override public String getEngineName() { return "verbatim"; }
    @Override public String getEngineVersion() { return "1"; }
    @Override public String getLanguageName() { return "JavaScript"; }
    @Override public String getLanguageVersion() { return "0"; }
    @Override public Object getParameter(String key) { return null; }
    @Override public String getMethodCallSyntax(String object, String method, String... arguments) { return ""; }
    @Override public String getOutputStatement(String text) { return ""; }
    @Override public String getProgram(String... statements) { return ""; }
}
