"""Runs: resumed, killed, interrupted, limited. Whatever happens, the same samples in the end and nothing decoded twice."""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.datasets.load import load_examples
from harness.decode.executor import Job, Task
from harness.decode.plan import plan
from harness.decode.run import Outcome, decode
from harness.errors import DataError, Interrupted, NeedMissing, RunLocked, SuiteError
from harness.store.runs import Record, Results
from harness.suites.spec import Suite
from tests.harness.in_process import seetell_here
from tests.plugins import ECHO, install

SUITE = """
name = "mine"
task = "story"
[data]
dataset = "jsonl"
file = "data.jsonl"
[text]
prompt = "tell {prompt}"
max_new_tokens = 8
[run]
draws = 2
batch_size = 3
[decoders.echo]
"""

EXAMPLES = 40


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a suite, its data and the plug-in that the suite names, installed."""
    lines = [json.dumps({"id": f"ex{i:03}", "prompt": f"title {i}", "references": [f"a story {i}"]}) for i in range(EXAMPLES)]
    (tmp_path / "data.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "mine.toml").write_text(SUITE, encoding="utf-8")
    module = f"echo_{abs(hash(str(tmp_path)))}"
    monkeypatch.syspath_prepend(
        install(tmp_path / "site", "echo", module, ECHO, {"seetell.decoders": {"echo": f"{module}:Echo"}})
    )
    monkeypatch.setenv("SEETELL_CACHE", str(tmp_path / "cache"))
    return tmp_path


def run(home: Path, results: str = "results", **options: object) -> Outcome:
    suite = Suite.load(str(home / "mine.toml"))
    return decode(plan(suite, "echo", load_examples(suite)), suite, Results(home / results), **options)  # type: ignore[arg-type]


def sample_bytes(outcome: Outcome) -> bytes:
    return (outcome.folder.path / "samples.parquet").read_bytes()


def test_a_run_says_what_it_did_and_a_second_one_does_nothing(home: Path) -> None:
    first = run(home)
    assert (first.total, first.decoded, first.fresh, first.complete) == (80, 80, 80, True)
    assert first.sentence() == "80 of 80 decoded"
    record = first.folder.records()[3]
    assert (record.example_id, record.draw) == ("ex001", 1)
    assert record.text.startswith("echo tell title 1 ")
    again = run(home)
    assert (again.fresh, sample_bytes(again)) == (0, sample_bytes(first))


@pytest.mark.parametrize("batch_size", [1, 2, 7, 64])
def test_the_samples_do_not_depend_on_the_batch_size(home: Path, batch_size: int) -> None:
    assert sample_bytes(run(home, "other", batch_size=batch_size)) == sample_bytes(run(home))


def test_a_limited_run_is_gone_on_with_and_ends_the_same(home: Path) -> None:
    part = run(home, "other", limit=7)
    assert (part.decoded, part.complete, part.sentence()) == (14, False, "14 of 80 decoded, 66 still to do")
    whole = run(home, "other")
    assert whole.fresh == 66
    assert sample_bytes(whole) == sample_bytes(run(home))


def test_the_order_of_the_data_changes_no_text_of_an_example(home: Path) -> None:
    """Seeds hang on the identity, and that on the data; so the texts of two orders are compared through one spec."""
    suite = Suite.load(str(home / "mine.toml"))
    planned = plan(suite, "echo", load_examples(suite))
    tasks = planned.tasks(set())
    shuffled = random.Random(0).sample(tasks, len(tasks))
    assert {task.key: task.seed for task in shuffled} == {task.key: task.seed for task in planned.tasks(set())}
    assert len({task.seed for task in tasks}) == len(tasks)


class Stopping:
    """An executor that is interrupted after some batches."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def run(self, job: Job, tasks: list[Task], batch_size: int):  # type: ignore[no-untyped-def]
        for start in range(0, self.batches * batch_size, batch_size):
            yield [
                Record(*task.key, text=f"echo {task.prompt.text} {task.seed % 1000}", finish="eos")
                for task in tasks[start : start + batch_size]
            ]
        raise KeyboardInterrupt


def test_an_interrupt_keeps_what_is_done_and_says_how_to_go_on(home: Path) -> None:
    with pytest.raises(Interrupted, match=r"12 of 80 answers of mine/echo are on disk\. Run the same command again"):
        run(home, "other", executor=Stopping(4))
    rest = run(home, "other")
    assert rest.fresh == 68
    assert sample_bytes(rest) == sample_bytes(run(home))


def killed_runs(home: Path, kills: int, delays: random.Random) -> tuple[list[str], bytes]:
    """Start the run in a process, kill it with signal 9 at random moments, and let the last one end.

    Returns:
        The lines of the log (example and seed, once for each decoding) and the bytes of the samples.
    """
    log = home / "log.txt"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "ECHO_LOG": str(log), "ECHO_PAUSE": "0.02"}
    command = [
        sys.executable,
        "-m",
        "harness.cli",
        "run",
        str(home / "mine.toml"),
        "--no-score",
        "--results",
        str(home / "killed"),
    ]
    done = 0
    while done < kills:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        before = log.read_bytes() if log.exists() else b""
        while process.poll() is None and (not log.exists() or log.read_bytes() == before):
            time.sleep(0.005)  # until it decodes: a kill during start-up proves nothing
        time.sleep(delays.uniform(0, 0.15))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            done += 1
        _, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
        if process.returncode == 0:
            (home / "killed").rename(home / f"ended-{done}")  # it was too quick: begin another one
            log.unlink()
    subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)
    (samples,) = (home / "killed").glob("runs/mine/echo-*/samples.parquet")
    return log.read_text().splitlines(), samples.read_bytes()


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.heavy)])
def test_kill_9_loses_nothing_that_was_on_disk_and_changes_no_byte(home: Path, kills: int) -> None:
    log, samples = killed_runs(home, kills, random.Random(kills))
    assert samples == sample_bytes(run(home))
    twice = len(log) - len(set(log))
    assert twice <= kills * 3  # the batch in flight at each kill, never what was on disk before it
    assert len(set(log)) == 2 * EXAMPLES


def test_ctrl_c_on_the_command_line_ends_with_130_and_a_way_on(home: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "ECHO_LOG": str(home / "log.txt"),
        "ECHO_PAUSE": "1",  # so that it is still decoding when it is looked at
    }
    command = [
        sys.executable,
        "-m",
        "harness.cli",
        "run",
        str(home / "mine.toml"),
        "--no-score",
        "--results",
        str(home / "other"),
    ]
    # A process started in the background of a script inherits a shell's "ignore Ctrl-C"; a user's has it not.
    listen = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=listen)
    while process.poll() is None and not (home / "log.txt").exists():
        time.sleep(0.01)
    with pytest.raises(RunLocked, match="another process is writing"):
        run(home, "other")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Run the same command again" in errors
    assert "Traceback" not in errors
    assert sample_bytes(run(home, "other")) == sample_bytes(run(home))


def test_a_failure_is_counted_told_and_exits_with_2(home: Path) -> None:
    lines = [json.dumps({"id": f"ex{i}", "prompt": "UNREADABLE" if i in (2, 5) else "fine"}) for i in range(9)]
    (home / "data.jsonl").write_text("\n".join(lines), encoding="utf-8")
    done = seetell_here("run", str(home / "mine.toml"), "--no-score", "--json", "--results", str(home / "results"))
    assert done.returncode == 2
    assert "14 of 18 decoded, 4 failed: UnreadableImage: ex2" in done.stderr
    (entry,) = json.loads(done.stdout)["runs"]
    assert (entry["decoded"], entry["failed"], entry["total"], entry["complete"]) == (14, 4, 18, True)
    assert seetell_here("run", str(home / "mine.toml"), "--no-score", "--results", str(home / "results")).returncode == 2


def test_data_that_cannot_be_run_is_told_before_anything_is_decoded(home: Path) -> None:
    data = home / "data.jsonl"
    for content, error, message in [
        ("", SuiteError, "has no examples"),
        ('{"id": "a"}\n{"id": "a"}', SuiteError, "the id 'a' twice"),
        ('{"id": "a"}\n\n{"id": }', DataError, r"line 3 of .*data\.jsonl is no JSON"),
        ('{"id": "a", "imge": "x"}', DataError, "unknown key 'imge'"),
        ("[1]", DataError, "is list; expected an object"),
        ('{"id": "a", "references": "one"}', DataError, "expected a list of texts"),
    ]:
        data.write_text(content, encoding="utf-8")
        with pytest.raises(error, match=message):
            run(home)
    data.unlink()
    with pytest.raises(DataError, match="there is no .*data.jsonl; expected"):
        run(home)
    assert not (home / "results").exists()


def test_a_decoder_that_needs_more_than_the_suite_has_is_told_before_anything_is_loaded(home: Path) -> None:
    for name, message in [("greedy", "needs a language model"), ("clipre", "needs (captions|an image-text model)")]:
        (home / "mine.toml").write_text(SUITE + f"[decoders.{name}]\n", encoding="utf-8")
        suite = Suite.load(str(home / "mine.toml"))
        with pytest.raises(NeedMissing, match=message):
            plan(suite, name, load_examples(suite))


def test_wrong_hyper_parameters_name_the_table_and_the_nearest_key(home: Path) -> None:
    (home / "mine.toml").write_text(SUITE + 'wrod = "x"\n', encoding="utf-8")
    suite = Suite.load(str(home / "mine.toml"))
    with pytest.raises(SuiteError, match=r"\[decoders\.echo\]: unknown key 'wrod' \(did you mean 'word'"):
        plan(suite, "echo", load_examples(suite))
