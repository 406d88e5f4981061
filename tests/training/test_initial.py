"""A new run from the backbone of another model, and class centres from the images."""

import mxnet as mx
import numpy as np
import pytest
from easydict import EasyDict
from helpers import TINY, optional
from mxnet import autograd

from arcface_gluon.data import FaceRecords
from arcface_gluon.data.images.decode import decode_image
from arcface_gluon.errors import UserError
from arcface_gluon.losses import ShardedMarginHead, SubCentreHead, TripletHead
from arcface_gluon.models import export_model, get_model
from arcface_gluon.models.formats.exporting import export
from arcface_gluon.parallel.processes import Processes
from arcface_gluon.training.initial import _sums, begin, load_backbone

SMALL = {"width": 0.125, "units": [1, 1, 1, 1], "stem_stride": 2}
WHOLE = {"stem_stride": 1, "input_size": 32}  # as other tools have it


def network(size=16, contexts=1, **options):
    net = get_model("r18", size, {**SMALL, **options})
    mx.random.seed(size)
    net.initialize(ctx=[mx.cpu(i) for i in range(contexts)])
    return net


def values(net):
    return {name: p.data(mx.cpu(0)).asnumpy() for name, p in net._collect_params_with_prefix().items()}


@pytest.fixture
def exported(tmp_path):
    """(network with weights unlike the initial ones, prefix of its symbol + .params)."""
    net = network()
    for name, parameter in net._collect_params_with_prefix().items():
        if name != "fc1.gamma":
            parameter.set_data(parameter.data() + 0.5)
    export_model(net, tmp_path / "old")
    return net, str(tmp_path / "old")


def test_every_weight_comes_on_every_device(exported):
    old, path = exported
    new = network(contexts=2)
    assert load_backbone(new, path) == [f"backbone from {path}"]
    for name, value in values(old).items():
        for context in (mx.cpu(0), mx.cpu(1)):
            assert (new._collect_params_with_prefix()[name].data(context).asnumpy() == value).all()


def test_another_embedding_size_leaves_the_last_layers_new(exported):
    old, path = exported
    new = network(size=24)
    before = values(new)
    (line,) = load_backbone(new, path)
    assert line.endswith("new, since its embeddings have 16 values and this network's 24: fc1, pre_fc1")
    for name, value in values(new).items():
        expected = before if name.startswith(("fc1", "pre_fc1")) else values(old)
        assert (value == expected[name]).all()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"width": 0.25}, r"conv0.weight is \(8, 3, 3, 3\), not \(16, 3, 3, 3\); it was built with network.name=r18"),
        ({"units": [1, 2, 1, 1]}, "it has no stage2.unit2"),
        ({"output": "G"}, "it has no fc1.weight"),
    ],
)
def test_another_network_is_refused(exported, options, message):
    with pytest.raises(UserError, match=f"train.init={exported[1]} is of another network: .*{message}"):
        load_backbone(network(**options), exported[1])


def test_a_network_of_nan_is_refused(exported):
    old, path = exported
    old.conv0.weight.set_data(old.conv0.weight.data() * np.nan)
    export_model(old, path)
    with pytest.raises(UserError, match="is damaged: conv0.weight has NaN"):
        load_backbone(network(), path)


def test_a_network_with_more_than_ours_is_refused(tmp_path):
    export_model(network(se=True), tmp_path / "se")
    with pytest.raises(UserError, match="is of another network: it has stage1.unit1.se.* too"):
        load_backbone(network(), str(tmp_path / "se"))


def test_options_that_shape_nothing_are_told(tmp_path):
    export_model(network(input_scale=0.01), tmp_path / "old")
    assert any("input_scale=0.01 (here 0.0078125)" in line for line in load_backbone(network(), str(tmp_path / "old")))


def test_a_symbol_without_normalisation_gets_that_of_the_run(tmp_path):
    expected = network(input_mean=0, input_scale=1, **WHOLE)
    export_model(expected, tmp_path / "old")
    graph = (tmp_path / "old-symbol.json").read_text().replace("__arcface_gluon__", "__other__")
    (tmp_path / "old-symbol.json").write_text(graph)
    new = network(input_mean=[104, 117, 123], input_scale=0.0078125, bgr=True, **WHOLE)
    _, note = load_backbone(new, str(tmp_path / "old"))
    assert "does not normalise its input: this run gives it (x - [104, 117, 123]) * 0.0078125, blue, green, red" in note
    assert (values(new)["conv0.weight"] == values(expected)["conv0.weight"]).all()


def test_from_a_file_of_pytorch(tmp_path):
    optional("torch")
    old = network(**WHOLE)
    export(old, tmp_path / "backbone.pth", "torch")
    new = network(input_scale=1 / 127.5, epsilon=1e-5, **WHOLE)
    assert load_backbone(new, str(tmp_path / "backbone.pth")) == [f"backbone from {tmp_path}/backbone.pth"]
    images = mx.nd.array(np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32)), dtype="uint8")
    want = old(images).asnumpy()
    np.testing.assert_allclose(new(images).asnumpy(), want, rtol=0, atol=1e-5 * np.abs(want).max())


class _Run:
    """What `begin` uses of a trainer."""

    def __init__(self, folder, head, contexts=1, size=16):
        self.net, self.contexts = network(size, contexts), [mx.cpu(i) for i in range(contexts)]
        self.net.hybridize()
        self.processes, self.quiet = Processes(), True
        records = FaceRecords(folder)
        self.batches = EasyDict(batch_size=32)
        self.batches.records = records
        self.head = head(records.num_identities + 1, size, self.contexts)  # the last one has no images


@pytest.mark.parametrize("contexts", [1, 3])
def test_centres_are_the_mean_directions_of_all_images(orl, contexts):
    run = _Run(orl, ShardedMarginHead, contexts)
    noise = run.head.centres()
    assert begin(run, {"init": None, "init_centres": "mean"}) == []
    records, sums = run.batches.records, np.zeros((run.head.num_classes, 16))
    for index in range(len(records)):
        data, label = records.read(index)
        pixels = decode_image(data, records.image_size).transpose(2, 0, 1)[None]
        with autograd.predict_mode():
            embedding = run.net(mx.nd.array(pixels, dtype="uint8")).asnumpy()[0].astype(np.float64)
        sums[label] += embedding / np.linalg.norm(embedding)
    centres = run.head.centres()
    expected = sums[:-1] / np.linalg.norm(sums[:-1], axis=1, keepdims=True) * 0.01 * 4
    np.testing.assert_allclose(centres[:-1], expected, rtol=1e-3, atol=1e-6)
    assert (centres[-1] == noise[-1]).all()


class _OneOfTwo(Processes):
    def __init__(self, rank):
        self.rank, self.size = rank, 2

    def allreduce(self, arrays, name):
        self.sent = arrays[0].asnumpy()


def test_each_of_several_processes_adds_its_own_images(orl):
    run = _Run(orl, ShardedMarginHead)
    whole = _sums(run, run.head.num_classes, 16)
    for run.processes in (_OneOfTwo(0), _OneOfTwo(1)):
        assert (_sums(run, run.head.num_classes, 16) == run.processes.sent).all()
        whole = whole - run.processes.sent
    np.testing.assert_allclose(whole, 0, atol=1e-4)


def test_a_loss_without_one_centre_an_identity_is_refused(orl):
    for head in (TripletHead, SubCentreHead):
        with pytest.raises(UserError, match="train.init_centres=mean needs a loss with one centre an identity"):
            begin(_Run(orl, head), {"init": None, "init_centres": "mean"})


@pytest.mark.slow
def test_from_one_run_to_other_people_and_another_loss(command, orl, tmp_path):
    tiny = [*TINY, "data.validation=[]", "train.iterations=2", "train.validate_every=9"]
    command("train", "orl", f"data.path={orl}", "loss=softmax", "run.name=first", *tiny)
    command("data", "synthetic", "--identities", "4", "--images", "4", "--out", tmp_path / "people")
    common = [f"data.path={tmp_path / 'people'}", "run.name=second", *tiny, "network.embedding_size=24"]
    start = ["train.init=runs/first", "train.init_centres=mean", "train.freeze=backbone:1"]
    done = command("train", "orl", *common, *start)
    assert "backbone from runs/first; new, since its embeddings have 32 values and this network's 24" in done.stdout
    command("train", "orl", *common, "train.iterations=3", "--resume")
    assert (tmp_path / "runs" / "second" / "checkpoints" / "00000003").is_dir()
    command("train", "orl", *common, *start, "run.name=whole", "train.iterations=3")
    resumed, whole = (tmp_path / "runs" / name / "checkpoints" / "00000003" for name in ("second", "whole"))
    files = sorted(file.name for file in whole.iterdir() if file.suffix == ".params")
    assert "backbone.params" in files and len(files) > 2
    for name in files:  # as if it had never been stopped
        assert (resumed / name).read_bytes() == (whole / name).read_bytes(), name
    for change in (f"data.path={tmp_path / 'people'}", "loss=arcface"):
        refused = command("train", "orl", f"data.path={orl}", "run.name=first", *tiny, change, "--resume", check=2)
        assert "train.init=runs/first/checkpoints/00000002" in refused.stderr
    assert "train.init" in command("train", "orl", *common, "train.init=nothing", check=2).stderr
