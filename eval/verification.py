"""Tables 2, 4 and 5: accuracy on LFW, CFP-FP, AgeDB-30, CALFW and CPLFW.

    arcface-gluon eval verification (--recipe R | --model M | --features F …) [--bin FILE …] [--data FOLDER | demo]
        [--no-flip] [--row ROW]

This is `arcface-gluon verify`, ready features included: results go into the report of the run and into `make tables`.
`--data demo` first packs the held-out ORL faces, in the layout of each set, by that set's own script. YouTube Faces:
eval/ytf.py.
"""

from __future__ import annotations

from pathlib import Path

from arcface_gluon.datasets import agedb, calfw, cfp, cplfw, demo_pairs, lfw

from arcface_gluon import cli
from arcface_gluon.data.demos import mark_demo
from arcface_gluon.data.verification.sets import SETS
from arcface_gluon.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    return cli.run_safely(lambda: cli.main(["verify", *with_demo(arguments or [])]))


def with_demo(arguments: list[str]) -> list[str]:
    """The arguments with `--data demo` replaced by the packed demo sets."""
    place = next((i for i in range(len(arguments)) if arguments[i : i + 2] == ["--data", "demo"]), None)
    if place is None:
        return arguments
    return [*arguments[:place], *(f"--bin={path}" for path in demo()), *arguments[place + 2 :]]


def demo() -> list[Path]:
    """The demo sets, packed: paths of lfw.bin, cfp_fp.bin …"""
    lists = {lfw: "pairs.txt", cfp: "Protocol", calfw: "pairs_CALFW.txt", cplfw: "pairs_CPLFW.txt"}
    lists[agedb] = "04_FINAL_protocol_30_years.mat"
    for script, listed in lists.items():
        name = script.__name__.rpartition(".")[2]
        folder = demo_pairs.prepare(name)
        arguments = ["--list", folder / listed, "--images", folder / "images", "--out", folder.parent]
        if script.main([str(argument) for argument in arguments]):
            raise UserError(f"the demo set {name} could not be packed")
    mark_demo(folder.parent)
    return [folder.parent / f"{name}.bin" for name, one in SETS.items() if one.tables and not one.videos]
