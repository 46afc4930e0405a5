"""METEOR 1.5: aligned words, exact, by stem, by synonym and by paraphrase (Denkowski and Lavie 2014).

The alignment is the published Java program's; the score is computed here from the counts that it prints for each text, so
corpus scores, intervals and tests need no second pass through Java.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.errors import JavaError, MetricUnavailable
from harness.metrics.base import Output
from harness.metrics.coco import CocoMetric, Prepared
from harness.metrics.java import find_jar, run_java
from harness.provenance import Signature

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

_JAR = "meteor/meteor-1.5.jar"
_PARAPHRASES = "meteor/data/paraphrase-en.gz"


class Meteor(CocoMetric):
    """METEOR 1.5 of the corpus; needs Java."""

    columns = FIELDS

    @property
    def outputs(self) -> tuple[Output, ...]:
        """One number."""
        return (Output("meteor", higher_is_better=True),)

    def measure(self, prepared: Prepared) -> NDArray[np.float64]:
        """The 23 counts of each text against its best reference; NaN for texts of more than 512 words.

        Raises:
            MetricUnavailable: no Java, or no pycocoevalcap, which METEOR's jar comes with.
            JavaError: METEOR failed, took too long, or answered something else than 23 numbers a text.
        """
        jar, paraphrases = find_jar(_JAR), find_jar(_PARAPHRASES)
        if jar is None or paraphrases is None:
            raise MetricUnavailable("METEOR comes with pycocoevalcap; install it: pip install 'seetell[metrics]'")
        short = [i for i, text in enumerate(prepared.texts) if len(text.split()) <= LONGEST]
        asked = []
        for i in short:
            references = [_plain(text) for text in prepared.references.tokens[prepared.image[i]]]
            asked.append(" ||| ".join(["SCORE", *references, _plain(prepared.texts[i])]))
        # The table of paraphrases by its path: from inside the jar METEOR finds it only where no folder has a space.
        arguments = ["-", "-", "-stdio", "-l", "en", "-norm", "-a", str(paraphrases)]
        seconds = SECONDS + SECONDS_A_TEXT * len(asked)
        answer = (
            run_java(jar, "Meteor", arguments, "\n".join(asked) + "\n", timeout=seconds, heap="2g") if asked else ""
        )
        rows = np.full((len(prepared.texts), FIELDS), np.nan)
        lines = answer.splitlines()
        if len(lines) != len(asked):
            raise JavaError(
                f"METEOR was asked about {len(asked)} texts and answered {len(lines)} lines; nothing was scored"
            )
        for i, line in zip(short, lines, strict=True):
            rows[i] = _numbers(line)
        return rows

    def finalise(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """F-measure of weighted matches times the penalty for fragments (equations 1 to 6 of the paper)."""
        said, asked, said_function, asked_function = (sums[..., i] for i in range(4))
        matches = sums[..., 4:20].reshape(*sums.shape[:-1], 4, 4)
        chunks, said_matched, asked_matched = (sums[..., i] for i in (20, 21, 22))
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = _weighted(matches[..., 0], matches[..., 2]) / _length(said, said_function)
            recall = _weighted(matches[..., 1], matches[..., 3]) / _length(asked, asked_function)
            mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
            fragmentation = chunks / ((said_matched + asked_matched) / 2)
            score = mean * (1 - GAMMA * fragmentation**BETA)
        return np.where(said_matched > 0, score, 0.0)[..., None]

    def signature(self) -> Signature:
        """Version, language, parameters, tokenizer and references."""
        return self._signed("meteor", jar="1.5", lang="en", task="rank", norm="yes")


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
