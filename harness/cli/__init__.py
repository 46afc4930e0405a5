"""The root of the command line. Its verbs are in `cli_*.py` and import what they do inside, so that `--help` is instant."""

from __future__ import annotations

import inspect
import io
import os
import sys
from collections.abc import Sequence
from importlib import metadata

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from decoders.errors import SeeTellError
from harness.cli import exits, suggested
from harness.cli import verbs_machine as cli_machine
from harness.cli import verbs_results as cli_results
from harness.cli import verbs_run as cli_run
from harness.cli.flag_types import default_in_help
from harness.cli.study import annotate, study
from harness.cli.verbs_bench import bench as bench_group
from harness.cli.verbs_data import data as data_group
from harness.cli.verbs_index import index as index_group
from harness.cli.verbs_train import train as train_group
from harness.errors import Interrupted

app = App(
    name="seetell",
    help="""How well does each decoding method tell what it sees?

    SeeTell decodes a suite of images with every method, scores the texts and ranks the methods, with intervals.

    Start with `seetell run toybox-plain` (no download, a minute), then `seetell leaderboard toybox-plain`.
    """,
    version=lambda: metadata.version("seetell"),
    version_flags=["--version"],
    default_parameter=Parameter(show_default=default_in_help),
)
for verb in (
    cli_run.run,
    cli_run.score,
    cli_run.sweep,
    cli_results.leaderboard,
    cli_results.show,
    cli_results.compare,
    cli_results.gate,
    annotate,
    cli_machine.doctor,
    cli_machine.prefetch,
):
    app.command(verb)
app.command(cli_machine.list_, name="list")
for group in (bench_group, data_group, index_group, study, train_group):
    app.command(group)


def _takes_results(words: Sequence[str]) -> bool:
    verb = app
    for word in words:
        if word.startswith("-") or word not in verb:
            break
        verb = verb[word]
    command = verb.default_command
    return command is not None and "results" in inspect.signature(command).parameters


suggested.takes_results = _takes_results


def main() -> None:
    """Entry point of `seetell`. What a user can put right is one sentence, not a traceback."""
    _take_any_character()
    try:
        code = app(sys.argv[1:], result_action="return_value", exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        _complain(_mistyped(error))
        code = exits.COULD_NOT_JUDGE if sys.argv[1:2] == ["gate"] else exits.USER_ERROR
    except Interrupted as stop:
        _complain(stop)
        code = exits.INTERRUPTED
    except KeyboardInterrupt:
        code = exits.INTERRUPTED
    except SeeTellError as error:
        if os.environ.get("SEETELL_TRACEBACK"):
            raise
        _complain(error)
        code = exits.USER_ERROR
    except BrokenPipeError:  # whoever read the output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = exits.NOBODY_READS
    except OSError as error:
        if error.filename is None or os.environ.get("SEETELL_TRACEBACK"):
            raise
        _complain(_unusable(error))
        code = exits.COULD_NOT_JUDGE if sys.argv[1:2] == ["gate"] else exits.USER_ERROR
    sys.exit(code or exits.DONE)


def _take_any_character() -> None:
    """Let texts of any language out: UTF-8 into pipes and files, `?` where a terminal's encoding lacks a character."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding=None if sys.stdout.isatty() else "utf-8", errors="replace")


def _mistyped(error: CycloptsError) -> str:
    """Arguments that fit no verb, in a sentence, and where the right ones are shown."""
    error.verbose = False
    text = str(error)
    if isinstance(error, UnusedCliTokensError):
        text = f"{' '.join(map(repr, error.unused_tokens or []))} is more than there is a place for."
    verb = " ".join(("seetell", *(error.command_chain or ())))
    return f"{text} `{verb} --help` shows what it takes"


def _unusable(error: OSError) -> str:
    """A file or folder that the system refuses, in a sentence; of a rename, where it was to go."""
    path = error.filename2 or error.filename
    return (
        f"{path} cannot be used ({error.strerror}); expected what can be read, or a place that can be written: --results, --out, "
        "SEETELL_CACHE and the like name such places"
    )


def _complain(error: SeeTellError | str) -> None:
    from harness.cli.console import complain

    complain(str(error))
