"""`arcface-gluon eval NAME`: the evaluations, one a file of eval/."""

from __future__ import annotations

from .modules import command_of

EXAMPLE = "arcface-gluon eval megaface --recipe ms1mv2_r100 --data /data/megaface"

add_arguments, run = command_of("eval")
