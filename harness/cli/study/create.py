"""`study create`: the design from its flags, and the plan that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import Parameter

from harness.cli import console
from harness.cli.flags import DONE, RESULTS, AsJson, ResultsFolder, Several
from harness.cli.study.shared import APP_URL, AppUrl, hours, link_to, needs_sqlalchemy

if TYPE_CHECKING:  # what they import would make `--help` slow
    from harness.study.design.create import Created
    from harness.study.design.fill import Design
    from harness.study.design.sources import Sources


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the study asks and how; None and () stand for what the preset, or the usual protocol, says."""

    aspects: Several = ()
    """What to rate; coherence, fluency, informativeness and relevance by default."""
    items: int = 200
    """How many images (or titles), drawn at random."""
    ratings_per_item: int | None = None
    """People who rate each text; 3 by default, or the preset's."""
    annotators: int | None = None
    """How many people the plan is balanced for; as many as ratings an item by default. More or fewer may come."""
    preset: str | None = None
    """A published protocol: magic-2022 (four aspects, five ratings an item, sign test)."""
    seed: int = 0
    """Everything random follows from it."""
    title: str = ""
    """What annotators read above the page; it must not name a system."""
    controls: float = 0.1
    """Share of texts that are controls; 0 for none."""
    practice: bool = True
    """Practice with feedback before the first rating, on examples that are not rated."""
    images: Path | None = None
    """Folder of images named after the examples, for imported outputs."""
    aspects_file: Path | None = None
    """TOML with aspects of your own: label, definition and five anchors each."""
    guidelines: Path | None = None
    """Markdown instead of the packaged guidelines."""
    consent: Path | None = None
    """Markdown instead of the packaged consent text."""

    def design(self, name: str) -> Design:
        """The whole design: what is not given is the preset's."""
        from harness.study.design import protocol
        from harness.study.design.fill import Design

        known = protocol.preset(self.preset) if self.preset else None
        fields = asdict(self)
        fields |= {"name": name, "preset": self.preset or "", "share": fields.pop("controls")}
        fields["aspects"] = self.aspects or (known.aspects if known else protocol.DEFAULT_ASPECTS)
        fields["analysis"] = dict(known.analysis if known else protocol.DEFAULT_ANALYSIS)
        if self.ratings_per_item is None:
            fields["ratings_per_item"] = known.ratings_per_item if known else 3
        if self.annotators is None and known and not self.ratings_per_item:
            fields["annotators"] = known.annotators
        return Design(**fields)


AS_USUAL = Wishes()


def create(
    name: str,
    /,
    *,
    suite: str,
    runs: Several = (),
    wishes: Wishes = AS_USUAL,
    database: str | None = None,
    url: AppUrl = APP_URL,
    results: ResultsFolder = RESULTS,
    as_json: AsJson = False,
) -> int:
    """Make a study of complete runs, and print its plan, its cost, and the first invitation.

    Every text is rated by the same number of people, each of whom sees an image once, with all its texts one after another in a
    balanced order (of stories: each story once, with other ones in between). A tenth of what they see are controls. Nobody who
    rates can tell which system wrote what.

    For example: `seetell study create pilot --suite toybox-plain --runs magic,beam,nucleus --items 50 --ratings-per-item 3`.

    Args:
        name: Of the study: small letters, digits, '.', '_' and '-'.
        suite: Whose runs; imported outputs are in a suite too (`seetell score FILE...` prints its name).
        runs: Runs to compare, by label or folder, as in magic,beam; every complete run but the constant one by default.
        database: postgresql://user@host/name of an empty database, instead of a file.
    """
    needs_sqlalchemy()
    from harness.store.runs import Results
    from harness.study.design.create import create as create_study
    from harness.study.design.protocol import preset
    from harness.study.design.sources import read_sources

    design = wishes.design(name)
    sources = read_sources(Results(results), suite, runs)
    with console.progress_bar("images") as progress:
        created = create_study(design, sources, results / "studies" / name, database=database, progress=progress)
    plan = _plan(created, design, sources)
    link = link_to(url, created.invite)
    if as_json:
        secrets = {"invite": created.invite, "link": link, "admin_secret": created.admin_secret}
        console.emit(plan | secrets | {"notes": list(created.notes)})
        return DONE
    _show_plan(name, plan)
    for note in created.notes:
        console.say(f"note: {note}")
    if design.preset:
        protocol = preset(design.preset)
        console.say(f"protocol {protocol.name}: {protocol.about}")
    console.say(f"\nadmin secret (shown once): {created.admin_secret}")
    console.say(f"invitation for {max(created.plan.lanes, 2)} people, 30 days: {link}")
    console.say(f"next: `seetell annotate {name}` starts the app; then open the invitation")
    return DONE


def _plan(created: Created, design: Design, sources: Sources) -> dict[str, Any]:
    """What a new study will take and what it can find."""
    from harness.study.analysis.power import StudyPlan, forecast
    from harness.study.rating.work import GUESSED_SECONDS

    plan = created.plan
    content: dict[str, Any] = {
        "study": created.where,
        "database": created.database,
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
        content |= {"smallest_difference": outlook.detectable, "assumed": outlook.components.source, "caution": outlook.caution}
    return content


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
            ("can find", f"differences of {difference:.2f} points or more, with 80 % power after correction ({plan['assumed']})")
        )
    console.show_table(f"Study {name}", ("", ""), rows)
    if plan.get("caution"):
        console.say(f"note: {plan['caution']}")
