"""Content hashes of images and examples, and how a suite's names of data sets and models are resolved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from decoders.models.images import ImageLike
from harness.datasets import registry as datasets_registry
from harness.datasets.base import Dataset
from harness.errors import UnreadableImage
from harness.suites.examples import Example, read_image
from harness.suites.sections import checked
from harness.suites.spec import DataRef


def load_dataset(ref: DataRef, folder: Path, where: str) -> Dataset:
    """The data set a suite names.

    Raises:
        SuiteError: options it does not know.
        UnknownPlugin, BrokenPlugin, ClashingPlugins: no such format.
    """
    plugin = datasets_registry().load(ref.dataset)
    return plugin(checked(plugin.Options, ref.options, where), folder)


def image_digest(image: ImageLike) -> str:
    """SHA-256 of an image's bytes, the same however it is packed; empty if it cannot be read."""
    try:
        return hashlib.sha256(read_image(image)).hexdigest()
    except UnreadableImage:
        return ""


def data_digest(examples: Sequence[Example], of_image: Callable[[ImageLike], str] = image_digest) -> str:
    """SHA-256 over the content of examples, order included; a file that cannot be read counts as missing."""
    digest = hashlib.sha256()
    for example in examples:
        image = None if example.image is None else of_image(example.image) or "missing"
        digest.update(_canonical([example.id, example.prompt, example.references, dict(example.meta), image]))
    return digest.hexdigest()


def _hash(content: Any) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()


def _canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def resolve_model(name: str, folder: Path) -> str:
    """A model's name as the loaders take it: relative folders start at the suite's file, what was fetched is taken from there."""
    from harness.store.lock import use_fetched_models

    scheme, colon, _ = name.partition(":")
    if colon and scheme in {"hf", "hf-hub", "hf-clip", "open_clip"}:
        use_fetched_models()
    return place_model(name, folder)


def place_model(name: str, folder: Path) -> str:
    """A model's name with a relative folder made absolute, which starts at the suite's file; other names stay as they are."""
    scheme, colon, rest = name.partition(":")
    in_folder = scheme in {"local", "local-dir"} or (scheme == "hf-clip" and (folder / rest).is_dir())
    if colon and in_folder and not Path(rest).is_absolute():
        return f"{scheme}:{(folder / rest).resolve()}"
    return name
