"""How many examples the published splits have, and the usual reason for another number."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from fnmatch import fnmatch
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.store.text import one_line

LOST_COCO_IMAGES = (
    39068, 46433, 111109, 122051, 173081, 185639, 274219, 377984, 386204, 406744, 421195, 427401, 429633, 439589, 443689, 451095,
    463454, 559665,
)  # fmt: skip
"""COCO numbers of the 18 test images that MAGIC's and CLIPRe's published outputs lack: their program failed on them unseen,
most likely because they are grayscale."""


_REMARKS = {
    1_000: "Flickr30k's test split (or a cut-down one)",
    1_014: "Flickr30k's validation split",
    1_500: "the ROCStories titles that MAGIC was tested on",
    4_982: "MS-COCO's test split without the 18 images that MAGIC's published results lack (such as "
    f"{', '.join(f'COCO_val2014_{number:012d}.jpg' for number in LOST_COCO_IMAGES[:2])}); SeeTell reads grayscale images, so "
    "take all 5,000",
    5_000: "MS-COCO's test (or validation) split after Karpathy",
    29_000: "Flickr30k's training split",
    30_504: "MS-COCO's `restval` alone; `train` takes it in",
    31_014: "all of Flickr30k after Karpathy; choose a split",
    31_783: "all of Flickr30k, with images that Karpathy's splits leave out",
    40_504: "all of val2014; Karpathy's splits are parts of it",
    82_783: "MS-COCO's `train` without the 30,504 images of `restval`, as the published training scripts had it",
    113_287: "MS-COCO's training split with `restval`",
    123_287: "all of MS-COCO 2014; choose a split",
}


SHOWN = 5
"""How many names a message lists."""


def first_few(names: Sequence[str]) -> str:
    """The first names of a list for a message, each cut to 80 characters; `...` where there are more."""
    lines = [one_line(name) for name in names[:SHOWN]]
    shown = ", ".join(name if len(name) <= 80 else f"{name[:77]}..." for name in lines)
    return shown + (", ..." if len(names) > SHOWN else "")


def remark(count: int) -> str:
    """The known data set of that many examples; empty for any other number."""
    return _REMARKS.get(count, "")


def check_count(count: int, expected: int | None, noun: str) -> None:
    """Refuse data of another size than the suite expects; nothing is expected where `expected` is None.

    Raises:
        DataError: with both numbers, and what the number that was found is known as.
    """
    if expected is None or count == expected:
        return
    known = f" ({count:,} is {remark(count)})" if remark(count) else ""
    raise DataError(
        f"{noun} has {count:,} examples; its suite says `expect = {expected}`{known}. Complete the data, or change `expect` if "
        "another number is meant"
    )


def steps_for(path: Path, key: str, how: str = "") -> tuple[str, ...]:
    """The steps that bring a file to where a suite expects it.

    Args:
        path: where it is expected.
        key: the option that names it, such as `images`.
        how: what the suite itself says; it goes before what is packaged.
    """
    if how:
        return (*(line.strip() for line in how.strip().splitlines()), f"put it at {path}")
    name = path.name.lower()
    for entry in _known():
        if any(fnmatch(name, pattern.lower()) for pattern in entry["names"]):
            return tuple(step.replace("{path}", str(path)) for step in entry["steps"])
    return (f"put it at {path}, or change `{key}` in the suite",)


@lru_cache(maxsize=1)
def _known() -> list[dict[str, Any]]:
    text = (resources.files("harness") / "datasets" / "remedies.toml").read_text(encoding="utf-8")
    return list(tomllib.loads(text)["missing"])
