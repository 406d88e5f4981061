"""DeepGlint-Face (MS1M- and Asian-DeepGlint, 181K identities, 6.8M images), ResNet100, ArcFace: Table 8."""

from arcface_gluon.recipe import inherit

recipe = inherit("ms1mv2_r100")
recipe.data.path = "deepglint"
# The paper prints no schedule for this set; MS1MV2's 16 epochs, in proportion to the 6.75M images.
recipe.train.iterations = 209_000
recipe.train.lr_steps = [116_000, 186_000]
recipe.paper = {"table": "table8_trillion_pairs", "row": "DeepGlint-Face"}
