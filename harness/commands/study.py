"""`seetell study`: what its verbs do."""

from __future__ import annotations

import contextlib
import getpass
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import console
from harness.errors import StudyError
from harness.exits import DONE, SOME_FAILED
from harness.store import Results

if TYPE_CHECKING:  # what they import would make `--help` slow
    from harness.study.admin import StudyAdmin
    from harness.study.create import Created
    from harness.study.fill import Design
    from harness.study.sources import Sources


def create(
    name: str,
    suite: str,
    runs: Sequence[str],
    aspects: Sequence[str],
    items: int,
    ratings_per_item: int | None,
    annotators: int | None,
    preset: str | None,
    seed: int,
    title: str,
    controls: float,
    practice: bool,
    images: Path | None,
    aspects_file: Path | None,
    guidelines: Path | None,
    consent: Path | None,
    database: str | None,
    url: str,
    results: Path,
    as_json: bool,
) -> int:
    """`seetell study create`."""
    _needs_sqlalchemy()
    from harness.study import protocol
    from harness.study.create import create as make
    from harness.study.fill import Design
    from harness.study.sources import read_sources

    known = protocol.preset(preset) if preset else None
    design = Design(
        name=name,
        aspects=tuple(aspects) or (known.aspects if known else protocol.DEFAULT_ASPECTS),
        items=items,
        ratings_per_item=ratings_per_item if ratings_per_item is not None else known.ratings_per_item if known else 3,
        annotators=annotators
        if annotators is not None
        else known.annotators
        if known and not ratings_per_item
        else None,
        seed=seed,
        title=title,
        preset=preset or "",
        analysis=dict(known.analysis if known else protocol.DEFAULT_ANALYSIS),
        share=controls,
        practice=practice,
        aspects_file=aspects_file,
        guidelines=guidelines,
        consent=consent,
        images=images,
    )
    sources = read_sources(Results(results), suite, runs)
    with console.progress_bar("images") as progress:
        made = make(design, sources, results / "studies" / name, database=database, progress=progress)
    plan = _plan(made, design, sources)
    link = _link(url, made.invite)
    if as_json:
        console.emit(
            plan | {"invite": made.invite, "link": link, "admin_secret": made.admin_secret, "notes": list(made.notes)}
        )
        return DONE
    _show_plan(name, plan)
    for note in made.notes:
        console.say(f"note: {note}")
    if known:
        console.say(f"protocol {known.name}: {known.about}")
    console.say(f"\nadmin secret (shown once): {made.admin_secret}")
    console.say(f"invitation for {max(made.plan.lanes, 2)} people, 30 days: {link}")
    console.say(f"next: `seetell annotate {name}` starts the app; then open the invitation")
    return DONE


def invite(
    name: str,
    uses: int,
    expires: float,
    role: str,
    annotator: str | None,
    note: str,
    revoke: str | None,
    listed: bool,
    url: str,
    by: str,
    results: Path,
    as_json: bool,
) -> int:
    """`seetell study invite`."""
    if not math.isfinite(expires) or not 0 < expires <= 3650:
        raise StudyError(f"--expires is {expires}; expected days, more than 0 and at most 3650")
    with opened(name, results) as study:
        if listed:
            rows = study.invites()
            if as_json:
                console.emit([_plain(asdict(row)) for row in rows])
                return DONE
            shown = [
                (
                    row.id,
                    row.role,
                    f"{row.uses} of {row.max_uses}",
                    "revoked" if row.revoked else f"until {row.expires_at:%Y-%m-%d %H:%M}",
                    row.annotator or "newcomers",
                    row.note,
                )
                for row in rows
            ]
            console.show_table(f"Invitations of {name}", ("id", "role", "used", "good", "for", "note"), shown)
            return DONE
        if revoke is not None:
            study.revoke(revoke, by=_signed(by))
            console.say("the invitation lets nobody in any more")
            return DONE
        token = study.invite(
            uses=uses,
            lasts=timedelta(days=expires),
            role="admin" if role == "admin" else "annotator",
            annotator=annotator,
            note=note,
            by=_signed(by),
        )
    link = _link(url, token)
    if as_json:
        console.emit({"token": token, "link": link, "uses": uses, "days": expires, "role": role})
    else:
        console.out.print(link, markup=False)
    return DONE


def status(name: str | None, results: Path, as_json: bool) -> int:
    """`seetell study status`."""
    if name is None:
        return _all_studies(results, as_json)
    with opened(name, results) as study:
        overview, people = study.overview(), study.annotators()
    if as_json:
        console.emit(_plain(asdict(overview) | {"people": [asdict(row) for row in people]}))
        return DONE
    share = overview.forms_done / overview.forms_planned if overview.forms_planned else 0.0
    console.say(
        f"{overview.name}: {overview.status}; {overview.forms_done:,} of {overview.forms_planned:,} forms ({share:.0%}), "
        f"{overview.forms_last_hour} in the last hour, about {_hours(overview.seconds_left)} of work left"
    )
    console.say(
        f"{overview.items} items, {len(overview.systems)} systems, {overview.ratings_per_item} ratings a text, "
        f"planned for {overview.planned_annotators} annotators, seed {overview.seed}; blocks: "
        + ", ".join(f"{number} {state}" for state, number in overview.blocks.items())
    )
    if overview.surplus or overview.refused or overview.flags or overview.skips or overview.exclusions:
        console.say(
            f"{overview.skips} skipped, {overview.flags} flagged, {overview.surplus} late, {overview.refused} refused, "
            f"{overview.exclusions} exclusions"
        )
    rows = [
        (
            row.pseudonym,
            row.annotator,
            row.status + (" (excluded)" if row.excluded else ""),
            str(row.forms),
            "-" if math.isnan(row.median_seconds) else f"{row.median_seconds:.1f}",
            str(row.open_signals),
            f"{row.last_at:%Y-%m-%d %H:%M}" if row.last_at else "-",
        )
        for row in people
    ]
    console.show_table(
        "Annotators", ("name", "id", "status", "forms", "s/form", "signals", "last seen"), rows, (3, 4, 5)
    )
    if overview.open_signals:
        console.say(f"{overview.open_signals} signals wait for somebody to look: `seetell study review {name}`")
    return DONE


def review(
    name: str,
    dismiss: int | None,
    exclude: str | None,
    revert: int | None,
    pause: str | None,
    resume: str | None,
    reason: str,
    by: str,
    results: Path,
    as_json: bool,
) -> int:
    """`seetell study review`."""
    asked = [each for each in (dismiss, exclude, revert, pause, resume) if each is not None]
    if len(asked) > 1:
        raise StudyError("one decision at a time: give one of --dismiss, --exclude, --revert, --pause and --resume")
    signer = _signed(by)
    with opened(name, results) as study:
        if dismiss is not None:
            study.dismiss(dismiss, by=signer, reason=reason)
        elif exclude is not None and exclude.isdecimal():
            study.exclude_for(int(exclude), by=signer, reason=reason)
        elif exclude is not None:
            study.exclude(exclude, "manual", reason, signer)
        elif revert is not None:
            study.revert(revert, signer)
        elif pause is not None:
            study.pause(pause, by=signer, reason=reason)
        elif resume is not None:
            study.resume(resume, by=signer, reason=reason or "resumed")
        signals, exclusions = study.signals(), study.exclusions()
    if as_json:
        console.emit(
            {
                "signals": [_plain(asdict(row)) for row in signals],
                "exclusions": [_plain(asdict(row)) for row in exclusions],
            }
        )
        return DONE
    shown = [
        (str(row.id), row.pseudonym, row.rule, f"{row.value:.3g}", f"{row.threshold:.3g}", str(row.n), row.says)
        for row in signals
    ]
    heads = ("signal", "annotator", "rule", "value", "limit", "n", "what was seen")
    console.show_table("To be looked at", heads, shown, (0, 3, 4, 5))
    if exclusions:
        rows = [
            (
                str(row.id),
                row.target,
                row.rule,
                row.reason,
                f"{row.by}, {row.at:%Y-%m-%d}",
                f"{row.reverted_by}, {row.reverted_at:%Y-%m-%d}" if row.reverted_at else "stands",
            )
            for row in exclusions
        ]
        console.show_table("Exclusions", ("id", "target", "rule", "reason", "decided", "taken back"), rows, (0,))
    return DONE


def export(name: str, format: str, out: Path | None, by: str, results: Path, as_json: bool) -> int:
    """`seetell study export`."""
    from harness.study.export import export_sha256
    from harness.study.files import FORMATS

    folder = out or _folder(name, results) / "export"
    with opened(name, results) as study:
        files = study.export(folder, FORMATS if format == "all" else (format,), by=_signed(by))
        digest, ratings = export_sha256(study.database), len(study.ratings(excluded=True))
    if as_json:
        console.emit({"files": [str(file) for file in files], "export_sha256": digest, "current_ratings": ratings})
    else:
        console.say(f"wrote {len(files)} files into {folder}: {', '.join(file.name for file in files)}")
        console.say(f"{ratings:,} current ratings; sha256 of everything exported: {digest}")
    return DONE


def import_(source: Path, name: str, database: str | None, results: Path, as_json: bool) -> int:
    """`seetell study import`."""
    _needs_sqlalchemy()
    from harness.study.export import export_sha256
    from harness.study.imports import import_ratings
    from harness.study.service import utc_now

    rows, left_out = import_ratings(source, name, results / "studies" / name, database=database, now=utc_now())
    with opened(name, results) as study:
        digest = export_sha256(study.database)
    if as_json:
        console.emit({"ratings": rows, "notes_left_out": left_out, "export_sha256": digest})
        return DONE
    console.say(f"{rows:,} ratings in results of {name}; sha256: {digest}")
    if left_out:
        console.say(
            f"note: {left_out} skips and flags are about texts that nobody rated in that place; they were left out"
        )
    console.say(f"next: `seetell study analyze {name}`")
    return DONE


def backup(name: str, out: Path | None, restored: Path | None, results: Path, as_json: bool) -> int:
    """`seetell study backup`."""
    _needs_sqlalchemy()
    from harness.study.backup import restore

    if restored is not None:
        from harness.study.database import FILE

        path = restore(restored, _folder(name, results) / FILE)
        console.say(f"{path} is a copy of {restored}; `seetell study verify {name}` checks it")
        return DONE
    with opened(name, results) as study:
        path = study.backup(out or _folder(name, results) / "backups")
    if as_json:
        console.emit({"backup": str(path), "bytes": path.stat().st_size})
    else:
        console.say(f"wrote {path} ({path.stat().st_size:,} bytes), checked")
    return DONE


def freeze(name: str, by: str, results: Path, as_json: bool) -> int:
    """`seetell study freeze`."""
    with opened(name, results) as study:
        study.freeze(_signed(by))
        table = study.ratings()
    if as_json:
        console.emit({"ratings": len(table), "ratings_sha256": table.sha256})
    else:
        console.say(f"{name} is frozen with {len(table):,} ratings (sha256 {table.sha256})")
        console.say(f"next: `seetell study analyze {name}`")
    return DONE


def verify(name: str, results: Path, as_json: bool) -> int:
    """`seetell study verify`."""
    with opened(name, results) as study:
        found = study.verify()
    if as_json:
        console.emit(asdict(found) | {"ok": found.ok})
    else:
        console.say(f"{found.entries:,} audit entries, {found.forms:,} forms and notes")
        for problem in found.problems:
            console.complain(problem)
        if found.ok:
            console.say("everything is as it was written")
    return DONE if found.ok else SOME_FAILED


def move(name: str, to: str, results: Path, as_json: bool) -> int:
    """`seetell study move`."""
    _needs_sqlalchemy()
    from harness.study.database import locate, shown
    from harness.study.move import move as go
    from harness.study.service import utc_now

    folder = _folder(name, results)
    if not folder.is_dir():
        raise StudyError(
            f"{name} is not kept in a folder of {results / 'studies'}, so there is nothing to move it from"
        )
    digest, rows = go(folder, to, utc_now())
    if as_json:
        console.emit({"sha256": digest, "rows": rows, "database": shown(locate(to))})
    else:
        console.say(f"moved {rows:,} rows to {shown(locate(to))}; both databases have sha256 {digest}")
        console.say(f"{folder} stands for it from now on; restart the app: `seetell annotate {name}`")
    return DONE


def migrate(name: str, backed_up: bool, results: Path, as_json: bool) -> int:
    """`seetell study migrate`."""
    _needs_sqlalchemy()
    from harness.study import migrations
    from harness.study.backup import copy_to
    from harness.study.database import SCHEMA, Database
    from harness.study.service import utc_now

    database = Database.open(_where(name, results), check=False)
    try:
        before = database.schema()
        if before is None or before > SCHEMA:
            database.check_schema(name)
        kept: Path | None = None
        if before != SCHEMA:
            if backed_up:
                kept = copy_to(database, _folder(name, results) / "backups", utc_now(), f"before-{SCHEMA}")
            migrations.upgrade(database.engine)
    finally:
        database.close()
    if as_json:
        console.emit({"from": before, "to": SCHEMA, "backup": str(kept) if kept else None})
    elif before == SCHEMA:
        console.say(f"{name} has layout {SCHEMA} already")
    else:
        console.say(f"{name} went from layout {before} to {SCHEMA}" + (f"; the old one is in {kept}" if kept else ""))
    return DONE


def _all_studies(results: Path, as_json: bool) -> int:
    _needs_sqlalchemy()
    from harness.study.database import FILE, POINTER

    folders = sorted(
        folder for folder in (results / "studies").glob("*") if (folder / FILE).exists() or (folder / POINTER).exists()
    )
    rows: list[dict[str, Any]] = []
    for folder in folders:
        try:
            with opened(folder.name, results) as study:
                overview = study.overview()
        except StudyError as error:
            rows.append({"name": folder.name, "status": str(error)})
            continue
        rows.append(
            {
                "name": overview.name,
                "status": overview.status,
                "forms_done": overview.forms_done,
                "forms_planned": overview.forms_planned,
                "annotators": sum(overview.annotators.values()),
            }
        )
    if as_json:
        console.emit(rows)
    elif not rows:
        console.say(f"{results / 'studies'} has no studies; `seetell study create NAME --suite SUITE` makes one")
    else:
        keys = ("name", "status", "forms_done", "forms_planned", "annotators")
        shown = [[str(row.get(key, "")) for key in keys] for row in rows]
        console.show_table("Studies", ("name", "status", "forms", "planned", "annotators"), shown, (2, 3, 4))
    return DONE


def _plan(made: Created, design: Design, sources: Sources) -> dict[str, Any]:
    """What a new study will take and what it can find."""
    from harness.study.power import StudyPlan, forecast
    from harness.study.work import GUESSED_SECONDS

    plan = made.plan
    found: dict[str, Any] = {
        "study": made.where,
        "database": made.database,
        "systems": [run.name for run in sources.runs],
        "items": plan.items,
        "ratings_per_item": plan.k,
        "annotators": plan.lanes,
        "blocks": len(plan.blocks),
        "forms": plan.forms,
        "controls": plan.controls,
        "forms_each": plan.longest_lane,
        "hours": plan.forms * GUESSED_SECONDS / 3600,
        "hours_each": plan.longest_lane * GUESSED_SECONDS / 3600,
        "seconds_a_form": GUESSED_SECONDS,
        "smallest_difference": None,
    }
    if plan.items >= 2:
        size = StudyPlan(plan.items, plan.k, plan.lanes, plan.systems, len(design.aspects), together=not plan.spread)
        outlook = forecast(size, seconds=GUESSED_SECONDS)
        found |= {
            "smallest_difference": outlook.detectable,
            "assumed": outlook.components.source,
            "caution": outlook.caution,
        }
    return found


def _show_plan(name: str, plan: Mapping[str, Any]) -> None:
    rows = [
        ("kept in", plan["database"]),
        ("systems", ", ".join(plan["systems"])),
        ("items", str(plan["items"])),
        ("ratings a text", str(plan["ratings_per_item"])),
        ("annotators planned", str(plan["annotators"])),
        ("forms", f"{plan['forms']:,}, of which {plan['controls']:,} are controls, in {plan['blocks']:,} blocks"),
        ("an annotator", f"{plan['forms_each']:,} forms at most, about {_hours(plan['hours_each'] * 3600)}"),
        ("in all", f"about {_hours(plan['hours'] * 3600)} at {plan['seconds_a_form']:.0f} s a form"),
    ]
    if plan["smallest_difference"] is not None:
        difference = plan["smallest_difference"]
        rows.append(
            (
                "can find",
                f"differences of {difference:.2f} points or more, with 80 % power after correction ({plan['assumed']})",
            )
        )
    console.show_table(f"Study {name}", ("", ""), rows)
    if plan.get("caution"):
        console.say(f"note: {plan['caution']}")


@contextlib.contextmanager
def opened(name: str, results: Path) -> Iterator[StudyAdmin]:
    """A study by whatever names it, closed afterwards."""
    _needs_sqlalchemy()
    from harness.study.admin import StudyAdmin

    study = StudyAdmin.open(_where(name, results))
    try:
        yield study
    finally:
        study.close()


def _where(name: str, results: Path) -> str | Path:
    """A study by its name, its folder or file, or its URL."""
    if "://" in name:
        return name
    folder = results / "studies" / name
    return folder if folder.exists() or not Path(name).exists() else Path(name)


def _folder(name: str, results: Path) -> Path:
    """Where files that belong to a study go."""
    where = _where(name, results)
    if isinstance(where, str):
        return Path()
    return where.parent if where.is_file() else where


def _needs_sqlalchemy() -> None:
    try:
        import alembic  # noqa: F401
        import sqlalchemy  # noqa: F401
    except ModuleNotFoundError as error:
        raise StudyError(
            f"studies are kept in a database, and {error.name} is not installed; pip install 'seetell[ui]'"
        ) from error


def _link(url: str, token: str) -> str:
    return f"{url.rstrip('/')}/?invite={token}"


def _signed(by: str) -> str:
    if by.strip():
        return by.strip()
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "admin"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{math.ceil(seconds / 60)} min"


def _plain(content: Any) -> Any:
    """What JSON can hold: times as text, NaN as null."""
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_plain(each) for each in content]
    if isinstance(content, datetime):
        return content.isoformat()
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
