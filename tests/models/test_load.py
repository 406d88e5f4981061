"""Models in and out of files, and one clear line for each thing that can be wrong with them."""

from __future__ import annotations

import json
import shutil

import mxnet as mx
import numpy as np
import pytest
from small_networks import TINY, assert_same, images, randomise

from arcface_gluon import get_model, load_model
from arcface_gluon.errors import UserError
from arcface_gluon.files import sha256, write_json
from arcface_gluon.models import export_model, load_parameters, read_params, write_params
from arcface_gluon.models.exported import SymbolNetwork

CPU = [mx.cpu(0)]
BATCH = mx.nd.array(images(2, TINY["input_size"]), dtype="uint8")


def checkpoint(net, folder):
    folder.mkdir(parents=True)
    write_json(folder / "network.json", net.spec)
    values = {name: p.data(p.list_ctx()[0]).asnumpy() for name, p in net._collect_params_with_prefix().items()}
    write_params(folder / "backbone.params", values)
    return folder


def run_folder(tmp_path, iterations):
    """A run with a checkpoint an iteration; iteration -> embeddings of its network."""
    outputs = {}
    for iteration in iterations:
        net = randomise(get_model("r18", **TINY), seed=iteration)
        checkpoint(net, tmp_path / "run" / "checkpoints" / f"{iteration:08d}")
        outputs[iteration] = net(BATCH).asnumpy()
    return tmp_path / "run", outputs


def embeddings(path):
    return load_model(path, CPU)(BATCH).asnumpy()


def test_a_run_gives_its_last_checkpoint(tmp_path):
    run, outputs = run_folder(tmp_path, [200, 400, 1000])
    assert_same(embeddings(run), outputs[1000])
    write_json(run / "checkpoints" / "best.json", {"iteration": 400})
    (run / "checkpoints" / ".00001200.partial").mkdir()
    assert_same(embeddings(run), outputs[1000])
    assert_same(embeddings(run / "checkpoints" / "00000200"), outputs[200])


def test_the_fixed_gamma_is_1_whatever_a_file_holds(tiny, tmp_path):
    export_model(tiny, tmp_path / "m")
    arrays = read_params(tmp_path / "m-0000.params")
    gamma = next(name for name in arrays if name.endswith("fc1_gamma"))
    write_params(tmp_path / "m-0000.params", {**arrays, gamma: 3 * arrays[gamma]})
    net = load_model(tmp_path / "m", CPU)
    assert_same(net(BATCH).asnumpy(), tiny(BATCH).asnumpy())
    assert (net.fc1.gamma.data().asnumpy() == 1).all(), "what is written again is the reference's"


@pytest.mark.parametrize("name", ["m", "m-symbol.json", "m-0000.params", "."])
def test_an_export_is_found_by_prefix_file_or_folder(tiny, tmp_path, name):
    export_model(tiny, tmp_path / "m")
    net = load_model(tmp_path / name, CPU)
    assert net.spec == tiny.spec
    assert_same(net(BATCH).asnumpy(), tiny(BATCH).asnumpy())


def test_mobilefacenet_survives_export(tmp_path):
    net = randomise(get_model("mobilefacenet", 16, blocks=(1, 1, 2, 1)))
    export_model(net, tmp_path / "m")
    batch = mx.nd.array(images(1, 112), dtype="uint8")
    again = load_model(tmp_path / "m", CPU)
    assert again.spec == net.spec
    assert_same(again(batch).asnumpy(), net(batch).asnumpy())


@pytest.mark.parametrize("name", ["r18", "mobilefacenet"])
def test_networks_are_told_by_names_where_no_description_is_attached(tmp_path, name):
    options = {k: v for k, v in TINY.items() if k != "embedding_size"} if name == "r18" else {"blocks": (2, 1, 3, 1)}
    net = randomise(get_model(name, 16, **options))
    export_model(net, tmp_path / "m")
    file = tmp_path / "m-symbol.json"
    graph = json.loads(file.read_text())
    del graph["nodes"][0]["attrs"]
    file.write_text(json.dumps(graph))
    again = load_model(tmp_path / "m", CPU)
    assert again.spec["options"] == {**net.spec["options"]} and again.spec["embedding_size"] == 16


def test_the_last_epoch_is_taken_unless_one_is_named(tiny, tmp_path):
    export_model(tiny, tmp_path / "m")
    (tmp_path / "m-0000.params").rename(tmp_path / "m-0007.params")
    other = randomise(get_model("r18", **TINY), seed=9)
    export_model(other, tmp_path / "m")
    assert_same(embeddings(tmp_path / "m"), tiny(BATCH).asnumpy())
    assert_same(embeddings(tmp_path / "m-0000.params"), other(BATCH).asnumpy())


def test_export_averages_statistics_and_keeps_equal_copies_exact(tmp_path):
    contexts = [mx.cpu(i) for i in range(3)]
    net = randomise(get_model("r18", **TINY), contexts=contexts)
    for i, context in enumerate(contexts):
        net.bn0.running_mean.data(context)[:] = i
    export_model(net, tmp_path / "m")
    stored = read_params(tmp_path / "m-0000.params")
    assert (stored["aux:bn0_moving_mean"] == 1).all()
    np.testing.assert_array_equal(stored["arg:conv0_weight"], net.conv0.weight.data(contexts[0]).asnumpy())


def test_float16_networks_are_exported_in_float32(tiny, tmp_path):
    expected = tiny(BATCH).asnumpy()
    tiny.cast("float16")
    export_model(tiny, tmp_path / "m")
    assert {v.dtype for v in read_params(tmp_path / "m-0000.params").values()} == {np.dtype("float32")}
    assert_same(embeddings(tmp_path / "m"), expected, 0.02)


def refuses(path, *words):
    with pytest.raises(UserError) as caught:
        load_model(path, CPU)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_missing_things_are_named(tiny, tmp_path):
    refuses(tmp_path / "none", "none-symbol.json", "none-0000.params", "missing")
    refuses(tmp_path, "neither a run, a checkpoint nor an exported model")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    refuses(tmp_path / "run", "no checkpoint yet")
    export_model(tiny, tmp_path / "m")
    (tmp_path / "m-symbol.json").unlink()
    refuses(tmp_path / "m-0000.params", "m-symbol.json missing")
    (tmp_path / "net.PTH").write_text("weights")
    refuses(tmp_path / "net.PTH", "no model by its name", ".pth", "rename")
    folder = checkpoint(tiny, tmp_path / "c")
    (folder / "backbone.params").unlink()
    refuses(folder, "backbone.params is missing")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"units": (1, 1, 1, 1)}, ["stage2.unit2", "[1, 1, 1, 1] units", "[1, 2, 1, 1]"]),
        ({"se": True}, ["squeeze-and-excitation"]),
        ({"output": "G"}, ["output"]),
        ({"width": 0.25}, ["conv0.weight is 16x3x3x3", "8x3x3x3 in the network", "width"]),
        ({"embedding_size": 8}, ["pre_fc1.weight is 8x", "embedding size"]),
    ],
)
def test_the_wrong_checkpoint_is_told_with_the_reason(tiny, tmp_path, other, words):
    folder = checkpoint(tiny, tmp_path / "c")
    wrong = checkpoint(randomise(get_model("r18", **{**TINY, **other})), tmp_path / "w")
    shutil.copy(wrong / "backbone.params", folder / "backbone.params")
    refuses(folder, "backbone.params does not fit the network", *words)


def test_a_file_of_something_else_is_told(tiny):
    with pytest.raises(UserError, match="another kind of network"):
        load_parameters(tiny, {"fc7_weight": np.ones((3, 4), np.float32)}, "x.params")


def test_wrong_parameters_beside_an_export_are_told_in_its_names(tiny, tmp_path):
    export_model(tiny, tmp_path / "m")
    stored = read_params(tmp_path / "m-0000.params")
    del stored["arg:stage2_unit2_bn1_beta"]
    write_params(tmp_path / "m-0000.params", stored)
    refuses(tmp_path / "m", "m-0000.params", "lacks stage2_unit2_bn1_beta")


def test_a_foreign_symbol_with_wrong_parameters(tmp_path, capfd):
    symbol = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=4, name="fc1")
    symbol.save(str(tmp_path / "m-symbol.json"))
    write_params(tmp_path / "m-0000.params", {"arg:fc1_weight": np.ones((4, 12), np.float32)})
    refuses(tmp_path / "m", "does not fit", "fc1_bias")
    write_params(tmp_path / "m-0000.params", {"fc1_weight": np.ones((5, 12), np.float32), "fc1_bias": np.ones(4, "f")})
    with pytest.raises(UserError, match="m-0000.params cannot process images 1x3x2x2"):
        load_model(tmp_path / "m", CPU)(mx.nd.ones((1, 3, 2, 2)))
    assert "infer_shape" not in "".join(capfd.readouterr())
    write_params(tmp_path / "m-0000.params", {"fc1_weight": np.ones((4, 12), np.float32), "fc1_bias": np.ones(4, "f")})
    net = load_model(tmp_path / "m", CPU)
    assert isinstance(net, SymbolNetwork)
    assert net(mx.nd.ones((1, 3, 2, 2))).asnumpy().tolist() == [[13.0] * 4]
    export_model(net, tmp_path / "again")
    assert load_model(tmp_path / "again", CPU)(mx.nd.ones((1, 3, 2, 2))).asnumpy().tolist() == [[13.0] * 4]
    with pytest.raises(UserError, match="only networks of get_model and load_model"):
        export_model(mx.gluon.nn.Dense(3), tmp_path / "other")


@pytest.mark.parametrize("content", ["{", "[]", '{"nodes": [{"op": "NoSuchOperator", "name": "x", "inputs": []}]}'])
def test_a_damaged_symbol(tiny, tmp_path, content):
    export_model(tiny, tmp_path / "m")
    (tmp_path / "m-symbol.json").write_text(content)
    refuses(tmp_path / "m", "m-symbol.json")


@pytest.mark.parametrize("content", ["[]", "{}", '{"name": "r18", "depth": 18, "options": []}', '{"name": "r19"}', "{"])
def test_a_damaged_description(tiny, tmp_path, content):
    folder = checkpoint(tiny, tmp_path / "c")
    (folder / "network.json").write_text(content)
    refuses(folder)


def test_cut_and_altered_parameters(tiny, tmp_path):
    folder = checkpoint(tiny, tmp_path / "c")
    file = folder / "backbone.params"
    checksums = {name: sha256(folder / name) for name in ("network.json", "backbone.params")}
    write_json(folder / "state.json", {"sha256": checksums})
    load_model(folder, CPU)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1  # a bit that only the checksum can tell
    file.write_bytes(content)
    refuses(folder, "backbone.params is damaged", "checksum")
    (folder / "state.json").unlink()
    file.write_bytes(content[:-100])
    refuses(folder, "backbone.params is damaged")
