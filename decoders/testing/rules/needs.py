"""Models and images: what is declared, what is there, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from decoders.base import Generation, Need
from decoders.errors import NeedMissing, SeeTellError, UnreadableImage
from decoders.testing.trial import Forbidden, Trial, Work, items, steered

_PART_OF_MODELS = {Need.LM: "language_model", Need.CLIP: "image_text", Need.INDEX: "caption_index"}


def _missing_needs(trial: Trial) -> None:
    """Without a model or an image that it declares, it raises `NeedMissing`."""
    for need, part in _PART_OF_MODELS.items():
        if need in trial.kind.needs:
            answer = trial.attempt(items()[:3], replace(steered(), **{part: None}))
            _expect_need(trial, answer, need, f"without a {part.replace('_', ' ')}", items()[:3])
    if Need.IMAGE in trial.kind.needs:
        blind = replace(items()[1][0], image=None)
        for work in ([(blind, 1)], [items()[0], (blind, 1), items()[2]]):
            answer = trial.attempt(work)
            _expect_need(trial, answer, Need.IMAGE, "to a prompt without an image", work)
            trial.hold(
                not isinstance(answer, NeedMissing) or blind.id in str(answer),
                f"its message does not name the prompt {blind.id!r}: {answer}",
                "Use `decoders.loop.images_of`, which does",
            )


def _expect_need(trial: Trial, answer: list[Generation] | SeeTellError, need: Need, without: str, work: Work) -> None:
    if isinstance(answer, SeeTellError):
        kept = isinstance(answer, NeedMissing)
        observation = f"{without} it raised {type(answer).__name__}: {answer}"
    else:
        # A setting may make a need idle. That is no break, as long as the text is the same.
        with_it = trial.decode([(replace(prompt, image=prompt.image or items()[1][0].image), seed) for prompt, seed in work])
        kept = [generation.text for generation in answer] == [generation.text for generation in with_it]
        observation = f"{without} it says something else, {answer[0].text!r}"
    trial.hold(
        kept,
        observation,
        f"Ask for models by `self.models.lm`, `.clip` and `.index`, for images by `decoders.loop.images_of`: they raise "
        f"NeedMissing. If it can do without, drop Need.{need.name}",
    )


def _unreadable_image(trial: Trial) -> None:
    """An image that cannot be opened is `UnreadableImage` for those who look at images, and nothing to the others."""
    whole = items()[1][0].image
    broken: list[bytes | Path] = [b"no image", cast("bytes", whole)[:60], Path("there-is-no-such-file.png")]
    for image in broken:
        work = [items()[0], (replace(items()[1][0], image=image), items()[1][1])]
        answer = trial.attempt(work)
        shown = str(image)[:24] if isinstance(image, Path) else f"{len(image)} bytes"
        if Need.IMAGE in trial.kind.needs:
            trial.hold(
                isinstance(answer, UnreadableImage),
                f"given {shown} it gave {answer if isinstance(answer, SeeTellError) else answer[1]!r}",
                "Open images by `models.clip.image_features` or `decoders.open_image`, and let their errors pass",
            )
        else:
            trial.same(trial.decode(work), trial.decode_items()[:2], work, f"given {shown}", "Add Need.IMAGE to its `needs`")


def _undeclared_needs(trial: Trial) -> None:
    """What it does not declare, it does not use."""
    needs = trial.kind.needs
    touched: list[str] = []
    guarded: dict[str, Any] = {
        part: Forbidden(trial, need, touched) for need, part in _PART_OF_MODELS.items() if need not in needs
    }
    expected = trial.decode_items()
    work = [(prompt if Need.IMAGE in needs else replace(prompt, image=None), seed) for prompt, seed in items()]
    answer = trial.decode(work, replace(steered(), **guarded))
    trial.hold(not touched, f"it uses {', '.join(sorted(set(touched)))}", "Add what it uses to its `needs`")
    trial.same(answer, expected, work, "without what it does not declare", "Add what it uses to its `needs`")
    absent = replace(steered(), **dict.fromkeys(guarded))
    trial.same(trial.decode(work, absent), expected, work, "with None in its place", "Add what it uses to its `needs`")


RULES: dict[str, Callable[[Trial], None]] = {
    "missing-needs": _missing_needs,
    "unreadable-image": _unreadable_image,
    "undeclared-needs": _undeclared_needs,
}
