"""Networks by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

from mxnet.gluon import HybridBlock

from ..errors import UserError, did_you_mean
from ..named import is_named, load_named
from ..recipe.aliases import NETWORKS
from ..recipe.option import Option
from .iresnet import OTHER_UNITS, UNITS, IResNet
from .mobilefacenet import MobileFaceNet
from .network_options import EMBEDDING_SIZE

# name -> (class, the values that the name stands for); each class declares its options.
_NETWORKS: dict[str, tuple[Any, dict]] = {f"r{depth}": (IResNet, {"units": units}) for depth, units in UNITS.items()}
_NETWORKS["mobilefacenet"] = (MobileFaceNet, {})
# Known, and not offered.
_OTHERS = {f"r{depth}": (IResNet, {"units": units}) for depth, units in OTHER_UNITS.items()}


def model_names() -> list[str]:
    """Names of networks to train; `get_model` also knows other depths of the paper's code, such as r74."""
    return list(_NETWORKS)


def model_options(name: str) -> dict[str, Any]:
    """Options of a network with their defaults.

    Raises:
        UserError: unknown name; the nearest known one is named.
    """
    network, values = _find(name)
    return {**{key: option.default for key, option in network.OPTIONS.items()}, **values}


def model_class(name: str) -> Any:
    """The class of a network, of which `get_model` makes one.

    Raises:
        UserError: unknown name; the nearest known one is named.
    """
    return _find(NETWORKS.get(name, {}).get("name", name))[0]


def _find(name) -> tuple[Any, dict]:
    if is_named(name):
        network = load_named("network.name", name)
        if not (isinstance(network, type) and issubclass(network, HybridBlock) and hasattr(network, "OPTIONS")):
            raise UserError(f"network.name={name} is no HybridBlock with OPTIONS (docs/extending.md has one)")
        return network, {}
    found = _NETWORKS.get(name) or _OTHERS.get(name)
    if found is None:
        raise UserError(f"unknown network {name!r}{did_you_mean(name, _NETWORKS)}")
    return found


def get_model(
    name: str, embedding_size: int | None = None, options: Mapping[str, Any] | None = None, **more: Any
) -> HybridBlock:
    """Build an embedding network, not initialised: `net.initialize(ctx=contexts)` draws the reference's weights.

    The network takes (B, 3, 112, 112), or what `input_size` says: RGB 0..255, uint8 or floating. It gives
    (B, embedding_size) float32. `get_model(**net.spec)` builds the same network again.

    Args:
        name: r18, r34, r50, r100, r152, r200 (IResNet), mobilefacenet, or a class of one's own as "module:Class". Also
            other depths of the paper's code, such as r74, and its names r100fc, y1 and y2 (`recipe.aliases`).
        embedding_size: d; None: 512, or that of y1 and y2.
        options, **more: options of the network, as a dict or by keyword: `IResNet.OPTIONS`, `MobileFaceNet.OPTIONS`.

    Raises:
        UserError: unknown name or option (the nearest known one is named), or a value out of range.
    """
    alias = NETWORKS.get(name, {})
    name, options = alias.get("name", name), {**alias.get("options", {}), **(options or {})}
    embedding_size = alias.get("embedding_size", 512) if embedding_size is None else embedding_size
    network, _ = _find(name)
    defaults = model_options(name)
    chosen = {**defaults, **options, **more}
    for option, value in chosen.items():
        if option not in defaults:
            raise UserError(f"unknown option {option!r} for {name}{did_you_mean(option, defaults)}")
        _check(f"{name}: {option}", value, network.OPTIONS[option])
    _check(f"{name}: embedding_size", embedding_size, EMBEDDING_SIZE)
    spec = {"name": name, "embedding_size": embedding_size, "options": chosen}
    return network(spec, embedding_size=embedding_size, **chosen)


def network_of(spec: dict, source: str | Path) -> HybridBlock:
    """The network, not initialised, that a file describes by the arguments of `get_model`.

    Raises:
        UserError: there is no such network; `source` names the file.
    """
    if not isinstance(spec, dict) or "name" not in spec:
        raise UserError(f"{source} does not describe a network; choose another one")
    try:
        return get_model(**spec)
    except (TypeError, UserError) as error:
        raise UserError(f"{source} does not describe a network that is known here ({error})") from error


def _check(what, value, option: Option) -> None:
    if option.allowed and not option.allowed.test(value):
        raise UserError(f"{what}={value!r} {option.allowed.refusal}")
