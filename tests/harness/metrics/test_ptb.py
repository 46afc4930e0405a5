import pytest

from harness.errors import JavaError, MetricError, MetricUnavailable
from harness.metrics.coco import ptb


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.setenv("SEETELL_CACHE", str(tmp_path / "with space"))
    ptb._memory.cache_clear()
    yield
    ptb._memory.cache_clear()


@pytest.fixture(params=["ptb", "python"])
def name(request):
    if request.param == "ptb" and ptb.tokenizer_variant("auto") == "python":
        pytest.skip("no Java or no pycocoevalcap")
    return request.param


def test_one_text_is_one_line_whatever_it_holds(name):
    odd = [f"one{c}two" for c in "\n\r\v\f\x1c\x85\u2028\u2029\t"] + ["a\r\nb", "", " ", "...", "end"]
    assert ptb.tokenize(odd, name) == ["one two"] * 9 + ["a b", "", "", "", "end"]


def test_tokens_of_captions(name):
    texts = ["A man's dog, can't sit.", 'The "red" t-shirt (old)!', "Two dogs: 10-year-old & 2nd."]
    assert ptb.tokenize(texts, name) == [
        "a man 's dog ca n't sit",
        "the red t-shirt -lrb- old -rrb-",
        "two dogs 10-year-old & 2nd",
    ]


def test_kept_references_are_read_back_and_a_damaged_file_is_made_again(name, tmp_path):
    first = ptb.tokenize(["A dog.", "A cat."], name, keep=True)
    [kept] = (tmp_path / "with space").rglob("*.json")
    for damage in (kept.read_text(), "[", '["one"]'):
        kept.write_text(damage)
        ptb._memory.cache_clear()
        assert ptb.tokenize(["A dog.", "A cat."], name, keep=True) == first


def test_texts_that_come_next_share_a_start(monkeypatch, tmp_path):
    starts = []
    real = ptb.python_tokens
    monkeypatch.setattr(ptb, "tokenizer_variant", lambda name: ptb.PTB)
    monkeypatch.setattr(ptb, "_ptb", lambda texts: (starts.append(texts), [real(text) for text in texts])[1])
    assert ptb.tokenize(["A dog."], "ptb", keep=True, coming=["A cat!", "A dog.", "A\nbird."]) == ["a dog"]
    assert ptb.tokenize(["A cat!", "A bird."], "ptb") == ["a cat", "a bird"]
    assert starts == [["A bird.", "A cat!", "A dog."]]
    [kept] = (tmp_path / "with space").rglob("*.json")
    assert kept.read_text() == '["a dog"]'
    ptb._memory.cache_clear()
    assert ptb.tokenize(["A dog."], "ptb", keep=True, coming=["A cat!"]) == ["a dog"]  # read back: nothing is started
    assert len(starts) == 1


def test_half_a_surrogate_is_refused():
    with pytest.raises(MetricError, match="surrogate"):
        ptb.tokenize(["a \ud800"], "python")


def test_without_java_auto_is_python_and_ptb_says_why(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert ptb.tokenizer_variant("auto") == "python"
    with pytest.raises(MetricUnavailable):
        ptb.tokenize(["a"], "ptb")


@pytest.mark.parametrize("script", ["echo boom >&2; exit 1", "cat >/dev/null; echo short", "exit 0"])
def test_a_broken_java_is_an_error_never_a_score(script, tmp_path, monkeypatch):
    if ptb.find_jar(ptb._JAR) is None:
        pytest.skip("pycocoevalcap is not installed")
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\n{script}\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(JavaError, match="python"):
        ptb.tokenize(["a", "b"], "ptb")
