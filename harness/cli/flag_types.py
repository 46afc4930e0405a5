"""Flags that several verbs share, each described once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token, convert


def by_commas(type_: Any, tokens: Sequence[Token]) -> Any:
    """Values of a flag that takes several: `--only a,b` and `--only a b` both work."""
    parts = [
        tokens[0].evolve(value=part.strip()) for token in tokens for part in token.value.split(",") if part.strip()
    ]
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
        help="Never touch the network, and check what `seetell prefetch` brought against its lock file first.",
    ),
]
OutFile = Annotated[Path | None, Parameter(name=["--out", "-o"])]
Settings = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set",
        consume_multiple=1,
        negative="",
        help="Change a value of the suite, such as magic.beta=1.5, text.max_length=20 or run.seed=1; written as in TOML.",
    ),
]
OwnSettings = Annotated[tuple[str, ...], Parameter(name="--set", consume_multiple=1, negative="")]
"""The same flag where a verb says itself what it means there."""


def default_in_help(value: object) -> str | None:
    """A default as it would be typed; None where the flag is off or empty by default, which goes without saying."""
    if value is None or value is False or value in ((), ""):
        return None
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
