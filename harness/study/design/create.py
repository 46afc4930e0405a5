"""Creating a study: choose items, plan, copy texts and images into its database, which needs no run afterwards."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from harness.errors import StudyError
from harness.store.durable import Progress, no_progress
from harness.study.design.fill import PRACTICE, Design, Maker
from harness.study.design.plan import PLANNER, Control, Plan, make_plan
from harness.study.design.sources import Sources
from harness.study.rating import invites
from harness.study.tables import migrations
from harness.study.tables.base import utc_now
from harness.study.tables.database import FILE, POINTER, Database, check_free, locate, make_folder, make_private, point_to, shown
from harness.suites.examples import Example

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,47}")


@dataclass(frozen=True, slots=True)
class Created:
    """A new study."""

    where: str
    """Its folder."""
    database: str
    plan: Plan
    invite: str
    """A token that lets the planned annotators in."""
    admin_secret: str
    notes: tuple[str, ...]
    """Where the study differs from what was asked for."""


def create(
    design: Design,
    sources: Sources,
    folder: Path,
    *,
    database: str | None = None,
    now: datetime | None = None,
    progress: Progress = no_progress,
) -> Created:
    """Make a study.

    Args:
        design: what is wanted.
        sources: whose texts.
        folder: the study's folder; it must not hold one.
        database: a PostgreSQL URL instead of a file in the folder.
        now: the time, for tests.
        progress: told (done, total) images.

    Raises:
        StudyError: a design that no plan can have, images that are missing, or a place that is taken.
    """
    now = now or utc_now()
    notes: list[str] = []
    url = locate(database or folder / FILE)  # not the folder: its name may have a dot
    _check(design, sources)
    chosen, spare = _choose(design, sources, notes)
    plan, kinds = _plan(design, sources, chosen)
    secret = secrets.token_urlsafe(24)
    maker = Maker(design, sources, chosen, spare, plan, now=now, notes=notes, progress=progress)
    with fresh(url, folder) as target:

        def fill(session: Session) -> str:
            maker.fill(session, kinds, secret)
            return invites.invite(
                session, now, uses=max(plan.lanes, 2), lasts=timedelta(days=30), role="annotator", note="first link", by="create"
            )

        token = target.write(fill)
    return Created(str(folder), shown(url), plan, token, secret, tuple(dict.fromkeys(notes)))


def _check(design: Design, sources: Sources) -> None:
    if not NAME.fullmatch(design.name):
        raise StudyError(
            f"{design.name!r} cannot be a study's name; expected small letters, digits, '.', '_' and '-', 48 at most"
        )
    if not 0 <= design.seed < 2**31:
        raise StudyError(f"--seed is {design.seed}; expected 0 to {2**31 - 1}")
    for run in sources.runs:
        if re.search(rf"(?<![a-z0-9]){re.escape(run.name.lower())}(?![a-z0-9])", design.title.lower()):
            raise StudyError(
                f"the title {design.title!r} names the system {run.name!r}; annotators read it and must not know the systems"
            )


def _choose(design: Design, sources: Sources, notes: list[str]) -> tuple[list[Example], list[Example]]:
    """The study's examples and those that are left for practice."""
    common = list(sources.examples)
    order = np.random.default_rng([PLANNER, design.seed, 1]).permutation(len(common))
    wanted = min(design.items, len(common))
    kept_back = len(PRACTICE) if design.practice else 0
    if wanted + kept_back > len(common) and len(common) > 3 * kept_back:
        wanted = len(common) - kept_back
    if sources.task == "story" and wanted >= len(sources.runs):
        wanted -= wanted % len(sources.runs)
    if wanted != design.items:
        why = []
        if len(common) < design.items + kept_back:
            why.append(f"{len(common)} examples have a text from every system, and {kept_back} are kept for practice")
        if sources.task == "story":
            why.append(f"stories need a multiple of {len(sources.runs)} systems")
        notes.append(f"{wanted} items instead of {design.items}: {'; '.join(why)}")
    ranked = [common[int(index)] for index in order]
    return ranked[:wanted], ranked[wanted:]


def _plan(design: Design, sources: Sources, chosen: Sequence[Example]) -> tuple[Plan, tuple[Control, ...]]:
    kinds: tuple[Control, ...] = ("swap", "scramble", "repeat", "reference") if len(chosen) > 1 else ("scramble",)
    if not all(example.references for example in chosen):
        kinds = tuple(kind for kind in kinds if kind != "reference")
    plan = make_plan(
        len(sources.runs),
        len(chosen),
        design.ratings_per_item,
        design.annotators or design.ratings_per_item,
        design.seed,
        spread=sources.task == "story",
        controls=kinds if design.share else (),
        share=design.share,
    )
    return plan, kinds


@contextlib.contextmanager
def fresh(url: URL, folder: Path) -> Iterator[Database]:
    """An empty database to fill; what goes wrong meanwhile leaves nothing behind.

    Raises:
        StudyError: something is there already.
    """
    for name in (FILE, POINTER):
        if (folder / name).exists():
            raise StudyError(f"{folder} holds a study already; choose another name, or move that folder away")
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        check_free(path)
        make_folder(path.parent)
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        make_private(beside)
        target = Database(URL.create("sqlite", database=str(beside)))
        try:
            migrations.upgrade(target.engine)
            yield target
            target.checkpoint()
            target.close()
            _put_in_place(beside, path)
        finally:
            target.close()
            for left in beside.parent.glob(beside.name + "*"):
                left.unlink()
        return
    target = Database(url)
    try:
        if target.schema() is not None:
            raise StudyError(f"{shown(url)} holds a study already; every study has a database of its own")
        try:
            migrations.upgrade(target.engine)
        except DBAPIError as error:  # another command makes the same tables at this moment
            raise StudyError(
                f"{shown(url)} is being filled by another command, or cannot hold a study; every study has a database of its own"
            ) from error
        try:
            yield target
            point_to(folder, url, new=True)
        except BaseException:
            migrations.downgrade(target.engine, "base")
            raise
    finally:
        target.close()


def _put_in_place(beside: Path, path: Path) -> None:
    """Give a finished file its name, unless another command has made one of that name meanwhile.

    Renaming would replace the other study without a word, and its printed secret would open nothing.

    Raises:
        StudyError: another command was faster.
    """
    try:
        try:
            os.link(beside, path)  # fails where the name is taken; the temporary name is removed afterwards
        except OSError as error:
            if isinstance(error, FileExistsError):
                raise
            make_private(path)  # a file system without hard links: take the name first
            beside.replace(path)
    except FileExistsError as error:
        raise StudyError(
            f"{path} was made by another command meanwhile, and that study stays; choose another name for this one"
        ) from error
