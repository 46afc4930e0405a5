"""Flags that several verbs share, exit codes, and what several verbs check or do with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, Token, convert

from harness.cli import console
from harness.errors import SuiteError, did_you_mean

if TYPE_CHECKING:  # what it imports would make every `--help` slow
    from harness.suites.spec import Suite

# Exit codes

DONE, USER_ERROR, SOME_FAILED, INTERRUPTED = 0, 1, 2, 130
"""All well; something to put right; finished, but some examples failed; Ctrl-C."""
NOBODY_READS = 141
"""The reader of a pipe has gone, as a shell calls it."""
COULD_NOT_JUDGE = 2
"""Of `gate`, where 1 would say that something is worse."""

# Flags


def by_commas(type_: Any, tokens: Sequence[Token]) -> Any:
    """Values of a flag that takes several: `--only a,b` and `--only a b` both work."""
    parts = [tokens[0].evolve(value=part.strip()) for token in tokens for part in token.value.split(",") if part.strip()]
    if not parts:  # such as --only "$LABELS" of a script, where taking all would be the opposite
        raise ValueError("expected at least one value, not an empty text")
    return convert(type_, parts)


ResultsFolder = Annotated[Path, Parameter(name="--results", help="Folder of results.", env_var="SEETELL_RESULTS")]
RESULTS = Path("results")
AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON on standard output instead of tables.")]
SEVERAL = Parameter(consume_multiple=1, negative="", converter=by_commas)
"""A flag with several values, commas or spaces between them."""
Several = Annotated[tuple[str, ...], SEVERAL]
Places = Annotated[tuple[Path, ...], Parameter(consume_multiple=1, negative="")]
"""A flag with several paths, spaces between them: a path may have commas."""
Named = Annotated[tuple[str, ...], Parameter(negative="")]
"""Names or files without a flag."""
Switch = Annotated[bool, Parameter(negative="")]
"""A flag without a value and without a --no-."""
Offline = Annotated[
    bool,
    Parameter(
        negative="",
        help="Never touch the network; first check the files that `seetell prefetch` fetched against their lock file.",
    ),
]
Device = Annotated[str, Parameter(help="Where models compute: auto (cuda where there is a GPU), cpu, cuda, cuda:1, ...")]
BatchSize = Annotated[
    int | None, Parameter(help="Examples decoded together; the suite's own by default. It changes the speed, never the text.")
]
OutFile = Annotated[Path | None, Parameter(name=["--out", "-o"])]
Format = Parameter(name=["--format", "-f"])
TableFormat = Annotated[Literal["table", "md", "json"], Format]
OwnSettings = Annotated[tuple[str, ...], Parameter(name="--set", consume_multiple=1, negative="")]
"""`--set` where a verb says itself what it means there."""
Settings = Annotated[
    OwnSettings,
    Parameter(help="Change a value of the suite, such as magic.beta=1.5, text.max_length=20 or run.seed=1; written as in TOML."),
]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFlags:
    """How files of outputs that other systems made are scored."""

    metrics: Several = ()
    """For files: metrics to compute, such as bleu,cider; by default what fits captions or stories."""
    references: Path | None = None
    """For files without references: where they are (COCO annotations, or any of the formats above)."""
    images: Places = ()
    """For files: where the images are (a folder, zip, tar or parquet file, or several), for metrics that look at them. They are
    found by the names or ids in the files; all must be there."""
    image_text: str | None = None
    """For files: the image-text model of such metrics, as in a suite: open_clip:NAME@TAG, hf-hub:org/name, local-dir:FOLDER or
    toybox:clip. CLIPScore and RefCLIPScore are computed where --metrics names nothing."""
    common: Switch = False
    """For files: score all systems on the examples that every one of them answered."""
    suite: str | None = None
    """For files: a suite whose data, references, images, models and metrics are used, and in whose table the outputs then appear,
    marked as imported. Examples without an output count as failures."""
    name: str | None = None
    """For one file: its name in tables, by default that of the file, with its folder's where two files share one. Several files
    are named as LABEL=FILE."""
    text: str = ""
    """For files: the field that holds the output, where several may."""
    id_field: Annotated[str, Parameter(name="--id")] = ""
    """For files: the field that joins outputs with references, instead of the image's name or number."""


def default_in_help(value: object) -> str | None:
    """A default as it would be typed; None where the flag is off or empty by default, which goes without saying."""
    if value is None or value is False or value in ((), ""):
        return None
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


# Checks


def check_positive(flags: Mapping[str, int | None]) -> None:
    """Refuse a flag below 1; None is a flag that was not given."""
    for flag, value in flags.items():
        if value is not None and value < 1:
            raise SuiteError(f"{flag} is {value}; expected 1 or more")


def check_seed(seed: int) -> None:
    """Refuse a seed below 0."""
    if seed < 0:
        raise SuiteError(f"--seed is {seed}; expected 0 or more")


def positive_numbers(flag: str, texts: Sequence[str]) -> list[int]:
    """The numbers of a flag that takes several, each 1 or more."""
    for text in texts:
        if not text.isdecimal() or int(text) < 1:
            raise SuiteError(f"{flag} is {text}; expected numbers from 1 up, as in {flag} 1,8,32")
    return [int(text) for text in texts]


def chosen_labels(suite: Suite, only: Sequence[str]) -> list[str]:
    """The labels that --only names, all of the suite's where it names none."""
    from harness.decode.plan import labels

    known = labels(suite)
    for label in only:
        if label not in known:
            raise SuiteError(f"--only {label}: suite {suite.name!r} has no such decoder{did_you_mean(label, known)}")
    return list(only or known)


def split_label(target: str) -> tuple[str, Path]:
    """What a file is to be called, and the file, of `LABEL=FILE`; no label of `FILE`."""
    label, equals, path = target.partition("=")
    if not equals or "/" in label or Path(target).exists():
        return "", Path(target)
    return label, Path(path)


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

        with console.progress_bar(f"checking the files of {suite.name} (MB)") as progress:
            summary = check_fetched(suite, progress=progress)
        console.say(summary)


def check_models_offline(
    offline: bool, user: str, models: Sequence[str], paths: Iterable[str] = (), suite: Suite | None = None
) -> None:
    """The same of some models and of data files of a suite; `user` names what needs them."""
    if offline:
        from harness.fetch.offline import check_parts

        with console.progress_bar(f"checking the files of {user} (MB)") as progress:
            summary = check_parts(user, models, paths, suite.name if suite else "SUITE", progress=progress)
        console.say(summary)


# Documents


def format_of(format: str, out: Path | None, known: Iterable[str], remedy: str = "") -> str:
    """The format to write: what --format names or, where it names none (`table`), what the ending of --out says.

    Raises:
        SuiteError: the ending is none of the known formats; `remedy` is added to the sentence.
    """
    if out is None or format != "table":
        return format
    ending = out.suffix.lstrip(".").lower()
    if ending not in known:
        raise SuiteError(f"--out {out} does not tell the format by its name; expected one of: {', '.join(known)}{remedy}")
    return ending


def deliver(text: str, out: Path | None) -> None:
    """A finished document: into its file, or onto standard output."""
    from harness.store.runs import write_bytes

    if out is None:
        console.write(text)
    else:
        write_bytes(out, text.encode("utf-8", "replace"))
        console.say(f"wrote {out}")
