"""Labeled Faces in the Wild: lfw.bin from pairs.txt and the aligned images.

    python datasets/lfw.py --list pairs.txt --images lfw_aligned --out datasets/casia

Layout: pairs.txt (the one of "View 2", not pairsDevTest.txt) and lfw_aligned/<name>/<name>_0001.jpg.
Counts: 6,000 pairs in ten folds of 300 genuine and 300 others; 13,233 images of 5,749 people in all.
Licence: open to research; Huang, Ramesh, Berg and Learned-Miller, University of Massachusetts, 2007.
"""

import sys

from packing import command_line

from arcface_gluon.data.pair_lists import read_lfw


def main(arguments=None):
    return command_line(__doc__, {"lfw": read_lfw}, "pairs.txt", arguments)


if __name__ == "__main__":
    sys.exit(main())
