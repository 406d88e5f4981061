"""MS1MV2 (85K identities, 5.8M images), ResNet50, ArcFace."""

from arcface_gluon.recipe import inherit

recipe = inherit("base")
recipe.data.path = "ms1mv2"
# 512 x 180,000 = 92M images: 16 epochs of 5.8M.
recipe.train.iterations = 180_000
recipe.train.lr_steps = [100_000, 160_000]
