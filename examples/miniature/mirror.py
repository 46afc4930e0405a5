"""A generated mirror for `prefetch`: small data and models of the published experiments in their real formats.

Its layout, lock file included, is that of a data folder of `seetell prefetch` (docs/benchmark.md), with the names that the
packaged suites use. Everything is generated from fixed seeds. Data: twenty images a split, in five colour modes, and twenty
stories. Models: two-layer GPT-2s with a byte-level BPE tokenizer, a CLIP of open_clip's, a BERT; their weights are random, so
their texts have no meaning.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from examples.miniature import IMAGE_TEXT
from harness.store.lock import Lock, LockedFile, LockedModel, content_of, model_path
from tests.checkpoints import write_bert, write_gpt2, write_open_clip
from tests.miniature import distinct_captions, make_flickr30k, make_karpathy_coco, make_rocstories, pack_zip, write_image

CONTEXT = 128
"""Positions of the language models: enough for a story."""
PICTURES = 30
"""Images from which titles retrieve."""

MODELS: dict[str, Callable[[Path], Path]] = {
    "gpt2": lambda folder: write_gpt2(folder, seed=1, context=CONTEXT, captions=False),
    "cambridgeltl/magic_mscoco": lambda folder: write_gpt2(folder, seed=2, context=CONTEXT),
    "cambridgeltl/magic_flickr30k": lambda folder: write_gpt2(folder, seed=3, context=CONTEXT),
    "cambridgeltl/simctg_rocstories": lambda folder: write_gpt2(folder, seed=4, context=CONTEXT, captions=False),
    "openai-community/gpt2-large": lambda folder: write_gpt2(folder, seed=5, context=CONTEXT, captions=False),
    "princeton-nlp/sup-simcse-bert-base-uncased": lambda folder: write_bert(folder, context=CONTEXT),
    IMAGE_TEXT: lambda folder: write_open_clip(folder, quick_gelu=True),
}
FILES = (
    "karpathy/dataset_coco.json",
    "karpathy/dataset_flickr30k.json",
    "mscoco/val2014.zip",
    "flickr30k/flickr30k-images",
    "rocstories/rocstories_test.txt",
)
"""Files that the suites read, by their paths in the data folder."""


def make_mirror(folder: Path) -> None:
    """Create data, models and the lock file that pins them."""
    _make_data(folder)
    lock = Lock()
    for path in FILES:
        lock = lock.with_file(path, _locked_file(folder / path))
    for number, (name, write) in enumerate(MODELS.items(), start=1):
        commit = f"{number:040x}"
        model = write(folder / model_path(name, commit))
        files = {file.name: content_of(file) for file in sorted(model.iterdir())}
        lock = lock.with_model(name, LockedModel(commit=commit, files=files))
    lock.write(folder)


def make_images(folder: Path) -> None:
    """Create the user's own pictures, from which titles retrieve."""
    for number in range(PICTURES):
        write_image(folder / f"picture-{number:03d}.jpg", 900 + number)


def _make_data(folder: Path) -> None:
    (folder / "karpathy").mkdir(parents=True)
    coco, flickr = (
        make_karpathy_coco(folder / "mscoco", told=distinct_captions),
        make_flickr30k(folder / "flickr30k", told=distinct_captions),
    )
    for json in (coco, flickr):
        shutil.move(json, folder / "karpathy" / json.name)
    pack_zip(folder / "mscoco" / "val2014")
    shutil.rmtree(folder / "mscoco" / "val2014")
    make_rocstories(folder / "rocstories")


def _locked_file(path: Path) -> LockedFile:
    content = content_of(path)
    files = sum(file.is_file() for file in path.rglob("*")) if path.is_dir() else 0
    return LockedFile(size=content.size, sha256=content.sha256, files=files)


if __name__ == "__main__":
    make_mirror(Path(sys.argv[1]) / "mirror")
    make_images(Path(sys.argv[1]) / "pictures")
