"""The house keeps its shape: who may import whom, no circles, no heaps, short signatures, a library that never prints.

Every rule reads the syntax trees of the product's files, so that imports inside functions and imports for types count too. Each
rule is also tried on a small made-up house that breaks it.
"""

from __future__ import annotations

import ast
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path

import pytest

PRODUCT = ("decoders", "harness", "annotation_ui", "seetell")

FLOORS: tuple[tuple[str, ...], ...] = (
    ("seetell",),
    ("annotation_ui", "harness.cli"),
    ("harness.study", "harness.leaderboard"),
    ("harness.training", "harness.compare", "harness.bench"),
    ("harness.fetch", "harness.decode"),
    ("harness.metrics",),
    ("harness.datasets",),
    ("harness.store",),
    ("harness.suites",),
    ("harness.errors",),
    ("decoders",),
)
"""The rooms from the top floor to the ground: a room may import itself and the floors below it, nothing beside or above it."""

HARNESS_ROOT = {
    "__init__.py", "bench", "cli", "compare", "datasets", "decode", "errors.py", "fetch", "leaderboard", "metrics", "store",
    "study", "suites", "training",
}  # fmt: skip
"""What lies at the root of `harness`, beside the marker of its types."""

MOST_STUDY_ENTRIES = 9
MOST_FILES = 24
"""Python files of one folder; more is a heap, and wants a room of its own."""
MOST_POSITIONAL = 7

RATING, RATING_MAY_IMPORT = "harness.study.rating", ("harness.study.rating", "harness.study.tables")
"""What raters reach stands behind a wall: of the study it imports the tables and nothing that knows a system."""

PUBLIC = {"decoders", "decoders.testing", "harness.errors", "seetell"}
"""Modules that others build on: each declares its public names."""

MAY_PRINT = ("harness.cli", "annotation_ui", "seetell")
PROGRAMS = {"harness.bench.memory_job"}
"""Modules outside those rooms that run as programs of their own and answer on standard output."""


@dataclass(frozen=True)
class House:
    """The product's files under a folder, and who imports whom."""

    root: Path
    files: tuple[str, ...]

    @classmethod
    def at(cls, root: Path) -> House:
        """The files that git knows, or would take in; all files where there is no git."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PRODUCT],
            cwd=root, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if listed.returncode == 0:
            names = {name for name in listed.stdout.split("\0") if name and (root / name).is_file()}
        else:
            paths = [path for top in PRODUCT for path in (root / top).rglob("*") if path.is_file()]
            names = {path.relative_to(root).as_posix() for path in paths if "__pycache__" not in path.parts}
        return cls(root, tuple(sorted(names)))

    @cached_property
    def modules(self) -> dict[str, str]:
        """Each module's file."""
        return {
            name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name
            for name in self.files
            if name.endswith(".py")
        }

    @cached_property
    def trees(self) -> dict[str, ast.Module]:
        """Each module's syntax tree."""
        return {module: ast.parse((self.root / file).read_text("utf-8")) for module, file in self.modules.items()}

    @cached_property
    def imports(self) -> dict[str, set[str]]:
        """The modules of the product that each module imports."""
        return {module: set(self._imported(module, tree)) - {module} for module, tree in self.trees.items()}

    def _imported(self, module: str, tree: ast.Module) -> Iterator[str]:
        parents = [*module.split(".")[: None if self.modules[module].endswith("__init__.py") else -1], ""]
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.ImportFrom):
                above = parents[: -node.level] if node.level else []  # `from .. import name` starts at the package's parent
                package = ".".join([*above, *([node.module] if node.module else [])])
                for alias in node.names:  # `from package import module` is an import of the module
                    inner = f"{package}.{alias.name}"
                    names.append(inner if inner in self.modules else package)
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
                names = [node.args[0].value] if isinstance(node.args[0], ast.Constant) else []
            yield from (name for name in names if name in self.modules)


def within(module: str, *rooms: str) -> bool:
    """Whether a module stands in one of the rooms."""
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def floor_and_room(module: str) -> tuple[int, str] | None:
    """Where a module stands; 0 is the top floor."""
    return next(((floor, room) for floor, rooms in enumerate(FLOORS) for room in rooms if within(module, room)), None)


def roomless_files(house: House) -> list[str]:
    """Modules that stand in no room; the docstring of `harness` is none."""
    return [file for module, file in house.modules.items() if floor_and_room(module) is None and module != "harness"]


def wrong_way_imports(house: House) -> list[str]:
    """Imports that go up, or to another room of the same floor."""
    broken = []
    for module, targets in house.imports.items():
        for target in sorted(targets):
            here, there = floor_and_room(module), floor_and_room(target)
            if here and there and here[1] != there[1] and there[0] <= here[0]:
                way = "up" if there[0] < here[0] else "sideways"
                broken.append(f"{house.modules[module]} imports {house.modules[target]}: {way}, {here[1]} -> {there[1]}")
            elif module == "harness":
                broken.append(f"{house.modules[module]} imports {house.modules[target]}: it is a docstring only")
    return broken


def large_circles(house: House) -> list[str]:
    """Circles of imports over more than two files: the strongly connected parts of the graph (Tarjan 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    circles: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for target in sorted(house.imports[module]):
            if target not in order:
                visit(target)
                lowest[module] = min(lowest[module], lowest[target])
            elif target in stack:
                lowest[module] = min(lowest[module], order[target])
        if lowest[module] == order[module]:
            start = stack.index(module)
            circles.append(stack[start:])
            del stack[start:]

    for module in house.modules:
        if module not in order:
            visit(module)
    return [
        f"{len(circle)} files import each other: {', '.join(sorted(house.modules[module] for module in circle))}"
        for circle in circles
        if len(circle) > 2
    ]


def root_entries(house: House) -> list[str]:
    """Entries of `harness` and of `harness/study` that nobody planned."""
    entries = {file.split("/")[1] for file in house.files if file.startswith("harness/")} - {"py.typed"}
    study = {file.split("/")[2] for file in house.files if file.startswith("harness/study/")}
    broken = [f"harness/{entry} is no room of the house" for entry in sorted(entries - HARNESS_ROOT)]
    if len(study) > MOST_STUDY_ENTRIES:
        broken.append(f"harness/study has {len(study)} entries, at most {MOST_STUDY_ENTRIES}: {', '.join(sorted(study))}")
    return broken


def heaps(house: House) -> list[str]:
    """Folders with more Python files than one takes in at a glance."""
    counts = Counter(file.rpartition("/")[0] for file in house.modules.values())
    return [
        f"{folder} holds {count} Python files, at most {MOST_FILES}" for folder, count in counts.items() if count > MOST_FILES
    ]


def holes_in_the_wall(house: House) -> list[str]:
    """What `study/rating` imports of the study beside its tables."""
    return [
        f"{house.modules[module]} imports {house.modules[target]}"
        for module, targets in house.imports.items()
        for target in sorted(targets)
        if within(module, RATING) and within(target, "harness.study") and not within(target, *RATING_MAY_IMPORT)
    ]


def public_names(tree: ast.Module) -> list[str] | None:
    """A module's `__all__`; None where it declares none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(ast.unparse(target) == "__all__" for target in node.targets):
            return list(ast.literal_eval(node.value))
    return None


def unlisted_names(house: House) -> list[str]:
    """What is wrong with each `__all__`: names listed twice or bound to nothing, and imports for others that it does not list."""
    broken = []
    for module, tree in house.trees.items():
        listed = public_names(tree)
        if listed is None:
            continue
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module and within(node.module, *PRODUCT)
            for alias in node.names
        }
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        bound = imported | used | {getattr(node, "name", "") for node in tree.body}
        file = house.modules[module]
        offered = {name for name in imported - used if not name.startswith("_")}
        broken += [f"{file} offers {name}, which its __all__ lacks" for name in sorted(offered - set(listed))]
        broken += [f"{file} lists {name}, which is not there" for name in sorted(set(listed) - bound)]
        broken += [f"{file} lists {name} {times} times" for name, times in Counter(listed).items() if times > 1]
    return broken


def functions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
    """Qualified name of every function, and how many parameters it takes by position, `self` and `cls` apart."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            if isinstance(tree, ast.ClassDef) and names[:1] in (["self"], ["cls"]):
                del names[0]
            yield f"{prefix}.{node.name}", len(names)
        inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        yield from functions(node, f"{prefix}.{node.name}" if inner else prefix)


def long_signatures(house: House) -> dict[str, str]:
    """Functions that take too many parameters by position, each with a sentence on it."""
    return {
        name: f"{house.modules[module]}: {name} takes {count} parameters by position, at most {MOST_POSITIONAL}"
        for module, tree in house.trees.items()
        for name, count in functions(tree, module)
        if count > MOST_POSITIONAL
    }


def printing_libraries(house: House) -> list[str]:
    """What prints, or writes to the terminal, outside the command line and the app."""
    broken = []
    for module, tree in house.trees.items():
        if within(module, *MAY_PRINT) or module in PROGRAMS:
            continue
        for node in ast.walk(tree):
            imported = []
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            prints = isinstance(node, ast.Name) and node.id == "print"
            writes = isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr")
            terminal = {"rich", "harness.cli.console", "sys.stdout", "sys.stderr"} & {
                prefix for name in imported for prefix in (name, name.split(".")[0])
            }
            if prints or writes or terminal:
                told = "print" if prints else ast.unparse(node)
                broken.append(f"{house.modules[module]}:{node.lineno} writes to the terminal: {told}")
    return broken


@pytest.fixture(scope="module")
def house() -> House:
    found = House.at(Path(__file__).resolve().parents[1])
    assert {"decoders.base", "harness.cli", "annotation_ui"} <= set(found.modules), "the walk finds the product's files"
    return found


Rule = Callable[[House], list[str]]
RULES: list[Rule] = [
    roomless_files, wrong_way_imports, large_circles, root_entries, heaps, holes_in_the_wall, unlisted_names, printing_libraries,
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(house: House, rule: Rule) -> None:
    assert rule(house) == []


def test_no_function_takes_many_parameters_by_position(house: House) -> None:
    broken = long_signatures(house)
    assert list(broken.values()) == []


def test_every_public_name_is_importable(house: House) -> None:
    declared = {module: public_names(tree) for module, tree in house.trees.items()}
    assert sorted(module for module in PUBLIC if not declared.get(module)) == [], "each declares its __all__"
    missing = [
        f"{module}.{name}"
        for module, names in declared.items()
        for name in names or ()
        if not hasattr(import_module(module), name)
    ]
    assert missing == []


def build(root: Path, files: dict[str, str]) -> House:
    """A small made-up house."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return House.at(root)


SEVEN, EIGHT = (", ".join(f"p{place}" for place in range(count)) for count in (7, 8))

SOUND = {
    "decoders/__init__.py": 'from decoders.base import Decoder\n__all__ = ["Decoder"]',
    "decoders/base.py": f"class Decoder:\n    def __init__(self, {SEVEN}, *, more=0):\n        pass",
    "harness/__init__.py": '"""The harness."""',
    "harness/py.typed": "",
    "harness/errors.py": "from decoders.base import Decoder",
    "harness/decode/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from harness.decode.b import B",
    "harness/decode/b.py": "from harness.decode import a\nclass B: ...",
    "harness/bench/memory_job.py": "import sys\nsys.stdout.write('1')",
    "harness/study/rating/seats.py": "from harness.study.tables import schema\nfrom harness.store import lock",
    "harness/study/tables/schema.py": "",
    "harness/store/lock.py": "import sys\nsys.path",
    "harness/cli/console.py": "import rich\nprint('done')",
}


def test_a_sound_house_breaks_no_rule(tmp_path: Path) -> None:
    house = build(tmp_path, SOUND)
    assert {rule.__name__: rule(house) for rule in RULES} == {rule.__name__: [] for rule in RULES}
    assert long_signatures(house) == {}
    assert house.imports["harness.decode.b"] == {"harness.decode.a"}


BROKEN: list[tuple[Rule, dict[str, str], list[str]]] = [
    (roomless_files, {"harness/misc/a.py": ""}, ["harness/misc/a.py"]),
    (wrong_way_imports, {"decoders/x.py": "from harness import errors"}, ["decoders/x.py", "harness/errors.py", "up"]),
    (wrong_way_imports, {"harness/store/x.py": "def f():\n    import harness.study.rating.seats"}, ["store/x.py", "seats.py"]),
    (wrong_way_imports, {"harness/fetch/x.py": "from harness.decode.a import A"}, ["fetch/x.py", "decode/a.py", "sideways"]),
    (wrong_way_imports, {"harness/store/x.py": 'importlib.import_module("harness.decode.a")'}, ["x.py", "decode/a.py"]),
    (wrong_way_imports, {"harness/store/x.py": "from ..decode import a"}, ["store/x.py", "decode/a.py", "up"]),
    (wrong_way_imports, {"harness/store/__init__.py": "from ..decode.b import B"}, ["store/__init__.py", "decode/b.py"]),
    (wrong_way_imports, {"harness/cli/x.py": "import seetell", "seetell/__init__.py": ""}, ["cli/x.py", "seetell/__init__.py"]),
    (wrong_way_imports, {"harness/__init__.py": "from harness import errors"}, ["harness/__init__.py", "docstring"]),
    (
        large_circles,
        {"harness/decode/b.py": "import harness.decode.c", "harness/decode/c.py": "def f():\n    import harness.decode.a",
         "harness/decode/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import harness.decode.b"},
        ["3 files", "decode/a.py", "decode/b.py", "decode/c.py"],
    ),
    (root_entries, {"harness/utils.py": ""}, ["harness/utils.py"]),
    (root_entries, {f"harness/study/m{count}.py": "" for count in range(8)}, ["harness/study has 10"]),
    (heaps, {f"harness/store/m{count}.py": "" for count in range(MOST_FILES)}, ["harness/store holds 25"]),
    (
        holes_in_the_wall,
        {"harness/study/rating/x.py": "from harness.study.design.fill import f", "harness/study/design/fill.py": ""},
        ["rating/x.py", "design/fill.py"],
    ),
    (unlisted_names, {"decoders/__init__.py": "from decoders.base import Decoder, Step\n__all__ = ['Decoder']"}, ["Step"]),
    (unlisted_names, {"decoders/__init__.py": "__all__ = ['Magick']"}, ["lists Magick"]),
    (unlisted_names, {"decoders/__init__.py": "A = 1\n__all__ = ['A', 'A']"}, ["lists A 2 times"]),
    (printing_libraries, {"harness/store/x.py": "print(1)"}, ["store/x.py:1", "print"]),
    (printing_libraries, {"harness/store/x.py": "def f(show=print): ..."}, ["store/x.py:1", "print"]),
    (printing_libraries, {"harness/store/x.py": "\nfrom rich.progress import Progress"}, ["store/x.py:2", "rich"]),
    (printing_libraries, {"decoders/x.py": "import sys\nsys.stderr.write('!')"}, ["decoders/x.py:2", "sys.stderr"]),
    (printing_libraries, {"harness/store/x.py": "from harness.cli import console"}, ["store/x.py:1", "console"]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "files", "named"), BROKEN, ids=[rule.__name__ for rule, _, _ in BROKEN])
def test_a_broken_house_is_told_what_breaks_it(tmp_path: Path, rule: Rule, files: dict[str, str], named: list[str]) -> None:
    broken = rule(build(tmp_path, SOUND | files))
    assert len(broken) == 1
    assert all(name in broken[0] for name in named), broken


@pytest.mark.parametrize(
    ("code", "named"),
    [
        (f"def f({EIGHT}): ...", "f"),
        (f"async def f({EIGHT}): ...", "f"),
        (f"class A:\n    def g(self, {SEVEN}, /, last): ...", "A.g"),
        (f"def f():\n    if True:\n        def inner({EIGHT}): ...", "f.inner"),
    ],
)
def test_long_signatures_are_found_wherever_they_stand(tmp_path: Path, code: str, named: str) -> None:
    assert set(long_signatures(build(tmp_path, SOUND | {"decoders/x.py": code}))) == {f"decoders.x.{named}"}
