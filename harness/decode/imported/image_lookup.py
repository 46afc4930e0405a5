"""`seetell score FILE... --images PLACE`: find the images that imported texts describe, for metrics that need images.

An image is looked for under every name that a record, or the references' file, has for it; then under the name without its
ending; then by COCO's number, which `391895`, `000000391895.jpg` and `COCO_val2014_000000391895.jpg` share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from decoders.models.images import ImageLike
from harness.datasets.images import AbsentImage, FolderSource, Images, PackedSource, Source
from harness.datasets.index.inputs import IMAGE_ENDINGS
from harness.datasets.known import first_few
from harness.datasets.paths import find_paths
from harness.decode.imported.read import FoundImages, Outputs
from harness.errors import DataError
from harness.suites.examples import Example

_NUMBER = re.compile(r"(?:\w*_)?0*(\d+)")
"""A stem that is a number, with zeros or the name of a split before it."""


def with_images(systems: Sequence[Outputs], places: Sequence[Path]) -> list[Outputs]:
    """The same answers about examples that know their images.

    Args:
        systems: from `harness.decode.imported.read.read_outputs`.
        places: folders, zips, tars and parquet files; names may hold `{00..09}` or `*`.

    Raises:
        DataError: a place that is not there or is no such thing, an image that is nowhere (all of them are counted, some
            named), or one that may be either of two.
    """
    where = tuple(place.absolute() for place in places)
    for place in where:
        present, missing = find_paths(Path(), place)
        if missing or not present:
            raise DataError(f"--images {place}: there is no such folder, zip, tar or parquet file")
    shelf = _Shelf(where)
    return [_with_images(system, shelf) for system in systems]


def _with_images(system: Outputs, shelf: _Shelf) -> Outputs:
    names: dict[str, str] = {}
    examples: dict[str, Example] = {}
    missing: list[str] = []
    by_number: list[str] = []
    for example in system.examples:
        candidates = system.image_names.get(example.id, ())
        place = shelf.place(candidates)
        if place is None:
            missing.append(example.id)
            continue
        names[example.id] = place
        examples[example.id] = replace(example, image=shelf.image(place))
        if all(PurePosixPath(place).stem != PurePosixPath(name).stem for name in candidates):
            by_number.append(f"{example.id} is {place}")
    if missing:
        raise DataError(_what_is_missing(system, missing, shelf))
    notes = [*system.notes]
    if by_number:
        notes.append(f"{len(by_number)} images were found by their number: {first_few(by_number)}")
    samples = [replace(sample, example=examples[sample.example.id]) for sample in system.samples]
    return replace(system, samples=samples, notes=tuple(notes), images=FoundImages(shelf.where, names))


def _what_is_missing(system: Outputs, missing: Sequence[str], shelf: _Shelf) -> str:
    total = len(system.examples)
    candidates = dict.fromkeys(name for example_id in missing[:1] for name in system.image_names.get(example_id, ()))
    holds = sorted(shelf.members)
    held = f"there are {len(holds)} images, such as {first_few(holds[:2])}" if holds else "no file there is called an image"
    if not candidates:
        return f"{system.name}: its {system.format} name no images, so --images has nothing to look for; leave it out"
    return (
        f"{system.name}: {len(missing)} of {total} examples have no image in {', '.join(map(str, shelf.where))}: "
        f"{first_few(missing)}; the first was looked for as {', '.join(candidates)}, and {held}. Name the folder or archive "
        "that has them all (several may be given), or take out the outputs without an image"
    )


@dataclass(frozen=True)
class _Shelf:
    """All images of some places."""

    where: tuple[Path, ...]

    @cached_property
    def _images(self) -> Images:
        return Images(Path(), self.where)

    @cached_property
    def members(self) -> frozenset[str]:
        """Names of all image files, as `Images` takes them; captions may be beside them under the same stem."""
        members = (member for source in self._images.sources for member in _members(source))
        return frozenset(member for member in members if PurePosixPath(member).suffix.lower() in IMAGE_ENDINGS)

    @cached_property
    def _by_stem(self) -> Mapping[str, list[str]]:
        return _grouped((PurePosixPath(member).stem, member) for member in self.members)

    @cached_property
    def _by_number(self) -> Mapping[str, list[str]]:
        stems = ((_NUMBER.fullmatch(PurePosixPath(member).stem), member) for member in self.members)
        return _grouped((match[1], member) for match, member in stems if match)

    def place(self, names: Sequence[str]) -> str | None:
        """The member name of the image that is called one of `names`; None if there is none.

        Raises:
            DataError: it may be either of two.
        """
        for name in names:
            image = self._images.find(name, owner="--images")
            if not isinstance(image, AbsentImage) and not (isinstance(image, Path) and not image.is_file()):
                return name
        stems = [PurePosixPath(name).stem for name in names]
        numbers = [match[1] for stem in stems if (match := _NUMBER.fullmatch(stem))]
        for table, keys in ((self._by_stem, stems), (self._by_number, numbers)):
            for key in keys:
                if fitting := table.get(key):
                    if len(fitting) > 1:
                        raise DataError(
                            f"--images: {names[0]!r} may be {' or '.join(sorted(fitting)[:2])}; name the folder or archive that "
                            "holds one of them only"
                        )
                    return fitting[0]
        return None

    def image(self, place: str) -> ImageLike:
        """The image with that member name."""
        return self._images.find(place, owner="--images")


def _members(source: Source) -> Iterable[str]:
    if isinstance(source, PackedSource):
        return source.members
    assert isinstance(source, FolderSource)  # the other kind there is  # noqa: S101
    files = (path for path in source.path.rglob("*") if path.is_file() and not path.name.startswith("."))
    return [path.relative_to(source.path).as_posix() for path in files]


def _grouped(pairs: Iterable[tuple[str, str]]) -> Mapping[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key, member in pairs:
        groups.setdefault(key, []).append(member)
    return groups
