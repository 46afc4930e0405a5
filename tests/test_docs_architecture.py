"""docs/architecture.md describes the code as it is: directories, imports, functions; and its plug-ins work."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.harness.test_cli import seetell
from tests.pages import ROOT, block
from tests.plugins import install
from tests.test_architecture import FLOORS

PAGE = "docs/architecture.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
PACKAGES = ("seetell", "decoders", "harness", "annotation_ui")
DETAILS = {"harness/study/tables/migrations", "annotation_ui/screens/admin", "decoders/testing/rules"}
"""Packages inside a room that its own line describes."""
DOTTED = re.compile(r"(?<![\w./-])(?:harness|annotation_ui|seetell(?!\.lock)|decoders\.(?:models|testing)(?=\.))(?:\.\w+)+")
"""Names of modules and what is in them. `decoders.LABEL` is a suite's key, `seetell.lock.toml` a file."""


def section(title: str) -> str:
    """The text of one section of the page."""
    return re.split(r"^## ", TEXT.split(f"\n## {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(table: str) -> list[list[str]]:
    """The cells of all tables in a text, without their heads."""
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[0] not in ("Directory", "Floor", "Step", "Contract")]


def floors() -> list[list[str]]:
    """The rooms of each floor, from top to bottom."""
    return [re.findall(r"`([\w.]+)`", rooms) for _, rooms in rows(section("Who imports whom"))]


def test_every_directory_is_listed_and_exists() -> None:
    listed = {re.findall(r"`([\w/]+)/`", cells[0])[0] for cells in rows(section("Directories"))}
    assert [name for name in sorted(listed) if not (ROOT / name).is_dir()] == []
    packages = {
        init.parent.relative_to(ROOT).as_posix() for package in PACKAGES for init in (ROOT / package).rglob("__init__.py")
    }
    described = {name for name in packages if any(name == part or name.startswith(f"{part}/") for part in DETAILS)}
    assert sorted(packages - described - listed - {"harness"}) == []


def _exists(dotted: str) -> bool:
    """Whether a dotted name leads to a module, or to a name that is written in one."""
    parts = dotted.split(".")
    for depth in range(len(parts), 0, -1):
        folder = ROOT.joinpath(*parts[:depth])
        file = next((path for path in (folder.with_suffix(".py"), folder / "__init__.py") if path.is_file()), None)
        if file is not None:
            rest = parts[depth:]
            return not rest or re.search(rf"\b{rest[0]}\b", file.read_text(encoding="utf-8")) is not None
    return False


def test_modules_and_files_that_code_and_pages_name_exist() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    lost = []
    for path in (*pages, *(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))):
        text = path.read_text(encoding="utf-8")
        names = re.findall(DOTTED, text)
        files = re.findall(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)}|tests|docs)/[\w./-]*\w", text)
        lost += [(path.name, name) for name in names if not (_exists(name) or (ROOT / name).exists())]
        lost += [(path.name, name) for name in files if not (ROOT / name).exists()]
    assert lost == []


def test_the_import_table_names_every_room_once() -> None:
    named = [room for floor in floors() for room in floor]
    inside = {path.stem for path in (ROOT / "harness").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert sorted(named) == sorted(
        [*(f"harness.{name}" for name in inside - {"__init__"}), "annotation_ui", "decoders", "seetell"]
    )


def test_the_import_table_is_the_order_that_a_test_holds() -> None:
    there = [{room for room in rooms if (ROOT / room.partition(".")[0]).is_dir()} for rooms in FLOORS]
    assert [set(floor) for floor in floors()] == [rooms for rooms in there if rooms]


@pytest.mark.parametrize("title", ["From a suite to a cell of the leaderboard", "From a caption to a rater, and the rating back"])
def test_every_step_names_a_function_of_its_file(title: str) -> None:
    steps = rows(section(title))
    assert len(steps) >= 15
    missing = []
    for _, file, functions in steps:
        path = ROOT / file.strip("`")
        names = re.findall(r"`([\w.]+)`", functions)
        assert path.is_file(), path
        if path.suffix == ".py":
            assert names, file
            missing += [f"{file}: {name}" for name in names if name not in defined(path)]
    assert missing == []


def defined(path: Path) -> set[str]:
    """Functions, classes and methods of a module, such as `plan`, `Plan` and `Plan.tasks`."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return names


def test_the_three_plug_ins_of_the_page_run_together(tmp_path: Path) -> None:
    project = tomllib.loads(block(PAGE, "toml", 'name = "three-contracts"'))["project"]
    source = block(PAGE, "python", "class Lines(")
    site = install(tmp_path / "site", project["name"], "three_contracts", source, project["entry-points"])
    (tmp_path / "contracts.toml").write_text(block(PAGE, "toml", 'name = "contracts"'), encoding="utf-8")
    (tmp_path / "lines.tsv").write_text("a dog\tTHE DOG\ncat\tBIRD\nowl\tFROGS\n", encoding="utf-8")
    environment = {"SEETELL_CACHE": str(tmp_path / "cache"), "PYTHONPATH": f"{site}:{ROOT}"}
    done = seetell("run", "contracts.toml", "--json", cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    [run] = json.loads(done.stdout)["runs"]
    [score] = run["scores"]
    assert (score["output"], score["n"], round(score["value"], 4)) == ("same-length", 3, round(1 / 3, 4))
    shown = seetell("show", "contracts/capitals", "0", cwd=tmp_path, **environment)
    assert "A DOG!" in shown.stdout
