"""`index ...`: features of images or captions, kept on disk: built, searched, described, and what stories find in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from harness.cli import console
from harness.cli.flags import (
    DONE,
    SOME_FAILED,
    AsJson,
    Device,
    Offline,
    Settings,
    Switch,
    check_models_offline,
    check_positive,
    check_suite_offline,
    cut_off_if,
)
from harness.errors import DataError, SuiteError

if TYPE_CHECKING:  # what they import would make `--help` slow
    from decoders.models.image_text import ImageTextModel
    from harness.datasets.index.manifest import Manifest
    from harness.suites.spec import Suite

Out = Annotated[Path, Parameter(name=["--out", "-o"], help="Folder of the index.")]
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
Dtype = Annotated[
    Literal["float32", "tf32", "bfloat16", "float16"],
    Parameter(help="Arithmetic of the model; a suite that uses the index must have the same."),
]


def images(
    source: str,
    /,
    *,
    out: Out,
    model: Model = None,
    kind: Kind = "auto",
    batch_size: int = 32,
    dtype: Dtype = "float32",
    device: Device = "auto",
    offline: Offline = False,
    as_json: AsJson = False,
) -> int:
    """Index images, for stories to find by their titles (`[images] index = "FOLDER"` in a suite).

    An image that cannot be read is left out, named with the reason in manifest.json, and counted in the summary.

    For example: `seetell index images toybox-plain --out toybox-index`.

    Args:
        source: A folder (with all its subfolders), a .zip, a .tar, a folder of .tar shards, or a suite, for its images.
        batch_size: Images encoded together.
    """
    check_positive({"--batch-size": batch_size})
    cut_off_if(offline)
    from harness.datasets.index.build import build_index, image_corpus
    from harness.datasets.index.for_titles import open_source
    from harness.suites.spec import packaged_suites

    name = _checked_model(source, model, offline)
    # By its whole path, so that the index knows where its images are wherever it is used from.
    opened = open_source(source if source in packaged_suites() else str(Path(source).resolve()))
    with console.step_bar(str(out)) as progress:
        corpus = image_corpus(opened, _load(name, dtype, device), batch_size)
        manifest = build_index(corpus, out, kind=None if kind == "auto" else kind, progress=progress)
    return _report(out, manifest, as_json)


def captions(
    source: str,
    /,
    *,
    out: Out,
    model: Model = None,
    kind: Kind = "auto",
    dtype: Dtype = "float32",
    device: Device = "auto",
    offline: Offline = False,
    as_json: AsJson = False,
) -> int:
    """Index captions, for CLIPRe to choose from (`[captions] dataset = "index"`, `folder = "FOLDER"` in a suite).

    CLIPRe looks at every caption, whatever the kind: the kind matters to `seetell index query`.

    For example: `seetell index captions toybox-plain --out captions-index`.

    Args:
        source: A suite, for its [captions]; a .jsonl file as for the data set jsonl; or a .txt file, one caption a line.
    """
    cut_off_if(offline)
    from harness.datasets.index.build import build_index, caption_corpus

    name = _checked_model(source, model, offline)
    texts = _captions(source, _suite(source))
    if not texts:
        raise DataError(f"{source} has no captions; expected at least one")
    with console.step_bar(str(out)) as progress:
        corpus = caption_corpus(source, texts, _load(name, dtype, device))
        manifest = build_index(corpus, out, kind=None if kind == "auto" else kind, progress=progress)
    return _report(out, manifest, as_json)


def query(
    folder: Path,
    what: str,
    /,
    *,
    top: int = 5,
    exact: Switch = False,
    model: Model = None,
    device: Device = "auto",
    offline: Offline = False,
    as_json: AsJson = False,
) -> int:
    """Show what is nearest to a text or an image.

    For example: `seetell index query toybox-index "a red ball" --top 3`.

    Args:
        folder: Folder of the index.
        what: A text, or the path of an image.
        top: How many rows.
        exact: Look at every row, whatever the kind.
        model: Only if the model is in another place now; another model is refused.
    """
    check_positive({"--top": top})
    cut_off_if(offline)
    from harness.datasets.index.query import Index

    index = Index(folder)
    name = _model_name(model or index.manifest.model.name, None)
    check_models_offline(offline, str(folder), [name])
    loaded = _load(name, index.manifest.model.dtype, device)
    index.check_model(loaded)
    is_file = _is_file(what)
    features = loaded.image_features([Path(what)]) if is_file else loaded.text_features([what])
    [hits] = index.hits(features.float().cpu().numpy(), top, exact=exact)
    if as_json:
        rows = [{"row": hit.row, "cosine": hit.cosine, "name": hit.name, "sha256": hit.sha256} for hit in hits]
        console.emit({"query": what, "as": "image" if is_file else "text", "hits": rows})
        return DONE
    cells = [(f"{hit.cosine:.4f}", str(hit.row), hit.name) for hit in hits]
    described = f"{index.manifest.kind}, exact" if exact else index.manifest.kind
    console.show_table(f"{folder} ({described})", ("cosine", "row", index.manifest.what), cells, right=(0, 1))
    return DONE


def info(folder: Path, /, *, check: Switch = False, as_json: AsJson = False) -> int:
    """Show what an index is: rows, kind, model, source, what was left out.

    For example: `seetell index info toybox-index --check`.

    Args:
        folder: Folder of the index.
        check: Also read every file to the end and compare it with its checksum.
    """
    from harness.datasets.index.manifest import check_files, read_manifest

    manifest = read_manifest(folder)
    if check:
        check_files(folder, manifest)
    if as_json:
        console.emit({**manifest.model_dump(mode="json"), "digest": manifest.digest(), "checked": check})
        return DONE
    console.show_table(str(folder), ("what", "value"), _lines(manifest))
    if check:
        console.say("every file is as it was built")
    return DONE


def retrieved(suite: str, /, *, top: int = 10, settings: Settings = (), offline: Offline = False, as_json: AsJson = False) -> int:
    """Show which images a suite of stories finds for its titles, and how often the right ones, where that is known.

    For example: `seetell index retrieved toybox-stories-retrieved --top 3`.

    Args:
        suite: A suite with an [images] section.
        top: Titles to show; the summary is about all of them.
    """
    check_positive({"--top": top})
    cut_off_if(offline)
    from harness.suites.spec import Suite

    loaded = Suite.load(suite, settings)
    check_suite_offline(offline, loaded)
    if loaded.images is None:
        raise SuiteError(f"suite {loaded.name!r} has no [images] section, so it finds no images by title")
    from harness.datasets.index.for_titles import quality, retrieve
    from harness.datasets.load import load_examples

    examples = load_examples(loaded.model_copy(update={"images": None}))
    with console.progress_bar(f"{loaded.name}: finding images") as progress:
        retrieval = retrieve(loaded, examples, progress=progress)
    measured = quality(examples, retrieval)
    first = [row for rows in retrieval.rows[:top] for row in rows]
    names = dict(zip(first, (row.name for row in retrieval.index.rows(first)), strict=True))
    titles = list(zip(examples, retrieval.titles, retrieval.rows, retrieval.cosines, strict=True))[:top]
    hits = [
        {"id": example.id, "title": title, "rank": rank, "image": names[row], "cosine": cosine}
        for example, title, rows, cosines in titles
        for rank, (row, cosine) in enumerate(zip(rows, cosines, strict=True))
    ]
    if as_json:
        console.emit({"suite": loaded.name, "quality": measured, "retrieved": hits})
        return DONE
    cells = [(str(hit["title"]), str(hit["rank"]), str(hit["image"]), f"{hit['cosine']:.4f}") for hit in hits]
    console.show_table(loaded.name, ("title", "rank", "image", "cosine"), cells, right=(1, 3))
    for sentence in _sentences(measured):
        console.say(sentence)
    return DONE


def _sentences(measured: dict[str, Any]) -> Iterator[str]:
    yield f"{measured['titles']} titles find {measured['distinct']} different images of {measured['images']}"
    if "known" in measured:
        yield f"the title's own image comes first for {measured['own']} of {measured['known']}"
    if "scenes" in measured:
        chance = measured["chance"]
        yield (
            f"the place is right for {measured['place']} of {measured['scenes']} (by chance {chance['place']:.0f}), a thing of "
            f"the scene is shown for {measured['object']} (by chance {chance['object']:.0f})"
        )


def _is_file(text: str) -> bool:
    try:
        return len(text) < 4096 and "\0" not in text and Path(text).is_file()
    except OSError:  # a text too long to be a name
        return False


def _lines(manifest: Manifest) -> list[tuple[str, str]]:
    model, source = manifest.model, manifest.source
    parameters = ", ".join(f"{name} {value}" for name, value in manifest.parameters.items())
    lines = [
        ("holds", f"{manifest.rows} {manifest.what}, {manifest.dimensions} numbers each"),
        ("kind", manifest.kind + (f" ({parameters})" if parameters else "")),
        ("model", f"{model.name} ({model.digest[:12]}, {model.dtype})"),
        ("source", f"{source.name} ({source.items} items, content {source.digest[:12]})"),
        ("disk", f"{sum(file.bytes for file in manifest.files.values()) / 1e6:.1f} MB"),
        ("left out", str(len(manifest.skipped))),
    ]
    lines += [("", f"{item.name}: {item.reason}") for item in manifest.skipped[:20]]
    if len(manifest.skipped) > 20:
        lines.append(("", f"and {len(manifest.skipped) - 20} more, in manifest.json"))
    return lines


def _report(out: Path, manifest: Manifest, as_json: bool) -> int:
    if as_json:
        console.emit(manifest.model_dump(mode="json"))
    else:
        console.show_table(str(out), ("what", "value"), _lines(manifest))
    return SOME_FAILED if manifest.skipped else DONE


def _suite(source: str) -> Suite | None:
    from harness.suites.spec import Suite, packaged_suites

    return Suite.load(source) if source in packaged_suites() or source.endswith(".toml") else None


def _captions(source: str, suite: Suite | None) -> Sequence[str]:
    from harness.datasets.digests import load_dataset
    from harness.datasets.index.inputs import text_captions
    from harness.datasets.jsonl import Jsonl, JsonlOptions
    from harness.datasets.load import captions_to_choose_from
    from harness.suites.spec import packaged_suites

    if suite is not None:
        if suite.captions is None:
            raise SuiteError(f"suite {suite.name!r} has no [captions] to index")
        return captions_to_choose_from(suite, load_dataset(suite.data, suite.folder, "[data]").texts())
    path = Path(source)
    if path.suffix == ".jsonl":
        return Jsonl(JsonlOptions(file=path.resolve()), Path()).captions()
    if path.suffix == ".txt":
        return text_captions(path)
    raise DataError(
        f"{source} is no suite, .jsonl or .txt; expected one of them, with captions. Packaged suites: "
        + ", ".join(packaged_suites())
    )


def _checked_model(source: str, model: str | None, offline: bool) -> str:
    """The model to encode a source with; with --offline, it and the source's files are what the lock pins."""
    from harness.fetch.needs import data_paths

    suite = _suite(source)
    name = _model_name(model, suite)
    check_models_offline(offline, source, [name], [] if suite is None else list(data_paths(suite)), suite)
    return name


def _model_name(name: str | None, suite: Suite | None) -> str:
    """The model that is given, or the suite's; a folder's path made whole, so that the index can be asked from anywhere."""
    from harness.datasets.digests import resolve_model

    if name is not None:
        return resolve_model(name, Path.cwd())
    if suite is None or suite.models.image_text is None:
        raise SuiteError("no model is named; expected --model, such as --model open_clip:ViT-B-32-quickgelu@openai")
    return resolve_model(suite.models.image_text, suite.folder)


def _load(name: str, dtype: str, device: str) -> ImageTextModel:
    from decoders.models.devices import pick_device
    from decoders.models.load import load_image_text

    return load_image_text(name, dtype=dtype, device=pick_device(device))
