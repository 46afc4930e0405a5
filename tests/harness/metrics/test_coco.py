import numpy as np
import pytest

from decoders.models.loaded import Models
from harness.errors import MetricError
from harness.metrics.coco import Bleu, Cider, CocoConfig, RougeL
from harness.metrics.coco.ptb import tokenizer_variant
from harness.suites.examples import Example, Failure, Sample

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


def scores_of(kind, *pairs):
    """Corpus values of (answer, references...) tuples, by output."""
    metric = kind(PYTHON, Models())
    samples = [Sample(Example(str(i), references=tuple(refs)), text=text) for i, (text, *refs) in enumerate(pairs)]
    values = metric.finalise(metric.rows(samples).sum(axis=0))
    return {output.name: value for output, value in zip(metric.outputs, values, strict=True)}


def test_bleu_by_hand():
    short = scores_of(Bleu, ("one two three four", "one two three four five"))
    assert list(short.values()) == pytest.approx([np.exp(1 - 5 / 4)] * 4)
    assert scores_of(Bleu, ("the the the", "the cat", "a dog the"))["bleu-1"] == pytest.approx(1 / 3)
    # Of two references equally close the shorter counts, so nothing is too short here.
    assert scores_of(Bleu, ("one two", "one", "one two three"))["bleu-1"] == pytest.approx(1)
    # Counts are added up before dividing: 1 of 1 and 1 of 3 make 2 of 4.
    assert scores_of(Bleu, ("one", "one"), ("one x y", "one a b"))["bleu-1"] == pytest.approx(2 / 4)


def test_rouge_l_by_hand():
    # Best precision 3/4 comes from one reference, best recall 2/2 from the other.
    best = scores_of(RougeL, ("one two three four", "one x three y z four", "two four"))["rouge-l"]
    assert best == pytest.approx((1 + 1.2**2) * 0.75 * 1 / (1 + 1.2**2 * 0.75))
    assert scores_of(RougeL, ("", "one two"), ("one", "one"))["rouge-l"] == pytest.approx(0.5)


def test_cider_by_hand():
    # Unigrams and bigrams agree, and there are no longer ones: half of the 10 that can be had.
    assert scores_of(Cider, ("one two", "one two"), ("red blue", "red blue"))["cider"] == pytest.approx(5)
    longer = scores_of(Cider, ("one two x", "one two"), ("", "red blue"))["cider"]
    assert longer == pytest.approx(10 * (2 / np.sqrt(6) + 1 / np.sqrt(2)) / 4 * np.exp(-1 / 72) / 2)
    # What all images have in a reference weighs nothing.
    assert scores_of(Cider, ("a", "a dog"), ("a", "a cat"))["cider"] == 0


def test_references_the_same_for_all_are_refused():
    with pytest.raises(MetricError, match="same references"):
        scores_of(Cider, ("a dog", "a dog"), ("a dog", "a dog"))


@pytest.mark.parametrize("kind", [Bleu, RougeL, Cider])
def test_auto_names_the_tokenizer_it_stands_for(kind, monkeypatch):
    assert kind(PYTHON, Models()).variant() == "python"
    assert kind(CocoConfig(tokenizer="ptb"), Models()).variant() == "ptb-3.4.1"
    assert kind(CocoConfig(), Models()).variant() == tokenizer_variant("auto")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert kind(CocoConfig(), Models()).variant() == "python"


def test_scores_of_other_references_are_not_ranked_together():
    signatures = []
    for samples in (random_samples(0), random_samples(1), random_samples(0)[:-1]):
        metric = Cider(PYTHON, Models())
        metric.rows(samples)
        signatures.append(str(metric.signature()))
    assert len(set(signatures)) == 3


@pytest.mark.parametrize("answers", [("", ""), ("a", "b"), ("a b c d e f", "")])
@pytest.mark.parametrize("references", [(("a",), ("b",)), (("a b c d e f g", "!"), ("b", ""))])
def test_very_short_and_blank_texts_score_as_by_pycocoevalcap(answers, references):
    bleu = pytest.importorskip("pycocoevalcap.bleu.bleu", reason="pycocoevalcap is not installed")
    from pycocoevalcap.cider.cider import Cider as TheirCider
    from pycocoevalcap.rouge.rouge import Rouge

    samples = [Sample(Example(str(i), references=references[i]), text=answers[i]) for i in range(2)]
    gts = {str(i): [text.replace("!", "") for text in references[i]] for i in range(2)}
    res = {str(i): [answers[i]] for i in range(2)}
    for ours, theirs in ((Bleu, bleu.Bleu(4)), (RougeL, Rouge()), (Cider, TheirCider())):
        options = {"verbose": 0} if ours is Bleu else {}
        expected, _ = theirs.compute_score(gts, res, **options)
        np.testing.assert_allclose(each_and_all(ours(PYTHON, Models()), samples)[1], np.atleast_1d(expected), atol=1e-9)


def test_texts_as_they_are_score_as_repositories_that_do_not_tokenise():
    """With `tokenizer = "none"` case and punctuation count, as where raw texts are handed to pycocoevalcap's scorers."""
    bleu = pytest.importorskip("pycocoevalcap.bleu.bleu", reason="pycocoevalcap is not installed")
    from pycocoevalcap.cider.cider import Cider as TheirCider
    from pycocoevalcap.rouge.rouge import Rouge

    refs = [("A dog, running.", "a Dog runs"), ("Two cats.", "Two cats sit .")]
    samples = [Sample(Example(str(i), references=refs[i]), text=text) for i, text in enumerate(("A dog,\nrunning", "two cats."))]
    gts = {s.example.id: list(s.example.references) for s in samples}
    res = {s.example.id: [s.text.replace("\n", " ")] for s in samples}
    raw = CocoConfig(tokenizer="none")
    np.testing.assert_allclose(
        each_and_all(Bleu(raw, Models()), samples)[1], bleu.Bleu(4).compute_score(gts, res, verbose=0)[0], atol=1e-9
    )
    for mine, other in ((RougeL, Rouge()), (Cider, TheirCider())):
        metric = mine(raw, Models())
        np.testing.assert_allclose(each_and_all(metric, samples)[1], [other.compute_score(gts, res)[0]], atol=1e-9)
        assert "|tok:none|" in str(metric.signature())
        assert metric.variant() == "none"
