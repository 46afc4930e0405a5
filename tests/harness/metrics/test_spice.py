"""SPICE's plumbing: found or explained, asked and answered through files. A jar made here stands in for the program, which
cannot run without Stanford's parser; it reads the question and writes the answer in the program's own way, JavaScript included.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from decoders.models.loaded import Models
from harness.decode.imported.keep import score_imported, store_outputs
from harness.decode.imported.read import Outputs
from harness.errors import JavaError, MetricUnavailable
from harness.metrics.coco import java
from harness.metrics.coco.java import CORENLP_JARS
from harness.metrics.coco.spice import Spice, SpiceConfig, spice_jars
from harness.metrics.score import score_samples
from harness.store.runs import Results
from harness.suites.examples import Example, Failure, Sample
from harness.suites.spec import MetricRef

SCORER = """
package edu.anu.spice;
import java.io.*;
import java.lang.reflect.Field;
import java.nio.file.*;
import java.util.*;
import java.util.regex.*;
import javax.script.*;

public class SpiceScorer {
    public static void main(String[] args) throws Exception {
        Field inside = String.class.getDeclaredField("value");
        inside.setAccessible(true);  // as the program's serialiser does
        String input = new String(Files.readAllBytes(Paths.get(args[0])), "UTF-8");
        List<String> list = Arrays.asList(args);
        if (!list.contains("-silent")) throw new RuntimeException("not silent");
        StringBuilder out = new StringBuilder();
        String item = "'image_id': (\\\\d+), 'test': '(.*?)', 'refs': \\\\['(.*?)'".replace((char) 39, (char) 34);
        Matcher items = Pattern.compile(item).matcher(input);
        while (items.find()) {
            Set<String> said = new HashSet<>(Arrays.asList(items.group(2).split(" ")));
            Set<String> wanted = new HashSet<>(Arrays.asList(items.group(3).split(" ")));
            double sizes = said.size() + wanted.size();
            said.retainAll(wanted);
            out.append(out.length() > 0 ? "," : "").append("{\\"image_id\\": ").append(items.group(1))
               .append(", \\"scores\\": {\\"All\\": {\\"f\\": ").append(2 * said.size() / sizes).append("}}}");
        }
        String json = "[" + out + "]";
        if (input.contains("crash")) { System.err.println("Could not parse"); System.exit(1); }
        if (input.contains("cut")) json = "[]";
        if (input.contains("garbled")) json = "[{";
        if (list.contains("-cache")) Files.write(Paths.get(list.get(list.indexOf("-cache") + 1), "parsed"), new byte[1]);
        ScriptEngine engine = new ScriptEngineManager().getEngineByName("JavaScript");
        engine.put("jsonString", json);
        engine.eval("result = JSON.stringify(JSON.parse(jsonString), null, 2)");
        try (BufferedWriter writer = new BufferedWriter(new FileWriter(list.get(list.indexOf("-out") + 1)))) {
            writer.write((String) engine.get("result"));
        }
        if (new File(args[0]).getAbsolutePath().contains("site-packages")) throw new RuntimeException("in site-packages");
    }
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as pycocoevalcap's, with the stand-in for SPICE's jar and none for the parser."""
    compiler, packer = shutil.which("javac"), shutil.which("jar")
    if compiler is None or packer is None:
        pytest.skip("needs a Java compiler to make the stand-in jar; only a runtime, or nothing, is there")
    build = tmp_path_factory.mktemp("build")
    (build / "SpiceScorer.java").write_text(SCORER)
    subprocess.run([compiler, "-nowarn", "-d", ".", "SpiceScorer.java"], cwd=build, check=True, capture_output=True)
    folder = build / "ein Ordner" / "pycocoevalcap"
    (folder / "spice" / "lib").mkdir(parents=True)
    command = [packer, "cf", str(folder / "spice" / "spice-1.0.jar"), "edu"]
    subprocess.run(command, cwd=build, check=True, capture_output=True)
    return folder


@pytest.fixture
def installed(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in installed; the value is SeeTell's cache, without the parser."""
    monkeypatch.setattr(java.util, "find_spec", lambda name, *_: SimpleNamespace(submodule_search_locations=[str(program)]))
    monkeypatch.setenv("SEETELL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put_parser(cache: Path) -> None:
    (cache / "spice").mkdir(parents=True, exist_ok=True)
    for name in CORENLP_JARS:
        shutil.copyfile(Path(__file__), cache / "spice" / name)


def spice() -> Spice:
    return Spice(SpiceConfig(tokenizer="python", heap="64m"), Models())


SAMPLES = [
    Sample(Example("b", references=("a dog runs",)), text="a dog sits"),
    Sample(Example("a", references=("two cats",)), text="two cats"),
    Sample(Example("c", references=('a "sign" — ß',)), text=""),
    Sample(Example("d", references=("x",)), failure=Failure("OutOfMemory", "no")),
]


@pytest.mark.java
def test_scores_come_back_to_their_texts(installed: Path, program: Path) -> None:
    put_parser(installed)
    before = sorted(program.rglob("*"))
    rows = spice().rows(SAMPLES)
    np.testing.assert_allclose(rows, [[4 / 6, 1], [1, 1], [0, 1], [np.nan, np.nan]])
    [score] = score_samples(SAMPLES, {"spice": spice()}, draws=50).scores
    assert score.value == pytest.approx((4 / 6 + 1) / 3)
    assert (score.n, score.unscored) == (3, 1)
    assert "parser:corenlp-3.6.0" in score.signature
    assert sorted(program.rglob("*")) == before  # nothing is written where it is installed
    assert {each.name for each in (installed / "spice" / "parses").iterdir()} <= {"parsed"}


@pytest.mark.java
@pytest.mark.parametrize(("word", "message"), [("crash", "Could not parse"), ("cut", "scored 0"), ("garbled", "cannot be read")])
def test_a_program_that_fails_is_an_error(installed: Path, word: str, message: str) -> None:
    put_parser(installed)
    with pytest.raises(JavaError, match=message):
        spice().rows([Sample(Example("a", references=(word,)), text="x")])


@pytest.mark.java
def test_without_the_parser_it_says_what_fetches_it_and_the_others_go_on(installed: Path) -> None:
    put_parser(installed)
    (installed / "spice" / CORENLP_JARS[1]).unlink()
    [score] = score_samples(SAMPLES, {"spice": spice()}).scores
    assert CORENLP_JARS[1] in score.unavailable
    assert score.unavailable.endswith("run `seetell prefetch spice`")


@pytest.mark.java
def test_a_parser_beside_the_program_will_do(installed: Path, program: Path) -> None:
    for name in CORENLP_JARS:
        (program / "spice" / "lib" / name).write_bytes(b"")
    try:
        assert [jar.name for jar in spice_jars()] == ["spice-1.0.jar", *CORENLP_JARS]
    finally:
        for name in CORENLP_JARS:
            (program / "spice" / "lib" / name).unlink()


def test_without_java_or_pycocoevalcap_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java.util, "find_spec", lambda name, *_: None)
    with pytest.raises(MetricUnavailable, match="pip install"):
        spice().rows(SAMPLES)
    (tmp_path / "spice").mkdir()
    (tmp_path / "spice" / "spice-1.0.jar").write_bytes(b"")
    there = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(java.util, "find_spec", lambda name, *_: there)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(MetricUnavailable, match="JAVA_HOME"):
        spice().rows(SAMPLES)


@pytest.mark.java
def test_the_shipped_class_is_the_source_beside_it(tmp_path: Path) -> None:
    """Not byte by byte, for compilers differ: the same declarations, which a test above lets run."""
    compiler, lister = shutil.which("javac"), shutil.which("javap")
    if compiler is None or lister is None:
        pytest.skip("needs a Java compiler to compare with")
    folder = Path(java.__file__).parent / "spice_writer"
    options = ["-nowarn", "--release", "8", "-g:none", "-d", str(tmp_path)]
    subprocess.run([compiler, *options, str(folder / "Verbatim.java")], check=True, capture_output=True)

    def listing(place: Path) -> bytes:
        command = [lister, "-p", "-c", str(place / "Verbatim.class")]
        return subprocess.run(command, check=True, capture_output=True).stdout

    assert listing(folder) == listing(tmp_path)


@pytest.mark.java
def test_the_real_program_gets_as_far_as_the_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With pycocoevalcap's own jar and nothing in the parser's: Java starts, finds the program and misses a class."""
    if java.find_jar("spice/spice-1.0.jar") is None:
        pytest.skip("pycocoevalcap is not installed")
    monkeypatch.setenv("SEETELL_CACHE", str(tmp_path))
    put_parser(tmp_path)
    with pytest.raises(JavaError, match=r"(?s)SpiceScorer ended with code 1.*edu/stanford/nlp"):
        spice().rows(SAMPLES)


WORDS = {
    "SceneGraph": """
package edu.anu.spice;
import java.util.*;

public class SceneGraph {
    private final Map<String, SceneGraphNode> nodes = new LinkedHashMap<>();
    void add(String word) { nodes.put(word, new SceneGraphNode(new SemanticConcept(word, new HashSet<Integer>()))); }
    public Set<SceneGraphNode> nodeList() { return new LinkedHashSet<>(nodes.values()); }
    public List<SceneGraphRelation> relationList() { return new ArrayList<>(); }
}
""",
    "SpiceParser": """
package edu.anu.spice;
import java.util.*;

public class SpiceParser {
    public SpiceParser(String cache, int threads, Boolean synsets) {}

    public List<SceneGraph> parseCaptions(List<String> captions) {
        return parseCaptions(captions, Collections.nCopies(captions.size(), 1));
    }

    public List<SceneGraph> parseCaptions(List<String> captions, List<Integer> sizes) {
        List<SceneGraph> found = new ArrayList<>();
        Iterator<String> next = captions.iterator();
        for (int size : sizes) {
            SceneGraph graph = new SceneGraph();
            for (int i = 0; i < size; i++)
                for (String word : next.next().split(" ")) if (!word.isEmpty()) graph.add(word);
            found.add(graph);
        }
        return found;
    }
}
""",
}
"""In place of the two classes of the program that stand on Stanford's parser: every word is a thing that is there."""


@pytest.fixture
def published_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The published program and its libraries, all but the parsing; the value is SeeTell's cache, without the parser."""
    real = java.find_jar("spice/spice-1.0.jar")
    compiler, packer = shutil.which("javac"), shutil.which("jar")
    if real is None or compiler is None or packer is None:
        pytest.skip("needs pycocoevalcap, whose program it is, and a Java compiler")
    libraries = tmp_path / "pycocoevalcap" / "spice" / "lib"
    libraries.mkdir(parents=True)
    for jar in (real, *(real.parent / "lib").glob("*.jar")):
        (libraries / jar.name).symlink_to(jar)
    (tmp_path / "IndexedWord.java").write_text("package edu.stanford.nlp.ling; public class IndexedWord {}")
    for name, source in WORDS.items():
        (tmp_path / f"{name}.java").write_text(source)
    sources = [f"{name}.java" for name in (*WORDS, "IndexedWord")]
    options = ["-nowarn", "-cp", f"{libraries}/*", "-d", "classes"]
    subprocess.run([compiler, *options, *sources], cwd=tmp_path, check=True, capture_output=True)
    command = [packer, "cf", str(libraries.parent / "spice-1.0.jar"), "-C", "classes", "edu/anu"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    there = SimpleNamespace(submodule_search_locations=[str(tmp_path / "pycocoevalcap")])
    monkeypatch.setattr(java.util, "find_spec", lambda name, *_: there)
    monkeypatch.setenv("SEETELL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.java
def test_the_published_program_reads_the_question_scores_and_answers(published_program: Path, tmp_path: Path) -> None:
    """Its own arguments, JSON and F1 over words; and what was unavailable is scored once the parser is there."""
    samples = [
        Sample(Example("a", references=("a dog runs", "the dog")), text="a dog sits"),
        Sample(Example("b", references=("two cats",)), text=""),
        Sample(Example("c", references=('two "cats" ß',)), text='two "cats" ß'),
    ]
    options = {"tokenizer": "python", "heap": "64m"}
    asked = [Outputs("a", "CSV", samples)], Results(tmp_path / "results"), {"spice": MetricRef(options=options)}
    [score] = score_imported(store_outputs(*asked))["a"]
    assert score.unavailable.endswith("run `seetell prefetch spice`")
    put_parser(published_program)
    [score] = score_imported(store_outputs(*asked))["a"]
    assert score.unavailable == ""
    # a, dog of a, dog, sits and of a, dog, runs, the: precision 2/3, recall 2/4.
    assert score.value == pytest.approx((2 * 2 / (3 + 4) + 0 + 1) / 3)
    assert score.n == 3
