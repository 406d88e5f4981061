"""ORL faces (30 people, 300 images), a small ResNet on the CPU: the embedded example."""

from arcface_gluon.recipe import inherit

recipe = inherit("base")
recipe.data.path = "orl"
recipe.data.validation = ["orl"]
recipe.network.name = "r18"
recipe.network.embedding_size = 128
recipe.network.options = {"width": 0.25}
recipe.train.batch_size = 32
recipe.train.iterations = 200
recipe.train.lr_steps = [120, 170]
recipe.train.validate_every = 100
recipe.train.checkpoint_every = 100
