"""The command line: every verb by its name. A verb's file is imported when the verb is used, and what it does inside it."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from cyclopts import App, CycloptsError, Group, Parameter, UnusedCliTokensError

from harness.cli import console
from harness.cli.flags import COULD_NOT_JUDGE, DONE, INTERRUPTED, NOBODY_READS, USER_ERROR, default_in_help
from harness.cli.study import study
from harness.errors import BrokenPlugin, Interrupted

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
GROUPS = ("Decode and score", "Compare and publish", "People", "Models and data", "Speed")
"""Titles of the help, in their order."""
DECODE, COMPARE, PEOPLE, MODELS, SPEED = (Group(title, sort_key=place) for place, title in enumerate(GROUPS, start=1))
VERBS = (
    (DECODE, "run", "run:run", "Decode a suite with each of its decoders, then score the texts."),
    (DECODE, "score", "run:score", "Score the complete runs of a suite, or files of outputs that other systems made."),
    (DECODE, "sweep", "run:sweep", "Try the settings of a suite's [sweep] on its dev split."),
    (COMPARE, "leaderboard", "results:leaderboard", "Rank the scored runs: a table here and a site to open."),
    (COMPARE, "show", "show:show", "Show a run: what it was made from, its scores with intervals and signatures."),
    (COMPARE, "runs", "runs:runs", "List the stored runs, or remove some of them after asking."),
    (COMPARE, "compare", "results:compare", "Compare two scored runs example by example."),
    (COMPARE, "gate", "results:gate", "Is every decoder of a suite still as good as the accepted baseline?"),
    (PEOPLE, "annotate", "study.annotate:annotate", "Serve a study, so that people can rate."),
    (MODELS, "list", "machine:list_", "Show the suites, decoders, metrics and data sets that are installed."),
    (MODELS, "doctor", "machine:doctor", "Check this machine: one line per check, and the command that repairs what is wrong."),
    (MODELS, "prefetch", "machine:prefetch", "Download once what a suite needs."),
)
"""Group, name, place in this package, and the beginning of the verb's help: all that the list of verbs needs."""
for _group, _name, _place, _help in VERBS:
    app.command(f"harness.cli.{_place}", name=_name, help=_help, group=_group)

bench_verbs = App(name="bench", help="Measure speed, side by side.", group=SPEED)
bench_verbs.command("harness.cli.bench:decoders", help="Measure how fast each decoder of a suite is.")
bench_verbs.command("harness.cli.bench:cluster", help="Measure how well a run spreads over workers.")
bench_verbs.command("harness.cli.bench:metrics", help="Measure the caption metrics against pycocoevalcap's on the same files.")
bench_verbs.command("harness.cli.bench:index", help="Measure what building and asking an index costs at full size.")
bench_verbs.command(
    "harness.cli.bench:gpu",
    help="Check a GPU in some minutes: are its texts right, how fast do they come, how much memory do they take.",
)
bench_verbs.command("harness.cli.bench:published", help="Hold the decoders against the published computations.")

data_verbs = App(name="data", help="Look at the data of a suite: what is there, what is missing, how to get it.", group=MODELS)
data_verbs.command("harness.cli.machine:check_data", name="check", help="Say what of a suite's data and models is there.")

index_verbs = App(
    name="index",
    help="""Features of images or captions, kept on disk and searched: for stories, and for CLIPRe.

    A build that was stopped, even by kill -9, is resumed by the same command; what was encoded is not encoded again.
    """,
    group=MODELS,
)
index_verbs.command("harness.cli.index:images", help="Index images, for stories to find by their titles.")
index_verbs.command("harness.cli.index:captions", help="Index captions, for CLIPRe to choose from.")
index_verbs.command("harness.cli.index:query", help="Show what is nearest to a text or an image.")
index_verbs.command("harness.cli.index:info", help="Show what an index is: rows, kind, model, source, what was left out.")
index_verbs.command("harness.cli.index:retrieved", help="Show which images a suite of stories finds for its titles.")

train_verbs = App(
    name="train",
    help="Train models: adapt a language model to captions or stories; the embedded Toybox world's own.",
    group=MODELS,
)
train_verbs.command("harness.cli.train:lm", help="Adapt a language model to captions or stories.")
train_verbs.command("harness.cli.train:compare", help="Compare adapted models on a suite's validation split.")
train_verbs.command("harness.cli.train:toybox", help="Train the Toybox models from random weights.")

study.group = PEOPLE
for _verbs in (bench_verbs, data_verbs, index_verbs, study, train_verbs):
    app.command(_verbs)


def verb_of(words: Sequence[str]) -> App:
    """The verb, or group of verbs, that words begin with; its file is imported."""
    verb = app
    for word in words:
        if word.startswith("-") or word not in verb:
            break
        verb = verb[word]
    if verb.default_command is not None:
        verb.help = None  # the line of the list gives way to the function's docstring, which says more
    return verb


def _takes_results(words: Sequence[str]) -> bool:
    command = verb_of(words).default_command
    return command is not None and "results" in inspect.signature(command).parameters


console.takes_results = _takes_results


def main() -> None:
    """Entry point of `seetell`. What went wrong is one sentence; SEETELL_TRACEBACK=1 shows the traceback too.

    A verb whose exit code is a judgement never exits with that code because something went wrong: `gate` exits with 2 then.
    """
    _check_streams()
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()
    except CycloptsError as error:
        console.complain(_mistyped(error))
        code = _error_code()
    except Interrupted as stop:
        console.complain(str(stop))
        code = INTERRUPTED
    except KeyboardInterrupt:
        code = INTERRUPTED
    except (BrokenPipeError, SystemExit):  # whoever read the output, such as `head`, has gone; of the help, SystemExit says so
        _drop_output()
        code = NOBODY_READS
    except Exception as error:  # noqa: BLE001  # a traceback helps no user; SEETELL_TRACEBACK=1 shows it
        console.complain(console.sentence_of(error))
        if isinstance(error, OSError):
            _drop_output()
        code = _error_code()
    sys.exit(code or DONE)


def _run(arguments: Sequence[str]) -> int | None:
    verb_of(arguments)
    command, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    if not command.__module__.startswith(__name__):  # the help, the version
        command(*bound.args, **bound.kwargs)
        return DONE
    with console.results_only():
        try:
            code: int | None = command(*bound.args, **bound.kwargs)
        except SystemExit as stop:  # no verb raises it
            raise BrokenPlugin(console.sentence_of(stop)) from stop
    return code


def _error_code() -> int:
    """Of what went wrong, whatever it was."""
    return COULD_NOT_JUDGE if sys.argv[1:2] == ["gate"] else USER_ERROR


def _check_streams() -> None:
    """See that there is a standard output, and let texts of any language out.

    UTF-8 goes into pipes and files, and `?` where a terminal's encoding lacks a character.
    """
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # as long as the process lives
    if sys.stdout is None:  # the next file that is opened would take its place
        console.complain("standard output is closed; expected an open one, such as >/dev/null")
        sys.exit(_error_code())
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding=None if sys.stdout.isatty() else "utf-8", errors="replace")


def _drop_output() -> None:
    """Let what is still to be written to standard output vanish, which the end of the process would try again."""
    with contextlib.suppress(OSError):  # a standard output that is no file of the system
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _mistyped(error: CycloptsError) -> str:
    """Arguments that fit no verb, in a sentence, and where the right ones are shown."""
    error.verbose = False
    text = str(error)
    if isinstance(error, UnusedCliTokensError):
        text = f"{' '.join(map(repr, error.unused_tokens or []))} is more than the verb takes."
    verb = " ".join(("seetell", *(error.command_chain or ())))
    return f"{text} `{verb} --help` shows what it takes"
