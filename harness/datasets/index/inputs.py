"""Where images and captions to index come from. An archive is read in place and never unpacked.

An image source is a folder (looked through to the bottom), a .zip, a .tar, a folder of .tar shards, or a data set's examples.
Whatever it is, items come sorted by name, so the same content gives the same rows in the same order.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

from decoders.errors import UnreadableImage
from harness.datasets.images import TarImage, ZipImage, is_special, tar_members, zip_members
from harness.datasets.packed import Container
from harness.datasets.paths import is_text
from harness.datasets.reading import read_text
from harness.errors import DataError
from harness.suites.examples import Example, read_image

IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".jp2", ".avif"})
"""Files that are taken for images; everything else in a folder or an archive is passed over."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to index, before it is read."""

    name: str
    stamp: str
    """Changes when the item does, as far as that shows without reading it: size and time, or the checksum in the archive."""
    meta: str = ""
    refused: str = ""
    """Why it must not be read."""


class ImageSource(ABC):
    """A stable, sorted list of images."""

    name: str

    @abstractmethod
    def items(self) -> list[Item]:
        """All of them, sorted by name.

        Raises:
            DataError: the source cannot be read, or holds no image.
        """

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The bytes of one image.

        Raises:
            UnreadableImage: it is not there any more, or damaged within its archive.
        """

    def path(self, name: str) -> Path | None:  # noqa: B027
        """The file of an image, where it has one of its own."""


class FolderImages(ImageSource):
    """The images in a folder and in those below it."""

    def __init__(self, folder: Path) -> None:
        self.name, self._folder = str(folder), folder.resolve()

    def items(self) -> list[Item]:
        """Names are relative paths with slashes. A link that leads out of the folder is refused, not followed."""
        items = []
        for place, folders, files in os.walk(self._folder):
            folders.sort()
            for file in files:
                path = Path(place) / file
                if path.suffix.lower() in IMAGE_ENDINGS:
                    items.append(self._item(path))
        return sorted(items, key=lambda item: item.name)

    def read(self, name: str) -> bytes:
        """See `ImageSource.read`."""
        path = self._folder / name
        if not Path(os.path.realpath(path)).is_relative_to(self._folder):
            raise UnreadableImage(f"{name} leads out of {self._folder}; put the file itself there")
        try:
            return path.read_bytes()
        except OSError as error:
            raise UnreadableImage(f"{path} cannot be read ({error.strerror})") from error

    def path(self, name: str) -> Path | None:
        """See `ImageSource.path`."""
        return self._folder / name

    def _item(self, path: Path) -> Item:
        name = path.relative_to(self._folder).as_posix()
        if not is_text(name):
            return Item(name.encode("utf-8", "replace").decode(), "name", refused="its name is no UTF-8")
        if not (target := Path(os.path.realpath(path))).is_relative_to(self._folder):
            return Item(name, "link", refused=f"it is a link to {target}, outside the folder")
        if is_special(path):
            return Item(name, "special", refused="it is a pipe, socket or device")
        try:
            stat = path.stat()
        except OSError as error:
            return Item(name, "gone", refused=str(error.strerror))
        return Item(name, f"{stat.st_size} {stat.st_mtime_ns}")


class ZipImages(ImageSource):
    """The images in a .zip file."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._container = Container.of(path)
        self._members = zip_members(path)

    def items(self) -> list[Item]:
        """Names are those of the archive."""
        members = [member for member in self._members if _is_image(member.filename) and not member.is_dir()]
        items = [
            Item(member.filename, f"{member.file_size} {member.CRC}", refused=_strays(member.filename)) for member in members
        ]
        return _each_once(items, self.name)

    def read(self, name: str) -> bytes:
        """See `ImageSource.read`."""
        return ZipImage(self._container, name).read()


class TarImages(ImageSource):
    """The images in .tar files, such as WebDataset shards; a name is `shard.tar/member`."""

    def __init__(self, name: Path, shards: Sequence[Path]) -> None:
        self.name = str(name)
        self._shards = {shard.name: shard for shard in sorted(shards)}
        self._places: dict[str, TarImage] = {}

    def items(self) -> list[Item]:
        """Shards in the order of their names, members too."""
        items = []
        for shard in self._shards.values():
            container = Container.of(shard)
            for member in tar_members(shard):
                if not _is_image(member.name) or not member.isreg() or member.issparse():
                    continue
                name = f"{shard.name}/{member.name}"
                self._places[name] = TarImage(container, member.name, member.offset_data, member.size)
                items.append(Item(name, f"{member.size} {int(member.mtime)}", refused=_strays(member.name)))
        return _each_once(items, self.name)

    def read(self, name: str) -> bytes:
        """See `ImageSource.read`."""
        if not self._places:
            self.items()
        if name not in self._places:
            raise UnreadableImage(f"{name} is not in {self.name}")
        return self._places[name].read()


class ExampleImages(ImageSource):
    """The images of a data set's examples; a name is an example's id, and what it knows beside comes along."""

    def __init__(self, name: str, examples: Sequence[Example]) -> None:
        self.name = name
        self._examples = {example.id: example for example in examples if example.image is not None}

    def items(self) -> list[Item]:
        """Sorted by id."""
        return [self._item(example) for _, example in sorted(self._examples.items())]

    def read(self, name: str) -> bytes:
        """See `ImageSource.read`."""
        image = self._examples[name].image if name in self._examples else None
        if image is None:
            raise UnreadableImage(f"{name} is no example of {self.name} with an image")
        return read_image(image)

    def path(self, name: str) -> Path | None:
        """See `ImageSource.path`."""
        image = self._examples[name].image
        return image if isinstance(image, Path) else None

    def _item(self, example: Example) -> Item:
        meta = json.dumps(dict(example.meta), sort_keys=True) if example.meta else ""
        image = example.image
        if isinstance(image, bytes):
            return Item(example.id, hashlib.sha256(image).hexdigest(), meta)
        if not isinstance(image, Path):
            return Item(example.id, repr(image), meta)  # names the archive with its length and time, and the place in it
        try:
            stat = image.stat()
        except OSError:
            stat = None
        return Item(example.id, f"{stat.st_size} {stat.st_mtime_ns}" if stat else "gone", meta)


def image_source(path: Path) -> ImageSource:
    """What a path holds: a folder of images, a folder of tar shards, a .zip or a .tar.

    Raises:
        DataError: nothing there, or nothing of the kind.
    """
    if path.is_dir():
        shards = sorted(path.glob("*.tar"))
        return TarImages(path, shards) if shards else FolderImages(path)
    if not path.exists():
        raise DataError(f"there is nothing at {path}; expected a folder of images, .tar shards, a .zip or a .tar")
    if path.suffix.lower() == ".zip":
        return ZipImages(path)
    if path.suffix.lower() == ".tar" or path.name.lower().endswith((".tar.gz", ".tgz")):
        return TarImages(path, [path])
    raise DataError(f"{path} is no folder, .zip or .tar; expected one of them, with images inside")


def text_captions(path: Path) -> list[str]:
    """Captions of a text file, one a line; blank lines are passed over.

    Raises:
        DataError: missing or not UTF-8.
    """
    content = read_text(path, "UTF-8 text, one caption a line")
    return [line.strip() for line in content.split("\n") if line.strip()]


def stamps(items: Sequence[Item]) -> str:
    """SHA-256 over names and stamps: whether a source is still the one that a build began with."""
    digest = hashlib.sha256()
    for part in _parts(items):
        content = part.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def _parts(items: Sequence[Item]) -> Iterator[str]:
    for item in items:
        yield from (item.name, item.stamp, item.meta)


def _each_once(items: list[Item], source: str) -> list[Item]:
    """Sorted by name; of two members of one name only one could ever be read."""
    items = sorted(items, key=lambda item: item.name)
    if twice := next((previous.name for previous, following in pairwise(items) if previous.name == following.name), None):
        raise DataError(f"{source} holds {twice} twice; expected each name once. Pack it again")
    return items


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_ENDINGS and not PurePosixPath(name).name.startswith("._")


def _strays(name: str) -> str:
    """Why a member's name is refused: it would lead out of wherever the archive was unpacked."""
    if not is_text(name):
        return "its name is no UTF-8"
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        return "its name leads out of the archive"
    return ""
