"""Tokenisation of captions as the COCO caption evaluation does it (Chen et al. 2015, arXiv 1504.00325, section 3).

Penn Treebank tokens, lower-cased, punctuation removed. The Stanford tokenizer's jar ships with pycocoevalcap and needs Java;
without either, a Python tokenizer comes close, under a name of its own, so that numbers made with the two are never ranked
against each other.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from harness.errors import JavaError, MetricError, MetricUnavailable
from harness.metrics.coco.java import INSTALL, find_jar, java_path, run_java
from harness.store.durable import write_bytes
from harness.suites.places import cache_folder

TokenizerName = Literal["auto", "ptb", "python", "none"]
PTB, PYTHON, NONE = "ptb-3.4.1", "python", "none"

_JAR = "tokenizer/stanford-corenlp-3.4.1.jar"
_MAIN = "edu.stanford.nlp.process.PTBTokenizer"
_SECONDS = 120.0
_SECONDS_PER_TEXT = 0.01
_REMEMBERED = 1_000_000

# The COCO kit's list. It means to drop brackets too, but lists them in capitals and lower-cases first, so they stay.
PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])

_LINE_BREAKS = re.compile("[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def tokenizer_variant(name: TokenizerName) -> str:
    """Which tokenizer `name` means on this machine: `ptb-3.4.1`, `python` or `none`. Starts nothing."""
    if name == "none":
        return NONE
    if name == "auto":
        return PTB if java_path() and find_jar(_JAR) else PYTHON
    return PTB if name == "ptb" else PYTHON


def tokenize(texts: Sequence[str], name: TokenizerName = "auto", *, keep: bool = False, coming: Sequence[str] = ()) -> list[str]:
    """Tokenise texts: one string each, tokens between single spaces; empty where nothing but punctuation was said.

    Within a process equal texts are tokenised once. A line break inside a text counts as a space.

    Args:
        texts: any texts.
        name: `ptb` needs Java and pycocoevalcap; `auto` takes it if both are there, else `python`; `none` only splits at white
            space and keeps case and punctuation.
        keep: keep the result on disk too (for references, which serve many runs), under `$SEETELL_CACHE`, else
            `~/.cache/seetell`.
        coming: texts that will be asked for next; if a tokenizer must be started, they go along in the same start.

    Raises:
        MetricUnavailable: `ptb` was asked for, and Java or pycocoevalcap is missing.
        JavaError: Java crashed, was too slow, or answered with another number of lines.
        MetricError: a text that is no Unicode (a lone surrogate).
    """
    variant = tokenizer_variant(name)
    if variant == NONE:
        return [" ".join(_one_line(text).split()) for text in texts]
    known = _memory(variant)
    if len(known) > _REMEMBERED:
        known.clear()
    clean = [_one_line(text) for text in texts]
    distinct = sorted(set(clean))
    missing = [text for text in distinct if text not in known]
    # Starting Java costs a second, tokenising thousands of texts little more. So texts that will be asked for next go along in
    # the same start, and a set of references, which every system of a suite shares, is kept on disk as a whole.
    if missing:
        path = _cache_path(variant, distinct) if keep else None
        stored = _read(path, len(distinct)) if path else None
        if stored is not None:
            known.update(zip(distinct, stored, strict=True))
        else:
            missing = sorted({*missing, *(text for text in map(_one_line, coming) if text not in known)})
            known.update(zip(missing, _ptb(missing) if variant == PTB else map(python_tokens, missing), strict=True))
            if path:
                _write(path, [known[text] for text in distinct])
    return [known[text] for text in clean]


def broken(text: str) -> bool:
    """Whether the text holds half a surrogate pair, which is no character and cannot be written anywhere."""
    return _SURROGATE.search(text) is not None


@functools.cache
def _memory(variant: str) -> dict[str, str]:
    """What was tokenised in this process."""
    return {}


def _one_line(text: str) -> str:
    if broken(text):
        raise MetricError(
            f"the text {ascii(text)[:80]} holds half a surrogate pair, which is no character; expected Unicode text, so "
            "repair the encoding where the text comes from"
        )
    return _LINE_BREAKS.sub(" ", text).replace("\0", " ")


def _ptb(texts: Sequence[str]) -> list[str]:
    jar = find_jar(_JAR)
    if jar is None:
        raise MetricUnavailable(
            f"pycocoevalcap, which brings the PTB tokenizer ({_JAR}), is not installed; `pip install 'seetell[metrics]'` "
            'or set tokenizer = "python" for this metric'
        )
    timeout = _SECONDS + _SECONDS_PER_TEXT * len(texts)
    # The last line guards the count: without it, an answer cut short by one empty line would pass for a whole one.
    question = "\n".join([*texts, "end"]) + "\n"
    try:
        answer = run_java(jar, _MAIN, ["-preserveLines", "-lowerCase", "-encoding", "UTF-8"], question, timeout=timeout)
    except JavaError as error:
        raise JavaError(f'{error}; repair Java ({INSTALL}) or set tokenizer = "python" for this metric') from error
    lines = answer.split("\n")
    if len(lines) != len(texts) + 2 or lines[-2:] != ["end", ""]:
        raise JavaError(
            f"the PTB tokenizer answered {len(lines) - 1} lines to {len(texts) + 1}; expected one line a text, so nothing "
            'of it can be used; set tokenizer = "python" for this metric and report the texts'
        )
    return [_without_punctuation(line.rstrip().split(" ")) for line in lines[:-2]]


def _without_punctuation(tokens: Iterable[str]) -> str:
    return " ".join(token for token in tokens if token not in PUNCTUATION)


# ---------------------------------------------------------------------------------------------------------------------
# Without Java

_TOKEN = re.compile(
    r"""
      (?:[^\W\d_]\.){2,}                         # u.s.
    | \d+(?:[.,:/]\d+)*                          # 1,000  3.5  10:30  1/2
      (?:[^\W_]+)?(?:-\w+)*                      #   and what hangs on them: 2nd  10-year-old
    | (?:mr|mrs|ms|dr|st|jr|sr|vs|etc)\.         # abbreviations keep their stop
    | \w+(?:['’](?=\w)\w+)?(?:[-&]\w+(?:['’]\w+)?)*
    | ['’](?:s|re|ve|ll|d|m)\b
    | \.{2,} | -+
    | [^\w\s]
    """,
    re.VERBOSE,
)
_CONTRACTION = re.compile(r"(.+?)(n['’]t|['’](?:s|re|ve|ll|d|m))")
_SPLIT = {"cannot": "can not", "gonna": "gon na", "gotta": "got ta", "wanna": "wan na", "lemme": "lem me"}
_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_QUOTES = frozenset('"“”„«»‘’`')


def python_tokens(text: str) -> str:
    """An approximation of the PTB tokenizer: equal on almost all written captions, less so on machine noise."""
    tokens: list[str] = []
    for match in _TOKEN.findall(text.lower()):
        split = _CONTRACTION.fullmatch(match)
        if match in _QUOTES or match.strip(".-") == "":
            continue
        tokens += [part.replace("’", "'") for part in split.groups()] if split else [_SPLIT.get(match, match)]
    return _without_punctuation(_BRACKETS.get(token, token) for token in tokens)


# ---------------------------------------------------------------------------------------------------------------------
# On disk: a list of texts, in a file whose name ends in the hash of its content, so that a changed one is not believed


def _cache_path(variant: str, texts: Sequence[str]) -> Path:
    content = json.dumps([variant, texts], ensure_ascii=True)
    return cache_folder() / "tokens" / f"{variant}-{hashlib.sha256(content.encode()).hexdigest()[:32]}"


def _read(path: Path, expected: int) -> list[str] | None:
    """The tokens kept there; None for anything but `expected` strings as they were written, which are then made again."""
    for file in path.parent.glob(f"{path.name}-*.json"):
        try:
            content = file.read_bytes()
            tokens = json.loads(content) if file == _named(path, content) else None
        except (OSError, ValueError):
            continue
        if isinstance(tokens, list) and len(tokens) == expected:
            return tokens
    return None


def _write(path: Path, tokens: Sequence[str]) -> None:
    """Keep the tokens if the disk lets us; a cache that cannot be written costs time only."""
    content = json.dumps(tokens, ensure_ascii=False).encode()
    with contextlib.suppress(OSError):
        write_bytes(_named(path, content), content)


def _named(path: Path, content: bytes) -> Path:
    return path.with_name(f"{path.name}-{hashlib.sha256(content).hexdigest()[:32]}.json")
