"""CASIA-WebFace (10K identities, 0.5M images), ResNet50, ArcFace: the setting of Table 2."""

from arcface_gluon.recipe import inherit

recipe = inherit("base")
recipe.data.path = "casia"
recipe.paper = {"table": "table2_losses", "row": "ArcFace (0.5)"}
# 512 x 32,000 = 16.4M images: 33 epochs of 0.49M. The base recipe is this one's schedule.
