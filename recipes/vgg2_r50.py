"""VGGFace2 (9.1K identities, 3.3M images), ResNet50, ArcFace: Table 7."""

from arcface_gluon.recipe import inherit

recipe = inherit("base")
recipe.data.path = "vgg2"
# The paper prints no schedule for this set; MS1MV2's 16 epochs, in proportion to the 3.3M images.
recipe.train.iterations = 102_000
recipe.train.lr_steps = [57_000, 91_000]
recipe.paper = {"table": "table7_ijb", "row": "VGG2, R50, ArcFace"}
