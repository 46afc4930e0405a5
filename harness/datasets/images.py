"""Images in any place: in a folder, a zip, a tar or a parquet file, read one by one and never unpacked.

`Images` maps the names that annotations use to something a prompt can carry: a path, or a small reference into an archive
that is read when the image is needed. A reference is a value: it can be compared, hashed and sent to another process.
"""

from __future__ import annotations

import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Protocol

from decoders.models.images import ImageLike
from harness.datasets.packed import Container, _check_bytes, _damaged
from harness.datasets.paths import all_paths, find_paths, safe_name
from harness.errors import DataError, UnreadableImage


@dataclass(frozen=True, slots=True)
class AbsentImage:
    """An image that annotations name and that is in no source."""

    member: str
    where: str
    """The places that were searched."""
    nowhere: bool = False
    """Whether nothing that `images` names exists."""

    @property
    def name(self) -> str:
        """The file name."""
        return PurePosixPath(self.member).name

    def __str__(self) -> str:
        return f"{self.member} in {self.where}"

    def read(self) -> bytes:
        """Always fails with an error that names the image."""
        raise UnreadableImage(f"{self} cannot be read (there is no such file); expected an image of that name")


@dataclass(frozen=True, slots=True)
class _Member:
    """A file in an archive."""

    container: Container
    member: str

    @property
    def name(self) -> str:
        """The file name."""
        return PurePosixPath(self.member).name

    def __str__(self) -> str:
        return f"{self.member} in {self.container.path}"


@dataclass(frozen=True, slots=True)
class ZipImage(_Member):
    """A member of a zip file."""

    def read(self) -> bytes:
        """Unpack this one member into memory; its checksum is tested."""
        self.container.check(self)
        try:
            archive = _zip(self.container, os.getpid())
            _check_bytes(archive.getinfo(self.member).file_size, self)
            return archive.read(self.member)
        except _ZIP_ERRORS as error:
            raise _damaged(self, error) from error


@dataclass(frozen=True, slots=True)
class TarImage(_Member):
    """A member of a tar file that is not compressed: a range of its bytes."""

    offset: int
    length: int

    def read(self) -> bytes:
        """The bytes of that range."""
        self.container.check(self)
        _check_bytes(self.length, self)
        try:
            with self.container.path.open("rb") as file:
                file.seek(self.offset)
                content = file.read(self.length)
        except OSError as error:
            raise _damaged(self, error) from error
        if len(content) < self.length:
            raise UnreadableImage(f"{self} cannot be read: the file ends in the middle of it; fetch it again")
        return content


_ZIP_ERRORS = (OSError, LookupError, zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, EOFError,
               ValueError, OverflowError)  # fmt: skip
"""What zipfile raises for archives and members that are damaged, encrypted or packed in a way it does not know."""


_TAR_ERRORS = (OSError, tarfile.TarError, EOFError, ValueError, OverflowError)
"""What tarfile raises for archives that are torn or whose headers make no sense."""


@lru_cache(maxsize=16)
def _zip(container: Container, process: int) -> zipfile.ZipFile:
    """The open archive; a process that was forked gets its own, or two would move one file's position."""
    return zipfile.ZipFile(container.path)


class Source(Protocol):
    """One place that holds images."""

    path: Path

    def find(self, place: str) -> ImageLike | None:
        """The image at that place (a relative path with forward slashes); None if it is not here."""
        ...


@dataclass(slots=True)
class FolderSource:
    """A folder of image files."""

    path: Path
    _root: Path = field(init=False)
    _checked: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._root = Path(os.path.realpath(self.path))

    def find(self, place: str) -> Path | None:
        """The file, if its links stay in the folder.

        Raises:
            DataError: a link that leads out, or a pipe or device: reading one might never end.
        """
        path = self.path / place
        if not os.path.lexists(path):
            return None
        self._check_inside(path)
        if is_special(path):
            raise DataError(f"{path} is a pipe, socket or device; expected an image file. Take it out of {self.path}")
        return path

    def _check_inside(self, path: Path) -> None:
        """Links are welcome as long as they stay in the folder; each subfolder is checked once."""
        if path.parent not in self._checked:
            self._refuse_outside(path.parent, path)
            self._checked.add(path.parent)
        if path.is_symlink():
            self._refuse_outside(path, path)

    def _refuse_outside(self, place: Path, image: Path) -> None:
        target = Path(os.path.realpath(place))  # not resolve(), which fails on links that lead in circles
        if not target.is_relative_to(self._root):
            raise DataError(
                f"{image} is a link that leads out of {self.path}, to {target}; expected images inside the folder. Copy the file "
                "there, or name the folder that holds it under `images`"
            )


def is_special(path: Path) -> bool:
    """Whether there is a pipe, a socket or a device behind a name."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # missing, or no valid file name: reported when it is read
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@dataclass(slots=True)
class PackedSource:
    """An archive or table whose images were listed once."""

    path: Path
    members: dict[str, ImageLike]
    _by_name: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for member in self.members:
            self._by_name.setdefault(PurePosixPath(member).name, []).append(member)

    def find(self, place: str) -> ImageLike | None:
        """By the full name, else by its end: archives are often packed from a folder further up.

        Raises:
            DataError: two members fit equally well.
        """
        if place in self.members:
            return self.members[place]
        same = self._by_name.get(PurePosixPath(place).name, [])
        fitting = [member for member in same if member.endswith(f"/{place}")]
        if len(fitting) > 1:
            raise DataError(
                f"{self.path} holds {fitting[0]} and {fitting[1]}, and {place!r} may be either; expected one image of that name. "
                "Name its folder too, or remove one"
            )
        return self.members[fitting[0]] if fitting else None


class Images:
    """The images of a data set.

    Args:
        folder: what relative paths start from.
        where: folders, zips, tars and parquet files; a name may hold `{00..09}` or `*`.

    What is not there at all holds no image: texts can be read without, and reading the image is an error.

    Raises:
        DataError: one of them is damaged or of another kind, or a pattern of which only a part is there.
    """

    def __init__(self, folder: Path, where: Path | str | tuple[Path | str, ...]) -> None:
        self.sources: list[Source] = []
        self._names: list[str] = []
        for pattern in where if isinstance(where, tuple) else (where,):
            self._names.append(str(folder / pattern))
            if find_paths(folder, pattern)[0]:
                self.sources += [open_source(path) for path in all_paths(folder, pattern, "images")]

    def find(self, name: str, inside: str = "", *, owner: object = "the annotation file") -> ImageLike:
        """The image that annotations call `name`; one that is nowhere fails when it is read, and is named then.

        Args:
            name: a file name, or a path with forward slashes.
            inside: the folder that annotations name beside it (`val2014`), if any.
            owner: who names it, for messages.

        Raises:
            DataError: a name or a link that leads out of its place, or a name that may be either of two images.
        """
        name, inside = safe_name(name, owner), safe_name(inside, owner) if inside else ""
        full = f"{inside}/{name}" if inside else name
        # The flat name comes last, after every source was asked for the full one: train/1.jpg is not val/1.jpg.
        for place in dict.fromkeys((full, name, PurePosixPath(name).name)):
            for source in self.sources:
                if (image := source.find(place)) is not None:
                    return image
        if len(self.sources) == len(self._names) == 1 and isinstance(self.sources[0], FolderSource):
            return self.sources[0].path / full
        return AbsentImage(full, " or ".join(self._names), nowhere=not self.sources)


def open_source(path: Path) -> Source:
    """List what a folder, zip, tar or parquet file holds; nothing is unpacked.

    Raises:
        DataError: damaged, compressed as a whole, or of no kind that can be read in part.
    """
    if path.is_dir():
        return FolderSource(path)
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); expected a folder or an archive of images") from error
    if start.startswith(b"PAR1"):
        from harness.datasets.tables import parquet_images

        return PackedSource(path, parquet_images(path))
    if start.startswith(b"PK"):
        return PackedSource(path, _zip_images(path))
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")):
        raise DataError(
            f"{path} is compressed as a whole, so an image in its middle can be read only by unpacking everything before it; "
            f"decompress it (gunzip, bunzip2, unxz) and name the .tar that comes out"
        )
    return PackedSource(path, {image.member: image for image in tar_images(path)})


def _zip_images(path: Path) -> dict[str, ImageLike]:
    container = Container.of(path)
    images: dict[str, ImageLike] = {}
    for entry in zip_members(path):
        name = safe_name(entry.filename.rstrip("/"), path)
        if entry.is_dir() or _is_litter(name):
            continue
        if entry.flag_bits & 1:
            raise DataError(f"{path} is encrypted ({entry.filename}); expected a zip without a password: pack it again")
        _add(images, name, ZipImage(container, entry.filename), path)
    return images


def zip_members(path: Path) -> list[zipfile.ZipInfo]:
    """What a zip file lists.

    Raises:
        DataError: damaged, or no zip file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except _ZIP_ERRORS as error:
        raise DataError(f"{path} cannot be read as a zip file ({error}); fetch it again") from error


def tar_images(path: Path) -> Iterable[TarImage]:
    """Every plain file in a tar, in its order; links and devices are passed over.

    Raises:
        DataError: not a tar, torn, or with a member that leads out of it.
    """
    # Only headers are read. A member's bytes start at a known offset of an uncompressed tar, so an image is read by one seek.
    container = Container.of(path)
    images: dict[str, ImageLike] = {}
    for member in tar_members(path):
        name = safe_name(member.name.rstrip("/") or ".", path)
        if member.isreg() and not member.issparse() and not _is_litter(name):
            image = TarImage(container, name, member.offset_data, member.size)
            _add(images, name, image, path)
            yield image


def tar_members(path: Path) -> Iterator[tarfile.TarInfo]:
    """The headers of a tar that is not compressed, one at a time.

    Raises:
        DataError: torn, compressed, or no tar file.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # or it would keep every header it has met
                if member.size < 0:  # tarfile goes back by as much, and would meet this header for ever
                    raise tarfile.ReadError(f"{member.name!r} claims {member.size} bytes")
                yield member
    except _TAR_ERRORS as error:
        raise DataError(
            f"{path} is no tar file that can be read to its end ({error}); expected a folder, a zip, a tar or a parquet file. "
            "Fetch it again; a .tar.gz has to be decompressed once (gunzip)"
        ) from error


def _add(images: dict[str, ImageLike], name: str, image: ImageLike, path: Path) -> None:
    if name in images:
        raise DataError(f"{path} holds {name} twice; expected each name once. Pack it again")
    images[name] = image


def _is_litter(name: str) -> bool:
    """Files that macOS adds to archives; they have image names and hold no images."""
    return name.startswith("__MACOSX/") or PurePosixPath(name).name.startswith("._")
