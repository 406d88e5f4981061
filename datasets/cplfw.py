"""Cross-Pose LFW: cplfw.bin from pairs_CPLFW.txt and the aligned images.

    arcface-gluon data cplfw --list pairs_CPLFW.txt --images cplfw_aligned --out datasets/ms1mv2

Layout: two lines a pair, `image mark`; the mark is 1 for genuine pairs and 0 for others. The list's order is kept
unless a tenth of it has one kind only; then fold i is made of the i-th tenths of both kinds.
Counts: 6,000 pairs, 3,000 of them genuine.
Licence: for research; Zheng and Deng, Beijing University of Posts and Telecommunications, 2018.
"""

from __future__ import annotations

from arcface_gluon.datasets.packing import command_line

from arcface_gluon.data.verification.pair_lists import read_two_lines


def main(arguments: list[str] | None = None) -> int:
    return command_line("cplfw", __doc__, {"cplfw": read_two_lines}, "pairs_CPLFW.txt", arguments)
