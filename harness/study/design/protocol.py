"""Aspects with anchored scales, guidelines and consent text: packaged, and replaceable by the user's files."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from harness.errors import StudyError, did_you_mean
from harness.study.tables.base import plain_text
from harness.suites.sections import complaints

VALUES = (1, 2, 3, 4, 5)


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class AspectText:
    """One aspect as its TOML table says it."""

    label: str
    definition: str
    anchors: list[str] = Field(min_length=5, max_length=5)
    """What 1, 2, 3, 4 and 5 mean."""
    examples: list[str] = Field(default_factory=list, max_length=5)


@dataclass(frozen=True, slots=True)
class Preset:
    """A published protocol."""

    name: str
    aspects: tuple[str, ...]
    ratings_per_item: int
    annotators: int
    analysis: Mapping[str, Any]
    about: str


PRESETS = {
    "magic-2022": Preset(
        "magic-2022",
        ("coherence", "fluency", "informativeness", "relevance"),
        5,
        5,
        {"test": "sign", "level": 0.05, "agreement": ["fleiss-kappa", "krippendorff-alpha"]},
        "Su et al. 2022 (arXiv 2205.02655): five annotators rate four aspects from 1 to 5, compared by sign tests at 5 %. "
        "The number of items is not in the article's text that we could check; 200 is SimCTG's.",
    )
}
DEFAULT_ASPECTS = PRESETS["magic-2022"].aspects
DEFAULT_ANALYSIS = {"test": "wilcoxon", "level": 0.05, "agreement": ["krippendorff-alpha"]}


def load_aspects(task: str, codes: Sequence[str], file: Path | None = None) -> dict[str, AspectText]:
    """The wanted aspects, in the order asked for.

    Args:
        task: caption or story.
        codes: which.
        file: a TOML file with a table an aspect; it comes before the packaged ones.

    Raises:
        StudyError: an aspect that nobody describes, twice the same, or a file that is not as it should be.
    """
    known = _parse((resources.files(__package__) / "protocols" / f"{task}.toml").read_text("utf-8"), f"{task}.toml")
    if file is not None:
        known |= _parse(read_text(file), str(file))
    for code in codes:
        if code not in known:
            raise StudyError(
                f"there is no aspect {code!r}{did_you_mean(code, list(known))}; describe it in a TOML file, as in "
                f"[{code}] with label, definition and five anchors, and pass it with --aspects-file"
            )
    if len(set(codes)) < len(codes) or not codes:
        raise StudyError(f"--aspects {','.join(codes)}: expected one or more aspects, each once")
    return {code: known[code] for code in codes}


def load_document(kind: str, task: str, file: Path | None = None) -> str:
    """The guidelines or the consent text, in Markdown; packaged unless a file is given."""
    if file is not None:
        return plain_text(read_text(file))
    name = f"guidelines-{task}.md" if kind == "guidelines" else "consent.md"
    return (resources.files(__package__) / "protocols" / name).read_text("utf-8")


def version_of(text: str) -> str:
    """A short name that changes with the text."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def preset(name: str) -> Preset:
    """A published protocol by its name.

    Raises:
        StudyError: there is no such preset.
    """
    if name not in PRESETS:
        raise StudyError(f"there is no preset {name!r}{did_you_mean(name, list(PRESETS))}; there is: {', '.join(PRESETS)}")
    return PRESETS[name]


def read_text(file: Path) -> str:
    """A text file of the user's.

    Raises:
        StudyError: it cannot be read as UTF-8.
    """
    try:
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{file} cannot be read ({error}); expected a text file in UTF-8") from error


def _parse(text: str, where: str) -> dict[str, AspectText]:
    try:
        return TypeAdapter(dict[str, AspectText]).validate_python(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{where} is not TOML: {error}") from error
    except ValidationError as error:
        raise StudyError(f"{where}: {complaints(error)}; expected label, definition and five anchors an aspect") from error
