"""What several verbs do with their flags and with what they made."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.cli import console
from harness.errors import SuiteError, did_you_mean
from harness.suites.spec import Suite


def deliver(text: str, out: Path | None) -> None:
    """A finished document: into its file, or onto standard output."""
    from harness.store.runs import write_bytes

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
    from harness.decode.plan import labels

    named = labels(suite)
    for label in only:
        if label not in named:
            raise SuiteError(f"--only {label}: suite {suite.name!r} has no such decoder{did_you_mean(label, named)}")
    return list(only or named)


def cut_off_if(offline: bool) -> None:
    """`--offline`, first half: no network from here on. To be called before anything is imported that might look for one."""
    if offline:
        from harness.fetch.offline import cut_off

        cut_off()


def check_suite_offline(offline: bool, suite: Suite) -> None:
    """`--offline`, second half: say that everything a suite uses is what the lock pins.

    Raises:
        DataError: it is not, or was never fetched.
    """
    if offline:
        from harness.fetch.offline import check_fetched

        with console.progress_bar(f"checking what {suite.name} was given (MB)") as progress:
            said = check_fetched(suite, progress=progress)
        console.say(said)


def check_models_offline(
    offline: bool, what: str, models: Sequence[str], paths: Iterable[str] = (), suite: Suite | None = None
) -> None:
    """The same of some models and of data files of a suite; `what` needs them, in words."""
    if offline:
        from harness.fetch.offline import check_parts

        with console.progress_bar(f"checking what {what} was given (MB)") as progress:
            said = check_parts(what, models, paths, suite.name if suite else "SUITE", progress=progress)
        console.say(said)
