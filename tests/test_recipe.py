"""Recipes: the paper's settings, overrides, and what is refused."""

import pytest

from arcface_gluon import recipe
from arcface_gluon.errors import UserError
from arcface_gluon.files import write_json


def test_base_holds_the_papers_settings():
    values = recipe.resolve("casia_r50")
    assert values.train.batch_size == 512
    assert (values.train.lr, values.train.momentum, values.train.weight_decay) == (0.1, 0.9, 5e-4)
    assert (values.train.iterations, values.train.lr_steps) == (32_000, [20_000, 28_000])
    assert (values.head.margin, values.head.scale) == ([1.0, 0.5, 0.0], 64.0)
    assert (values.network.name, values.network.embedding_size, values.network.dropout) == ("r50", 512, 0.4)


def test_ms1mv2_schedule():
    values = recipe.resolve("ms1mv2_r100")
    assert values.network.name == "r100"
    assert (values.train.iterations, values.train.lr_steps) == (180_000, [100_000, 160_000])


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_resolves_and_says_what_it_is(name):
    assert recipe.resolve(name).run.name == name
    assert recipe.summary(name).endswith(".")


def test_overrides_keep_types():
    values = recipe.resolve("orl", ["train.lr=1", "data.validation=a,b", "train.contexts=4", "network.options.se=True"])
    assert values.train.lr == 1.0 and isinstance(values.train.lr, float)
    assert values.data.validation == ["a", "b"]
    assert values.train.contexts == 4
    assert values.network.options.se is True


def test_explicit_margin_wins_over_the_loss_whatever_the_order():
    values = recipe.resolve("casia_r50", ["head.margin=(1,0.3,0)", "loss=cosface"])
    assert values.loss == "cosface"
    assert list(values.head.margin) == [1, 0.3, 0]


def test_loss_changes_the_papers_row_and_the_runs_name():
    values = recipe.resolve("casia_r50", ["loss=cosface"])
    assert values.paper["row"] == "CosFace (0.35)"
    assert values.run.name == "casia_r50-cosface"


def test_saved_recipe_resolves_to_itself(tmp_path):
    values = recipe.resolve("orl", ["train.lr=0.3", "network.options.se=True", "data.path=5"])
    write_json(tmp_path / "recipe.json", values)
    assert recipe.resolve(tmp_path / "recipe.json") == values


@pytest.mark.parametrize(
    "override, words",
    [
        ("batch_size=3", "did you mean 'train.batch_size'"),
        ("train.batchsize=3", "did you mean 'train.batch_size'"),
        ("train.batch_size=many", "must be int"),
        ("train.batch_size=True", "must be int"),
        ("train.batch_size=0", "above 0"),
        ("train.lr=-0.1", "above 0"),
        ("train.lr_steps=5,3", "rising order"),
        ("head=3", "group of options"),
        ("head.margin=1,2", "three numbers"),
        ("head.boundary=soft", "literal, monotone"),
        ("head.sample_rate=1.5", "at most 1"),
        ("head.margin=a,b,c", "three numbers"),
        ("head.block_rows=-1", "head.block_rows=-1 must not be negative"),
        ("seed=-1", "seed=-1 must not be negative"),
        ("train.momentum=1.5", "below 1"),
        ("data.augment.flip=3", "probability"),
        ("data.augment.shift=-3", "must not be negative"),
        ("run.name=a/b", "one folder; run.folder"),
        ("train.lr_multipliers={'(': 1}", "no regular expression"),
        ("train.wd_multipliers={'gamma': 'x'}", "must be a number"),
        ("loss=cosfase", "did you mean 'cosface'"),
        ("seed", "not an override"),
    ],
)
def test_bad_overrides_are_refused_by_name(override, words):
    with pytest.raises(UserError, match=words) as caught:
        recipe.resolve("orl", [override])
    assert "\n" not in str(caught.value)


def test_unknown_recipe_gives_the_nearest():
    with pytest.raises(UserError, match="did you mean 'casia_r50'"):
        recipe.resolve("casia_r5")


def test_broken_recipe_file_is_named(tmp_path):
    (tmp_path / "mine.py").write_text("recipe = nothing\n")
    with pytest.raises(UserError, match="mine.py cannot be read: NameError"):
        recipe.resolve(str(tmp_path / "mine.py"))


def test_changes_between_recipes():
    before, after = recipe.resolve("orl"), recipe.resolve("orl", ["train.lr=0.7"])
    assert recipe.changes(before, after) == [f"train.lr = 0.7, was {before.train.lr}"]
    assert recipe.changes(before, before) == []
