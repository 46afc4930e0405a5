"""One JSON object a line: the format for one's own data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.datasets.base import Dataset, DatasetOptions
from harness.datasets.images import Images
from harness.datasets.reading import json_lines, read_text, texts
from harness.errors import DataError
from harness.suites.examples import Example

KNOWN_KEYS = ("id", "image", "prompt", "references", "captions", "meta")


class JsonlOptions(DatasetOptions):
    """`[data]` keys of the jsonl format."""

    file: Path
    """The .jsonl file, relative to the suite's folder."""
    images: Path | tuple[Path, ...] | None = Path()
    """Where `image` names start: a folder, zip, tar or parquet file, or several, relative to the suite's folder."""


class Jsonl(Dataset):
    """JSON Lines: {"id", "image", "prompt", "references"} a line; all but references or prompt may be left out."""

    Options = JsonlOptions
    options: JsonlOptions

    def examples(self) -> list[Example]:
        """One example a line; without an `id`, the image's name or the line number is the id."""
        path = self.folder / self.options.file
        lines = json_lines(read_text(path, "a UTF-8 file with one JSON object a line"), path)
        wanted = self.options.images is not None and any(fields.get("image") is not None for _, fields in lines)
        images = Images(self.folder, self.options.images) if wanted and self.options.images is not None else None
        return [self._example(fields, f"line {number} of {path}", number, images) for number, fields in lines]

    def _example(self, fields: dict[str, Any], where: str, number: int, images: Images | None) -> Example:
        unknown = sorted(set(fields) - set(KNOWN_KEYS))
        if unknown:
            raise DataError(
                f"{where} has the unknown key {unknown[0]!r}; known are {', '.join(KNOWN_KEYS)} (others go into meta)"
            )
        image = fields.get("image")
        if image is not None and not isinstance(image, str):
            raise DataError(f"{where}: image is {image!r}; expected a file name")
        if "references" in fields and "captions" in fields:
            raise DataError(f"{where} has both references and captions, two names for one thing; leave one of them out")
        prompt, meta = fields.get("prompt", ""), fields.get("meta", {})
        if not isinstance(prompt, str) or not isinstance(meta, dict):
            raise DataError(f"{where}: prompt must be a text and meta an object")
        return Example(
            id=_id(fields.get("id", image if image is not None else number), where),
            prompt=prompt,
            image=None if image is None or images is None else images.find(image, owner=where),
            references=texts(fields.get("references", fields.get("captions", [])), where),
            meta=meta,
        )


def _id(value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(f"{where}: id is {value!r}; expected a text or a whole number, or no id at all")
    return str(value)
