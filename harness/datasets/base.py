"""What a dataset is: a list of examples, the same each time it is asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from harness.examples import Example


class DatasetOptions(BaseModel):
    """Base of every dataset's `Options`: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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

    def captions(self) -> list[str]:
        """Every reference text in order, for a retrieval index. Override where it can be had without the images."""
        return [text for example in self.examples() for text in example.references]

    def index_folder(self) -> Path | None:
        """Where features of the captions are kept already (an index of `seetell index captions`); None for nowhere."""
        return None
