"""Celebrities in Frontal-Profile: cfp_ff.bin and cfp_fp.bin from the folder Protocol and the aligned images.

    arcface-gluon data cfp --list cfp-dataset/Protocol --images cfp_aligned --out datasets/casia

Layout: Protocol/Pair_list_F.txt and Pair_list_P.txt (`number path`), Protocol/Split/{FF,FP}/01 … 10/{same,diff}.txt
(`a,b`); images as the lists name them, cfp_aligned/Data/Images/001/frontal/01.jpg and …/profile/01.jpg.
Counts: 7,000 pairs each, in ten folds of 350 genuine and 350 others; 500 people, ten frontal and four profile images.
Licence: for research; Sengupta and others, WACV 2016.
"""

from __future__ import annotations

from functools import partial

from arcface_gluon.datasets.packing import command_line

from arcface_gluon.data.verification.pair_lists import read_cfp


def main(arguments: list[str] | None = None) -> int:
    readers = {f"cfp_{kind.lower()}": partial(read_cfp, kind=kind) for kind in ("FF", "FP")}
    return command_line("cfp", __doc__, readers, "the folder Protocol", arguments)
