"""Cross-Age LFW: calfw.bin from pairs_CALFW.txt and the aligned images.

    arcface-gluon data calfw --list pairs_CALFW.txt --images calfw_aligned --out datasets/ms1mv2

Layout: two lines a pair, `image mark`; the mark is the fold (1 to 10) of a genuine pair and 0 for others, whose folds
the list does not tell. All genuine pairs come first, so fold i is made here of the genuine pairs of fold i and the i-th
tenth of the others. (In whatever order a calfw.bin from elsewhere has its pairs, it is evaluated in that order.)
Counts: 6,000 pairs, 3,000 of them genuine.
Licence: for research; Zheng, Deng and Hu, Beijing University of Posts and Telecommunications, 2017.
"""

from __future__ import annotations

from arcface_gluon.datasets.packing import command_line

from arcface_gluon.data.verification.pair_lists import read_two_lines


def main(arguments: list[str] | None = None) -> int:
    return command_line("calfw", __doc__, {"calfw": read_two_lines}, "pairs_CALFW.txt", arguments)
