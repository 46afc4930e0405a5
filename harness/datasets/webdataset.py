"""WebDataset shards: tar files in which `KEY.jpg` is beside `KEY.txt` or `KEY.json`.

A key ends at the first dot of the file name, as the webdataset library has it. Shards are listed once; images are then read
by their offset and texts are small, so nothing is unpacked and no image is held in memory.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from decoders.models.images import ImageLike
from harness.datasets.base import Dataset, DatasetOptions
from harness.datasets.images import AbsentImage, TarImage, tar_images
from harness.datasets.paths import all_paths
from harness.datasets.reading import texts
from harness.errors import DataError, UnreadableImage
from harness.suites.examples import Example

IMAGE_ENDINGS = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm")
SHAPE = f"KEY.jpg (or {', '.join(IMAGE_ENDINGS[1:])}) and KEY.txt or KEY.json"
CAPTION_KEYS = ("captions", "references", "sentences", "caption", "text", "txt")


class WebDatasetOptions(DatasetOptions):
    """`[data]` keys of the webdataset format."""

    shards: Path | tuple[Path, ...]
    """Tar files relative to the suite's folder, such as `shard-{000..009}.tar` or `test/*.tar`."""
    captions: str = ""
    """The key of KEY.json that holds the caption or the list of captions; found by itself where it is called as usual."""


class WebDataset(Dataset):
    """WebDataset shards: tar files with KEY.jpg beside KEY.txt or KEY.json, read without unpacking."""

    Options = WebDatasetOptions
    options: WebDatasetOptions

    def examples(self) -> list[Example]:
        """The samples of all shards in order; the key is the id. A sample without image and text is one whose image is absent."""
        samples: dict[str, tuple[Path, Example]] = {}
        known: dict[str, Any] = {}
        for shard in all_paths(self.folder, self.options.shards, "shards"):
            for key, parts in _samples(shard).items():
                if key in samples:
                    raise DataError(
                        f"the key {key!r} is in {samples[key][0]} and in {shard}; keys join results and must be unique. Name "
                        "each shard once, or pack them with other keys"
                    )
                where = f"{key!r} in {shard}"
                fields = _json(_content(parts["json"], where), where) if "json" in parts else {}
                known |= fields
                samples[key] = shard, self._example(key, parts, fields, shard)
        if known and self.options.captions not in ("", *known):
            raise DataError(
                f"no .json of {self.options.shards} has {self.options.captions!r}; they have {', '.join(known)}: change "
                "`captions`"
            )
        examples = [example for _, example in samples.values()]
        if examples and all(isinstance(example.image, AbsentImage) for example in examples):
            raise DataError(f"no sample of {self.options.shards} has an image or a text; expected {SHAPE}")
        return examples

    def _example(self, key: str, parts: dict[str, TarImage], fields: dict[str, Any], shard: Path) -> Example:
        where = f"{key!r} in {shard}"
        image: ImageLike | None = next((parts[ending] for ending in IMAGE_ENDINGS if ending in parts), None)
        wanted = self.options.captions
        references = _captions(fields.get(wanted) if wanted else _guess(fields), where)
        if not references and "txt" in parts:
            lines = _content(parts["txt"], where).split("\n")  # not splitlines(): U+2028 ends no caption
            references = tuple(line.strip() for line in lines if line.strip())
        if image is None and not references:
            if dotted := [ending for ending in parts if "." in ending]:
                endings = ", ".join(f".{ending}" for ending in parts)
                raise DataError(
                    f"{where} has neither an image nor a text, only {endings}: a key ends at the first dot of the file name, so "
                    f"{key}.{dotted[0]} belongs to {key!r}. Pack the shard again without dots in the keys; expected {SHAPE}"
                )
            image = AbsentImage(f"{key}.jpg", str(shard))
        return Example(key, image=image, references=references)


def _json(content: str, where: str) -> dict[str, Any]:
    """The fields of a sample. NaN, which pandas writes, is no JSON, and is nobody's loss in a field that is not read."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the .json of {where} is no JSON: {error}; pack the shard again") from error
    if not isinstance(fields, dict):
        raise DataError(f"the .json of {where} is {type(fields).__name__}; expected an object with captions")
    return fields


def _guess(fields: dict[str, Any]) -> Any:
    return next((fields[key] for key in CAPTION_KEYS if key in fields), [])


def _captions(value: Any, where: str) -> tuple[str, ...]:
    """One text, a list of texts, or Karpathy's list of `{"raw"}`; none where there is nothing (null, or NaN)."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ()
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list):
        value = [entry.get("raw", entry.get("caption")) if isinstance(entry, dict) else entry for entry in value]
    return tuple(text.strip() for text in texts(value, where))


def _samples(shard: Path) -> dict[str, dict[str, TarImage]]:
    """Members by key and by what follows it."""
    samples: dict[str, dict[str, TarImage]] = {}
    for member in tar_images(shard):
        folder, slash, file = member.member.rpartition("/")
        key, _, ending = file.partition(".")
        parts = samples.setdefault(f"{folder}{slash}{key}", {})
        if (ending := ending.lower()) in parts:
            raise DataError(
                f"{shard} holds {member.member} and {parts[ending].member}, of which one would be lost; pack it again"
            )
        parts[ending] = member
    return samples


def _content(member: TarImage, where: str) -> str:
    try:
        return member.read().decode("utf-8-sig")
    except (UnreadableImage, UnicodeDecodeError) as error:
        raise DataError(f"the text of {where} cannot be read ({error}); expected UTF-8. Fetch the shard again") from error
