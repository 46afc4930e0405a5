"""How many examples the published splits have, and what usually happened where there is another number."""

from __future__ import annotations

from harness.errors import DataError

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


def remark(count: int) -> str:
    """What a number of examples is known as; empty for any other number."""
    return _REMARKS.get(count, "")


def check_count(found: int, expected: int | None, what: str) -> None:
    """Refuse data of another size than the suite expects; nothing is expected where `expected` is None.

    Raises:
        DataError: with both numbers, and what the number that was found is known as.
    """
    if expected is None or found == expected:
        return
    known = f" ({found:,} is {remark(found)})" if remark(found) else ""
    raise DataError(
        f"{what} has {found:,} examples; its suite says `expect = {expected}`{known}. Complete the data, or change `expect` if "
        "another number is meant"
    )
