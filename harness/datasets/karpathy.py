"""Karpathy splits of MS-COCO and Flickr30k, in both shapes that are around.

The original files (`dataset_coco.json`, `dataset_flickr30k.json`) hold `{"images": [{"filename", "filepath", "split",
"sentences": [{"raw"}]}]}`. The files that captioning papers pass on are a list of `{"split", "image_name", "captions",
"file_path"}`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from harness.datasets.base import Dataset, DatasetOptions
from harness.datasets.jsonl import texts
from harness.errors import DataError
from harness.examples import Example

Split = Literal["train", "val", "test", "all"]


class KarpathyOptions(DatasetOptions):
    """`[data]` keys of the karpathy format."""

    file: Path
    """The JSON file, relative to the suite's folder."""
    images: Path
    """Folder of the images, relative to the suite's folder; `filepath` names a folder inside it where it is given."""
    split: Split = "test"
    """`train` takes `restval` with it (30,504 more images of MS-COCO)."""


class Karpathy(Dataset):
    """Karpathy-split captions (MS-COCO, Flickr30k): a JSON file and a folder of images."""

    Options = KarpathyOptions
    options: KarpathyOptions

    def examples(self) -> list[Example]:
        """The examples of the split; the image's file name is the id."""
        path = self.folder / self.options.file
        records = _records(path)
        found = [self._example(record, f"image {index} of {path}") for index, record in records if self._wanted(record)]
        if not found:
            splits = sorted({str(record.get("split")) for _, record in records})
            raise DataError(
                f"{path} has no image of split {self.options.split!r}; it has {', '.join(splits) or 'no images'}"
            )
        return found

    def captions(self) -> list[str]:
        """Every caption of the split; images are not looked at."""
        return [text for example in self.examples() for text in example.references]

    def _wanted(self, record: dict[str, Any]) -> bool:
        split = record.get("split")
        return (
            self.options.split == "all"
            or split == self.options.split
            or (split == "restval" and self.options.split == "train")
        )

    def _example(self, record: dict[str, Any], where: str) -> Example:
        name = record.get("image_name", record.get("filename"))
        if not isinstance(name, str):
            raise DataError(f"{where} has no image_name (or filename)")
        if "captions" in record:
            captions = texts(record["captions"], where)
        else:
            try:
                captions = texts([sentence["raw"] for sentence in record["sentences"]], where)
            except (KeyError, TypeError) as error:
                raise DataError(f"{where} ({name}) has neither captions nor sentences with raw texts") from error
        return Example(id=name, image=self._image(name, record), references=tuple(text.strip() for text in captions))

    def _image(self, name: str, record: dict[str, Any]) -> Path:
        """Some folders keep `val2014/` and some are flat; a file that is nowhere is reported under its full name."""
        folder = self.folder / self.options.images
        inside = record.get("file_path", record.get("filepath"))
        full = folder / inside / name if isinstance(inside, str) else folder / name
        return folder / name if not full.exists() and (folder / name).exists() else full


def _records(path: Path) -> list[tuple[int, dict[str, Any]]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error
    images = content.get("images") if isinstance(content, dict) else content
    if not isinstance(images, list) or not all(isinstance(each, dict) for each in images):
        raise DataError(
            f'{path} is not in a Karpathy format; expected {{"images": [...]}} or a list of objects with image_name'
        )
    return list(enumerate(images))
