"""COCO's own annotation files (`captions_val2014.json`), whole or cut down to a list of images.

An annotation file is `{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}` (cocodataset.org, "Data
format"). Nobody says in it which split of Karpathy an image is in: name `dataset_coco.json` under `only` for that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.datasets.base import Dataset, DatasetOptions
from harness.datasets.images import Images
from harness.datasets.karpathy import check_split, image_name
from harness.datasets.reading import read_json, read_text
from harness.errors import DataError, did_you_mean
from harness.suites.examples import Example

SHAPE = '{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]} as in captions_val2014.json'


class CocoOptions(DatasetOptions):
    """`[data]` keys of the coco format."""

    file: Path | tuple[Path, ...]
    """The annotation file or files, relative to the suite's folder."""
    images: Path | tuple[Path, ...] | None = None
    """Where the images are: a folder, zip, tar or parquet file, or several. Only texts are read where it is left out."""
    only: Path | None = None
    """Which images, in which order: a text file with an id or a file name a line, a JSON list of them, a JSON object of such
    lists by split, or a Karpathy file. All images in the order of their ids where it is left out."""
    split: str = ""
    """The split of `only`, where that file has several."""


class Coco(Dataset):
    """COCO annotation files (captions_*.json), whole or by a list of ids or a split file."""

    Options = CocoOptions
    options: CocoOptions

    def examples(self) -> list[Example]:
        """The images with their captions in the order of the annotations; the image's file name is the id."""
        files = self.options.file if isinstance(self.options.file, tuple) else (self.options.file,)
        names: dict[int, str] = {}
        captions: dict[int, list[str]] = {}
        for file in files:
            _read_annotations(self.folder / file, names, captions)
        chosen = sorted(names) if self.options.only is None else self._chosen(names)
        where = str(self.folder / files[0])
        images = None if self.options.images is None else Images(self.folder, self.options.images)
        return [
            Example(
                id=names[number],
                image=None if images is None else images.find(names[number], owner=where),
                references=tuple(text.strip() for text in captions.get(number, ())),
            )
            for number in chosen
        ]

    def _chosen(self, names: dict[int, str]) -> list[int]:
        assert self.options.only is not None  # `examples` has seen to it  # noqa: S101
        path = self.folder / self.options.only
        numbers = {name: number for number, name in names.items()} | {str(number): number for number in names}
        chosen = []
        for wanted in _wanted(path, self.options.split):
            if wanted not in numbers:
                raise DataError(
                    f"{path} asks for the image {wanted!r}, which the annotations do not know; expected an id such as "
                    f"{next(iter(names), 391895)}, or a file name. Name the annotation files of both train2014 and val2014 "
                    'where the list is about both: file = ["captions_train2014.json", "captions_val2014.json"]'
                )
            chosen.append(numbers[wanted])
        return chosen


def _read_annotations(path: Path, names: dict[int, str], captions: dict[int, list[str]]) -> None:
    content = read_json(path, SHAPE)
    try:
        images, annotations = content["images"], content["annotations"]
        for image in images:
            number, name = _number(image["id"]), image["file_name"]
            if not isinstance(name, str) or not name:
                raise ValueError(f"file_name of the image {number} is {name!r}")
            if number in names:
                raise DataError(
                    f"{path} has the image id {number} twice ({names[number]} and {name}); expected each once. Fetch it again"
                )
            names[number] = name
        for annotation in annotations:
            number, caption = _number(annotation["image_id"]), annotation["caption"]
            if number not in names or not isinstance(caption, str):
                raise DataError(
                    f"{path} has a caption {str(caption)[:60]!r} of the image {number}; expected a text about an image that is "
                    "listed under images. Fetch it again"
                )
            captions.setdefault(number, []).append(caption)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not in COCO's caption format ({error!r}); expected {SHAPE}") from error


def _number(value: Any) -> int:
    """An image's id, which some tools write as a text."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"an image's id is {value!r}")
    return int(value)


def _wanted(path: Path, split: str) -> list[str]:
    """The ids or names that a list or split file asks for."""
    if path.suffix != ".json":
        lines = read_text(path, "an image id or file name a line").splitlines()
        return [line.strip() for line in lines if line.strip()]
    content = read_json(path, "a list of image ids or file names, an object of such lists by split, or a Karpathy file")
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        content = _by_split(content["images"], path)
    if isinstance(content, dict):
        if split not in content:
            raise DataError(f"{path} has no split {split!r}{did_you_mean(split, content)}; set `split`")
        content = content[split]
    if not isinstance(content, list) or not all(isinstance(entry, int | str) for entry in content):
        raise DataError(f"{path} is no list of image ids or file names; expected [391895, ...] or a file by split")
    return [str(entry) for entry in content]


def _by_split(records: list[Any], path: Path) -> dict[str, list[str]]:
    """File names by split, from Karpathy's file; `train` takes `restval` with it."""
    names: dict[str, list[str]] = {}
    for index, record in enumerate(records):
        where = f"image {index} of {path}"
        if not isinstance(record, dict):
            raise DataError(f"{where} is {str(record)[:60]!r}; expected an object with a split")
        check_split(record, where)
        split = "train" if record["split"] == "restval" else record["split"]
        names.setdefault(split, []).append(image_name(record, where))
    return names
