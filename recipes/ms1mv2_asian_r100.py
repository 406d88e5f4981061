"""MS1MV2 and Asian-DeepGlint (179K identities, 8.6M images), ResNet100, ArcFace: Tables 8 and 9."""

from arcface_gluon.recipe import inherit

recipe = inherit("ms1mv2_r100")
recipe.data.path = "ms1mv2_asian"
# The paper prints no schedule for this set; MS1MV2's 16 epochs, in proportion to the 8.6M images.
recipe.train.iterations = 267_000
recipe.train.lr_steps = [148_000, 237_000]
recipe.paper = {"table": "table8_trillion_pairs", "row": "MS1MV2+Asian"}
