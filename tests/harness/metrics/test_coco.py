import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from decoders.base import Models
from harness.errors import MetricError
from harness.examples import Example, Failure, Sample
from harness.metrics.coco import Bleu, Cider, CocoConfig, RougeL
from harness.metrics.ptb import tokenizer_variant

PUBLISHED = Path(__file__).parents[4] / "shared" / "published"
PYTHON = CocoConfig(tokenizer="python")
WORDS = ["a", "dog", "cat", "red", "blue", "sits", "runs", "on", "the", "grass", "near", "two"]


def random_samples(seed=0, n=30):
    rng = np.random.default_rng(seed)

    def text(low):
        return " ".join(rng.choice(WORDS, rng.integers(low, 12)))

    refs = [tuple(text(1) for _ in range(rng.integers(1, 6))) for _ in range(n)]
    return [Sample(Example(str(i), references=refs[i]), text=text(0)) for i in range(n)]


def each_and_all(metric, samples):
    """Values of each sample and of the corpus, outputs in the order of their names (bleu-1 to bleu-4)."""
    rows = metric.rows(samples)
    order = np.argsort([output.name for output in metric.outputs])
    return metric.finalise(rows)[:, order], metric.finalise(rows.sum(axis=0))[order]


@pytest.mark.parametrize("seed", range(5))
def test_equals_pycocoevalcap(seed):
    bleu = pytest.importorskip("pycocoevalcap.bleu.bleu", reason="pycocoevalcap is not installed")
    from pycocoevalcap.cider.cider import Cider as TheirCider
    from pycocoevalcap.rouge.rouge import Rouge

    samples = random_samples(seed)
    gts = {s.example.id: list(s.example.references) for s in samples}
    res = {s.example.id: [s.text] for s in samples}
    ours, whole = each_and_all(Bleu(PYTHON, Models()), samples)
    theirs, their_each = bleu.Bleu(4).compute_score(gts, res, verbose=0)
    np.testing.assert_allclose(whole, theirs, atol=1e-9)
    np.testing.assert_allclose(ours, np.transpose(their_each), atol=1e-9)
    for mine, other in ((RougeL, Rouge()), (Cider, TheirCider())):
        ours, whole = each_and_all(mine(PYTHON, Models()), samples)
        theirs, their_each = other.compute_score(gts, res)
        np.testing.assert_allclose(whole, [theirs], atol=1e-9)
        np.testing.assert_allclose(ours[:, 0], their_each, atol=1e-9)


@pytest.mark.java
@pytest.mark.parametrize("system", ["magic", "zerocap", "contrastive"])
def test_published_outputs_score_as_published(system):
    path = PUBLISHED / "flickr30k" / f"{system}.json.gz"
    if not path.is_file():
        pytest.skip("the published outputs are not beside the repository")
    if tokenizer_variant("auto") == "python":
        pytest.skip("no Java or no pycocoevalcap")
    golden = json.loads((PUBLISHED / "golden.json").read_text())["flickr30k"][system]["scores"]
    items = json.loads(gzip.decompress(path.read_bytes()))
    samples = [Sample(Example(x["image_name"], references=tuple(x["captions"])), text=x["prediction"]) for x in items]
    keys = ([f"Bleu_{n}" for n in range(1, 5)], ["ROUGE_L"], ["CIDEr"])
    for kind, names in zip((Bleu, RougeL, Cider), keys, strict=True):
        _, whole = each_and_all(kind(CocoConfig(tokenizer="ptb"), Models()), samples)
        np.testing.assert_allclose(whole, [golden[name] for name in names], atol=1e-9)


@pytest.mark.parametrize("kind", [Bleu, RougeL, Cider])
def test_failures_are_unscored_and_move_nobody_else(kind):
    samples = random_samples()
    failed = [*samples[:-1], Sample(samples[-1].example, failure=Failure("UnreadableImage", "gone"))]
    whole, part = kind(PYTHON, Models()).rows(samples), kind(PYTHON, Models()).rows(failed)
    np.testing.assert_array_equal(whole[:-1], part[:-1])
    assert np.isnan(part[-1]).all()


def test_draws_do_not_move_the_idf():
    samples = random_samples()
    twice = [*samples, *(Sample(s.example, draw=1, text=s.text) for s in samples[:9])]
    one, two = Cider(PYTHON, Models()), Cider(PYTHON, Models())
    np.testing.assert_allclose(one.rows(samples), two.rows(twice)[: len(samples)], atol=1e-12)
    assert str(one.signature()) == str(two.signature())
    assert "tok:python" in str(one.signature())


def test_one_example_and_no_references_are_refused():
    with pytest.raises(MetricError, match="two"):
        Cider(PYTHON, Models()).rows(random_samples(n=1))
    with pytest.raises(MetricError, match="reference"):
        Bleu(PYTHON, Models()).rows([Sample(Example("x"), text="a")])
