"""The verification sets of the paper: what each is called, how large it is, and which tables have it."""

from __future__ import annotations

from typing import NamedTuple

from ..demos import demo_name


class TestSet(NamedTuple):
    """One verification set.

    Attributes:
        title: as the paper's tables call it.
        pairs: in the whole set; half of them are genuine.
        tables: keys of the paper's tables in which a model of one's own has a row for it; none where it is in no table.
        videos: whether it is of videos, whose frames are single crops: the mirror is not added.
    """

    title: str
    pairs: int
    tables: tuple[str, ...] = ()
    videos: bool = False

    @property
    def genuine(self) -> int:
        """Genuine pairs in the whole set."""
        return self.pairs // 2


SETS = {
    "lfw": TestSet("LFW", 6000, ("table4_lfw_ytf", "table5_calfw_cplfw")),
    "cfp_ff": TestSet("CFP-FF", 7000),
    "cfp_fp": TestSet("CFP-FP", 7000, ("table2_losses",)),
    "agedb_30": TestSet("AgeDB-30", 6000, ("table2_losses",)),
    "calfw": TestSet("CALFW", 6000, ("table5_calfw_cplfw",)),
    "cplfw": TestSet("CPLFW", 6000, ("table5_calfw_cplfw",)),
    "ytf": TestSet("YTF", 5000, ("table4_lfw_ytf",), videos=True),
}
# {name: column} of the sets that the paper has numbers for.
SET_COLUMNS = {name: one.title for name, one in SETS.items() if one.tables}


_OTHER = "-other-"


def other_name(name: str, digest: str) -> str:
    """What a set is called whose file has the name of one of the paper's sets, but which has other pairs."""
    return f"{name}{_OTHER}{digest[:8]}"


def known_set(name: str) -> str | None:
    """The set of the paper whose name a verification set has, also where it has other pairs; None where it has none."""
    name = name.partition(_OTHER)[0]
    return name if name in SETS else None


def is_of_videos(name: str) -> bool:
    """Whether a verification set, or its demo, is of videos."""
    name = known_set(name) or name
    return any(name in (known, demo_name(known)) for known, one in SETS.items() if one.videos)
