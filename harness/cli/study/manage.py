"""`seetell study`: running one: who may come in, how far it is, what to look at, closing it, checking it."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from harness.cli import console
from harness.cli.exits import DONE, SOME_FAILED
from harness.cli.study.shared import (
    hours,
    link_to,
    needs_sqlalchemy,
    opened,
    plain,
    signed,
)
from harness.errors import StudyError


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
                console.emit([plain(asdict(row)) for row in rows])
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
            study.revoke(revoke, by=signed(by))
            console.say("the invitation lets nobody in any more")
            return DONE
        token = study.invite(
            uses=uses,
            lasts=timedelta(days=expires),
            role="admin" if role == "admin" else "annotator",
            annotator=annotator,
            note=note,
            by=signed(by),
        )
    link = link_to(url, token)
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
        console.emit(plain(asdict(overview) | {"people": [asdict(row) for row in people]}))
        return DONE
    share = overview.forms_done / overview.forms_planned if overview.forms_planned else 0.0
    console.say(
        f"{overview.name}: {overview.status}; {overview.forms_done:,} of {overview.forms_planned:,} forms ({share:.0%}), "
        f"{overview.forms_last_hour} in the last hour, about {hours(overview.seconds_left)} of work left"
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
    signer = signed(by)
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
                "signals": [plain(asdict(row)) for row in signals],
                "exclusions": [plain(asdict(row)) for row in exclusions],
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


def freeze(name: str, by: str, results: Path, as_json: bool) -> int:
    """`seetell study freeze`."""
    with opened(name, results) as study:
        study.freeze(signed(by))
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


def _all_studies(results: Path, as_json: bool) -> int:
    needs_sqlalchemy()
    from harness.study.tables.database import FILE, POINTER

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
