"""Published numbers as data: what papers and repositories say, and what scoring their outputs again gives, each with its source.

They live in `results/published/*.json`, apart from measured runs, and are shown apart. A number without a source does not
get in, nor does one that somebody remembers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from harness.errors import StoreError
from harness.store.runs import Results
from harness.suites.provenance import Signature
from harness.suites.sections import Section, checked

Origin = Literal["authors", "third party", "re-scored"]
"""Whose number it is: the authors' own, somebody else's transcription or run, or ours from the outputs they published."""


class PublishedMetric(Section):
    """One column. Metrics that SeeTell has go by the name of their output."""

    label: str
    """As tables print it."""
    higher_is_better: bool | None = True
    percent: bool = True
    """Shown times 100; values here are fractions all the same."""


class Source(Section):
    """Where numbers were read, or how they were made."""

    origin: Origin
    title: str = Field(min_length=1)
    """A few words, shown beside the numbers."""
    where: str = Field(min_length=1)
    """Enough to find it again: repository and path, table of a paper, commit, tools with versions."""


class PublishedRow(Section):
    """What one source says about one system on one suite."""

    system: str = Field(min_length=1)
    source: str
    """Key of `sources`."""
    values: Mapping[str, float] = Field(min_length=1)
    """By metric, plain fractions."""
    digits: int = Field(ge=0, le=4)
    """Decimals that the source prints, after multiplying percent metrics by 100."""
    examples: int | None = Field(default=None, ge=1)
    """How many images or titles it is computed from, where that is known."""
    runs: int = Field(default=1, ge=1)
    """Runs that the values are means of."""
    deviations: Mapping[str, float] = {}
    """Sample standard deviation over the runs, on the scale of the values."""
    signatures: Mapping[str, str] = {}
    """By metric, where SeeTell made the number: it may be put beside ours if the signatures are equal, and never else."""
    notes: tuple[str, ...] = ()
    """Keys of `notes`: what must be known before comparing."""

    @field_validator("values", "deviations")
    @classmethod
    def _finite(cls, values: Mapping[str, float]) -> Mapping[str, float]:
        for name, value in values.items():
            if not math.isfinite(value):
                raise ValueError(f"{name} is {value}; expected a finite number")
        return values

    @model_validator(mode="after")
    def _about_its_own_values(self) -> PublishedRow:
        for kind, known in (("deviations", self.deviations), ("signatures", self.signatures)):
            if strange := sorted(set(known) - set(self.values)):
                raise ValueError(f"{kind} of {', '.join(strange)}, for which {self.system} has no value")
        for text in self.signatures.values():
            Signature.parse(text)
        return self


class PublishedTable(Section):
    """One suite's numbers."""

    suite: str = Field(min_length=1)
    """The packaged suite with the same data and models."""
    task: Literal["caption", "story"]
    title: str
    rows: tuple[PublishedRow, ...] = Field(min_length=1)


class Published(Section):
    """The content of one file."""

    format: Literal["seetell-published-1"]
    title: str
    metrics: Mapping[str, PublishedMetric]
    sources: Mapping[str, Source]
    notes: Mapping[str, str]
    tables: tuple[PublishedTable, ...]

    @model_validator(mode="after")
    def _whole(self) -> Published:
        rows = [row for table in self.tables for row in table.rows]
        used = {
            "sources": {row.source for row in rows},
            "notes": {note for row in rows for note in row.notes},
            "metrics": {metric for row in rows for metric in row.values},
        }
        known = {"sources": set(self.sources), "notes": set(self.notes), "metrics": set(self.metrics)}
        for kind, names in used.items():
            if lost := sorted(names - known[kind]):
                raise ValueError(f"{kind} that are named but not described: {', '.join(lost)}")
            if idle := sorted(known[kind] - names):
                raise ValueError(f"{kind} that no row names: {', '.join(idle)}")
        for table in self.tables:
            seen: set[tuple[str, str]] = set()
            for row in table.rows:
                if (row.system, row.source) in seen:
                    raise ValueError(f"{table.suite}: {row.system} is listed twice from {row.source}")
                seen.add((row.system, row.source))
        return self

    @classmethod
    def read(cls, path: Path) -> Published:
        """Read one file and check it.

        Raises:
            StoreError: it cannot be read, or a number lacks its source.
        """
        remedy = "expected what harness/store/published.py describes; mend the file or move it away"
        try:
            return checked(cls, path.read_bytes(), str(path), error=StoreError, remedy=remedy)
        except OSError as error:
            raise StoreError(f"the published numbers in {path} cannot be read ({error}); move the file away") from error


def read_published(results: Results) -> list[Published]:
    """Every file of published numbers in a folder of results, by name; none is fine.

    Raises:
        StoreError: one of them is not valid.
    """
    return [Published.read(path) for path in results.published()]
