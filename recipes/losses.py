"""Losses by name: what each sets in a recipe, its equation, its source, and the row of the paper that it reproduces.

Every loss sets all keys of `head` that make losses differ, so that nothing of another one is left. The scale s is the
recipe's (64 in the paper), but for the loss that is about it.
Names: NS is Norm-Softmax (eq. 2); Intra is eq. 5, Inter eq. 6. theta is the angle to the own class centre.
"""

from __future__ import annotations

from typing import Any

PAPER = "ArcFace (Deng et al., CVPR 2019)"
JOURNAL = "ArcFace (Deng et al., TPAMI 2021)"
SPHEREFACE = "SphereFace (Liu et al., CVPR 2017), without its annealing"
SUB_CENTRE = "Sub-center ArcFace (Deng et al., ECCV 2020)"
COSFACE = "CosFace (Wang et al., CVPR 2018)"

NO_MARGIN, ARCFACE = (1.0, 0.0, 0.0), (1.0, 0.5, 0.0)


def loss(
    equation: str,
    row: str | None = None,
    source: str = PAPER,
    table: str = "table2_losses",
    images_per_identity: int = 0,
    **head: Any,
) -> dict:
    settings = dict(kind="margin", margin=NO_MARGIN, sub_centres=1)
    settings.update(intra=0.0, inter=0.0, triplet=0.0, triplet_margin=0.35, options={})
    assert not set(head) - {*settings, "scale"}
    settings.update(head)
    settings["margin"] = list(settings["margin"])
    sets = {f"head.{key}": value for key, value in settings.items()}
    sets["data.images_per_identity"] = images_per_identity
    return dict(sets=sets, equation=equation, source=source, paper=dict(table=table, row=row) if row else {})


losses = {
    # Table 2, in its order. Its rows "SphereFace (original)" and "CosFace (original)" are other papers' numbers.
    "arcface-0.4": loss("s cos(theta + 0.4), eq. 3", "ArcFace (0.4)", margin=(1.0, 0.4, 0.0)),
    "arcface-0.45": loss("s cos(theta + 0.45), eq. 3", "ArcFace (0.45)", margin=(1.0, 0.45, 0.0)),
    "arcface": loss("s cos(theta + 0.5), eq. 3", "ArcFace (0.5)", margin=ARCFACE),
    "arcface-0.55": loss("s cos(theta + 0.55), eq. 3", "ArcFace (0.55)", margin=(1.0, 0.55, 0.0)),
    "sphereface": loss("s cos(1.35 theta), eq. 4", "SphereFace (1.35)", SPHEREFACE, margin=(1.35, 0.0, 0.0)),
    "cosface": loss("s (cos theta - 0.35), eq. 4", "CosFace (0.35)", COSFACE, margin=(1.0, 0.0, 0.35)),
    "cm1": loss("s (cos(theta + 0.3) - 0.2), eq. 4", "CM1 (1, 0.3, 0.2)", margin=(1.0, 0.3, 0.2)),
    "cm2": loss("s (cos(0.9 theta + 0.4) - 0.15), eq. 4", "CM2 (0.9, 0.4, 0.15)", margin=(0.9, 0.4, 0.15)),
    "softmax": loss("W x + b, nothing normalised, eq. 1", "Softmax", kind="softmax"),
    "norm-softmax": loss("s cos theta, eq. 2", "Norm-Softmax (NS)"),
    "ns-intra": loss("NS + mean theta / pi, eq. 5", "NS+Intra", intra=1.0),
    "ns-inter": loss("NS - mean angle between centres / pi, eq. 6", "NS+Inter", inter=1.0),
    "ns-intra-inter": loss("NS + both terms, eq. 5 and 6", "NS+Intra+Inter", intra=1.0, inter=1.0),
    "triplet": loss(
        "max(0, arccos(x_pos x) + 0.35 - arccos(x_neg x)), semi-hard",
        "Triplet (0.35)",
        kind="triplet",
        triplet=1.0,
        images_per_identity=4,
    ),
    "arcface-intra": loss("ArcFace + mean theta / pi", "ArcFace+Intra", margin=ARCFACE, intra=1.0),
    "arcface-inter": loss("ArcFace - mean angle between centres / pi", "ArcFace+Inter", margin=ARCFACE, inter=1.0),
    "arcface-intra-inter": loss("ArcFace + both terms", "ArcFace+Intra+Inter", margin=ARCFACE, intra=1.0, inter=1.0),
    "arcface-triplet": loss("ArcFace + Triplet", "ArcFace+Triplet", margin=ARCFACE, triplet=1.0, images_per_identity=4),
    # The journal edition.
    "norm-softmax-s20": loss(
        "s cos theta, eq. 2, s = 20", "Norm-Softmax (s = 20)", JOURNAL, "table2_losses_journal", scale=20.0
    ),
    # After ArcFace, with their published settings.
    "sub-centre": loss(
        "s cos(theta + 0.5), the nearest of 3 centres", source=SUB_CENTRE, margin=ARCFACE, sub_centres=3
    ),
    "curricularface": loss(
        "s cos(theta + 0.5), hard negatives s cos theta_j (t + cos theta_j)",
        source="CurricularFace (Huang et al., CVPR 2020)",
        kind="curricularface",
        margin=ARCFACE,
    ),
    "magface": loss("s cos(theta + m(|x|)), and 35 g(|x|)", source="MagFace (Meng et al., CVPR 2021)", kind="magface"),
    "adaface": loss(
        "s (cos(theta - 0.4 z) - 0.4 (1 + z)), z by |x|", source="AdaFace (Kim et al., CVPR 2022)", kind="adaface"
    ),
}
