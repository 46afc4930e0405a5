"""`index ...`: building an index, looking into it, and what stories find in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness.cli import console
from harness.cli.exits import DONE, SOME_FAILED
from harness.cli.flags import check_models_offline, check_positive, check_suite_offline, cut_off_if
from harness.errors import DataError, SuiteError
from harness.suites.spec import Suite, packaged_suites

if TYPE_CHECKING:
    from decoders.models.image_text import ImageTextModel
    from harness.datasets.index.build import Progress
    from harness.datasets.index.manifest import Kind, Manifest


def images(
    source: str,
    out: Path,
    model: str | None,
    kind: str,
    batch_size: int,
    dtype: str,
    device: str,
    offline: bool,
    as_json: bool,
) -> int:
    """`seetell index images`."""
    check_positive({"--batch-size": batch_size})
    cut_off_if(offline)
    from harness.datasets.index.build import build_index, image_corpus
    from harness.datasets.index.for_titles import open_source

    suite = _suite(source)
    named = _model_name(model, suite)
    check_models_offline(offline, source, [named], _paths(suite), suite)
    # By its whole path, so that the index knows where its images are wherever it is used from.
    found = open_source(source if source in packaged_suites() else str(Path(source).resolve()))
    with _bar(str(out)) as progress:
        corpus = image_corpus(found, _model(named, dtype, device), batch_size)
        manifest = build_index(corpus, out, kind=_kind(kind), progress=progress)
    return _report(out, manifest, as_json)


def captions(
    source: str, out: Path, model: str | None, kind: str, dtype: str, device: str, offline: bool, as_json: bool
) -> int:
    """`seetell index captions`."""
    cut_off_if(offline)
    from harness.datasets.index.build import build_index, caption_corpus

    suite = _suite(source)
    named = _model_name(model, suite)
    check_models_offline(offline, source, [named], _paths(suite), suite)
    texts = _captions(source, suite)
    if not texts:
        raise DataError(f"{source} has no captions; expected at least one")
    with _bar(str(out)) as progress:
        corpus = caption_corpus(source, texts, _model(named, dtype, device))
        manifest = build_index(corpus, out, kind=_kind(kind), progress=progress)
    return _report(out, manifest, as_json)


def query(
    folder: Path, what: str, top: int, exact: bool, model: str | None, device: str, offline: bool, as_json: bool
) -> int:
    """`seetell index query`."""
    check_positive({"--top": top})
    cut_off_if(offline)
    from harness.datasets.index.query import Index

    index = Index(folder)
    named = _model_name(model or index.manifest.model.name, None)
    check_models_offline(offline, str(folder), [named])
    loaded = _model(named, index.manifest.model.dtype, device)
    index.check_model(loaded)
    is_file = len(what) < 4096 and "\0" not in what and _is_file(what)
    features = loaded.image_features([Path(what)]) if is_file else loaded.text_features([what])
    [hits] = index.hits(features.float().cpu().numpy(), top, exact=exact)
    if as_json:
        shown = [{"row": hit.row, "cosine": hit.cosine, "name": hit.name, "sha256": hit.sha256} for hit in hits]
        console.emit({"query": what, "as": "image" if is_file else "text", "hits": shown})
        return DONE
    rows = [(f"{hit.cosine:.4f}", str(hit.row), hit.name) for hit in hits]
    kind = f"{index.manifest.kind}, exact" if exact else index.manifest.kind
    console.show_table(f"{folder} ({kind})", ("cosine", "row", index.manifest.what), rows, right=(0, 1))
    return DONE


def info(folder: Path, check: bool, as_json: bool) -> int:
    """`seetell index info`."""
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


def retrieved(name: str, top: int, settings: Sequence[str], offline: bool, as_json: bool) -> int:
    """`seetell index retrieved`."""
    check_positive({"--top": top})
    cut_off_if(offline)
    suite = Suite.load(name, settings)
    check_suite_offline(offline, suite)
    if suite.images is None:
        raise SuiteError(f"suite {suite.name!r} has no [images] section, so it finds no images by title")
    from harness.datasets.index.for_titles import quality, retrieve
    from harness.datasets.load import load_examples

    examples = load_examples(suite.model_copy(update={"images": None}))
    with console.progress_bar(f"{suite.name}: finding images") as progress:
        found = retrieve(suite, examples, progress=progress)
    told = quality(suite, examples, found)
    first = [row for rows in found.rows[:top] for row in rows]
    names = dict(zip(first, (row.name for row in found.index.rows(first)), strict=True))
    shown = [
        {"id": example.id, "title": title, "rank": rank, "image": names[row], "cosine": cosine}
        for example, title, rows, cosines in list(zip(examples, found.titles, found.rows, found.cosines, strict=True))[
            :top
        ]
        for rank, (row, cosine) in enumerate(zip(rows, cosines, strict=True))
    ]
    if as_json:
        console.emit({"suite": suite.name, "quality": told, "retrieved": shown})
        return DONE
    cells = [(str(each["title"]), str(each["rank"]), str(each["image"]), f"{each['cosine']:.4f}") for each in shown]
    console.show_table(suite.name, ("title", "rank", "image", "cosine"), cells, right=(1, 3))
    for line in _told(told):
        console.say(line)
    return DONE


def _told(told: dict[str, Any]) -> Iterator[str]:
    yield f"{told['titles']} titles find {told['distinct']} different images of {told['images']}"
    if "known" in told:
        yield f"the title's own image comes first for {told['own']} of {told['known']}"
    if "scenes" in told:
        chance = told["chance"]
        yield (
            f"the place is right for {told['place']} of {told['scenes']} (by chance {chance['place']:.0f}), a thing of the scene "
            f"is shown for {told['object']} (by chance {chance['object']:.0f})"
        )


def _lines(manifest: Manifest) -> list[tuple[str, str]]:
    model, source = manifest.model, manifest.source
    parameters = ", ".join(f"{name} {value}" for name, value in manifest.parameters.items())
    lines = [
        ("holds", f"{manifest.rows} {manifest.what}, {manifest.dimensions} numbers each"),
        ("kind", manifest.kind + (f" ({parameters})" if parameters else "")),
        ("model", f"{model.name} ({model.digest[:12]}, {model.dtype})"),
        ("source", f"{source.name} ({source.items} items, content {source.digest[:12]})"),
        ("disk", f"{sum(each.bytes for each in manifest.files.values()) / 1e6:.1f} MB"),
        ("left out", str(len(manifest.skipped))),
    ]
    lines += [("", f"{each.name}: {each.reason}") for each in manifest.skipped[:20]]
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
    return Suite.load(source) if source in packaged_suites() or source.endswith(".toml") else None


def _captions(source: str, suite: Suite | None) -> Sequence[str]:
    from harness.datasets.digests import load_dataset
    from harness.datasets.index.inputs import text_captions
    from harness.datasets.jsonl import Jsonl, JsonlOptions
    from harness.datasets.load import captions_to_choose_from

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


def _model_name(name: str | None, suite: Suite | None) -> str:
    """The model that is given, or the suite's; a folder's path made whole, so that the index can be asked from anywhere."""
    from harness.datasets.digests import resolve_model

    if name is not None:
        return resolve_model(name, Path.cwd())
    if suite is None or suite.models.image_text is None:
        raise SuiteError("no model is named; expected --model, such as --model open_clip:ViT-B-32-quickgelu@openai")
    return resolve_model(suite.models.image_text, suite.folder)


def _model(name: str, dtype: str, device: str) -> ImageTextModel:
    from decoders.models.load import load_image_text, pick_device

    return load_image_text(name, dtype=dtype, device=pick_device(device))


def _paths(suite: Suite | None) -> Sequence[str]:
    """Data files that a source needs, where it is a suite."""
    from harness.fetch.needs import data_paths

    return [] if suite is None else list(data_paths(suite))


def _kind(name: str) -> Kind | None:
    return None if name == "auto" else cast("Kind", name)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # a text too long to be a name
        return False


@contextmanager
def _bar(what: str) -> Iterator[Progress]:
    """A bar for each thing that is being done."""
    with console.progress_bar(what) as bar:
        yield lambda _, done, total: bar(done, total)
