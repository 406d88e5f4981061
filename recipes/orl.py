"""ORL faces (30 people, 300 images), a small ResNet on the CPU: the embedded example."""

from arcface_gluon.recipe import inherit

recipe = inherit("base")
recipe.data.path = "orl"
recipe.data.validation = ["orl"]
# An IResNet-18 of a quarter of the width on half the resolution: two cores do 400 images a second.
recipe.network.name = "r18"
recipe.network.embedding_size = 128
recipe.network.options = {"width": 0.25, "stem_stride": 2}
# Chosen by cross-validation among the 30 training people: s = 64 and larger changes of the images did worse.
recipe.head.scale = 32.0
recipe.data.augment.update(shift=6.0, rotate=10.0, scale=0.1, light=0.25)
# 32 x 900 = 28,800 images: 96 epochs of 300.
recipe.train.batch_size = 32
recipe.train.iterations = 900
recipe.train.lr = 0.05
recipe.train.lr_steps = [560, 790]
recipe.train.validate_every = 300
recipe.train.checkpoint_every = 300
