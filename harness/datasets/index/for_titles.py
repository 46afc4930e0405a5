"""Images for titles: each story gets the images of an index that are nearest to its title (Su et al. 2022, section 4.2)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decoders.errors import ModelMismatch, UnreadableImage
from decoders.models.devices import pick_device
from decoders.models.load import load_image_text
from decoders.models.names import model_digest
from harness.datasets.digests import load_dataset, resolve_model
from harness.datasets.index.build import build_index, image_corpus
from harness.datasets.index.features import Row
from harness.datasets.index.inputs import ExampleImages, ImageSource, image_source, stamps
from harness.datasets.index.manifest import Model
from harness.datasets.index.query import Index, meta_of
from harness.errors import DataError, StoreError, SuiteError
from harness.store.durable import Progress, no_progress, write_json
from harness.store.sealed import read_document, sealed
from harness.suites.examples import Example, ranked_id
from harness.suites.places import cache_folder
from harness.suites.spec import DataRef, ImagesRef, Suite, packaged_suites
from harness.suites.wording import CLEANERS

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What was found for the titles of a suite."""

    index: Index
    source: ImageSource
    titles: list[str]
    """Cleaned, one an example."""
    rows: list[list[int]]
    """Rows of the index, `top` a title, best first."""
    cosines: list[list[float]]


def with_images(suite: Suite, examples: Sequence[Example], *, progress: Progress = no_progress) -> list[Example]:
    """The examples with the images that `[images]` finds for their titles, in place of any they had.

    Rank 0 keeps the example's id, rank n is an example of its own named `id#n`, with the same title and references. What the
    index knows of an image becomes the example's meta; the example's own is kept under `meta["instead_of"]`, and where the
    image comes from under `meta["retrieved"]`.

    Raises:
        SuiteError: no image-text model, or an example without a title.
        StoreError: the index is missing, unfinished or damaged.
        ModelMismatch: the index was made with another model.
        DataError: an image that is gone or has changed since it was indexed.
    """
    retrieval = retrieve(suite, examples, progress=progress)
    wanted = sorted({row for rows in retrieval.rows for row in rows})
    behind = dict(zip(wanted, retrieval.index.rows(wanted), strict=True))
    images = {row: _image(retrieval, behind[row]) for row in wanted}
    return [
        _example(example, rank, behind[row], images[row])
        for example, rows in zip(examples, retrieval.rows, strict=True)
        for rank, row in enumerate(rows)
    ]


def retrieve(suite: Suite, examples: Sequence[Example], *, progress: Progress = no_progress) -> Retrieval:
    """Find the rows for the titles of examples; the answer is kept in the cache folder. Raises: see `with_images`."""
    ref, name = suite.images, suite.models.image_text
    if ref is None or name is None:
        raise SuiteError(f"suite {suite.name!r} has no {'[images]' if ref is None else 'image_text under [models]'}")
    resolved = resolve_model(name, suite.folder)
    model = Model(name=resolved, digest=model_digest(resolved), dtype=suite.run.dtype)
    index, source = _indexed(suite, model, progress) if ref.index is None else _opened(suite, ref, ref.index)
    if (index.manifest.model.digest, index.manifest.model.dtype) != (model.digest, model.dtype):
        raise ModelMismatch(
            f"[images]: the index in {index.folder} was made with {index.manifest.model.name} ({index.manifest.model.dtype}); "
            f"suite {suite.name!r} asks with {name} ({model.dtype}). Build the index with that model"
        )
    titles = [_title(example, ref) for example in examples]
    rows, cosines = _search(index, model, titles, ref.top)
    return Retrieval(index, source, titles, rows, cosines)


def open_source(name: str) -> ImageSource:
    """Where the images of an index are: a path, or the images of a suite's data.

    Raises:
        DataError: nothing there.
        SuiteError: a suite that cannot be read.
    """
    if name in packaged_suites() or name.endswith(".toml"):
        suite = Suite.load(name)
        ref = _pool(suite)
        return ExampleImages(name, load_dataset(ref, suite.folder, "[images]").examples())
    return image_source(Path(name))


def quality(examples: Sequence[Example], retrieval: Retrieval) -> dict[str, Any]:
    """How well the best image fits each title, as far as the data show it.

    `distinct` images among the best; `own`: how often the image that belongs to the title comes first, if the index holds it
    (`known`); for Toybox also how often the right place and the right kinds of things
    are shown.
    """
    best = [rows[0] for rows in retrieval.rows if rows]
    behind = dict(zip(sorted(set(best)), retrieval.index.rows(sorted(set(best))), strict=True))
    figures: dict[str, Any] = {"titles": len(best), "images": len(retrieval.index), "distinct": len(behind)}
    names = {name: row for row, name in enumerate(retrieval.index.names())}
    own = [(example.id, row) for example, row in zip(examples, best, strict=True) if example.id in names]
    if own:
        figures |= {"known": len(own), "own": sum(names[name] == row for name, row in own)}
    scenes = [
        (example.meta["scene"], meta_of(behind[row])["scene"])
        for example, row in zip(examples, best, strict=True)
        if "scene" in example.meta and "scene" in meta_of(behind[row])
    ]
    if scenes:
        figures["scenes"] = len(scenes)
        figures["place"] = sum(ours["place"] == pool_scene["place"] for ours, pool_scene in scenes)
        figures["object"] = sum(bool(_kinds(ours) & _kinds(pool_scene)) for ours, pool_scene in scenes)
        figures["chance"] = _chance(examples, retrieval)
    return figures


def _chance(examples: Sequence[Example], retrieval: Retrieval) -> dict[str, float]:
    """How many titles a random image of the index would get right on average."""
    scenes_of_rows = [meta_of(row).get("scene") for row in retrieval.index.rows(range(len(retrieval.index)))]
    pool = [scene for scene in scenes_of_rows if scene]
    wanted = [example.meta["scene"] for example in examples if "scene" in example.meta]
    pairs = len(pool) * len(wanted)
    places = sum(ours["place"] == pool_scene["place"] for ours in wanted for pool_scene in pool)
    things = sum(bool(_kinds(ours) & _kinds(pool_scene)) for ours in wanted for pool_scene in pool)
    return {"place": len(wanted) * places / pairs, "object": len(wanted) * things / pairs}


def _kinds(scene: dict[str, Any]) -> set[str]:
    return {scene[part]["kind"] for part in ("first", "second") if scene.get(part)}


def _pool(suite: Suite) -> DataRef:
    """The data whose images a suite retrieves from, or else its own."""
    if suite.images is not None and suite.images.dataset:
        return DataRef(dataset=suite.images.dataset, options=suite.images.options)
    return suite.data


def _indexed(suite: Suite, model: Model, progress: Progress) -> tuple[Index, ImageSource]:
    """An index over a data set's images, built in the cache folder the first time."""
    examples = load_dataset(_pool(suite), suite.folder, "[images]").examples()
    source = ExampleImages(f"[images] of {suite.name}", examples)
    key = hashlib.sha256(f"{model.digest} {model.dtype} {stamps(source.items())}".encode()).hexdigest()[:32]
    folder = cache_folder() / "image-index" / key
    try:
        return Index(folder), source
    except StoreError:  # not there yet, or not to its end
        loaded = load_image_text(model.name, dtype=model.dtype, device=pick_device("auto"))
        build_index(
            image_corpus(source, loaded, _BATCH), folder, wait=True, progress=lambda _, done, total: progress(done, total)
        )
    return Index(folder), source


def _opened(suite: Suite, ref: ImagesRef, folder: Path) -> tuple[Index, ImageSource]:
    index = Index(suite.folder / folder)
    if index.manifest.what != "images":
        raise DataError(f"[images] index = {str(folder)!r} is an index of captions; expected one made by `seetell index images`")
    if ref.source is not None:
        return index, image_source(suite.folder / ref.source)
    return index, open_source(index.manifest.source.name)


def _title(example: Example, ref: ImagesRef) -> str:
    if not example.prompt.strip():
        raise SuiteError(f"[images] finds images by title, and example {example.id!r} has none; take [images] out")
    return CLEANERS[ref.cleaner](example.prompt) or " ".join(example.prompt.split())


def _search(index: Index, model: Model, titles: list[str], top: int) -> tuple[list[list[int]], list[list[float]]]:
    """Rows and cosines for titles, from the cache where they were asked for before."""
    content = [index.manifest.digest(), titles, top]
    key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
    file = cache_folder() / "retrieved" / f"{key}.json"
    try:
        kept = read_document(file, "delete it", must_be_sealed=True)
        return kept["rows"], kept["cosines"]
    except (OSError, StoreError, KeyError):
        loaded = load_image_text(model.name, dtype=model.dtype, device=pick_device("auto"))
    index.check_model(loaded)
    distinct = list(dict.fromkeys(titles))
    hits, scores = index.search(loaded.text_features(distinct).float().cpu().numpy(), top)
    places = [distinct.index(title) for title in titles]
    rows = [[int(row) for row in hits[place] if row >= 0] for place in places]
    cosines = [[float(cosine) for cosine in scores[place][: len(rows[n])]] for n, place in enumerate(places)]
    write_json(file, sealed({"rows": rows, "cosines": cosines}))
    return rows, cosines


def _image(retrieval: Retrieval, row: Row) -> Path | bytes:
    try:
        content = retrieval.source.read(row.name)
    except UnreadableImage as error:
        raise DataError(
            f"an image of the index is gone: {error}. Put it back, say where the images are now with source = under [images], or "
            "build the index again"
        ) from error
    if hashlib.sha256(content).hexdigest() != row.sha256:
        raise DataError(f"{row.name} in {retrieval.source.name} has changed since it was indexed; build the index again")
    return retrieval.source.path(row.name) or content


def _example(example: Example, rank: int, row: Row, image: Path | bytes) -> Example:
    retrieved = {"of": example.id, "rank": rank, "image": row.name}
    beside = {"instead_of": dict(example.meta)} if example.meta else {}
    return Example(
        id=ranked_id(example.id, rank),
        prompt=example.prompt,
        image=image,
        references=example.references,
        meta={**meta_of(row), **beside, "retrieved": retrieved},
    )
