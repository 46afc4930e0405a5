"""Titles as queries, and texts cut to sentences: properly, and as the published stories were."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from harness.suites.wording import as_published, cut, cut_as_published, proper, sentences

DEMO = ("Ice Cream Tasting", "Sand Volleyball", "Rainstorm", "French Braid", "The Hair Clump", "Pig")
"""The titles whose images ship with the published repository."""


@pytest.mark.parametrize(
    ("title", "clean", "published"),
    [
        ("Skipping School <|endoftext|>", "Skipping School", "Skipping School"),
        ("fishing <|endoftext|>", "fishing", "ishing"),
        ("driving", "driving", "riving"),
        ("the squirrel", "the squirrel", "he squirrel"),
        ("tip", "tip", "ip"),
        ("tryouts", "tryouts", "ryouts"),
        ("fire wood", "fire wood", "ire wood"),
        ("open bar", "open bar", "pen bar"),
        ("[ WP ] A  Door\n<|endoftext|>", "A Door", "A Door"),
        ("A [EU] Door [ CW ]", "A Door", "A Door [ CW ]"),
        ("A [longer] Door", "A [longer] Door", "A [longer] Door"),
        ("end <|endoftext|> of it", "end of it", "<|endoftext|> of i"),
    ],
)
def test_titles(title: str, clean: str, published: str) -> None:
    assert proper(title) == clean
    assert as_published(title) == published


@pytest.mark.parametrize(
    "text",
    [
        'He said "Stop!" and left.| Mr. Smith went to the U.S. yesterday.| Really?| Yes... maybe.| It cost $3.50!| What a day!',
        '"Is it you?" asked Tom.| "No!" she cried.| She ran at 5 p.m. every day.| Wow!!!| What?!| Ok',
        "Dr. Who came.| St. Mary helped Mrs. Jones.| He had no dog.| Tom met Prof. Lee.",
        "(He ran.)| She ran too.| They live in Washington D.C. and sleep.",
        "Tom had 3.5 apples, e.g. red ones.| Then he slept.",
        "no end in sight",
        "One.\n\n| Two.",
        "",
    ],
)
def test_sentences(text: str) -> None:
    expected = [part.strip() for part in text.split("|") if part]
    plain = text.replace("|", "")
    found = sentences(plain)
    assert [each.strip() for each in found] == expected
    assert "".join(found) == plain
    for most in (1, 2, 5):
        shorter = cut(plain, most)
        assert plain.startswith(shorter)
        assert cut(shorter, most) == shorter
        assert len(sentences(shorter)) == min(most, len(expected))


@pytest.mark.parametrize(
    ("text", "published"),
    [
        ("a. b. c. d. e. f. g", "a. b. c. d. e."),
        ("a. b. c. d. e.", "a. b. c. d. e."),
        ("a. b. c.", "a. b. c"),
        ("a! b? c! d? e! f!", "a! b? c! d? e! f!"),
        ("Mr. A. b. c... d.", "Mr. A. b. c."),
        ("..a. b. c. d", "a. b. c."),
    ],
)
def test_the_published_rule(text: str, published: str) -> None:
    assert cut_as_published(text, 5) == published


@pytest.mark.parametrize(("name", "stories", "without"), [("magic", 4500, 14), ("contrastive", 1500, 11)])
def test_the_published_stories_are_what_the_published_rule_leaves(shared: Path, name: str, stories: int, without: int) -> None:
    texts = [
        each["generated_continuation_text"] for entry in _published(shared, name) for each in entry["generated_result"].values()
    ]
    assert len(texts) == stories
    assert all(cut_as_published(text, 5) == text for text in texts)
    assert all(cut_as_published(text + " One more. And", 5) == text for text in texts if text.endswith("."))
    assert sum(not text.endswith(".") for text in texts) == without
    longer = [text for text in texts if len(sentences(text)) > 5]
    assert longer, "by dots alone some stories have more sentences than five"
    assert all(len(sentences(cut(text, 5))) == 5 for text in longer)


@pytest.mark.parametrize("title", DEMO)
def test_the_format_of_the_published_stories(shared: Path, title: str) -> None:
    """Prompt, a space, story; and the title's last space is a token of its own before the end token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from harness.decode.plan import Plan
    from harness.suites.examples import Example
    from harness.suites.spec import RunSpec

    [entry] = [each for each in _published(shared, "magic") if each["prefix_text"] == f"{title} <|endoftext|>"]
    assert list(entry["generated_result"]) == ["0", "1", "2"]
    spec = RunSpec(
        suite="s", label="l", task="story", decoder="magic", decoder_version=1, config={}, language_model=None,
        image_text=None, data_digest="", captions_digest=None, prompt="{prompt} <|endoftext|>", max_new_tokens=100,
        max_length=None, sentences=5, sentences_by="as-published", seed=0, draws=1, dtype="float32",
    )  # fmt: skip
    [task] = Plan(spec, [Example("0", prompt=title)], None).tasks(set())
    assert task.prompt.text == entry["prefix_text"]
    for each in entry["generated_result"].values():
        story = each["generated_continuation_text"]
        assert f"{task.prompt.text} {story}" == each["generated_full_text"]
        assert cut_as_published(story, 5) == story
    # GPT-2 numbers the 256 bytes in this order, so that a space is 220, in whatever merges it was trained on.
    order = [*range(33, 127), *range(161, 173), *range(174, 256)]
    order += [byte for byte in range(256) if byte not in order]
    letters = {byte: chr(byte) for byte in order[:188]} | {byte: chr(256 + n) for n, byte in enumerate(order[188:])}
    raw = Tokenizer(models.BPE(vocab={letters[byte]: number for number, byte in enumerate(order)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|endoftext|>", bos_token="<|endoftext|>")
    ids = tokenizer(task.prompt.text)["input_ids"]
    assert ids[-2:] == [220, tokenizer.eos_token_id]
    assert tokenizer.decode(ids) == task.prompt.text


def _published(shared: Path, name: str) -> list[Any]:
    with gzip.open(shared / "published" / "rocstories" / f"{name}.json.gz") as file:
        found: list[Any] = json.load(file)["evaluation_result"]
    return found
