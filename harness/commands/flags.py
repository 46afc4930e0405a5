"""What several verbs do with their flags and with what they made."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import console
from harness.errors import SuiteError
from harness.registry import did_you_mean
from harness.spec import Suite


def deliver(text: str, out: Path | None) -> None:
    """A finished document: into its file, or onto standard output."""
    from harness.store import write_bytes

    if out is None:
        sys.stdout.write(text)
    else:
        write_bytes(out, text.encode("utf-8", "replace"))
        console.say(f"wrote {out}")


def check_positive(flags: Mapping[str, int | None]) -> None:
    """Refuse a flag below 1; None is a flag that was not given."""
    for flag, value in flags.items():
        if value is not None and value < 1:
            raise SuiteError(f"{flag} is {value}; expected 1 or more")


def chosen_labels(suite: Suite, only: Sequence[str]) -> list[str]:
    """The labels that --only names, all of the suite's where it names none."""
    from harness.run import labels

    named = labels(suite)
    for label in only:
        if label not in named:
            raise SuiteError(f"--only {label}: suite {suite.name!r} has no such decoder{did_you_mean(label, named)}")
    return list(only or named)
