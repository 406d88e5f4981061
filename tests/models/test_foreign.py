"""Model files of other tools are told by what they are."""

import pytest

from arcface_gluon.errors import UserError
from arcface_gluon.models.foreign import refuse_foreign


@pytest.mark.parametrize(
    "name, kind",
    [
        ("model.ONNX", "ONNX"),
        ("model.h5", "Keras"),
        ("frozen.pb", "TensorFlow graph"),
        ("m.safetensors", "safetensors"),
        ("best.pth.tar", "PyTorch"),
        ("features.npy", "--features"),
        ("lfw.bin", "--bin"),
    ],
)
def test_a_file_of_another_tool_is_named(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match=kind) as caught:
        refuse_foreign(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_models_and_missing_files_are_not(tmp_path):
    (tmp_path / "m-0000.params").write_bytes(b"x")
    for path in (tmp_path, tmp_path / "m-0000.params", tmp_path / "none.onnx"):
        refuse_foreign(path)
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(UserError, match="SavedModel"):
        refuse_foreign(tmp_path)
