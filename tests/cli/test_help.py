"""What the command line tells of itself: an example for each command, and completion for shells."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from arcface_gluon.cli import COMMANDS, build_parser


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_each_command_parses(name, command):
    said = command(name, "--help").stdout
    example = said.rpartition("example:\n  ")[2].strip()
    words = shlex.split(example.partition(">")[0])
    assert words[:2] == ["arcface-gluon", name]
    build_parser([name]).parse_args(words[1:])


def test_bash_completes_commands_and_options(command, tmp_path):
    (tmp_path / "completion").write_text(command("completion", "bash").stdout)
    script = "source ./completion; COMP_WORDS=({}); COMP_CWORD={}; _shtab_arcface_gluon; echo ${{COMPREPLY[@]}}"

    def complete(*words):
        asked = script.format(" ".join(words), len(words) - 1)
        return subprocess.run(["bash", "-c", asked], cwd=tmp_path, capture_output=True, text=True).stdout.split()

    assert complete("arcface-gluon", "ver") == ["verify"]
    assert "--batch-size" in complete("arcface-gluon", "verify", "--b")
