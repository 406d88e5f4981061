"""Table 1 of the paper: its data sets with their sizes as printed, terms, sources and layouts.

Deng, Guo, Xue, Zafeiriou. ArcFace: Additive Angular Margin Loss for Deep Face Recognition. CVPR 2019.
"""

from __future__ import annotations

from typing import NamedTuple

from ...errors import UserError, did_you_mean

# Identities and images of whole training sets, as Table 1 rounds them; longer names before those that they contain.
TRAINING_SIZES = {
    "CASIA": (10_000, 500_000),
    "MS1MV2+Asian": (179_000, 8_630_000),
    "MS1MV2": (85_000, 5_800_000),
    "MS1M-DeepGlint": (87_000, 3_900_000),
    "Asian-DeepGlint": (94_000, 2_830_000),
    "DeepGlint": (181_000, 6_730_000),
    "VGG2": (9_100, 3_300_000),
}
# Counts of a training set may differ by this share and still be the paper's: packers leave some images out.
TOLERANCE = 0.1


class DataSet(NamedTuple):
    """A row of Table 1.

    Attributes:
        title: as the paper prints it.
        kind: how its files are looked for: "training", "pairs", "ytf", "megaface", "ijb", "trillion" or "iqiyi".
        key: name of its folder, or of its .bin.
        identities, images: as the paper prints them.
        what: it is, and who made it.
        terms: of use.
        source: where it is asked for.
        layout: files that are looked for, below the folder of data sets.
        within: {folder: name in `TRAINING_SIZES`} of training sets that contain it, where it is not by itself.
    """

    title: str
    kind: str
    key: str
    identities: str
    images: str
    what: str
    terms: str
    source: str
    layout: str
    within: dict[str, str] = {}


_RECORDS = "train.rec, train.idx, property"
_ZOO = "the data set zoo of the insightface project (packed and aligned): "
_RESEARCH = "research that earns no money"
_BIN = "beside any training set, or by itself (`arcface-gluon data {}` packs it)"
_DEEPGLINT = {"deepglint": "DeepGlint"}

TABLE1 = (
    DataSet(
        "CASIA", "training", "casia", "10K", "0.5M", "CASIA-WebFace: faces of actors (Yi et al., 2014)", _RESEARCH,
        f"its collectors, on request; {_ZOO}CASIA-Webface", f"casia/{{{_RECORDS}}}",
    ),
    DataSet(
        "VGGFace2", "training", "vgg2", "9.1K", "3.3M", "pose and age varied (Cao et al., FG 2018)",
        f"{_RESEARCH}; its makers have taken it down", f"Oxford's Visual Geometry Group no longer; {_ZOO}VGG2",
        f"vgg2/{{{_RECORDS}}}",
    ),
    DataSet(
        "MS1MV2", "training", "ms1mv2", "85K", "5.8M",
        "MS-Celeb-1M (Guo et al., ECCV 2016), cleaned by the paper's authors",
        f"{_RESEARCH}; Microsoft has withdrawn MS-Celeb-1M",
        f"{_ZOO}MS1M-ArcFace", f"ms1mv2/{{{_RECORDS}}}", {"ms1mv2_asian": "MS1MV2+Asian"},
    ),
    DataSet(
        "MS1M-DeepGlint", "training", "ms1m_deepglint", "87K", "3.9M", "MS-Celeb-1M, cleaned by DeepGlint", _RESEARCH,
        f"DeepGlint's Trillion-Pairs challenge, closed; {_ZOO}DeepGlint", f"ms1m_deepglint/{{{_RECORDS}}}", _DEEPGLINT,
    ),
    DataSet(
        "Asian-DeepGlint", "training", "asian_deepglint", "94K", "2.83M", "Asian celebrities, collected by DeepGlint",
        _RESEARCH, f"DeepGlint's Trillion-Pairs challenge, closed; {_ZOO}Asian-Celeb",
        f"asian_deepglint/{{{_RECORDS}}}", {**_DEEPGLINT, "ms1mv2_asian": "MS1MV2+Asian"},
    ),
    DataSet(
        "LFW", "pairs", "lfw", "5,749", "13,233", "Labeled Faces in the Wild (Huang et al., 2007)", "open to research",
        "University of Massachusetts", f"lfw.bin {_BIN.format('lfw')}",
    ),
    DataSet(
        "CFP-FP", "pairs", "cfp_fp", "500", "7,000", "frontal and profile faces (Sengupta et al., WACV 2016)",
        _RESEARCH, "its project page", f"cfp_fp.bin {_BIN.format('cfp')}",
    ),
    DataSet(
        "AgeDB-30", "pairs", "agedb_30", "568", "16,488", "30 years between the two (Moschoglou et al., CVPRW 2017)",
        _RESEARCH, "Imperial College London, on request", f"agedb_30.bin {_BIN.format('agedb')}",
    ),
    DataSet(
        "CPLFW", "pairs", "cplfw", "5,749", "11,652", "LFW's people across pose (Zheng and Deng, 2018)", _RESEARCH,
        "Beijing University of Posts and Telecommunications", f"cplfw.bin {_BIN.format('cplfw')}",
    ),
    DataSet(
        "CALFW", "pairs", "calfw", "5,749", "12,174", "LFW's people across age (Zheng, Deng and Hu, 2017)", _RESEARCH,
        "Beijing University of Posts and Telecommunications", f"calfw.bin {_BIN.format('calfw')}",
    ),
    DataSet(
        "YTF", "ytf", "ytf", "1,595", "3,425 videos", "YouTube Faces (Wolf, Hassner and Maoz, CVPR 2011)",
        "open to research", "Tel Aviv University, on request", "ytf/splits.txt, ytf/aligned_images_DB/<name>/<video>/",
    ),
    DataSet(
        "MegaFace", "megaface", "megaface", "530 (probe)", "1M (gallery)",
        "FaceScrub's probes among Flickr's faces (Kemelmacher-Shlizerman et al., CVPR 2016)", _RESEARCH,
        "University of Washington, which no longer gives it out; FaceScrub from its makers",
        "megaface/{facescrub_images/, megaface_images/, templatelists/, facescrub_noises.txt, megaface_noises.txt}",
    ),
    DataSet(
        "IJB-B", "ijb", "IJBB", "1,845", "76.8K", "IARPA Janus Benchmark B (Whitelam et al., CVPRW 2017)",
        "NIST's agreement", "NIST, on request", "ijb/IJBB/{loose_crop/, meta/}",
    ),
    DataSet(
        "IJB-C", "ijb", "IJBC", "3,531", "148.8K", "IARPA Janus Benchmark C (Maze et al., ICB 2018)",
        "NIST's agreement", "NIST, on request", "ijb/IJBC/{loose_crop/, meta/}",
    ),
    DataSet(
        "Trillion-Pairs", "trillion", "trillion", "5,749 (probe)", "1.58M (gallery)",
        "LFW's people among Flickr's faces (DeepGlint)", _RESEARCH, "DeepGlint; the challenge is closed",
        "trillion/{elfw_lst, flickr_lst, elfw/, flickr/}",
    ),
    DataSet(
        "iQIYI-VID", "iqiyi", "iqiyi", "4,934", "172,835 videos", "videos of celebrities (Liu et al., 2018)",
        f"{_RESEARCH}, within the challenge", "iQIYI, by its challenge", "iqiyi/{train.txt, val.txt, frames/<video>/}",
    ),
)  # fmt: skip


def sets_called(name: str) -> list[DataSet]:
    """The rows of a title, or of the name of a folder or a .bin, in any case; several for a folder that holds several.

    Raises:
        UserError: there is none.
    """
    found = [one for one in TABLE1 if name.lower() in (one.title.lower(), one.key.lower(), *one.within)]
    if not found:
        raise UserError(f"no data set {name!r} in Table 1{did_you_mean(name, [one.title for one in TABLE1])}")
    return found


def is_whole_training_set(name: str, identities: object, images: object) -> bool:
    """Whether counts are those of the whole training set `name` of `TRAINING_SIZES`, within `TOLERANCE`."""
    counts = zip((identities, images), TRAINING_SIZES[name])
    return all(isinstance(count, int) and abs(count - size) <= TOLERANCE * size for count, size in counts)


def markdown() -> list[str]:
    """Table 1 as the lines of a Markdown table: sizes, what each set is, terms, source and layout."""
    heads = ("set", "identities", "images", "what", "terms", "asked for at", "layout")
    rows = [(one.title, one.identities, one.images, one.what, one.terms, one.source, one.layout) for one in TABLE1]
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]
