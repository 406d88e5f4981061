"""Labeled Faces in the Wild: lfw.bin from pairs.txt and the aligned images.

    arcface-gluon data lfw --list pairs.txt --images lfw_aligned --out datasets/casia

Layout: pairs.txt (the one of "View 2", not pairsDevTest.txt) and lfw_aligned/<name>/<name>_0001.jpg.
Counts: 6,000 pairs in ten folds of 300 genuine and 300 others; 13,233 images of 5,749 people in all.
Licence: open to research; Huang, Ramesh, Berg and Learned-Miller, University of Massachusetts, 2007.
"""

from __future__ import annotations

from arcface_gluon.datasets.packing import command_line

from arcface_gluon.data.verification.pair_lists import read_lfw


def main(arguments: list[str] | None = None) -> int:
    return command_line("lfw", __doc__, {"lfw": read_lfw}, "pairs.txt", arguments)
