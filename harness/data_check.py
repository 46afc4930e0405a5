"""Is a suite's data there, whole and what it should be? The work behind `seetell data check`.

Nothing is downloaded. What is found comes as `Finding`s in the order of the suite: data, captions, images for titles, models.
`--deep` opens every image: broken ones are named, and equal ones found whatever they are called.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from decoders.base import ImageLike
from harness.datasets.base import Dataset
from harness.datasets.counts import remark
from harness.datasets.images import AbsentImage
from harness.datasets.places import find_paths, is_text
from harness.datasets.remedies import steps_for
from harness.errors import DataError, RegistryError, SeeTellError, StoreError, SuiteError, UnreadableImage
from harness.examples import Example
from harness.index.manifest import What, read_manifest
from harness.overlap import folded, same_examples
from harness.settings import as_flags
from harness.spec import DataRef, ImagesRef, Suite

if TYPE_CHECKING:  # which takes torch
    from decoders.models.load import Role

Level = Literal["ok", "note", "problem"]
ROLES: dict[str, Role] = {"language_model": "language_model", "image_text": "image_text"}
"""What a model has to be, by its key in [models]; a metric's own model may be either."""
SHOWN = 5
"""Names that a message gives; how many there are in all is always said."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    section: str
    """The part of the suite it belongs to, such as `[data]`."""
    level: Level
    detail: str
    """What was found, in a sentence."""
    steps: tuple[str, ...] = ()
    """What puts it right; empty where nothing is wrong."""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings of a suite."""

    suite: str
    findings: tuple[Finding, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing has to be put right."""
        return all(finding.level != "problem" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"suite": self.suite, "complete": self.complete, "findings": [asdict(each) for each in self.findings]}


@dataclass(slots=True)
class Section:
    """A data set of the suite while it is looked at."""

    name: str
    ref: DataRef
    examples: list[Example] = field(default_factory=list)
    contents: dict[str, str] = field(default_factory=dict)
    """Hash of an image's bytes to the first id that has it; filled by a deep check only."""

    @property
    def without(self) -> Level:
        """What a missing image is here: retrieval and training read texts only, so they can do without."""
        return "note" if self.name == "[captions]" else "problem"


Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def check_suite(
    suite: Suite,
    *,
    deep: bool = False,
    locked: bool = False,
    called: str = "",
    progress: Progress = lambda what, done, total: None,
) -> Report:
    """Look at everything that a suite names.

    Args:
        suite: the suite.
        deep: open every image.
        locked: hold what was fetched against the lock, as `--offline` does.
        called: what commands call the suite, for the steps: the path of its file; its name by default.
        progress: told about every image of a deep check.
    """
    sections = [
        Section(f"[{name}]", ref)
        for name in type(suite).model_fields
        if isinstance(ref := getattr(suite, name), DataRef)
    ]
    findings: list[Finding] = []
    for section in sections:
        findings += _check_section(section, suite, deep, progress)
    for other in sections[1:]:
        findings += _overlap(sections[0], other)
    if suite.images is not None:
        findings += _check_titles_images(suite, suite.images, deep, progress)
    findings += _check_models(suite, called or suite.name)
    if locked:
        findings.append(_check_lock(suite, called or suite.name, progress))
    return Report(suite.name, tuple(findings))


def _check_section(section: Section, suite: Suite, deep: bool, progress: Progress) -> list[Finding]:
    from harness.run import counted, load_dataset

    try:
        dataset = load_dataset(section.ref, suite.folder, section.name)
    except (SuiteError, RegistryError) as error:
        return [Finding(section.name, "problem", str(error), ("mend the suite",))]
    findings, lost = _check_inputs(section, dataset)
    if dataset.index_folder() is not None and not lost:
        return _check_index(section.name, suite, dataset.index_folder() or Path(), "captions")
    if any(key != "images" for key in lost):
        return findings
    try:
        section.examples = (dataset.without_images() if "images" in lost else dataset).examples()
        count = _check_count(section)  # `expect` is about the data, before the suite leaves some of it out
        if section.name == "[data]":
            section.examples = counted(section.examples, suite)
    except (DataError, SuiteError) as error:
        how = section.ref.how.strip()
        return [*findings, Finding(section.name, "problem", str(error), (how,) if how else ())]
    findings += count
    if section.name == "[data]" and (suite.data.exclude or suite.data.first):
        findings.append(
            Finding(section.name, "ok", f"{len(section.examples):,} of them count, after `exclude` and `first`")
        )
    findings += _check_ids(section)
    findings += _check_texts(section, suite)
    if "images" not in lost:
        findings += _check_images(section, deep, progress)
    return findings


def _check_inputs(section: Section, dataset: Dataset) -> tuple[list[Finding], set[str]]:
    """Whether the files that the options name are there, and the keys of those that are not."""
    findings: list[Finding] = []
    lost: set[str] = set()
    for key, pattern in dataset.inputs():
        there, missing = find_paths(dataset.folder, pattern)
        if not missing:
            shown = str(there[0]) if len(there) == 1 else f"{len(there)} files, {there[0]} to {there[-1].name}"
            findings.append(Finding(section.name, "ok", f"{key}: {shown}"))
            continue
        lost.add(key)
        some = _some([path.name for path in missing])
        what = f"there is no {missing[0]}" if len(missing) == 1 else f"{len(missing)} files are missing: {some}"
        if key == "images" and section.without == "note":
            findings.append(
                Finding(section.name, "note", f"{key}: {what}; only texts are read here, so it may stay away")
            )
        else:
            steps = steps_for(missing[0], key, section.ref.how)
            findings.append(Finding(section.name, "problem", f"{key}: {what}", steps))
    return findings, lost


def _check_count(section: Section) -> list[Finding]:
    found, expected = len(section.examples), section.ref.expect
    known = f" ({remark(found)})" if remark(found) else ""
    if not found:
        return [Finding(section.name, "problem", "no examples", ("check the options of this section",))]
    if expected is None:
        return [Finding(section.name, "ok", f"{found:,} examples{known}")]
    if found == expected:
        return [Finding(section.name, "ok", f"{found:,} examples, as expected")]
    steps = ("complete the data, or change `expect` in the suite if another number is meant",)
    return [Finding(section.name, "problem", f"{found:,} examples{known}; the suite expects {expected:,}", steps)]


def _check_ids(section: Section) -> list[Finding]:
    twice = [example_id for example_id, count in Counter(each.id for each in section.examples).items() if count > 1]
    odd = [repr(each.id) for each in section.examples if not each.id or not is_text(each.id)]
    findings = []
    if twice:
        steps = ("leave each image in once: ids join results and must be unique",)
        findings.append(
            Finding(section.name, "problem", f"{_count(twice, 'id')} more than once: {_some(twice)}", steps)
        )
    if odd:
        steps = ("give each example an id that UTF-8 can write",)
        findings.append(
            Finding(section.name, "problem", f"{_count(odd, 'id')} that cannot be used: {_some(odd)}", steps)
        )
    return findings


def _check_texts(section: Section, suite: Suite) -> list[Finding]:
    findings = []
    bare = [each.id for each in section.examples if not each.references]
    torn = [each.id for each in section.examples if not is_text(each.prompt)]
    empty = [each.id for each in section.examples if any(not text.strip() for text in each.references)]
    if torn:
        steps = ("mend these prompts: each holds half of a surrogate pair",)
        detail = f"{_count(torn, 'prompt')} that UTF-8 cannot write: {_some(torn)}"
        findings.append(Finding(section.name, "problem", detail, steps))
    if len(bare) == len(section.examples):
        findings.append(Finding(section.name, "note", "no references: metrics that need them stay empty"))
    elif bare:
        findings.append(Finding(section.name, "note", f"{_count(bare, 'example')} without references: {_some(bare)}"))
    if empty:
        findings.append(
            Finding(section.name, "note", f"{_count(empty, 'example')} with an empty reference: {_some(empty)}")
        )
    numbers = Counter(len(each.references) for each in section.examples if each.references)
    if numbers:
        spread = ", ".join(f"{count:,} with {number}" for number, count in sorted(numbers.items()))
        findings.append(
            Finding(section.name, "ok", f"{sum(n * c for n, c in numbers.items()):,} references ({spread})")
        )
    if suite.task == "story" and (titles := len({each.prompt for each in section.examples})) < len(section.examples):
        repeated = len(section.examples) - titles
        findings.append(
            Finding(section.name, "ok", f"{titles:,} distinct titles ({repeated} repeat, so stories go by position)")
        )
    return findings


# Images


def _check_images(section: Section, deep: bool, progress: Progress) -> list[Finding]:
    named = [(each.id, each.image) for each in section.examples if each.image is not None]
    if not named:
        return []
    absent = [(example_id, image) for example_id, image in named if _is_absent(image)]
    blind = [each.id for each in section.examples if each.image is None]
    findings = []
    if absent:
        some = _some([image.name for _, image in absent if not isinstance(image, bytes)])
        detail = f"{len(absent):,} of {len(named):,} images are missing: {some}"
        if section.without == "note":
            findings.append(Finding(section.name, "note", f"{detail}; only texts are read here, so they may stay away"))
        else:
            remedy = "put them where the others are; without them these examples fail and are counted as failures"
            findings.append(Finding(section.name, "problem", detail, (remedy,)))
    if blind:
        findings.append(Finding(section.name, "note", f"{_count(blind, 'example')} without an image: {_some(blind)}"))
    gone = {example_id for example_id, _ in absent}
    present = [(example_id, image) for example_id, image in named if example_id not in gone]
    if deep:
        findings += _open_all(section, present, progress)
    elif present:
        findings.append(
            Finding(section.name, "ok", f"{len(present):,} images found, none opened (--deep opens them all)")
        )
    return findings


def _is_absent(image: ImageLike) -> bool:
    return isinstance(image, AbsentImage) or (isinstance(image, Path) and not os.path.isfile(image))  # noqa: PTH113  # of any name


def _open_all(section: Section, images: Sequence[tuple[str, ImageLike]], progress: Progress) -> list[Finding]:
    """Decode every image; tell broken ones, equal ones, and what colours they are stored in."""
    from harness.run import image_digest

    broken: list[str] = []
    twins: list[str] = []
    modes: Counter[str] = Counter()
    for done, (example_id, image) in enumerate(images, start=1):
        try:
            modes[_mode(image)] += 1
        except UnreadableImage as error:
            broken.append(str(error) if not isinstance(image, bytes) else f"{example_id}: {error}")
        else:
            digest = image_digest(image)
            if (first := section.contents.setdefault(digest, example_id)) != example_id:
                twins.append(f"{first} = {example_id}")
        progress(f"{section.name}: opening images", done, len(images))
    findings = []
    if broken:
        remedy = "fetch them again; as they are, these examples fail and are counted as failures"
        detail = f"{_count(broken, 'image')} cannot be read: {'; '.join(broken[:SHOWN])}" + (
            "; ..." if len(broken) > SHOWN else ""
        )
        findings.append(Finding(section.name, "problem", detail, (remedy,)))
    if twins:
        findings.append(
            Finding(section.name, "note", f"{_count(twins, 'image')} with the same content as another: {_some(twins)}")
        )
    colours = ", ".join(f"{count:,} {mode}" for mode, count in modes.most_common())
    note = "; all are converted to RGB, and none is left out" if set(modes) - {"RGB"} else ""
    findings.append(Finding(section.name, "ok", f"{modes.total():,} images opened: {colours or 'none'}{note}"))
    return findings


def _mode(image: ImageLike) -> str:
    """The colours that an image is stored in, as Pillow calls them; all of its pixels are decoded.

    Raises:
        UnreadableImage: they cannot be.
    """
    import io

    from PIL import Image

    from decoders.models.images import open_image

    content = image if isinstance(image, Path | bytes) else image.read()
    open_image(content)
    with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as opened:
        return opened.mode


# Images for titles, and indices


def _check_titles_images(suite: Suite, ref: ImagesRef, deep: bool, progress: Progress) -> list[Finding]:
    """Where the titles of stories find their images: an index that was built, or a data set that is indexed when it is run."""
    if ref.index is not None:
        return _check_index("[images]", suite, suite.folder / ref.index, "images")
    return _check_section(Section("[images]", DataRef(dataset=ref.dataset, options=ref.options)), suite, deep, progress)


def _check_index(where: str, suite: Suite, folder: Path, what: What) -> list[Finding]:
    """Whether an index is there, whole, of the right things, and made with the model that the suite asks with."""
    from decoders.models.load import model_digest
    from harness.run import resolve_model

    name = suite.models.image_text or "MODEL"
    source = "FOLDER" if what == "images" else "SUITE"
    steps: tuple[str, ...] = (f"seetell index {what} {source} --out {shlex.quote(str(folder))} --model {name}",)
    if what == "images":
        steps = ("put the images that titles may find into a FOLDER (or name a .zip, a .tar or shards)", *steps)
    try:
        manifest = read_manifest(folder)
    except StoreError as error:
        return [Finding(where, "problem", str(error), steps)]
    if manifest.what != what:
        return [Finding(where, "problem", f"{folder} is an index of {manifest.what}; expected one of {what}", steps)]
    said = f"index: {folder}, {manifest.rows:,} {what}, made with {manifest.model.name}"
    if suite.models.image_text is not None:
        try:
            digest = model_digest(resolve_model(suite.models.image_text, suite.folder))
        except SeeTellError:
            return [Finding(where, "ok", f"{said}; whether that is {name} cannot be told without that model")]
        if (digest, suite.run.dtype) != (manifest.model.digest, manifest.model.dtype):
            asked = f"{name} ({suite.run.dtype}), and would be refused"
            return [Finding(where, "problem", f"{said} ({manifest.model.dtype}); the suite asks with {asked}", steps)]
    return [Finding(where, "ok", said)]


# Two data sets of one suite


def _overlap(first: Section, other: Section) -> list[Finding]:
    """What the examples that are asked share with those that captions or training come from."""
    if not first.examples or not other.examples:
        return []
    where = f"{first.name} and {other.name}"
    findings = []
    shared = same_examples(first.examples, other.examples)
    remedy = ("take another split in one of them: what a method has seen before must not be what it is tested on",)
    if shared:
        findings.append(Finding(where, "problem", f"{_count(shared, 'example')} in both: {_some(shared)}", remedy))
    twins = [
        f"{example_id} = {other.contents[digest]}"
        for digest, example_id in first.contents.items()
        if digest in other.contents and example_id not in shared
    ]
    if twins:
        findings.append(
            Finding(where, "problem", f"{_count(twins, 'image')} with the same content in both: {_some(twins)}", remedy)
        )
    ours, theirs = (folded(text for each in part.examples for text in each.references) for part in (first, other))
    if both := ours & theirs:
        share = (
            f"{len(both):,} of {len(ours):,} different references of {first.name} ({100 * len(both) / len(ours):.1f} %)"
        )
        findings.append(Finding(where, "note", f"{share} are word for word in {other.name} too: {_some(sorted(both))}"))
    if not findings:
        findings.append(
            Finding(where, "ok", "share no example, image or text" if first.contents else "share no example or text")
        )
    return findings


# Models


def _check_models(suite: Suite, called: str) -> list[Finding]:
    """The suite's models, and those that its metrics bring along, each once."""
    from harness import registry
    from harness.spec import checked

    roles = {"language_model": suite.models.language_model, "image_text": suite.models.image_text}
    named = {name: role for role, name in roles.items() if name is not None}
    findings: list[Finding] = []
    for label, ref in suite.metrics.items():
        try:
            config = checked(registry.metrics().load(ref.metric or label).Config, ref.options, f"[metrics.{label}]")
        except (SuiteError, RegistryError) as error:
            findings.append(Finding(f"[metrics.{label}]", "problem", str(error), ("mend the suite",)))
            continue
        for name in config.own_models().values():
            named.setdefault(name, f"of [metrics.{label}]")
    return findings + [_check_model(key, name, suite, called) for name, key in named.items()]


def _check_model(key: str, name: str, suite: Suite, called: str) -> Finding:
    from decoders.models.load import model_digest
    from harness.run import resolve_model

    try:
        role = ROLES.get(key)
        digest = model_digest(resolve_model(name, suite.folder), role)
    except SeeTellError as error:
        return Finding("[models]", "problem", f"{key}: {error}", _model_steps(name, suite, called))
    return Finding("[models]", "ok", f"{key}: {name}, content {digest.rpartition('@')[2][:12]}")


def _check_lock(suite: Suite, called: str, progress: Progress) -> Finding:
    """Whether what was fetched is what the lock pins."""
    from harness.fetch.offline import check_fetched

    try:
        said = check_fetched(suite, progress=lambda done, total: progress("checking the lock", done, total))
    except SeeTellError as error:
        return Finding("[lock]", "problem", str(error), (f"seetell prefetch {called}{as_flags(suite.settings)}",))
    return Finding("[lock]", "ok", said)


def _model_steps(name: str, suite: Suite, called: str) -> tuple[str, ...]:
    if name.partition(":")[0] in {"hf", "hf-hub", "open_clip"}:
        return (f"seetell prefetch {called}{as_flags(suite.settings)}",)
    return ("save the model there, train one with `seetell train lm`, or change its name under [models]",)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(name if len(name) <= 80 else f"{name[:77]}..." for name in names[:SHOWN])
    return shown + (", ..." if len(names) > SHOWN else "")


def _count(things: Sequence[object], noun: str) -> str:
    return f"{len(things):,} {noun}{'' if len(things) == 1 else 's'}"
