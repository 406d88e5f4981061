"""How a number was measured, and how the paper measured its own: only like is compared with like."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..data.verification.sets import SETS, is_of_videos
from ..errors import UserError

FOLDS = "10 folds"
TIES_WIN = "a tie is a success"
NEAREST_FAR = "TAR of the nearest FAR"
ALL_PAIRS = "all pairs"
FIRST_HUNDRED = "first 100 videos"
CENTRES = "mean angles"


@dataclass(frozen=True)
class Mode:
    """What stands between the images and the number.

    Attributes:
        flip: True: the embedding of the mirror image is added; False: a single crop.
        norm_weight: images are weighted by the length of their embedding.
        detector_score: images are weighted by the face detector's score.
        rule: of the protocol, where there is more than one.
        precision: of the network's products, float32 or bfloat16; float32 where it was not noted.
    """

    flip: bool
    norm_weight: bool = False
    detector_score: bool = False
    rule: str = ""
    precision: str = "float32"

    def __str__(self):
        crops = "image + mirror" if self.flip else "single crop"
        weights = ["weighted by norm"] * self.norm_weight + ["weighted by detector score"] * self.detector_score
        precision = [self.precision] * (self.precision != "float32")
        return "; ".join(filter(None, [crops, *weights, self.rule, *precision]))

    def suffix(self, usual: Mode) -> str:
        """End of a file's name that tells this mode from the usual one; the rule is not in it."""
        flip = "" if self.flip == usual.flip else "-mirror" if self.flip else "-single"
        precision = "" if self.precision == usual.precision else f"-{self.precision}"
        return flip + "-detector-score" * self.detector_score + "-norm-weight" * self.norm_weight + precision

    @staticmethod
    def read(entry: object, where: str) -> Mode:
        """A Mode of its JSON, a dictionary of the attributes.

        Raises:
            UserError: it is something else; `where` names it.
        """
        names = {field.name for field in fields(Mode)}
        if (
            not isinstance(entry, dict)
            or "flip" not in entry
            or set(entry) - names
            or not all(
                isinstance(value, str if name in ("rule", "precision") else bool) for name, value in entry.items()
            )
        ):
            raise UserError(f"{where}: the mode {entry!r} is none; it has {', '.join(sorted(names))}")
        return Mode(**entry)


# "We only use a single crop for all testing", the paper says; its numbers are those of the authors' scripts, which add
# the mirror for the pairs of LFW and others, MegaFace and Trillion-Pairs, and do not for templates and videos.
_PAPERS = {
    "table2_losses": Mode(True, rule=FOLDS),
    "table2_losses_journal": Mode(True, rule=FOLDS),
    "table3_angles_degrees": Mode(False, rule=CENTRES),
    "table4_lfw_ytf": Mode(True, rule=FOLDS),
    "table5_calfw_cplfw": Mode(True, rule=FOLDS),
    "table6_megaface": Mode(True, rule=TIES_WIN),
    "table7_ijb": Mode(False, rule=NEAREST_FAR),
    "table8_trillion_pairs": Mode(True, rule=ALL_PAIRS),
    "table9_iqiyi_vid": Mode(False, rule=FIRST_HUNDRED),
}


_OF_VIDEOS = {one.title for one in SETS.values() if one.videos}


def papers_mode(table: str, column: str = "") -> Mode:
    """The mode of a column of the paper's table, by its key."""
    return Mode(False, rule=FOLDS) if column in _OF_VIDEOS else _PAPERS[table]


def papers_mode_of_set(name: str) -> Mode:
    """The mode of a verification set: videos are single crops, pairs of images have the mirror added."""
    return Mode(not is_of_videos(name), rule=FOLDS)
