"""`seetell data ...`: what is there of a suite's data."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from harness.cli.flag_types import Switch

data = App(name="data", help="Look at the data of a suite: what is there, what is missing, how to get it.")


@data.command
def check(
    suite: str,
    /,
    *,
    deep: Switch = False,
    offline: Switch = False,
    settings: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            consume_multiple=True,
            negative="",
            help="Change a value of the suite, such as data.images=/data/coco; as for `run`.",
        ),
    ] = (),
    as_json: Annotated[
        bool, Parameter(name="--json", negative="", help="Print JSON on standard output instead of text.")
    ] = False,
) -> int:
    """Say what of a suite's data and models is there, what is missing, and the exact steps to get it. Downloads nothing.

    Also checked: the number of examples against what the suite expects, ids that repeat, images that are missing, what the data
    shares with the captions that retrieval chooses from, and the index in which stories find their images. Exit code 0: complete.
    1: something has to be put right.

    Args:
        suite: A packaged suite (`seetell list`) or the path of a TOML file.
        deep: Open every image: names those that are broken, and finds equal ones under different names. Takes minutes for
            thousands of images.
        offline: Also check what `seetell prefetch` brought against its lock file, as `run --offline` will.
    """
    from harness.cli import data as commands

    return commands.check(suite, deep, offline, settings, as_json)
