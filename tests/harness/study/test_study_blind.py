"""Nobody who rates can learn which system wrote a text: not by an import, not by a query, not by a value that comes back."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from sqlalchemy import event
from studies import SYSTEMS, Clock, a_study, form, rate_all, sit, some_sources

import harness.study
from harness.study.admin import StudyAdmin
from harness.study.service import StudyService
from harness.study.tables.database import Database

ROOT = Path(harness.study.__file__).parent
SECRET_TABLES = ("system", "origin", "qc_signal", "qc_decision", "exclusion", "snapshot", "export_log", "backup_log")


def imported(module: str) -> set[str]:
    """Modules of `harness.study`, by their path below it, that one imports: inside functions too, and for types alone too."""
    path = ROOT / f"{module}.py"
    source = path if path.exists() else ROOT / module / "__init__.py"
    named = set()
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{source}: relative imports hide where they lead"
            named |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
    paths = {name.removeprefix("harness.study.").replace(".", "/") for name in named if name.startswith("harness.study.")}
    return {name for name in paths if (ROOT / f"{name}.py").exists() or (ROOT / name / "__init__.py").exists()}


def reached(start: str) -> set[str]:
    """All that a module imports, and what that imports, and so on."""
    seen, ahead = set(), [start]
    while ahead:
        module = ahead.pop()
        if module not in seen:
            seen.add(module)
            ahead += imported(module)
    return seen


RATING = sorted(f"rating/{path.stem}" for path in (ROOT / "rating").glob("*.py") if path.stem != "__init__")


def test_the_walk_finds_imports() -> None:
    assert "tables/identity" in reached("admin")
    assert {"tables/schema", "rating/submit"} <= reached("service")
    assert {"rating/claims", "rating/forms", "rating/submit"} <= set(RATING)


@pytest.mark.parametrize("module", ["rating/__init__", *RATING])
def test_a_file_of_the_rating_room_imports_tables_alone(module: str) -> None:
    rooms = {name.split("/")[0] for name in imported(module)}
    assert rooms <= {"rating", "tables"}, f"{module} imports {rooms - {'rating', 'tables'}}"


@pytest.mark.parametrize("module", ["service", *RATING])
def test_the_annotator_side_cannot_reach_who_wrote_a_text(module: str) -> None:
    assert {name for name in reached(module) if not name.startswith(("rating", "tables", "service"))} == set()
    assert "tables/identity" not in reached(module)


def test_no_query_of_the_service_names_them(tmp_path: Path) -> None:
    clock = Clock()
    made = a_study(tmp_path / "pilot", some_sources(20), clock=clock, items=8, annotators=2, practice=True)
    service = StudyService.open(tmp_path / "pilot", clock=clock)
    queries: list[str] = []
    event.listen(service._database.engine, "before_cursor_execute", lambda *call: queries.append(call[2].lower()))
    seat = service.join(made.invite, "ann")
    seat = service.consent(seat, service.protocol().consent_version)
    for text in service.practice(seat):
        told = service.answer_practice(seat, text.id, dict.fromkeys(("coherence", "fluency", "informativeness", "relevance"), 3))
        service.answer_practice(seat, text.id, {value.aspect: value.low for value in told.values})
    seat = service.begin(seat)
    work = service.claim(seat)
    service.flag(seat, {"event_id": form("x")["event_id"], "slot": work.slots[0].slot, "reason": "other"})
    service.skip(seat, {"event_id": form("x")["event_id"], "slot": work.slots[0].slot, "reason": "other"})
    rate_all(service, seat)
    service.slot(seat, work.slots[1].slot)
    service.image(seat, work.slots[1].media or "")
    service.progress(seat), service.history(seat), service.seat(seat.key or "")
    tables = {name.strip('"') for query in queries for name in re.findall(r"(?:from|join|into|update)\s+(\"?\w+\"?)", query)}
    assert {"slot", "output", "submission", "media", "audit"} <= tables
    assert not tables & set(SECRET_TABLES)
    assert not any(re.search(r"\b(system|origin)\b", query) for query in queries)


def test_nothing_that_comes_back_names_a_system_or_looks_like_a_control(tmp_path: Path) -> None:
    clock = Clock()
    made = a_study(tmp_path / "pilot", some_sources(20), clock=clock, items=8, annotators=2)
    service = StudyService.open(tmp_path / "pilot", clock=clock)
    admin = StudyAdmin.open(tmp_path / "pilot", clock=clock)
    seat = sit(service, made.invite, "ann")
    told, shapes, sizes = [json.dumps(asdict(service.protocol()))], set(), set()
    while (work := service.claim(seat)).slots:
        told += [json.dumps(asdict(view)) for view in work.slots]
        shapes |= {(len(view.slot), len(view.block), len(view.media or "")) for view in work.slots}
        sizes |= {tuple(sorted(asdict(view))) for view in work.slots}
        service.submit(seat, form(work.slots[0]))
    told += [repr(service.progress(seat)), *(repr(rated) for rated in service.history(seat))]
    everything = "\n".join(told).lower()
    for name in (*SYSTEMS[:4], *(run.identity for run in some_sources().runs)):
        assert not re.search(rf"(?<![a-z]){re.escape(name)}(?![a-z])", everything), name
    assert str(tmp_path) not in everything
    assert "img-0" not in everything
    assert shapes == {(22, 22, 22)}
    assert len(sizes) == 1
    kinds = admin.ratings().kind.tolist()
    assert {"swap", "scramble"} <= set(kinds), "there were controls among them"


def test_public_ids_tell_no_order(tmp_path: Path) -> None:
    a_study(tmp_path / "pilot")
    database = Database.open(tmp_path / "pilot")
    ids = database.read(
        lambda session: list(session.connection().exec_driver_sql("SELECT public_id FROM slot ORDER BY id").scalars())
    )
    assert len(set(ids)) == len(ids)
    assert ids != sorted(ids)
    assert all(len(each) == 22 for each in ids)
