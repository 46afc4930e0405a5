"""What a dataset is: a list of examples, the same each time it is asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, get_args

from harness.suites.examples import Example
from harness.suites.sections import Section


class DatasetOptions(Section):
    """Base of every dataset's `Options`: frozen, unknown keys refused."""


class Dataset(ABC):
    """A source of examples. The order is the dataset's own and stable; ids are unique."""

    Options: ClassVar[type[DatasetOptions]] = DatasetOptions

    def __init__(self, options: DatasetOptions, folder: Path) -> None:
        self.options = options
        self.folder = folder
        """Relative paths in the options are relative to this: the folder of the suite file."""

    @abstractmethod
    def examples(self) -> list[Example]:
        """All examples.

        Raises:
            DataError: files missing or not in the expected format, naming file, place and remedy.
        """

    def texts(self) -> list[Example]:
        """The examples as far as texts go: images are not opened and may be missing. Override where that is cheaper."""
        return self.without_images().examples()

    def captions(self) -> list[str]:
        """Every reference text in order, for a retrieval index."""
        return [text for example in self.texts() for text in example.references]

    def without_images(self) -> Dataset:
        """The same data without images, where its options name a place for them under `images`; else the data itself."""
        if getattr(self.options, "images", None) is None:
            return self
        return type(self)(self.options.model_copy(update={"images": None}), self.folder)

    def inputs(self) -> list[tuple[str, Path]]:
        """The files and folders that the options name, each with its key: what must be there before anything can be read.

        Names may still be patterns (see `harness.datasets.paths`).
        """
        inputs: list[tuple[str, Path]] = []
        for key in type(self.options).model_fields:
            value = getattr(self.options, key)
            inputs += [(key, path) for path in (value if isinstance(value, tuple) else (value,)) if isinstance(path, Path)]
        return inputs

    def part(self, name: str) -> DatasetOptions | None:
        """The options that select the data to train on (`train`) or to choose a checkpoint by (`val`); None without such splits.

        A data set whose option `split` is one of several names has them if those are the usual ones. Override otherwise.
        """
        names = {"train": ("train",), "val": ("val", "validation", "dev")}[name]
        field: Any = type(self.options).model_fields.get("split")
        offered = get_args(field.annotation) if field else ()
        chosen = next((name_offered for name_offered in names if name_offered in offered), None)
        return self.options.model_copy(update={"split": chosen}) if chosen else None

    def index_folder(self) -> Path | None:
        """Where features of the captions are kept already (an index of `seetell index captions`); None for nowhere."""
        return None
