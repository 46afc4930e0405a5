"""Images inside the columns of parquet and Arrow files, as the Hugging Face libraries write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from decoders.models.images import ImageLike
from harness.datasets.packed import Container
from harness.datasets.paths import safe_name
from harness.errors import DataError, UnreadableImage

IMAGE_COLUMNS = ("image", "img", "jpg", "jpeg", "png", "webp", "picture", "bytes", "image_bytes")
NAME_COLUMNS = ("filename", "file_name", "image_name", "name", "path", "key", "__key__", "image_id", "cocoid", "id")
"""Where a name that annotations use may stand, the likeliest first."""


_BROKEN = (OSError, pa.ArrowException, LookupError, ValueError, OverflowError)
"""What pyarrow raises for damaged files and files of another format."""


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell of a column of images."""

    container: Container
    name: str
    column: str

    def __str__(self) -> str:
        return f"{self.name} in {self.container.path}"

    def bytes_of(self, cell: Any) -> bytes:
        """The image file in the value of the cell: a struct with `bytes`, or bytes alone."""
        content = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(content, bytes):
            raise UnreadableImage(f"{self} cannot be read: its cell holds no bytes; expected an image file in it")
        return content


@dataclass(frozen=True, slots=True)
class ParquetImage(_Cell):
    """A cell of a parquet file."""

    group: int
    row: int

    def read(self) -> bytes:
        """The cell's bytes. Its row group is kept for the next image, which is most often its neighbour."""
        self.container.check(self)
        try:
            cell = _row_group(self.container, self.column, self.group)[self.row].as_py()
        except _BROKEN as error:
            raise UnreadableImage(f"{self} cannot be read ({error}); fetch the file again") from error
        return self.bytes_of(cell)


@dataclass(frozen=True, slots=True)
class ArrowImage(_Cell):
    """A cell of an Arrow stream, as the `datasets` library keeps them in its cache."""

    row: int

    def read(self) -> bytes:
        """The cell's bytes, off a memory-mapped file."""
        self.container.check(self)
        try:
            cell = arrow_table(self.container)[self.column][self.row].as_py()
        except _BROKEN as error:
            raise UnreadableImage(f"{self} cannot be read ({error}); fetch the data set again") from error
        return self.bytes_of(cell)


@lru_cache(maxsize=2)
def _row_group(container: Container, column: str, group: int) -> Any:
    with pq.ParquetFile(container.path) as file:
        return file.read_row_group(group, columns=[column])[column]


@lru_cache(maxsize=64)
def arrow_table(container: Container) -> Any:
    """A memory-mapped Arrow stream (or file) as a table; nothing of it is copied."""
    source = pa.memory_map(str(container.path))
    try:
        return pa.ipc.open_stream(source).read_all()
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_file(source).read_all()


def parquet_images(path: Path) -> dict[str, ImageLike]:
    """The images of a parquet file by every name that it gives them.

    Raises:
        DataError: damaged, or without a column of images or of names.
    """
    container = Container.of(path)
    try:
        with pq.ParquetFile(path) as file:
            column = _image_column(file.schema_arrow, path)
            groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            names = _names(file, column)
    except _BROKEN as error:
        raise DataError(f"{path} cannot be read as a parquet file ({error}); fetch it again") from error
    places = [(group, row) for group, rows in enumerate(groups) for row in range(rows)]
    images: dict[str, ImageLike] = {}
    for values in names:
        for value, (group, row) in zip(values, places, strict=True):
            name = safe_name(value, path)
            images.setdefault(name, ParquetImage(container, PurePosixPath(name).name, column, group, row))
    if not images:
        raise DataError(
            f"{path} gives its images no names that differ; expected one of the columns {', '.join(NAME_COLUMNS)}, or `path` "
            f"beside `bytes` in {column!r}"
        )
    return images


def image_columns(types: Mapping[str, Any]) -> list[str]:
    """The columns that hold image files: structs with `bytes` (the hub's way), and binary ones that are called like images."""
    structs = [
        name
        for name, kind in types.items()
        if pa.types.is_struct(kind) and any(part.name == "bytes" and _is_binary(part.type) for part in kind)
    ]
    return structs + [name for name in IMAGE_COLUMNS if name in types and _is_binary(types[name])]


def _image_column(schema: Any, path: Path) -> str:
    if columns := image_columns({item.name: item.type for item in schema}):
        return columns[0]
    raise DataError(
        f"{path} has the columns {', '.join(schema.names)}; expected one with image files: a struct with `bytes`, or binary and "
        f"called {', '.join(IMAGE_COLUMNS)}"
    )


def _is_binary(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _names(file: Any, image: str) -> list[list[str]]:
    """The columns whose values name every row, and each another."""
    schema = file.schema_arrow
    columns = [name for name in NAME_COLUMNS if name in schema.names and name != image]
    kind = schema.field(image).type
    if pa.types.is_struct(kind) and any(part.name == "path" for part in kind):
        columns.insert(0, f"{image}.path")
    columns_of_names = []
    for column in columns:
        values = file.read(columns=[column])[column.partition(".")[0]].to_pylist()
        if "." in column:
            values = [value and value.get("path") for value in values]
        if all(isinstance(value, str | int) and value != "" for value in values) and len(set(values)) == len(values):
            columns_of_names.append([str(value) for value in values])
    return columns_of_names
