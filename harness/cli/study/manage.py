"""`study invite|status|review|freeze|verify`: who may come in, how far a study is, what to look at, closing it, checking it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from harness.cli import console
from harness.cli.flags import DONE, RESULTS, SOME_FAILED, AsJson, ResultsFolder
from harness.cli.study.shared import APP_URL, AppUrl, By, Name, hours, link_to, needs_sqlalchemy, opened, plain, signed
from harness.errors import StudyError

if TYPE_CHECKING:  # what it imports would make `--help` slow
    from harness.study.admin import StudyAdmin


def invite(
    name: Name,
    /,
    *,
    uses: int = 1,
    expires: float = 30,
    role: Literal["annotator", "admin"] = "annotator",
    annotator: str | None = None,
    note: str = "",
    revoke: str | None = None,
    list_: Annotated[bool, Parameter(name="--list", negative="")] = False,
    url: AppUrl = APP_URL,
    by: By = "",
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Make a link that lets people in. It is printed once: the study keeps only its hash.

    For example: `seetell study invite pilot --uses 5 --expires 14`.

    Args:
        uses: How many people may come in with it.
        expires: Days for which it is good.
        role: What newcomers may do; an admin sees progress, quality and exports.
        annotator: Pseudonym (or id) of somebody who rates already, to continue on another device.
        note: For the list.
        revoke: Instead: take an invitation back, by its id from --list or its token.
        list_: Instead: show all invitations.
    """
    if not math.isfinite(expires) or not 0 < expires <= 3650:
        raise StudyError(f"--expires is {expires}; expected days, more than 0 and at most 3650")
    with opened(name, results) as study:
        if list_:
            rows = study.invites()
            if as_json:
                console.emit([plain(asdict(row)) for row in rows])
                return DONE
            cells = [
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
            console.show_table(f"Invitations of {name}", ("id", "role", "used", "good", "for", "note"), cells)
            return DONE
        if revoke is not None:
            study.revoke(revoke, by=signed(by))
            console.say("the invitation lets nobody in any more")
            return DONE
        token = study.invite(uses=uses, lasts=timedelta(days=expires), role=role, annotator=annotator, note=note, by=signed(by))
    link = link_to(url, token)
    if as_json:
        console.emit({"token": token, "link": link, "uses": uses, "days": expires, "role": role})
    else:
        console.out.print(link, markup=False)
    return DONE


def status(name: str | None = None, /, *, results: ResultsFolder = RESULTS, as_json: AsJson = False) -> int:
    """Show how far a study is, who rates and how fast; without a name, every study there is.

    For example: `seetell study status pilot`.

    Args:
        name: The study.
    """
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
    console.show_table("Annotators", ("name", "id", "status", "forms", "s/form", "signals", "last seen"), rows, (3, 4, 5))
    if overview.open_signals:
        console.say(f"{overview.open_signals} signals wait for somebody to look: `seetell study review {name}`")
    return DONE


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
        cells = [[str(row.get(key, "")) for key in keys] for row in rows]
        console.show_table("Studies", ("name", "status", "forms", "planned", "annotators"), cells, (2, 3, 4))
    return DONE


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is decided; one of these at a time."""

    dismiss: int | None = None
    """Number of a signal that is no reason to exclude."""
    exclude: str | None = None
    """Number of a signal whose annotator's ratings are not to count; or annotator:NAME, or submission:EVENT-ID."""
    revert: int | None = None
    """Number of an exclusion to take back."""
    pause: str | None = None
    """Annotator who is to get no more work."""
    resume: str | None = None
    """Annotator who is to get work again."""

    def check(self) -> None:
        """Refuse several decisions at once."""
        if sum(value is not None for value in asdict(self).values()) > 1:
            raise StudyError("one decision at a time: give one of --dismiss, --exclude, --revert, --pause and --resume")

    def sign(self, study: StudyAdmin, by: str, reason: str) -> None:
        """Enter it into the study."""
        if self.dismiss is not None:
            study.dismiss(self.dismiss, by=by, reason=reason)
        elif self.exclude is not None and self.exclude.isdecimal():
            study.exclude_for(int(self.exclude), by=by, reason=reason)
        elif self.exclude is not None:
            study.exclude(self.exclude, "manual", reason, by)
        elif self.revert is not None:
            study.revert(self.revert, by)
        elif self.pause is not None:
            study.pause(self.pause, by=by, reason=reason)
        elif self.resume is not None:
            study.resume(self.resume, by=by, reason=reason or "resumed")


NO_DECISION = Decision()


def review(
    name: Name,
    /,
    *,
    decision: Decision = NO_DECISION,
    reason: str = "",
    by: By = "",
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Show what should be looked at (speed, straight lines, controls, drift), or sign a decision about it.

    Nothing is rejected by itself, and nothing is deleted: an exclusion says that ratings do not count, and can be taken back.

    For example: `seetell study review pilot --dismiss 3 --reason "a fast reader; controls are fine"`.

    Args:
        reason: Why; needed for every decision.
    """
    decision.check()
    with opened(name, results) as study:
        decision.sign(study, signed(by), reason)
        signals, exclusions = study.signals(), study.exclusions()
    if as_json:
        console.emit(
            {"signals": [plain(asdict(row)) for row in signals], "exclusions": [plain(asdict(row)) for row in exclusions]}
        )
        return DONE
    cells = [
        (str(row.id), row.pseudonym, row.rule, f"{row.value:.3g}", f"{row.threshold:.3g}", str(row.n), row.says)
        for row in signals
    ]
    heads = ("signal", "annotator", "rule", "value", "limit", "n", "what was seen")
    console.show_table("To be looked at", heads, cells, (0, 3, 4, 5))
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


def freeze(name: Name, /, *, by: By = "", results: ResultsFolder = RESULTS, as_json: AsJson = False) -> int:
    """Close the ratings for good and let the systems be named. Forms that come later are kept, and do not count.

    For example: `seetell study freeze pilot`.
    """
    with opened(name, results) as study:
        study.freeze(signed(by))
        table = study.ratings()
    if as_json:
        console.emit({"ratings": len(table), "ratings_sha256": table.sha256})
    else:
        console.say(f"{name} is frozen with {len(table):,} ratings (sha256 {table.sha256})")
        console.say(f"next: `seetell study analyze {name}`")
    return DONE


def verify(name: Name, /, *, against: Path | None = None, results: ResultsFolder = RESULTS, as_json: AsJson = False) -> int:
    """Check forms, texts, images, systems and decisions against the audit chain. Exit code 2: something is not as it was.

    Whoever can write to the database can also compute the chain again; that shows only against an export kept elsewhere.

    For example: `seetell study verify pilot --against pilot-ratings`.

    Args:
        against: Folder of an export (or its manifest.json): the chain must still contain the entry that it names.
    """
    with opened(name, results) as study:
        check = study.verify(against)
    if as_json:
        head = check.head._asdict()
        compared = None if check.compared is None else check.compared._asdict()
        console.emit(asdict(check) | {"ok": check.ok, "promise": check.promise, "head": head, "compared": compared})
    else:
        console.say(f"{check.entries:,} audit entries, {check.forms:,} forms and notes")
        for problem in check.problems:
            console.complain(problem)
        if check.ok:
            console.say("everything is as it was written")
            console.say(check.promise)
    return DONE if check.ok else SOME_FAILED
