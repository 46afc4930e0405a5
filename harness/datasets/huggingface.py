"""Data sets of the Hugging Face hub at a pinned revision, or saved in a folder: columns of images and of captions.

The `datasets` library (extra `data`) downloads and caches; SeeTell reads texts from its tables and leaves images in them until
they are needed. Where a data set holds names of images only, `images` says where the files are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from decoders.models.images import ImageLike
from harness.datasets.base import Dataset, DatasetOptions
from harness.datasets.images import AbsentImage, Images
from harness.datasets.packed import Container
from harness.datasets.tables import image_columns
from harness.errors import DataError
from harness.suites.examples import Example

CAPTION_COLUMNS = ("captions", "caption", "references", "sentences", "sentences_raw", "answer", "alt_text", "text")
NAME_COLUMNS = ("filename", "file_name", "image_name", "cocoid", "image_id", "img_id", "key", "id")
FOLDER_COLUMNS = ("filepath", "file_path")
_COMMIT = re.compile(r"[0-9a-f]{40}")
PARTS = ("raw", "caption", "text")
"""What a caption is called where it is an object of its own."""


class HuggingFaceOptions(DatasetOptions):
    """`[data]` keys of the huggingface format."""

    name: str
    """`hf:org/name@commit` (all 40 digits of it, so that it stays what it is), or a folder or parquet file, relative to the
    suite's folder."""
    config: str | None = None
    """The data set's own configuration, where it has several."""
    split: str = "test"
    """The data set's own split."""
    rows: Mapping[str, str | int | bool] = {}
    """Only rows whose columns have these values, as in `rows = {split = "test"}` where all of Flickr30k is one split."""
    image: str = ""
    """The column of images; if left out, the first one that the data set declares to be one, or that holds image files."""
    captions: str = ""
    """The column of captions: a text, a list of texts, or of objects with `raw`; found by its name if left out."""
    id: str = ""
    """The column of ids; found by its name if left out, and the row's number where there is none."""
    prompt: str = ""
    """The column of the examples' own words to start from (titles of stories), if any; `prompt` if there is one."""
    images: Path | tuple[Path, ...] | None = None
    """Where the images are, for data sets that hold their names only: a folder, zip, tar or parquet file, or several."""


class HuggingFace(Dataset):
    """Data sets of the Hugging Face hub at a pinned revision (hf:org/name@commit), or parquet in a folder."""

    Options = HuggingFaceOptions
    options: HuggingFaceOptions

    def examples(self) -> list[Example]:
        """One example a row, in the data set's order."""
        data = self._load()
        chosen = self._rows(data)
        columns = _Columns.of(data, self.options)
        references_by_row = [
            _texts(value, columns.captions, row) for row, value in zip(chosen, _take(data, columns.captions, chosen), strict=True)
        ]
        ids = _named(data, columns.id, chosen) if columns.id else [f"{row:06d}" for row in chosen]
        prompts = _named(data, columns.prompt, chosen) if columns.prompt else [""] * len(chosen)
        return [
            Example(example_id, prompt=prompt, image=image, references=references)
            for example_id, prompt, image, references in zip(
                ids, prompts, self._images(data, columns, chosen, ids), references_by_row, strict=True
            )
        ]

    def _images(self, data: Any, columns: _Columns, rows: Sequence[int], ids: Sequence[str]) -> Sequence[ImageLike | None]:
        if self.options.images is not None:
            if not columns.name:
                raise DataError(
                    f"{self.options.name} has no column of image names (it has {', '.join(data.column_names)}), so nothing can "
                    f"be found under `images`; expected one of {', '.join(NAME_COLUMNS[:3])}"
                )
            images = Images(self.folder, self.options.images)
            names = _named(data, columns.name, rows)
            folders = _named(data, columns.folder, rows) if columns.folder else [""] * len(rows)
            return [images.find(name, folder, owner=self.options.name) for name, folder in zip(names, folders, strict=True)]
        if not columns.image:
            return [None] * len(rows)
        return _stored(data, columns.image, rows, ids, self._homes())

    def _homes(self) -> tuple[Path, ...]:
        """Where image files of this data set may lie: its own folder, or the caches of the hub's libraries."""
        if self.options.name.startswith("hf:"):
            import datasets
            from huggingface_hub import constants

            return Path(datasets.config.HF_DATASETS_CACHE), Path(constants.HF_HUB_CACHE)
        place = self.folder / self.options.name
        return (place if place.is_dir() else place.parent,)

    def _rows(self, data: Any) -> list[int]:
        chosen = list(range(len(data)))
        for column, wanted in self.options.rows.items():
            _check_column(data, column, "rows")
            values = data.data.column(column).to_pylist()
            kept = [row for row in chosen if values[row] == wanted]
            if not kept:
                known = sorted({repr(value) for value in values})[:8]
                raise DataError(f"{self.options.name} has no row whose {column} is {wanted!r}; it has {', '.join(known)}")
            chosen = kept
        return chosen

    def _load(self) -> Any:
        try:
            import datasets
        except ImportError as error:
            raise DataError("data sets of the Hugging Face hub need the datasets library; pip install 'seetell[data]'") from error
        import pyarrow as pa
        from huggingface_hub import errors as hub

        name = self.options.name
        broken = (
            OSError,
            ValueError,
            KeyError,
            RuntimeError,
            hub.HTTPError,  # type: ignore[attr-defined]  # of whichever client this version of the hub library uses
            datasets.exceptions.DatasetsError,
            pa.ArrowException,
        )
        try:
            if name.startswith("hf:"):
                data = self._from_hub(name.removeprefix("hf:"), datasets)
            else:
                data = self._from_disk(self.folder / name, datasets)
        except broken as error:
            reason = next((line for line in str(error).strip().splitlines() if line), type(error).__name__)[:300]
            raise DataError(
                f"{name} (split {self.options.split!r}) cannot be loaded: {reason}. Check name, revision and split; without a "
                "network, fetch it once on a machine that has one"
            ) from error
        return data

    def _from_hub(self, rest: str, datasets: Any) -> Any:
        repository, _, commit = rest.partition("@")
        if not _COMMIT.fullmatch(commit):
            raise DataError(
                f"hf:{rest} names no commit, so it may change; write hf:{repository}@COMMIT with all its 40 digits ("
                "the data set's page on the hub shows commits under Files and versions)"
            )
        data = datasets.load_dataset(repository, self.options.config, split=self.options.split, revision=commit)
        _check_commit(data, repository, commit)
        return data

    def _from_disk(self, path: Path, datasets: Any) -> Any:
        if not path.exists():
            raise DataError(
                f"there is no {path}; expected a folder with parquet files, or hf:org/name@commit. `seetell data check SUITE` "
                "says how to get the data"
            )
        if path.is_file():
            return datasets.load_dataset("parquet", data_files={self.options.split: str(path)}, split=self.options.split)
        if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
            data = datasets.load_from_disk(str(path))
            return data[self.options.split] if isinstance(data, datasets.DatasetDict) else data
        return datasets.load_dataset(str(path), self.options.config, split=self.options.split)


def _check_commit(data: Any, repository: str, commit: str) -> None:
    """Without a network the library hands out whichever commit it cached last, and only logs that it did."""
    kept = {Path(file["filename"]).parent.name for file in data.cache_files}
    other_commits = {name for name in kept if _COMMIT.fullmatch(name)} - {commit}
    if other_commits:
        raise DataError(
            f"the cache holds the commit {other_commits.pop()} of {repository}, not {commit}, and the hub cannot be reached; "
            "fetch it once with a network, or name the commit that is there"
        )


class _Columns:
    """Which column holds what; empty where none does."""

    def __init__(self, captions: str, image: str, name: str, example_id: str, folder: str, prompt: str) -> None:
        self.captions, self.image, self.name, self.id, self.folder, self.prompt = (
            captions, image, name, example_id, folder, prompt,
        )  # fmt: skip

    @classmethod
    def of(cls, data: Any, options: HuggingFaceOptions) -> _Columns:
        """What the options say, and sane guesses for the rest.

        Raises:
            DataError: a column that is not there, or no column of captions.
        """
        for key in ("image", "captions", "id", "prompt"):
            if named := getattr(options, key):
                _check_column(data, named, key)
        names = data.column_names
        captions = options.captions or _first(CAPTION_COLUMNS, names)
        if not captions:
            texts = [name for name in names if _holds_texts(data.data.column(name).type)]
            hint = f'name it: captions = "{texts[0]}"' if texts else "and none holds texts"
            raise DataError(f"{options.name} has the columns {', '.join(names)}, none of which is called as captions are; {hint}")
        declared = [name for name, feature in data.features.items() if type(feature).__name__ == "Image"]
        declared = declared or image_columns({name: data.data.column(name).type for name in names})
        prompt = "prompt" if "prompt" in names and _is_whole_text(data.data.column("prompt")) else ""
        name = _first(NAME_COLUMNS, names)
        example_id = options.id or next((column for column in NAME_COLUMNS if column in names and _unique(data, column)), "")
        return cls(
            captions,
            options.image or (declared[0] if declared else ""),
            name,
            example_id,
            _first(FOLDER_COLUMNS, names),
            options.prompt or prompt,
        )


def _holds_texts(kind: Any) -> bool:
    """Whether a column holds texts, or lists of texts."""
    from pyarrow import types

    inner = kind.value_type if types.is_list(kind) or types.is_large_list(kind) else kind
    return bool(types.is_string(inner) or types.is_large_string(inner))


def _is_whole_text(values: Any) -> bool:
    from pyarrow import types

    return bool((types.is_string(values.type) or types.is_large_string(values.type)) and values.null_count == 0)


def _first(wanted: Sequence[str], names: Sequence[str]) -> str:
    return next((name for name in wanted if name in names), "")


def _unique(data: Any, column: str) -> bool:
    """Whether a column of texts or whole numbers names every row, and each another."""
    from pyarrow import types

    values = data.data.column(column)
    kind = values.type.value_type if types.is_dictionary(values.type) else values.type
    named = types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind)
    return bool(named and values.null_count == 0 and len(values.unique()) == len(values))


def _check_column(data: Any, column: str, key: str) -> None:
    if column not in data.column_names:
        raise DataError(f"{key} names the column {column!r}; the data set has {', '.join(data.column_names)}")


def _take(data: Any, column: str, rows: Sequence[int]) -> list[Any]:
    """Values of a column that is no image; read from the table, so that no image is decoded."""
    values = data.data.column(column)
    try:
        return [values[row].as_py() for row in rows]
    except UnicodeDecodeError as error:
        raise DataError(f"the column {column!r} holds texts that are no UTF-8 ({error}); expected UTF-8") from error


def _named(data: Any, column: str, rows: Sequence[int]) -> list[str]:
    """Values of a column of ids, names or titles: texts, or whole numbers."""
    values = _take(data, column, rows)
    for row, value in zip(rows, values, strict=True):
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise DataError(f"row {row} has {value!r} under {column!r}; expected a text or a whole number in every row")
    return [str(value) for value in values]


def _texts(value: Any, column: str, row: int) -> tuple[str, ...]:
    """References of one row, stripped; a list of objects gives the text of each."""
    listed = value if isinstance(value, list) else [value]
    references = [
        next((entry[part] for part in PARTS if part in entry), None) if isinstance(entry, dict) else entry for entry in listed
    ]
    if not all(isinstance(text, str) for text in references):
        raise DataError(
            f"row {row} has {str(value)[:60]!r} under {column!r}; expected a text, a list of texts, or of objects with "
            f"{' or '.join(PARTS)}. Name another column under `captions`"
        )
    return tuple(str(text).strip() for text in references)


def _stored(data: Any, column: str, rows: Sequence[int], ids: Sequence[str], homes: tuple[Path, ...]) -> list[ImageLike | None]:
    """A reference for each row into the Arrow files that the table is mapped from; the bytes where it is held in memory."""
    from harness.datasets.tables import ArrowImage, arrow_table

    containers = [Container.of(Path(file["filename"])) for file in data.cache_files]
    lengths = [len(arrow_table(container)) for container in containers]
    places = [(container, row) for container, length in zip(containers, lengths, strict=True) for row in range(length)]
    mapped = len(places) == len(data)  # a slice such as test[:100] is not: its rows stand elsewhere in the files
    cells = data.data.column(column)
    images: list[ImageLike | None] = []
    for row, example_id in zip(rows, ids, strict=True):
        cell = cells[row]
        fields = _fields(cell, column)
        if not cell.is_valid:
            images.append(None)
        elif not fields["bytes"].is_valid:  # a data set of image files in a folder
            images.append(_file(fields, homes, f"row {row}"))
        elif mapped:
            name = fields["path"].as_py() if "path" in fields else None
            container, place = places[row]
            images.append(ArrowImage(container, PurePosixPath(name or example_id).name, column, place))
        else:
            images.append(fields["bytes"].as_py())
    return images


def _file(fields: Mapping[str, Any], homes: tuple[Path, ...], where: str) -> ImageLike:
    """The file that a cell without bytes names, if it is in a folder that the data set may read."""
    name = fields["path"].as_py() if "path" in fields else None
    if not name:
        return AbsentImage(where, "the column of images, whose cell is empty")
    path: Path = homes[0] / name
    if not any(Path(os.path.realpath(path)).is_relative_to(os.path.realpath(home)) for home in homes):
        raise DataError(
            f"{where} names the image {name!r}, which leads out of {homes[0]}; expected a file inside. Put the images there, or "
            "say where they are with `images`"
        )
    return path


def _fields(cell: Any, column: str) -> Mapping[str, Any]:
    """The parts of an image's cell, nothing of which is copied: `bytes`, and `path` where there is one."""
    import pyarrow as pa

    if pa.types.is_struct(cell.type) and any(part.name == "bytes" for part in cell.type):
        return {part.name: cell[part.name] for part in cell.type} if cell.is_valid else {}
    if pa.types.is_binary(cell.type) or pa.types.is_large_binary(cell.type):
        return {"bytes": cell}
    raise DataError(
        f"the column {column!r} holds {cell.type}; expected image files (bytes). Where it holds their names, say where the files "
        "are: images = ..."
    )
