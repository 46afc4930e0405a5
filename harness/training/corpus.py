"""Texts to learn from and texts to select by: from a suite's data or from files, and as token ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decoders.models.language_model import START_TOKENS
from harness.datasets.base import Dataset
from harness.datasets.digests import load_dataset
from harness.datasets.overlap import check_apart
from harness.datasets.reading import read_text
from harness.errors import DataError, SuiteError
from harness.suites.examples import Example
from harness.suites.sections import checked
from harness.suites.spec import DataRef, Suite, Task
from harness.training.recipe import Recipe

Pair = tuple[str, str]
"""What precedes a text (a story's title, else nothing), and the text."""

CAPTION_TOKENS = (START_TOKENS[0], "<-pad->")
"""Added to a vocabulary in this order, as MAGIC's caption models have them."""
STORY_PAD = "<_PAD_>"
FORMATS = ".txt (a text a line; for stories title, tab, story), .jsonl, .json (Karpathy) or a suite's data"


@dataclass(frozen=True, slots=True)
class Corpus:
    """What a model is adapted to."""

    train: tuple[Pair, ...]
    val: tuple[Pair, ...]
    source: str
    """Where it is from, in words."""
    notes: tuple[str, ...] = ()
    """What was noticed about it that is no reason to refuse it."""

    def digest(self) -> str:
        """SHA-256 over all texts, in their order."""
        content = json.dumps([self.train, self.val], ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()


def read_corpus(suite: Suite | None, train: Path | None, val: Path | None, task: Task) -> Corpus:
    """The texts, checked to hold nothing that the suite tests on.

    Args:
        suite: whose `[captions]`, or else `[data]`, name the data set; its training and validation splits are taken. Its own
            `[data]` are the test data.
        train: a file instead of the suite's training split.
        val: a file instead of the suite's validation split.
        task: captions or stories.

    Raises:
        SuiteError: neither a suite nor both files, or a suite whose data set has no such splits.
        DataError: a file in none of the formats; no texts; validation or training data that are test data.
    """
    if suite is None and not (train and val):
        raise SuiteError(
            "no training texts are named; give a suite, or --train FILE and --val FILE (validation texts choose the best "
            "checkpoint, so they must be neither training nor test texts)"
        )
    parts: dict[str, list[Example]] = {}
    for part, file in (("train", train), ("val", val)):
        if file is not None:
            parts[part] = _from_file(file, part, task).examples()
        else:
            assert suite is not None  # seen to above  # noqa: S101
            parts[part] = _from_suite(suite, part)
        if not any(example.references for example in parts[part]):
            raise DataError(f"there are no {part} texts{f' in {file}' if file else ''}; give some")
    notes = check_apart(parts["val"], parts["train"], "validation", "training")
    if suite is not None:
        test = load_dataset(suite.data, suite.folder, "[data]").examples()
        notes += check_apart(parts["val"], test, "validation", "test")
        notes += check_apart(parts["train"], test, "training", "test")
    files = " and ".join(str(file) for file in (train, val) if file)
    source = " and ".join(part_name for part_name in (f"suite {suite.name}" if suite else "", files) if part_name)
    return Corpus(_pairs(parts["train"]), _pairs(parts["val"]), source, tuple(notes))


def _pairs(examples: Sequence[Example]) -> tuple[Pair, ...]:
    return tuple((example.prompt, text) for example in examples for text in example.references)


def _from_suite(suite: Suite, part: str) -> list[Example]:
    """A split of the data set that the suite's language model is about. Training images are not opened."""
    ref, where = (suite.captions, "[captions]") if suite.captions else (suite.data, "[data]")
    dataset = load_dataset(ref, suite.folder, where)
    options = dataset.part(part)
    if options is None:
        raise SuiteError(
            f"{where} of suite {suite.name!r} is {_named(ref)}, which has no {part} split; give the texts with --{part} FILE"
        )
    twin = type(dataset)(options, suite.folder)
    return twin.texts() if part == "train" else twin.examples()


def _from_file(path: Path, part: str, task: Task) -> Dataset:
    """A file as a data set."""
    from harness.datasets.jsonl import Jsonl, JsonlOptions
    from harness.datasets.karpathy import Karpathy, KarpathyOptions

    if not path.is_file():
        raise DataError(f"--{part} {path} is not there; give a file: {FORMATS}")
    if path.suffix == ".jsonl":
        return Jsonl(JsonlOptions(file=Path(path.name)), path.resolve().parent)
    if path.suffix == ".json":
        options = checked(KarpathyOptions, {"file": path.name, "images": "images", "split": part}, f"--{part}")
        return Karpathy(options, path.resolve().parent)
    if path.suffix in (".txt", ".tsv"):
        return _Lines(path, task)
    raise DataError(f"--{part} {path} has the ending {path.suffix!r}; expected {FORMATS}")


class _Lines(Dataset):
    """One text a line."""

    def __init__(self, path: Path, task: Task) -> None:
        self.path, self.task = path, task

    def examples(self) -> list[Example]:
        """One example a line that is not blank."""
        content = read_text(self.path, "UTF-8, a text a line")
        examples = []
        for number, line in enumerate(content.split("\n"), start=1):
            if not (text := line.strip()):
                continue
            title, tab, story = text.partition("\t")
            if self.task == "story" and not (tab and story.strip()):
                raise DataError(f"line {number} of {self.path} has no tab; expected title, tab, story in {text[:60]!r}")
            if self.task == "story":
                examples.append(Example(str(number), prompt=title.strip(), references=(story.strip(),)))
            else:
                examples.append(Example(str(number), references=(text,)))
        return examples


def _named(ref: DataRef) -> str:
    return f"a {ref.dataset} data set"


def prepare_tokenizer(tokenizer: Any, task: Task) -> None:
    """Give a tokenizer the tokens that the task needs and it lacks: start and padding for captions, padding for stories.

    Raises:
        DataError: it has no end token.
    """
    if tokenizer.eos_token_id is None:
        raise DataError("the tokenizer has no end token, so no text can end; set eos_token in its tokenizer_config.json")
    known = tokenizer.get_vocab()
    if task == "caption":
        start, pad = CAPTION_TOKENS
        if start not in known:
            tokenizer.add_special_tokens({"extra_special_tokens": [start]})
        if tokenizer.pad_token is None:
            tokenizer.add_special_tokens({"pad_token": pad})
    elif tokenizer.pad_token is None:
        tokenizer.add_special_tokens({"pad_token": STORY_PAD})


def encode(tokenizer: Any, pairs: Sequence[Pair], recipe: Recipe, context: int | None) -> tuple[list[list[int]], int]:
    """Token ids of texts as the model is to read them. Special tokens that a text spells out are plain characters.

    A caption is start token, text (cut to `max_tokens`), end token; one of fewer than two tokens is left out. A story is
    title, end token, story (cut to `max_tokens` in all), with the end token after it if the recipe says so and the whole of
    it fits.

    Args:
        tokenizer: prepared by `prepare_tokenizer`.
        pairs: the texts.
        recipe: layout and lengths.
        context: positions that the model has, if that is limited; texts are cut to it too.

    Returns:
        Ids of the texts in order, and how many were left out.
    """
    end = int(tokenizer.eos_token_id)
    if recipe.task == "caption":
        start = int(tokenizer.convert_tokens_to_ids(CAPTION_TOKENS[0]))
        longest = min(recipe.max_tokens, context - 1) if context else recipe.max_tokens
        bodies = _plain(tokenizer, [text.strip() for _, text in pairs])
        sequences = [[start, *body[:longest], end] for body in bodies if len(body) > 1]
        return sequences, len(pairs) - len(sequences)
    longest = min(recipe.max_tokens, context + 1) if context else recipe.max_tokens
    titles = _plain(tokenizer, [f"{title.strip()} " for title, _ in pairs])
    stories = _plain(tokenizer, [f" {text.strip()}" for _, text in pairs])
    sequences = []
    for (_, text), title, story in zip(pairs, titles, stories, strict=True):
        whole = [*title, end, *story, *([end] if recipe.end_token else [])]
        if text.strip():
            sequences.append(whole[:longest])
    return sequences, len(pairs) - len(sequences)


def _plain(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """Ids of texts in which nothing is special; half a surrogate pair is a question mark."""
    known = [text.encode("utf-8", "replace").decode() for text in texts]
    ids: list[list[int]] = tokenizer(known, add_special_tokens=False, split_special_tokens=True).input_ids
    return ids
