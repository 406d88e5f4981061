"""AgeDB-30: agedb_30.bin from 04_FINAL_protocol_30_years.mat and the aligned images.

    arcface-gluon data agedb --list 04_FINAL_protocol_30_years.mat --images agedb_aligned --out datasets/casia

Layout: the protocol names the images of 03_Protocol_Images, without their ending: agedb_aligned/<name>.jpg.
Counts: 6,000 pairs in ten folds of 300 genuine and 300 others, 30 years between the two images of a pair.
Licence: for research, on request; Moschoglou and others, CVPR workshops 2017.
"""

from __future__ import annotations

from arcface_gluon.datasets.packing import command_line

from arcface_gluon.data.verification.pair_lists import read_agedb


def main(arguments: list[str] | None = None) -> int:
    return command_line("agedb", __doc__, {"agedb_30": read_agedb}, "04_FINAL_protocol_30_years.mat", arguments)
