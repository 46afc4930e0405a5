"""The commands that messages suggest, as they must be typed: with the `--results` that the user's own command had."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Sequence

_FLAG = "--results"
_COMMAND = re.compile(r"`(seetell [^`]+)`")
takes_results: Callable[[Sequence[str]], bool] = lambda words: False  # noqa: E731 - replaced by the command line
"""Whether the verb that these words begin with has the flag; `harness.cli` knows its verbs and sets this."""


def runnable(text: str) -> str:
    """A message in which every command between backticks works when it is copied.

    Where results lie is the user's choice of the moment, so whoever writes a message need not know it. A folder named in the
    environment is named for the next command too.
    """
    folder = _results_given(sys.argv[1:])
    return _COMMAND.sub(lambda found: f"`{_with_results(found[1], folder)}`", text) if folder else text


def _results_given(arguments: Sequence[str]) -> str:
    for place, argument in enumerate(arguments):
        if argument.startswith(f"{_FLAG}="):
            return argument.removeprefix(f"{_FLAG}=")
        if argument == _FLAG and place + 1 < len(arguments):
            return arguments[place + 1]
    return ""


def _with_results(command: str, folder: str) -> str:
    if _FLAG in command or not takes_results(command.split()[1:]):
        return command
    return f"{command} {_FLAG} {shlex.quote(folder)}"
