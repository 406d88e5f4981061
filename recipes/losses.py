"""Losses by name: what each sets in a recipe, with its equation and the row of Table 2 that it reproduces."""


def _row(name):
    return {"table": "table2_losses", "row": name}


losses = {
    "arcface": dict(
        sets={"head.margin": [1.0, 0.5, 0.0], "head.scale": 64.0},
        equation="eq. 3, m = 0.5",
        paper=_row("ArcFace (0.5)"),
    ),
    "cosface": dict(
        sets={"head.margin": [1.0, 0.0, 0.35], "head.scale": 64.0},
        equation="eq. 4, m3 = 0.35",
        paper=_row("CosFace (0.35)"),
    ),
    "sphereface": dict(
        sets={"head.margin": [1.35, 0.0, 0.0], "head.scale": 64.0},
        equation="eq. 4, m1 = 1.35",
        paper=_row("SphereFace (1.35)"),
    ),
    "norm-softmax": dict(
        sets={"head.margin": [1.0, 0.0, 0.0], "head.scale": 64.0},
        equation="eq. 2, s = 64",
        paper=_row("Norm-Softmax (NS)"),
    ),
}
