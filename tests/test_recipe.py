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


def test_every_option_says_what_it_is_and_its_default_is_within_its_range():
    for name, option in recipe.options().items():
        assert option.meaning, name
        assert option.allowed is None or option.allowed.test(option.default), name


def test_the_command_prints_value_meaning_and_range(command):
    said = command("recipes", "casia_r50").stdout
    assert "train.momentum = 0.9" in said and "# of SGD [0 to below 1]" in said


def test_overrides_keep_types():
    values = recipe.resolve("orl", ["train.lr=1", "data.validation=a,b", "train.contexts=4", "network.options.se=True"])
    assert values.train.lr == 1.0 and isinstance(values.train.lr, float)
    assert values.data.validation == ["a", "b"]
    assert values.train.contexts == 4
    assert values.network.options.se is True


@pytest.mark.parametrize(
    "override, key, value",
    [
        ("run.name=1.10", "run.name", "1.10"),
        ("run.name=2024_11_24", "run.name", "2024_11_24"),
        ("run.name=1e3", "run.name", "1e3"),
        ("run.name=True", "run.name", "True"),
        ("run.name='my run'", "run.name", "my run"),
        ("data.path=007", "data.path", "007"),
        ("data.path=None", "data.path", None),
        ("data.validation=1.10", "data.validation", ["1.10"]),
        ("data.validation=[lfw, cfp_fp]", "data.validation", ["lfw", "cfp_fp"]),
        ("data.validation=[]", "data.validation", []),
        ("network.name=50", "network.name", "50"),
        ("train.iterations=32_000", "train.iterations", 32_000),
        ("network.options={'width':0.25}", "network.options", {"width": 0.25}),
        ("network.options.width=1", "network.options", {"width": 1, "stem_stride": 2}),
        ("train.lr_multipliers..*gamma=2", "train.lr_multipliers", {".*gamma": 2}),
        ("data.augment={'flip': 0, 'erase': 1}", "data.augment.flip", 0.0),
        ("train.contexts=cpu(0),cpu(1)", "train.contexts", "cpu(0),cpu(1)"),
    ],
)
def test_a_value_is_of_its_options_type(override, key, value):
    found = recipe.flatten(recipe.resolve("orl", [override]))[key]
    assert found == value and isinstance(found, type(value))


def test_explicit_margin_wins_over_the_loss_whatever_the_order():
    values = recipe.resolve("casia_r50", ["head.margin=(1,0.3,0)", "loss=cosface"])
    assert values.loss == "cosface"
    assert list(values.head.margin) == [1, 0.3, 0]


def test_loss_changes_the_papers_row_and_the_runs_name():
    values = recipe.resolve("casia_r50", ["loss=cosface"])
    assert values.paper["row"] == "CosFace (0.35)"
    assert values.run.name == "casia_r50-cosface"
    own = recipe.resolve("casia_r50").paper
    assert own and recipe.resolve("casia_r50", [f"loss={recipe.resolve('casia_r50').loss}"]).paper == own
    # Other tables have a row for the recipe's own loss only.
    own = recipe.resolve("ms1mv2_r100")
    assert own.paper and recipe.resolve("ms1mv2_r100", [f"loss={own.loss}"]).paper == own.paper
    assert recipe.resolve("ms1mv2_r100").paper["table"] != "table2_losses"
    assert recipe.resolve("ms1mv2_r100", ["loss=cosface"]).paper == {}


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
        ("run.name=", "must be the name of one folder"),
        ("run.name=a\nb", "must be the name of one folder"),
        ("data.augment={}", "group of options, set one of them: data.augment.flip"),
        ("network={}", "group of options"),
        ("data.augment={'flop': 1}", "unknown option 'data.augment.flop'; did you mean 'data.augment.flip'"),
        ("train.lr_steps=[1,'a']", "'a' must be int"),
        ("train.lr_steps=1,2.5", "2.5 must be int"),
        ("data.validation=[1]", "1 must be text"),
        ("train.batch_size=10**21", "must be int"),
        ("train.batch_size=1000000000000000000000", "number from"),
        ("train.batch_size=" + "9" * 9000, "train.batch_size"),
        ("train.lr=1e999", "finite"),
        ("train.lr=nan", "must be float"),
        ("network.options=" + "[" * 5000, "must be a dictionary"),
        ("network.options={1: 2}", "cannot be the name"),
        ("train.lr_multipliers={'items': 2}", "cannot be the name"),
        ("network.options={'a': b'x'}", "bytes is no value"),
        ("seed=" + "x" * 20_000, "at most 10,000"),
        ("loss=amsoftmax", "here it is called 'cosface'"),
        ("learning_rate=1", "here it is called 'train.lr'"),
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


@pytest.mark.parametrize(
    "source, words",
    [
        ("recipe.train.lr = 'fast'", "train.lr='fast' must be float"),
        ("recipe.train.learning = 1", "unknown option 'train.learning'"),
        ("recipe.train.momentum = float('nan')", "finite"),
    ],
)
def test_a_recipe_file_is_held_to_the_same_types(tmp_path, source, words):
    path = tmp_path / "mine.py"
    path.write_text(f"from arcface_gluon.recipe import inherit\nrecipe = inherit('base')\n{source}\n")
    with pytest.raises(UserError, match=words):
        recipe.resolve(str(path))


def test_changes_between_recipes():
    before, after = recipe.resolve("orl"), recipe.resolve("orl", ["train.lr=0.7"])
    assert recipe.changes(before, after) == [f"train.lr = 0.7, was {before.train.lr}"]
    assert recipe.changes(before, before) == []


def test_names_of_the_paper_s_code():
    chosen = recipe.resolve("emore", ["network.name=y2", "loss=combined", "network.embedding_size=64"])
    assert chosen.network.name == "mobilefacenet" and chosen.network.options == {"blocks": [2, 8, 16, 4]}
    assert chosen.network.embedding_size == 64  # what is said of it goes before what the name stands for
    assert (chosen.loss, chosen.head.margin) == ("cm1", [1.0, 0.3, 0.2])
    assert recipe.resolve("orl", ["network.name=y1"]).network.embedding_size == 128
    assert recipe.resolve("orl", ["loss=nsoftmax"]).loss == "norm-softmax"
    assert recipe.inherit("orl", "nsoftmax").loss == "norm-softmax"
