"""`seetell study create`: the design from its flags, and the plan that comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli import console
from harness.cli.exits import DONE
from harness.cli.study.shared import hours, link_to, needs_sqlalchemy
from harness.store.runs import Results

if TYPE_CHECKING:  # what they import would make `--help` slow
    from harness.study.design.create import Created
    from harness.study.design.fill import Design
    from harness.study.design.sources import Sources


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
    needs_sqlalchemy()
    from harness.study.design import protocol
    from harness.study.design.create import create as make
    from harness.study.design.fill import Design
    from harness.study.design.sources import read_sources

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
    link = link_to(url, made.invite)
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


def _plan(made: Created, design: Design, sources: Sources) -> dict[str, Any]:
    """What a new study will take and what it can find."""
    from harness.study.analysis.power import StudyPlan, forecast
    from harness.study.rating.work import GUESSED_SECONDS

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
        ("an annotator", f"{plan['forms_each']:,} forms at most, about {hours(plan['hours_each'] * 3600)}"),
        ("in all", f"about {hours(plan['hours'] * 3600)} at {plan['seconds_a_form']:.0f} s a form"),
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
