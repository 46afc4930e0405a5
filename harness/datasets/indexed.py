"""An index built by `seetell index` as a data set: captions for CLIPRe with their features."""

from __future__ import annotations

from pathlib import Path

from harness.datasets.base import Dataset, DatasetOptions
from harness.errors import DataError
from harness.suites.examples import Example


class IndexedOptions(DatasetOptions):
    """`[captions]` keys of the index format."""

    folder: Path
    """The folder of a caption index (`seetell index captions`), relative to the suite's folder."""


class Indexed(Dataset):
    """A caption index that `seetell index captions` has built; for [captions]."""

    Options = IndexedOptions
    options: IndexedOptions

    def examples(self) -> list[Example]:
        """There are none: an index has captions or features of images, and no references.

        Raises:
            DataError: always.
        """
        raise DataError(
            f'{self.folder / self.options.folder} is an index, which has no examples; dataset = "index" is for [captions]. '
            "Images for titles come from [images]"
        )

    def captions(self) -> list[str]:
        """Every caption, in order.

        Raises:
            StoreError: no whole index there.
            DataError: an index of images.
        """
        from harness.datasets.index.query import Index

        index = Index(self.folder / self.options.folder)
        if index.manifest.what != "captions":
            raise DataError(f"{index.folder} is an index of images; [captions] wants one made with `seetell index captions`")
        return index.names()

    def index_folder(self) -> Path | None:
        """See `Dataset.index_folder`."""
        return self.folder / self.options.folder
