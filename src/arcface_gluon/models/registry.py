"""Networks by name."""

from __future__ import annotations

from ..errors import UserError, did_you_mean
from .backbone import INPUT_SCALE
from .iresnet import OUTPUTS, UNITS, IResNet
from .layers import BN_EPSILON
from .mobilefacenet import MobileFaceNet

_IRESNET_OPTIONS = {
    "units": None,
    "width": 1.0,
    "se": False,
    "output": "E",
    "dropout": 0.4,
    "input_size": 112,
    "stem_stride": 1,
    "epsilon": BN_EPSILON,
    "input_scale": INPUT_SCALE,
}

# name -> (class, its options with their defaults)
_NETWORKS = {f"r{depth}": (IResNet, {**_IRESNET_OPTIONS, "units": units}) for depth, units in UNITS.items()}
_NETWORKS["mobilefacenet"] = (MobileFaceNet, {"blocks": (1, 4, 6, 2), "input_size": 112, "strided_kernel": 3})


def _positive(value):
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _four_counts(value):
    return isinstance(value, (list, tuple)) and len(value) == 4 and all(_positive(n) and n <= 100 for n in value)


def _between(low, high):
    return lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and low <= v <= high


def _sides(value):
    pair = value if isinstance(value, (list, tuple)) else (value, value)
    return len(pair) == 2 and all(_positive(side) and 16 <= side <= 4096 for side in pair)


# option -> (test, what it must be)
_CHECKS = {
    "units": (_four_counts, "four counts, 1 to 100"),
    "blocks": (_four_counts, "four counts, 1 to 100"),
    "strided_kernel": (lambda v: v in (3, 4), "3 or 4"),
    "width": (lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and 0 < v <= 16, "above 0"),
    "se": (lambda v: isinstance(v, bool), "True or False"),
    "output": (lambda v: v in OUTPUTS, "one of " + ", ".join(OUTPUTS)),
    "dropout": (lambda v: isinstance(v, (int, float)) and 0 <= v < 1, "in [0, 1)"),
    "epsilon": (_between(1e-7, 0.1), "between 1e-7 and 0.1"),
    "input_scale": (_between(1e-4, 1), "between 1e-4 and 1"),
    "stem_stride": (lambda v: v in (1, 2), "1 or 2"),
    "input_size": (_sides, "a side in pixels, or height and width (such as 112,96), of 16 to 4096"),
}


def model_names():
    """Names that `get_model` knows."""
    return list(_NETWORKS)


def model_options(name):
    """Options of a network with their defaults.

    Raises:
        UserError: unknown name; the nearest known one is named.
    """
    if name not in _NETWORKS:
        raise UserError(f"unknown network {name!r}{did_you_mean(name, _NETWORKS)}")
    return dict(_NETWORKS[name][1])


def get_model(name, embedding_size=512, options=None, **more):
    """Build an embedding network, not initialised: `net.initialize(ctx=contexts)` draws the reference's weights.

    The network takes (B, 3, 112, 112), or what `input_size` says: RGB 0..255, uint8 or floating. It gives
    (B, embedding_size) float32. `get_model(**net.spec)` builds the same network again.

    Args:
        name: r18, r34, r50, r100, r152, r200 (IResNet) or mobilefacenet.
        embedding_size: d.
        options, **more: options of the network, as a dict or by keyword. IResNet: `width` (channel multiplier),
            `units` (counts of the four stages), `se`, `output` (letter of the head), `dropout`, `stem_stride`,
            `epsilon`, `input_scale`. MobileFaceNet: `blocks` (counts of its four stages), `strided_kernel`. Both:
            `input_size`, a side or (height, width).

    Raises:
        UserError: unknown name or option (the nearest known one is named), or a value out of range.
    """
    defaults = model_options(name)
    chosen = {**defaults, **(options or {}), **more}
    for option, value in chosen.items():
        if option not in defaults:
            raise UserError(f"unknown option {option!r} for {name}{did_you_mean(option, defaults)}")
        valid, expected = _CHECKS[option]
        if not valid(value):
            raise UserError(f"{name}: {option}={value!r} must be {expected}")
    if not _positive(embedding_size):
        raise UserError(f"{name}: embedding_size={embedding_size!r} must be a count above 0")
    spec = {"name": name, "embedding_size": embedding_size, "options": chosen}
    return _NETWORKS[name][0](spec, embedding_size=embedding_size, **chosen)
