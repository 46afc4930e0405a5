"""What a check finds: sentences and the steps that put things right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from harness.suites.examples import Example
from harness.suites.spec import DataRef

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    section: str
    """The part of the suite it belongs to, such as `[data]`."""
    level: Level
    detail: str
    """What was found, in a sentence."""
    steps: tuple[str, ...] = ()
    """What puts it right; empty where nothing is wrong."""
    items: tuple[str, ...] = ()
    """Everything that `detail` counts, such as all broken images; the detail itself names the first ones."""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings of a suite."""

    suite: str
    findings: tuple[Finding, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing has to be put right."""
        return all(finding.level != "problem" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"suite": self.suite, "complete": self.complete, "findings": [_to_json(finding) for finding in self.findings]}


def _to_json(finding: Finding) -> dict[str, Any]:
    """Plain JSON values; `items` only where there are some."""
    return {key: value for key, value in asdict(finding).items() if key != "items" or value}


@dataclass(slots=True)
class Section:
    """A data set of the suite while it is checked."""

    name: str
    ref: DataRef
    examples: list[Example] = field(default_factory=list)
    contents: dict[str, str] = field(default_factory=dict)
    """Hash of an image's bytes to the first id that has it; filled by a deep check only."""

    @property
    def without(self) -> Level:
        """What a missing image is here: retrieval and training read texts only, so they can do without."""
        return "note" if self.name == "[captions]" else "problem"


Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def count(things: Sequence[object], noun: str) -> str:
    """How many, and of what."""
    return f"{len(things):,} {noun}{'' if len(things) == 1 else 's'}"
