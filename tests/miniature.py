"""Small copies of the real benchmarks, in the real formats, from a fixed seed.

    make_karpathy_coco     dataset_coco.json, train2014/ and val2014/, COCO's own annotations/captions_*.json
    make_flickr30k         dataset_flickr30k.json and flickr30k-images/
    make_rocstories        MAGIC's test file, SimCTG's training files, the corpus as CSV
    make_webdataset        shards of KEY.jpg and KEY.json from any folder of images
    pack_zip, pack_tar, pack_parquet    a folder of images in one file, as the real ones come

Twenty images (or stories) a split. Images are real files in all the colour modes that the real sets have, under `.jpg` names:
RGB, grayscale and CMYK JPEGs, and PNGs with a palette or a single bit.
"""

from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.checkpoints import _drawing, captions_of

PER_SPLIT = 20
MODES = ("RGB", "L", "CMYK", "P", "1")
"""Dealt out in turn; the last two are no JPEG and are kept as PNG, whatever their names say."""

Told = Callable[[int, int], list[str]]
"""So many captions of a drawing."""

COCO_SPLITS = {"train": "train2014", "restval": "val2014", "val": "val2014", "test": "val2014"}
"""Karpathy's splits and the folder that each one's images are in."""


def make_karpathy_coco(folder: Path, *, per_split: int = PER_SPLIT, told: Told = captions_of) -> Path:
    """Karpathy's MS-COCO: four splits, images by year; the second test image has six captions, as ten real ones do.

    Returns:
        The path of dataset_coco.json.
    """
    images: list[dict[str, Any]] = []
    annotations: dict[str, dict[str, list[dict[str, Any]]]] = {
        year: {"images": [], "annotations": []} for year in ("train2014", "val2014")
    }
    for place, (split, year) in enumerate(COCO_SPLITS.items()):
        for index in range(per_split):
            number = place * per_split + index
            cocoid = 1000 + 7 * number
            name = f"COCO_{year}_{cocoid:012d}.jpg"
            write_image(folder / year / name, number)
            said = told(number, 6 if split == "test" and index == 1 else 5)
            images.append({"filepath": year, "filename": name, "cocoid": cocoid, **_karpathy(number, split, said)})
            annotations[year]["images"].append({"id": cocoid, "file_name": name, "height": 64, "width": 64})
            annotations[year]["annotations"] += [
                {"image_id": cocoid, "id": number * 10 + place, "caption": text} for place, text in enumerate(said)
            ]
    (folder / "annotations").mkdir(exist_ok=True)
    for year, content in annotations.items():
        content["images"].reverse()  # the real files are in no order of ids
        write_json(folder / "annotations" / f"captions_{year}.json", {"info": {}, "licenses": [], **content})
    return write_json(folder / "dataset_coco.json", {"dataset": "coco", "images": images})


def make_flickr30k(folder: Path, *, per_split: int = PER_SPLIT, told: Told = captions_of) -> Path:
    """Karpathy's Flickr30k: three splits in one folder, none of whose drawings is in `make_karpathy_coco`.

    Returns:
        The path of dataset_flickr30k.json.
    """
    images = []
    for place, split in enumerate(("train", "val", "test")):
        for index in range(per_split):
            number = 500 + place * per_split + index
            name = f"{36979 + 1013 * number}.jpg"
            write_image(folder / "flickr30k-images" / name, number)
            images.append({"filename": name, **_karpathy(number, split, told(number, 5))})
    return write_json(folder / "dataset_flickr30k.json", {"dataset": "flickr30k", "images": images})


def _karpathy(number: int, split: str, said: Sequence[str]) -> dict[str, Any]:
    sentences = [
        {"tokens": text.lower().replace(".", "").split(), "raw": text, "imgid": number, "sentid": number * 10 + place}
        for place, text in enumerate(said)
    ]
    return {"imgid": number, "split": split, "sentids": [each["sentid"] for each in sentences], "sentences": sentences}


def distinct_captions(number: int, count: int) -> list[str]:
    """As `captions_of`, but no other drawing has any of them: models may be trained on one split and tested on another."""
    return [f"{text.rstrip(' .')}, on sheet {number}." for text in captions_of(number, count)]


_PEOPLE = ("Ana", "Ben", "Chloe", "Dev", "Emma", "Femi", "Gus", "Hana")
_THINGS = ("kite", "cake", "bike", "garden", "song", "boat", "letter", "puppy", "camera", "sweater", "tent", "lamp")


def story_of(number: int) -> tuple[str, tuple[str, ...]]:
    """Title and five sentences; every twelfth title comes again with another story."""
    who, thing = _PEOPLE[number % len(_PEOPLE)], _THINGS[number % len(_THINGS)]
    return f"The {thing.capitalize()}", (
        f"{who} had wanted a {thing} for {number + 2} weeks.",
        f"One morning a friend told {who} where to find one!",
        "They went there together, although it rained.",
        f"Mr. Olsen, who sold it, asked whether {who} would take good care of it.",
        f'"I will," said {who}, and walked home with the {thing}.',
    )


def make_rocstories(folder: Path, *, per_split: int = PER_SPLIT) -> Path:
    """MAGIC's test file, SimCTG's training and validation files, and everything as the authors' CSV.

    Returns:
        The path of rocstories_test.txt.
    """
    folder.mkdir(parents=True, exist_ok=True)
    splits = {split: range(place * per_split, (place + 1) * per_split) for place, split in enumerate(("train", "dev", "test"))}
    for split in ("train", "dev"):
        lines = [f"{title} <|endoftext|> {' '.join(story)}" for title, story in map(story_of, splits[split])]
        (folder / f"rocstories_{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    test = [story_of(number) for number in splits["test"]]
    (folder / "rocstories_test.txt").write_text(
        "\n".join(f"{title}\t{' '.join(story)}" for title, story in test) + "\n", encoding="utf-8"
    )
    with (folder / "ROCStories_winter2017.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["storyid", "storytitle", *(f"sentence{place}" for place in range(1, 6))])
        writer.writerows(
            [f"{number:08x}-0000", title, *story] for number, (title, story) in zip(splits["test"], test, strict=True)
        )
    return folder / "rocstories_test.txt"


def image_bytes(number: int) -> bytes:
    """Drawing `number` as a file; its colour mode goes round."""
    image, mode = _drawing(number)[0], MODES[number % len(MODES)]
    buffer = io.BytesIO()
    if mode in ("P", "1"):
        image.convert(mode).save(buffer, "PNG")
    else:
        image.convert(mode).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def write_image(path: Path, number: int) -> None:
    """The same in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image_bytes(number))


def write_json(path: Path, content: Any) -> Path:
    """A JSON file, its folder made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def files_under(folder: Path) -> list[Path]:
    """Every file in a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def pack_zip(folder: Path, target: Path | None = None, *, compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip of a folder, its name included (`val2014/COCO_...jpg`), as MS-COCO's are."""
    target = target or folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", compression) as archive:
        archive.mkdir(folder.name)
        for path in files_under(folder):
            archive.write(path, str(path.relative_to(folder.parent)))
    return target


def pack_tar(folder: Path, target: Path | None = None, *, mode: str = "w") -> Path:
    """A tar of a folder, its name included."""
    target = target or folder.with_suffix(".tar")
    with tarfile.open(target, mode) as archive:  # type: ignore[call-overload]
        archive.add(folder, folder.name)
    return target


def pack_parquet(folder: Path, target: Path | None = None, *, columns: Mapping[str, Sequence[Any]] | None = None) -> Path:
    """A parquet file of a folder as the Hugging Face libraries write images: a struct of bytes and path; 7 rows a row group."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = target or folder.with_suffix(".parquet")
    files = files_under(folder)
    images = [{"bytes": path.read_bytes(), "path": str(path.relative_to(folder))} for path in files]
    pq.write_table(pa.table({"image": images, **(columns or {})}), target, row_group_size=7)
    return target


def make_webdataset(folder: Path, images: Sequence[Path], captions: Sequence[Sequence[str]], *, per_shard: int = 8) -> Path:
    """Shards `shard-000.tar`, ... with KEY.jpg and KEY.json an image.

    Returns:
        The brace pattern that names all of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = range(0, len(images), per_shard)
    for shard, start in enumerate(shards):
        with tarfile.open(folder / f"shard-{shard:03d}.tar", "w") as archive:
            for path, said in zip(images[start : start + per_shard], captions[start : start + per_shard], strict=True):
                add_member(archive, f"{path.stem}.jpg", path.read_bytes())
                add_member(archive, f"{path.stem}.json", json.dumps({"captions": list(said)}).encode())
    return folder / f"shard-{{000..{len(shards) - 1:03d}}}.tar"


def add_member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """A file in a tar, out of memory."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))
