"""Networks by name: refusals that help, and descriptions that rebuild."""

from __future__ import annotations

import json

import pytest

from arcface_gluon import get_model
from arcface_gluon.errors import UserError
from arcface_gluon.models import model_names, model_options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("r10",), "unknown network 'r10'; did you mean 'r100'?"),
        (("vgg",), "known: r18, r34, r50, r100, r152, r200, mobilefacenet"),
        (("r50", 512, {"widht": 1}), "unknown option 'widht' for r50; did you mean 'width'?"),
        (("r50", 512, {"blocks": 1}), "unknown option 'blocks' for r50"),
        (("r50", 512, {"output": "Q"}), "output='Q' must be one of E, F"),
        (("r50", 512, {"output": []}), "output=[] must be one of E, F"),
        (("r50", 512, {"width": 0}), "width=0 must be above 0"),
        (("r50", 512, {"width": 17}), "width=17 must be above 0, up to 16"),
        (("r50", 512, {"units": [1, 2, 3]}), "four counts"),
        (("r50", 512, {"dropout": 1.0}), "dropout=1.0"),
        (("r50", 512, {"input_size": 8}), "input_size=8"),
        (("r50", 512, {"input_size": (112, 8)}), "input_size=(112, 8) must be a side in pixels, or height and width"),
        (("r50", 512, {"input_size": "112x96"}), "(such as 112,96)"),
        (("r50", 512, {"input_size": (112, 96, 3)}), "input_size=(112, 96, 3)"),
        (("r50", 0), "embedding_size=0"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(UserError) as caught:
        get_model(*arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", model_names())
def test_spec_rebuilds(name):
    options = {"units": (1, 1, 1, 1), "se": True} if name.startswith("r") else {"blocks": (2, 1, 1, 1)}
    net = get_model(name, 32, **options)
    spec = json.loads(json.dumps(net.spec))
    again = get_model(**spec)
    assert again.spec == net.spec == spec and set(spec["options"]) == set(model_options(name))
    shapes = [{k: p.shape for k, p in n._collect_params_with_prefix().items()} for n in (net, again)]
    assert shapes[0] == shapes[1]


def test_names_of_the_paper_s_code():
    assert get_model("r100fc").spec == get_model("r100", output="I").spec
    assert get_model("y1").spec == get_model("mobilefacenet", 128).spec
    assert get_model("y2", 64).spec == get_model("mobilefacenet", 64, blocks=(2, 8, 16, 4)).spec
