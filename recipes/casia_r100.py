"""CASIA-WebFace (10,572 identities, 490,623 images), ResNet100, ArcFace: Table 8."""

from arcface_gluon.recipe import inherit

recipe = inherit("casia_r50")
recipe.network.name = "r100"
recipe.paper = {"table": "table8_trillion_pairs", "row": "CASIA"}
