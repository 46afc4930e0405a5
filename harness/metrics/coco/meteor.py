"""METEOR 1.5: aligned words, exact, by stem, by synonym and by paraphrase (Denkowski and Lavie 2014).

The alignment is the published Java program's; the score is computed here from the counts that it prints for each text, so
corpus scores, intervals and tests need no second pass through Java. It is given only the paraphrases that can match
(`harness.metrics.coco.paraphrases`), which changes nothing but the cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from harness.errors import JavaError, MetricUnavailable
from harness.metrics.base import Output, nothing_right
from harness.metrics.coco import CocoMetric, Prepared, prepare
from harness.metrics.coco.java import find_jar, find_java, run_java
from harness.metrics.coco.ngrams import References
from harness.metrics.coco.paraphrases import narrowed
from harness.suites.examples import Sample
from harness.suites.provenance import Signature

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
"""Balance of precision and recall, shape and weight of the fragmentation penalty, weight of content words: the published
parameters for English (table 1, task "ranking")."""
WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])
"""Of a match that is exact, by stem, by synonym, by paraphrase."""
FIELDS = 23
"""Numbers a line: lengths and function words of text and reference; for each kind of match the content words of both and
the function words of both; chunks; words matched in both."""
LONGEST = 512
"""Words; aligning two texts of thousands takes minutes, so longer ones are left unscored."""
SECONDS, SECONDS_A_TEXT = 180.0, 0.1

HEAP = "256m"
_TABLE = "paraphrases.gz"
_JAR = "meteor/meteor-1.5.jar"
_PARAPHRASES = "meteor/data/paraphrase-en.gz"


class Meteor(CocoMetric):
    """METEOR 1.5 of the corpus; needs Java."""

    columns = FIELDS
    row_names = (
        "text-words", "reference-words", "text-function-words", "reference-function-words",
        *(
            f"{side}-{kind}-words-by-{module}"
            for module in ("form", "stem", "synonym", "paraphrase")
            for kind in ("content", "function")
            for side in ("text", "reference")
        ),
        "chunks", "text-matched", "reference-matched",
    )  # fmt: skip

    @property
    def outputs(self) -> tuple[Output, ...]:
        """One number."""
        return (Output("meteor", higher_is_better=True),)

    def expect(self, runs: Sequence[Sequence[Sample]]) -> None:
        """Align the texts of all runs in one go, so that METEOR starts once."""
        super().expect(runs)
        prepared = prepare([sample for run in runs for sample in run], self.config.tokenizer)
        _align(prepared.references, sorted(set(zip(prepared.image.tolist(), prepared.texts, strict=True))))

    def measure(self, prepared: Prepared) -> NDArray[np.float64]:
        """The 23 counts of each text against its best reference; NaN where a text or a reference has more than 512 words.

        Raises:
            MetricUnavailable: no Java, or no pycocoevalcap, which METEOR's jar comes with.
            JavaError: METEOR failed, took too long, or answered something else than 23 numbers a text.
        """
        pairs = list(zip(prepared.image.tolist(), prepared.texts, strict=True))
        known = _align(prepared.references, list(dict.fromkeys(pairs)))
        rows = np.full((len(pairs), FIELDS), np.nan)
        for i, pair in enumerate(pairs):
            if pair in known:
                rows[i] = np.frombuffer(known[pair])
        return rows

    def finalise(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """F-measure of weighted matches times the penalty for fragments (equations 1 to 6 of the paper)."""
        text_words, reference_words, text_function, reference_function = (sums[..., i] for i in range(4))
        matches = sums[..., 4:20].reshape(*sums.shape[:-1], 4, 4)
        chunks, said_matched, asked_matched = (sums[..., i] for i in (20, 21, 22))
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = _weighted(matches[..., 0], matches[..., 2]) / _length(text_words, text_function)
            recall = _weighted(matches[..., 1], matches[..., 3]) / _length(reference_words, reference_function)
            mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
            fragmentation = chunks / ((said_matched + asked_matched) / 2)
            score = mean * (1 - GAMMA * fragmentation**BETA)
        return np.where(said_matched > 0, score, 0.0)[..., None]

    def worst_row(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Nothing matched, of as many words as any text and any reference have."""
        return nothing_right(rows, (0, 1))

    def signature(self) -> Signature:
        """Version, language, parameters, tokenizer and references."""
        return self._signed("meteor", jar="1.5", lang="en", task="rank", norm="yes")


_ALIGNED: WeakKeyDictionary[References, dict[tuple[int, str], bytes]] = WeakKeyDictionary()
"""What METEOR answered in this process: the counts, as bytes, of each text for an image."""


def _align(references: References, pairs: Sequence[tuple[int, str]]) -> dict[tuple[int, str], bytes]:
    """Let METEOR align each (image, text) that it has not aligned before; those that are too long are left out."""
    known = _ALIGNED.setdefault(references, {})
    short = [all(len(text.split()) <= LONGEST for text in texts) for texts in references.tokens]
    missing = [pair for pair in pairs if pair not in known and short[pair[0]] and len(pair[1].split()) <= LONGEST]
    if not missing:
        return known
    jar, table = find_jar(_JAR), find_jar(_PARAPHRASES)
    if jar is None or table is None:
        raise MetricUnavailable("METEOR comes with pycocoevalcap; install it: pip install 'seetell[metrics]'")
    find_java()  # before the paraphrases, which take seconds
    wanted = [[_plain(text) for text in texts] for texts in references.tokens]
    lines = [" ||| ".join(["SCORE", *wanted[image], _plain(text)]) for image, text in missing]
    paraphrases = narrowed(table, [text for texts in wanted for text in texts], references.digest)
    answer = run_java(
        jar,
        "Meteor",
        ["-", "-", "-stdio", "-l", "en", "-norm", "-a", _TABLE],
        "\n".join(lines) + "\n",
        timeout=SECONDS + SECONDS_A_TEXT * len(missing),
        heap=HEAP,
        files={_TABLE: paraphrases.table([_plain(text) for _, text in missing])},
    )
    answers = answer.splitlines()
    if len(answers) != len(missing):
        raise JavaError(f"METEOR was asked about {len(missing)} texts and answered {len(answers)} lines; nothing was scored")
    numbers = np.array([_numbers(line) for line in answers])
    known.update(zip(missing, (row.tobytes() for row in numbers), strict=True))
    return known


def _plain(tokens: str) -> str:
    """Tokens without what METEOR reads as a separator."""
    return " ".join(tokens.replace("|||", " ").split())


def _numbers(line: str) -> list[float]:
    """The counts of one text.

    A text that matches its reference word for word, in one chunk, has no fragments: METEOR counts none for it when it adds
    texts up, and so its chunk is taken off here.
    """
    try:
        numbers = [float(field) for field in line.split()]
    except ValueError:
        numbers = []
    if len(numbers) != FIELDS:
        raise JavaError(f"METEOR answered {line[:80]!r}; expected {FIELDS} numbers")
    if numbers[20] == 1 and numbers[21] == numbers[0] and numbers[22] == numbers[1]:
        numbers[20] = 0.0
    return numbers


def _weighted(content: NDArray[np.float64], function: NDArray[np.float64]) -> NDArray[np.float64]:
    weighted: NDArray[np.float64] = (DELTA * content + (1 - DELTA) * function) @ WEIGHTS
    return weighted


def _length(words: NDArray[np.float64], function: NDArray[np.float64]) -> NDArray[np.float64]:
    return DELTA * (words - function) + (1 - DELTA) * function
