"""Karpathy splits of MS-COCO and Flickr30k, in both shapes that are around.

The original files (`dataset_coco.json`, `dataset_flickr30k.json`) hold `{"images": [{"filename", "filepath", "split",
"sentences": [{"raw"}]}]}`. The files that captioning papers pass on are a list of `{"split", "image_name", "captions",
"file_path"}`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from harness.datasets.base import Dataset, DatasetOptions
from harness.datasets.images import Images
from harness.datasets.reading import read_json, texts
from harness.errors import DataError, did_you_mean
from harness.suites.examples import Example

Split = Literal["train", "val", "test", "restval", "all"]

SPLITS = ("train", "val", "test", "restval")

SHAPES = '{"images": [...]} as in dataset_coco.json, or a list of objects with image_name, captions and split'


class KarpathyOptions(DatasetOptions):
    """`[data]` keys of the karpathy format."""

    file: Path
    """The JSON file, relative to the suite's folder."""
    images: Path | tuple[Path, ...] | None = None
    """Where the images are: a folder, zip, tar or parquet file, or several (`["train2014.zip", "val2014.zip"]`), relative to the
    suite's folder; `filepath` names a folder inside it where it is given. Only texts are read where it is left out."""
    split: Split = "test"
    """`train` takes `restval` with it (30,504 more images of MS-COCO)."""
    restval: bool = True
    """False leaves `restval` out of `train`, as the published training scripts did."""


class Karpathy(Dataset):
    """Karpathy-split captions (MS-COCO, Flickr30k): a JSON file, and images in a folder, zip, tar or parquet file."""

    Options = KarpathyOptions
    options: KarpathyOptions

    def examples(self) -> list[Example]:
        """The examples of the split; the image's file name is the id."""
        path = self.folder / self.options.file
        records = read_records(path)
        if self.options.split != "all":
            for index, record in records:
                check_split(record, f"image {index} of {path}", 'correct it, or take all images with split = "all"')
        chosen = [(f"image {index} of {path}", record) for index, record in records if self._wanted(record)]
        if not chosen:
            splits = sorted({str(record.get("split")) for _, record in records})
            raise DataError(f"{path} has no image of split {self.options.split!r}; it has {', '.join(splits) or 'no images'}")
        named = [(where, record, image_name(record, where), captions(record, where)) for where, record in chosen]
        images = None if self.options.images is None else Images(self.folder, self.options.images)
        return [
            Example(
                id=name,
                image=None if images is None else images.find(name, _inside(record, where), owner=where),
                references=references,
            )
            for where, record, name, references in named
        ]

    def _wanted(self, record: dict[str, Any]) -> bool:
        split, wanted = record.get("split"), self.options.split
        return wanted in ("all", split) or (split == "restval" and wanted == "train" and self.options.restval)


def check_split(record: dict[str, Any], where: str, remedy: str = "correct it") -> None:
    """Refuse a record whose split is none: it would be left out of every one, unseen.

    Raises:
        DataError: with the value, the splits that there are, and the remedy.
    """
    split = record.get("split")
    if not isinstance(split, str) or split not in SPLITS:
        near = did_you_mean(split, SPLITS) if isinstance(split, str) else ""
        name = image_name(record, where)
        raise DataError(f"{where} ({name}) has the split {split!r}{near}; expected {', '.join(SPLITS)}: {remedy}")


def read_records(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Positions and records of the images of a file in either shape.

    Raises:
        DataError: missing, no JSON, or of another shape.
    """
    content = read_json(path, SHAPES)
    images = content.get("images") if isinstance(content, dict) else content
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        raise DataError(f"{path} is not in a Karpathy format; expected {SHAPES}")
    return list(enumerate(images))


def image_name(record: dict[str, Any], where: str) -> str:
    """The image's file name: the id of its example."""
    name = record.get("image_name", record.get("filename"))
    if not isinstance(name, str) or not name:
        raise DataError(f"{where} has no image_name (or filename); expected the name of its image file")
    return name


def captions(record: dict[str, Any], where: str) -> tuple[str, ...]:
    """The captions of an image, stripped, as in every published program."""
    if "captions" in record:
        references = texts(record["captions"], where)
    else:
        try:
            references = texts([sentence["raw"] for sentence in record["sentences"]], where)
        except (KeyError, TypeError) as error:
            name = image_name(record, where)
            raise DataError(f"{where} ({name}) has neither captions nor sentences with raw texts") from error
    return tuple(text.strip() for text in references)


def _inside(record: dict[str, Any], where: str) -> str:
    """The folder that the record names beside the file name, if any."""
    inside = record.get("file_path", record.get("filepath", ""))
    if not isinstance(inside, str):
        raise DataError(f"{where}: filepath is {inside!r}; expected the name of a folder such as val2014")
    return inside
