"""arcface_torch's backbone.pth against a network of PyTorch's own layers."""

from __future__ import annotations

import resource

import mxnet as mx
import numpy as np
import pytest
from helpers import optional
from small_networks import TINY, images, randomise

import arcface_gluon as ag
from arcface_gluon.errors import UserError
from arcface_gluon.models.formats.torch_file import our_name, their_name

torch = optional("torch")
reference = optional("torch_iresnet")
IResNet, randomised = reference.IResNet, reference.randomised

CPU = [mx.cpu()]
CHANNELS = (8, 8, 16, 32, 64)
BATCH = images(3, 32)


@pytest.fixture
def theirs():
    return randomised(IResNet((1, 2, 1, 1), CHANNELS, 16, 32))


def save(net, path):
    torch.save(net.state_dict(), path)
    return path


def their_embeddings(net, batch):
    with torch.no_grad():
        return net((torch.from_numpy(batch.astype(np.float32)) - 127.5) / 127.5).numpy()


def our_embeddings(net, batch):
    return net(mx.nd.array(batch, dtype="uint8")).asnumpy()


def same(got, want, tolerance=1e-5):
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())


def test_it_computes_the_same(theirs, tmp_path):
    net = ag.load_model(save(theirs, tmp_path / "backbone.pth"), CPU)
    assert net.spec["options"]["units"] == [1, 2, 1, 1] and net.spec["options"]["input_size"] == 32
    same(our_embeddings(net, BATCH), their_embeddings(theirs, BATCH))


def test_weights_in_and_out_are_the_same_bit_for_bit(theirs, tmp_path):
    net = ag.load_model(save(theirs, tmp_path / "in.pth"), CPU)
    ag.export(net, tmp_path / "out.pth", "torch")
    state = torch.load(tmp_path / "out.pth", weights_only=True)
    assert set(state) == set(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(state[name], value), name


@pytest.mark.parametrize("options", [{}, {"epsilon": 1e-3, "input_scale": 0.01}])
def test_our_networks_compute_the_same_there(options, tmp_path):
    net = randomise(ag.get_model("r18", **TINY, **options))
    done = ag.export(net, tmp_path / "backbone.pth", "torch", images=BATCH)
    assert done.difference < 1e-5
    loaded = IResNet((1, 2, 1, 1), CHANNELS, 16, 32)
    loaded.load_state_dict(torch.load(tmp_path / "backbone.pth", weights_only=True), strict=True)
    same(their_embeddings(loaded.eval(), BATCH), our_embeddings(net, BATCH))


def test_order_and_scales_of_channels_go_into_the_first_convolution(tmp_path):
    net = randomise(ag.get_model("r18", **TINY, bgr=True, input_scale=(0.01, 0.02, 0.03)))
    assert ag.export(net, tmp_path / "backbone.pth", "torch", images=BATCH).difference < 1e-5
    net = randomise(ag.get_model("r18", **TINY, input_mean=120))
    with pytest.raises(UserError, match="input_mean=120.*zero padding"):
        ag.export(net, tmp_path / "other.pth", "torch")


@pytest.mark.parametrize(
    "prefix, key", [("module.", "state_dict_backbone"), ("_orig_mod.module.", "model"), ("backbone.", "state_dict")]
)
def test_wrapped_and_parallel_state_dicts(theirs, tmp_path, prefix, key):
    state = {f"{prefix}{name}": value.half() for name, value in theirs.state_dict().items()}
    torch.save({"epoch": 3, key: state}, tmp_path / "checkpoint.pt")
    net = ag.load_model(tmp_path / "checkpoint.pt", CPU)
    same(our_embeddings(net, BATCH), their_embeddings(theirs, BATCH), 1e-2)


@pytest.mark.parametrize(
    ("units", "name"),
    [((2, 2, 2, 2), "r18"), ((3, 4, 14, 3), "r50"), ((3, 13, 30, 3), "r100"), ((6, 26, 60, 6), "r200")],
)
def test_depths_by_name(units, name, tmp_path):
    file = save(IResNet(units, (8, 8, 8, 8, 8), 4, 16), tmp_path / "backbone.pth")
    assert ag.load_model(file, CPU).spec["name"] == name


def test_names_map_both_ways():
    for name in ag.get_model("r18", **TINY)._collect_params_with_prefix():
        assert our_name(their_name(name)) == name
    assert our_name("layer2.0.downsample.1.running_var") == "stage2.unit1.sc.running_var"


class Trap:
    """Runs a command where it is unpickled."""

    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda net: net, "Python objects, which are not run"),
        (lambda net: {"fc.weight": Trap()}, "Python objects, which are not run"),
        (lambda net: {}, "not a state dict"),
        (lambda net: [1, 2], "not a state dict"),
        (lambda net: {"fc.weight": torch.ones(1).expand(10**9, 512)}, "plain tensors"),
        (lambda net: {"fc.weight": torch.ones(3, 3).to_sparse()}, "plain tensors"),
        (lambda net: IResNet((101, 1, 1, 1), (8,) * 5, 4, 16).state_dict(), "four counts"),
        (lambda net: {"layers.0.layers.0.weight": torch.ones(2)}, "MobileFaceNet"),
        (lambda net: {"patch_embed.proj.weight": torch.ones(2)}, "vision transformer"),
        (lambda net: {"fc.weight": torch.ones(3, 3)}, "another network"),
        (lambda net: {**net.state_dict(), "fc7.weight": torch.ones(3, 3)}, "another network (it has fc7.weight)"),
        (lambda net: {**net.state_dict(), "features.weight": torch.full((16,), 0.5)}, "features.weight"),
        (lambda net: {**net.state_dict(), "bn2.weight": torch.tensor(1.0)}, "another network"),
        (lambda net: {n: v for n, v in net.state_dict().items() if "layer1.0.conv2" not in n}, "stage1.unit1.conv2"),
        (lambda net: {**net.state_dict(), "conv1.weight": torch.ones(8, 1, 3, 3)}, "conv0.weight is 8x1x3x3"),
    ],
)
def test_others_are_refused(content, words, theirs, tmp_path, capfd):
    file = tmp_path / "backbone.pth"
    torch.save(content(theirs), file)
    with pytest.raises(UserError, match="backbone.pth") as caught:
        ag.load_model(file, CPU)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert "executed" not in capfd.readouterr().out


def test_files_from_before_zip_archives(theirs, tmp_path):
    file = tmp_path / "backbone.pth"
    torch.save(theirs.state_dict(), file, _use_new_zipfile_serialization=False)
    same(our_embeddings(ag.load_model(file, CPU), BATCH), their_embeddings(theirs, BATCH))


def test_a_full_disk_is_told_and_leaves_what_was_there(theirs, tmp_path):
    net = ag.load_model(save(theirs, tmp_path / "in.pth"), CPU)
    (tmp_path / "out.pth").write_text("before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(UserError, match="cannot write .*out.pth"):
            ag.export(net, tmp_path / "out.pth", "torch")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.pth", "out.pth"]
    assert (tmp_path / "out.pth").read_text() == "before"


def test_damaged_files_are_refused(theirs, tmp_path):
    file = save(theirs, tmp_path / "backbone.pth")
    content = file.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1  # in a weight: torch.load does not look
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    for damaged in (content[:1000], content[: len(content) // 2], b"", b"hello", flipped, pointer):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match="backbone.pth cannot be read: it is damaged or no PyTorch file") as caught:
            ag.load_model(file, CPU)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="cannot read .*none.pth"):
        ag.load_model(tmp_path / "none.pth", CPU)


@pytest.mark.parametrize("options", [{"se": True}, {"output": "J"}, {"stem_stride": 2}])
def test_what_arcface_torch_lacks_is_not_written(options, tmp_path):
    for net in (randomise(ag.get_model("r18", **TINY, **options)), randomise(ag.get_model("mobilefacenet", 8))):
        with pytest.raises(UserError, match="arcface_torch has no"):
            ag.export(net, tmp_path / "backbone.pth", "torch")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("units", [(2, 2, 2, 2), (3, 4, 14, 3)])
def test_whole_networks(units, tmp_path):
    theirs = randomised(IResNet(units, (64, 64, 128, 256, 512), 512))
    net = ag.load_model(save(theirs, tmp_path / "backbone.pth"), CPU)
    batch = images(3, 112)
    same(our_embeddings(net, batch), their_embeddings(theirs, batch))
