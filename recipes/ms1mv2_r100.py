"""MS1MV2 (85K identities, 5.8M images), ResNet100, ArcFace: Tables 4 to 7."""

from arcface_gluon.recipe import inherit

recipe = inherit("ms1mv2_r50")
recipe.network.name = "r100"
recipe.paper = {"table": "table4_lfw_ytf", "row": "MS1MV2, R100, ArcFace"}
