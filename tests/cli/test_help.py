"""What the command line tells of itself: an example for each command, and completion for shells."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import cv2
import pytest
from helpers import people

from arcface_gluon.cli import COMMANDS, build_parser, main
from arcface_gluon.cli.modules import modules


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_each_command_parses(name, command):
    said = command(name, "--help").stdout
    example = said.rpartition("example:\n  ")[2].strip()
    words = shlex.split(example.partition(">")[0])
    assert words[:2] == ["arcface-gluon", name]
    build_parser([name]).parse_args(words[1:])


@pytest.mark.parametrize("group, folder", [("eval", "eval"), ("data", "datasets"), ("bench", "benchmarks")])
def test_the_help_of_each_module_ends_with_an_example_of_it(group, folder, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    for name in modules(folder):
        with pytest.raises(SystemExit) as stop:
            main([group, name, "--help"])
        said = capsys.readouterr().out
        example = said.rpartition("example:\n  ")[2].strip()
        words = shlex.split(example)
        # `eval verification` is `verify`; `bench run` is what `bench` does with the names of benchmarks.
        called = {"verification": ["verify"], "run": ["bench", "head"]}.get(name, [group, name])
        assert stop.value.code == 0 and words[: 1 + len(called)] == ["arcface-gluon", *called], name
        unknown = [word for word in words if word.startswith("--") and word not in said.partition("example:")[0]]
        assert not unknown, (name, unknown)


def test_bash_completes_commands_and_options(command, tmp_path):
    (tmp_path / "completion").write_text(command("completion", "bash").stdout)
    script = "source ./completion; COMP_WORDS=({}); COMP_CWORD={}; _shtab_arcface_gluon; echo ${{COMPREPLY[@]}}"

    def complete(*words):
        asked = script.format(" ".join(words), len(words) - 1)
        return subprocess.run(["bash", "-c", asked], cwd=tmp_path, capture_output=True, text=True).stdout.split()

    assert complete("arcface-gluon", "ver") == ["verify"]
    assert "--batch-size" in complete("arcface-gluon", "verify", "--b")


def test_help_waits_for_neither_mxnet_nor_what_draws():
    asked = [[name] for name in COMMANDS]
    for group, folder in (("eval", "eval"), ("data", "datasets"), ("bench", "benchmarks")):
        asked += [[group, name] for name in modules(folder)]
    code = """if True:
        import contextlib, sys
        from arcface_gluon.cli import main
        for words in %r:
            with contextlib.suppress(SystemExit):
                main([*words, "--help"])
            slow = {"mxnet", "matplotlib", "sklearn", "torch"} & set(sys.modules)
            assert not slow, (words, slow)
    """
    done = subprocess.run([sys.executable, "-c", code % asked], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_a_terminal_cannot_show_becomes_a_question_mark():
    words = [sys.executable, "-m", "arcface_gluon", "--help"]
    done = subprocess.run(words, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True)
    assert done.returncode == 0 and "AgeDB-30 ?" in done.stdout, done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault(closed, tmp_path):
    for number, (picture, person) in enumerate(people(2, 2)):
        (tmp_path / "faces" / str(person)).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "faces" / str(person) / f"{number}.png"), picture)
    words = shlex.join([sys.executable, "-m", "arcface_gluon", "pack", "faces", "set"])
    done = subprocess.run(["sh", "-c", f"{words} {closed}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "set" / "property").read_text() == "2,112,112\n"
