"""A suite's check from end to end: each data set by itself, what two of them share, then models and the lock."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

from decoders.base import Need
from harness.datasets.base import Dataset
from harness.datasets.known import first_few, remark, steps_for
from harness.datasets.overlap import folded, same_examples
from harness.datasets.paths import find_paths, is_text
from harness.errors import DataError, RegistryError, SuiteError
from harness.fetch.check.findings import Finding, Progress, Report, Section, count
from harness.fetch.check.images import check_images
from harness.fetch.check.models import check_index, check_lock, check_models
from harness.suites.registry import decoders
from harness.suites.spec import DataRef, ImagesRef, Suite


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
        deep: open every image, and load the weights of language models.
        locked: hold what was fetched against the lock, as `--offline` does.
        called: what commands call the suite, for the steps: the path of its file; its name by default.
        progress: called for every image of a deep check.
    """
    sections = [
        Section(f"[{name}]", ref) for name in type(suite).model_fields if isinstance(ref := getattr(suite, name), DataRef)
    ]
    findings: list[Finding] = []
    for section in sections:
        findings += _check_section(section, suite, deep, progress)
    for later in sections[1:]:
        findings += _overlap(sections[0], later)
    if suite.images is not None:
        findings += _check_titles_images(suite, suite.images, deep, progress)
    findings += check_models(suite, called or suite.name, deep=deep)
    if locked:
        findings.append(check_lock(suite, called or suite.name, progress))
    return Report(suite.name, tuple(findings))


def _check_needs(section: Section, suite: Suite) -> list[Finding]:
    """Whether the examples have what the decoders look at: an image, or none would be decoded."""
    if (
        section.name != "[data]"
        or suite.images is not None
        or not section.examples
        or any(example.image for example in section.examples)
    ):
        return []
    looking = []
    for label, ref in suite.decoders.items():
        with contextlib.suppress(RegistryError):  # `run` will say so
            if Need.IMAGE in decoders().load(ref.decoder or label).needs:
                looking.append(label)
    if not looking:
        return []
    steps = ("say where the images are (`images`, or the column `image`), or take these decoders out",)
    detail = f"no example has an image, and {first_few(looking)} look{'s' if len(looking) == 1 else ''} at images"
    return [Finding(section.name, "problem", detail, steps)]


def _check_section(section: Section, suite: Suite, deep: bool, progress: Progress) -> list[Finding]:
    from harness.datasets.digests import load_dataset
    from harness.datasets.load import counted

    try:
        dataset = load_dataset(section.ref, suite.folder, section.name)
    except (SuiteError, RegistryError) as error:
        return [Finding(section.name, "problem", str(error), ("correct the suite",))]
    findings, lost = _check_inputs(section, dataset)
    if dataset.index_folder() is not None and not lost:
        return check_index(section.name, suite, dataset.index_folder() or Path(), "captions")
    if any(key != "images" for key in lost):
        return findings
    try:
        section.examples = (dataset.without_images() if "images" in lost else dataset).examples()
        counts = _check_count(section)  # `expect` is about the data, before the suite leaves some of it out
        if section.name == "[data]":
            section.examples = counted(section.examples, suite)
    except (DataError, SuiteError) as error:
        steps = section.ref.how.strip()
        return [*findings, Finding(section.name, "problem", str(error), (steps,) if steps else ())]
    findings += counts
    if section.name == "[data]" and (suite.data.exclude or suite.data.first):
        findings.append(Finding(section.name, "ok", f"{len(section.examples):,} of them count, after `exclude` and `first`"))
    findings += _check_ids(section)
    findings += _check_texts(section, suite)
    if "images" not in lost:
        findings += check_images(section, deep, progress)
        findings += _check_needs(section, suite)
    return findings


def _check_inputs(section: Section, dataset: Dataset) -> tuple[list[Finding], set[str]]:
    """Whether the files that the options name are there, and the keys of those that are not."""
    findings: list[Finding] = []
    lost: set[str] = set()
    for key, pattern in dataset.inputs():
        present, missing = find_paths(dataset.folder, pattern)
        if not missing:
            shown = str(present[0]) if len(present) == 1 else f"{len(present)} files, {present[0]} to {present[-1].name}"
            findings.append(Finding(section.name, "ok", f"{key}: {shown}"))
            continue
        lost.add(key)
        first = first_few([path.name for path in missing])
        missing_files = f"there is no {missing[0]}" if len(missing) == 1 else f"{len(missing)} files are missing: {first}"
        if key == "images" and section.without == "note":
            findings.append(
                Finding(section.name, "note", f"{key}: {missing_files}; only texts are read here, so it may stay away")
            )
        else:
            steps = steps_for(missing[0], key, section.ref.how)
            findings.append(Finding(section.name, "problem", f"{key}: {missing_files}", steps))
    return findings, lost


def _check_count(section: Section) -> list[Finding]:
    size, expected = len(section.examples), section.ref.expect
    known = f" ({remark(size)})" if remark(size) else ""
    if not size:
        return [Finding(section.name, "problem", "no examples", ("check the options of this section",))]
    if expected is None:
        return [Finding(section.name, "ok", f"{size:,} examples{known}")]
    if size == expected:
        return [Finding(section.name, "ok", f"{size:,} examples, as expected")]
    steps = ("complete the data, or change `expect` in the suite if another number is meant",)
    return [Finding(section.name, "problem", f"{size:,} examples{known}; the suite expects {expected:,}", steps)]


def _check_ids(section: Section) -> list[Finding]:
    twice = [example_id for example_id, count in Counter(example.id for example in section.examples).items() if count > 1]
    odd = [repr(example.id) for example in section.examples if not example.id or not is_text(example.id)]
    findings = []
    if twice:
        steps = ("leave each image in once: ids join results and must be unique",)
        findings.append(Finding(section.name, "problem", f"{count(twice, 'id')} more than once: {first_few(twice)}", steps))
    if odd:
        steps = ("give each example an id that UTF-8 can write",)
        findings.append(Finding(section.name, "problem", f"{count(odd, 'id')} that cannot be used: {first_few(odd)}", steps))
    return findings


def _check_texts(section: Section, suite: Suite) -> list[Finding]:
    findings = []
    bare = [example.id for example in section.examples if not example.references]
    torn = [example.id for example in section.examples if not is_text(example.prompt)]
    empty = [example.id for example in section.examples if any(not text.strip() for text in example.references)]
    torn_references = [example.id for example in section.examples if not all(map(is_text, example.references))]
    for noun, ids in (("prompt", torn), ("reference", torn_references)):
        if ids:
            steps = (f"correct these {noun}s: each holds half of a surrogate pair",)
            detail = f"{count(ids, noun)} that UTF-8 cannot write: {first_few(ids)}"
            findings.append(Finding(section.name, "problem", detail, steps))
    if len(bare) == len(section.examples):
        findings.append(Finding(section.name, "note", "no references: metrics that need them stay empty"))
    elif bare:
        findings.append(Finding(section.name, "note", f"{count(bare, 'example')} without references: {first_few(bare)}"))
    if empty:
        findings.append(Finding(section.name, "note", f"{count(empty, 'example')} with an empty reference: {first_few(empty)}"))
    numbers = Counter(len(example.references) for example in section.examples if example.references)
    if numbers:
        spread = ", ".join(f"{count:,} with {number}" for number, count in sorted(numbers.items()))
        findings.append(Finding(section.name, "ok", f"{sum(n * c for n, c in numbers.items()):,} references ({spread})"))
    if suite.task == "story" and (titles := len({example.prompt for example in section.examples})) < len(section.examples):
        repeated = len(section.examples) - titles
        findings.append(Finding(section.name, "ok", f"{titles:,} distinct titles ({repeated} repeat, so stories go by position)"))
    return findings


def _check_titles_images(suite: Suite, ref: ImagesRef, deep: bool, progress: Progress) -> list[Finding]:
    """Where the titles of stories find their images: an index that was built, or a data set that is indexed when it is run."""
    if ref.index is not None:
        return check_index("[images]", suite, suite.folder / ref.index, "images")
    return _check_section(Section("[images]", DataRef(dataset=ref.dataset, options=ref.options)), suite, deep, progress)


def _overlap(first: Section, second: Section) -> list[Finding]:
    """What the examples that are asked share with those that captions or training come from."""
    if not first.examples or not second.examples:
        return []
    where = f"{first.name} and {second.name}"
    findings = []
    shared = same_examples(first.examples, second.examples)
    remedy = ("take another split in one of them: what a method has seen before must not be what it is tested on",)
    if shared:
        findings.append(Finding(where, "problem", f"{count(shared, 'example')} in both: {first_few(shared)}", remedy))
    twins = [
        f"{example_id} = {second.contents[digest]}"
        for digest, example_id in first.contents.items()
        if digest in second.contents and example_id not in shared
    ]
    if twins:
        findings.append(
            Finding(where, "problem", f"{count(twins, 'image')} with the same content in both: {first_few(twins)}", remedy)
        )
    first_texts, second_texts = (
        folded(text for example in part.examples for text in example.references) for part in (first, second)
    )
    if shared_texts := first_texts & second_texts:
        percent = f"{100 * len(shared_texts) / len(first_texts):.1f} %"
        share = f"{len(shared_texts):,} of {len(first_texts):,} different references of {first.name} ({percent})"
        findings.append(
            Finding(where, "note", f"{share} are word for word in {second.name} too: {first_few(sorted(shared_texts))}")
        )
    if not findings:
        findings.append(Finding(where, "ok", "share no example, image or text" if first.contents else "share no example or text"))
    return findings
