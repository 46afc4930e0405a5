"""`seetell index ...`: features on disk, made and asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from harness.cli.flag_types import AsJson, Offline, Switch

index = App(
    name="index",
    help="""Features of images or captions, kept on disk and searched: for stories, and for CLIPRe.

    A build that was stopped, even by kill -9, is gone on with by the same command; what was encoded is not encoded again.
    """,
)

Model = Annotated[
    str | None,
    Parameter(
        help="The image-text model, such as open_clip:ViT-B-32-quickgelu@openai or local-dir:folder; a suite's own by default."
    ),
]
Kind = Annotated[
    Literal["auto", "flat", "ivf", "hnsw"],
    Parameter(
        help="flat looks at every row (exact); hnsw and ivf draw up a shortlist first. auto: flat up to 500,000 rows, hnsw up to "
        "1,000,000, ivf above. On a finished index it only makes the new kind's file."
    ),
]


@index.command(name="images")
def images(
    source: str,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    model: Model = None,
    kind: Kind = "auto",
    batch_size: int = 32,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    device: str = "auto",
    offline: Offline = False,
    as_json: AsJson = False,
) -> int:
    """Index images, for stories to find by their titles (`[images] index = "FOLDER"` in a suite).

    An image that cannot be read is left out, named with the reason in manifest.json, and counted in the summary.

    Args:
        source: A folder (looked through to the bottom), a .zip, a .tar, a folder of .tar shards, or a suite, for its images.
        out: Folder of the index.
        batch_size: Images encoded together.
        dtype: Arithmetic of the model; a suite that uses the index must have the same.
        device: auto, cpu, cuda, cuda:1, ...
    """
    from harness.cli import index as indexing

    return indexing.images(source, out, model, kind, batch_size, dtype, device, offline, as_json)


@index.command(name="captions")
def captions(
    source: str,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    model: Model = None,
    kind: Kind = "auto",
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    device: str = "auto",
    offline: Offline = False,
    as_json: AsJson = False,
) -> int:
    """Index captions, for CLIPRe to choose from (`[captions] dataset = "index"`, `folder = "FOLDER"` in a suite).

    CLIPRe looks at every caption, whatever the kind: the kind matters to `seetell index query`.

    Args:
        source: A suite, for its [captions]; a .jsonl file as for the data set jsonl; or a .txt file, one caption a line.
        out: Folder of the index.
        dtype: Arithmetic of the model; a suite that uses the index must have the same.
        device: auto, cpu, cuda, cuda:1, ...
    """
    from harness.cli import index as indexing

    return indexing.captions(source, out, model, kind, dtype, device, offline, as_json)


@index.command(name="query")
def query(
    folder: Path,
    what: str,
    /,
    *,
    top: int = 5,
    exact: Switch = False,
    model: Model = None,
    device: str = "auto",
    offline: Offline = False,
    as_json: AsJson = False,
) -> int:
    """Show what lies nearest to a text or an image.

    Args:
        folder: Folder of the index.
        what: A text, or the path of an image.
        top: How many rows.
        exact: Look at every row, whatever the kind.
        model: Only if the model is elsewhere now; another model is refused.
        device: auto, cpu, cuda, cuda:1, ...
    """
    from harness.cli import index as indexing

    return indexing.query(folder, what, top, exact, model, device, offline, as_json)


@index.command(name="info")
def info(folder: Path, /, *, check: Switch = False, as_json: AsJson = False) -> int:
    """Show what an index is: rows, kind, model, source, what was left out.

    Args:
        folder: Folder of the index.
        check: Also read every file to the end and compare it with its checksum.
    """
    from harness.cli import index as indexing

    return indexing.info(folder, check, as_json)


@index.command(name="retrieved")
def retrieved(
    suite: str,
    /,
    *,
    top: int = 10,
    settings: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            consume_multiple=True,
            negative="",
            help="Change a value of the suite, such as images.index=FOLDER; as for `run`.",
        ),
    ] = (),
    offline: Offline = False,
    as_json: AsJson = False,
) -> int:
    """Show which images a suite of stories finds for its titles, and how often the right ones, where that is known.

    Args:
        suite: A suite with an [images] section.
        top: Titles to show; the summary is about all of them.
    """
    from harness.cli import index as indexing

    return indexing.retrieved(suite, top, settings, offline, as_json)
