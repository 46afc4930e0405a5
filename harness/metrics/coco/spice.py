"""SPICE: F1 of the things, attributes and relations that texts and references speak of (Anderson et al. 2016, arXiv 1607.08822).

The published Java program parses and compares; pycocoevalcap brings it. Stanford CoreNLP 3.6.0, the parser it needs, has to
be fetched once: `seetell prefetch spice`.
"""

from __future__ import annotations

import json
import math
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import JavaError, MetricUnavailable
from harness.metrics.base import MeanOverTexts, Output
from harness.metrics.coco import CocoConfig, CocoMetric, Prepared
from harness.metrics.coco.java import CORENLP_JARS, find_jar, find_java, run_java
from harness.store.runs import cache_folder
from harness.suites.provenance import Signature

SECONDS, SECONDS_A_TEXT = 900.0, 1.0
FETCH = "seetell prefetch spice"

_JAR = "spice/spice-1.0.jar"
_MAIN = "edu.anu.spice.SpiceScorer"
_WRITER = Path(__file__).parent / "spice_writer"
"""In place of the JavaScript that the program writes its answer with, and that Java 15 and newer do not have."""
# What the program's serialiser looks into; Java 16 and newer keep these shut. Java 8 does not read the variable.
_OPENED = [
    *(f"java.base/java.{name}" for name in ("io", "lang", "math", "net", "text", "util", "util.concurrent")),
    "java.sql/java.sql",
]


class SpiceConfig(CocoConfig):
    """How SPICE runs."""

    heap: str = "8g"
    """Memory that Java may take, as for -Xmx; the parser's models alone need about 2 GB."""


class Spice(MeanOverTexts, CocoMetric):
    """SPICE: the mean over texts of F1 on propositions; needs Java and Stanford CoreNLP."""

    Config = SpiceConfig
    config: SpiceConfig
    columns = 2

    @property
    def outputs(self) -> tuple[Output, ...]:
        """One number."""
        return (Output("spice", higher_is_better=True),)

    def measure(self, prepared: Prepared) -> NDArray[np.float64]:
        """F1 of each text, and 1.

        Raises:
            MetricUnavailable: no Java, no pycocoevalcap, or Stanford CoreNLP was not fetched.
            JavaError: the program failed, took too long, or answered about other texts.
        """
        jars = spice_jars()
        question = [
            {"image_id": place, "test": text, "refs": list(prepared.references.tokens[image])}
            for place, (text, image) in enumerate(zip(prepared.texts, prepared.image.tolist(), strict=True))
        ]
        if not question:
            return np.zeros((0, 2))
        texts = len(question) + len(prepared.references.lengths)
        answer = run_java(
            [*jars, _WRITER],
            _MAIN,
            ["asked.json", "-out", "answer.json", "-silent", *_parses()],
            "",
            timeout=SECONDS + SECONDS_A_TEXT * texts,
            heap=self.config.heap,
            opened=_OPENED,
            files={"asked.json": json.dumps(question).encode()},
            answer="answer.json",
        )
        return np.stack([_scores(answer, len(question)), np.ones(len(question))], axis=1)

    def signature(self) -> Signature:
        """Version, parser, tokenizer and references."""
        return self._signed("spice", jar="1.0", parser="corenlp-3.6.0", synsets="yes")


def spice_jars() -> list[Path]:
    """SPICE's class path.

    Raises:
        MetricUnavailable: something of it is missing; the text names it, and the command that brings it.
    """
    jar = find_jar(_JAR)
    if jar is None:
        raise MetricUnavailable("SPICE comes with pycocoevalcap; install it: pip install 'seetell[metrics]'")
    find_java()
    libraries = sorted(library for library in (jar.parent / "lib").glob("*.jar") if library.name not in CORENLP_JARS)
    parser = []
    for name in CORENLP_JARS:
        file = next((place / name for place in corenlp_folders(jar.parent) if (place / name).is_file()), None)
        if file is None:
            raise MetricUnavailable(f"SPICE needs Stanford CoreNLP 3.6.0, and {name} is not in {spice_folder()}; run `{FETCH}`")
        parser.append(file)
    return [jar, *libraries, *parser]


def spice_folder() -> Path:
    """Where `seetell prefetch spice` puts the parser."""
    return cache_folder() / "spice"


def corenlp_folders(program: Path) -> list[Path]:
    """Where the parser is looked for: the cache, then beside the program, where pycocoevalcap's own download puts it."""
    return [spice_folder(), program / "lib"]


def _parses() -> list[str]:
    """Keep parses of captions between runs, where the program's database has a library for this machine."""
    folder = spice_folder() / "parses"
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return []
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return []
    return ["-cache", str(folder.resolve())] if os.access(folder, os.W_OK) else []


def _scores(answer: str, count: int) -> NDArray[np.float64]:
    """F1 of each text, in the order asked."""
    scores = np.full(count, np.nan)
    try:
        content: Any = json.loads(answer)
        for entry in content:
            scores[int(entry["image_id"])] = float(entry["scores"]["All"]["f"])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise JavaError(f"SPICE's answer cannot be read ({error!r}): {answer[:80]!r}") from error
    if len(content) != count or not all(math.isfinite(value) for value in scores):
        raise JavaError(f"SPICE was asked about {count} texts and scored {int(np.isfinite(scores).sum())}; nothing was scored")
    return scores
