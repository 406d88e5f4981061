"""The loss that a recipe's `head` group describes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..named import is_named, load_named
from .adaptive import AdaFace, MagFace
from .curricular import CurricularHead
from .margins import Margin
from .regularisers import Inter, Intra
from .sharded_head import ShardedMarginHead
from .softmax_head import SoftmaxHead
from .sub_centre import SubCentreHead
from .triplet import TripletHead

if TYPE_CHECKING:
    import mxnet as mx
    from easydict import EasyDict

    from ..parallel.collectives import ContextGroup
    from .interfaces import Head

# Margins by the name that head.kind has for them; their settings are head.options.
MARGINS = {"magface": MagFace, "adaface": AdaFace}


def build_head(
    settings: EasyDict,
    num_classes: int,
    embedding_size: int,
    contexts: list[mx.Context],
    seed: int = 0,
    group: ContextGroup | None = None,
) -> Head:
    """Head and loss of a recipe.

    Args:
        settings: the recipe's `head` group.
        num_classes, embedding_size, contexts, seed, group: as for `ShardedMarginHead`.

    Raises:
        UserError: settings that do not go together, or a margin or an option that cannot be.
    """
    place = (num_classes, embedding_size, contexts)
    head: ShardedMarginHead | None = None
    if settings.kind != "triplet":
        common: dict[str, Any] = {"seed": seed, "group": group, "dtype": settings.dtype}
        common.update({name: settings[name] for name in ("block_rows", "sample_rate", "label_smoothing")})
        head = _classifier(settings, place, common)
    elif settings.label_smoothing:
        raise UserError("head.label_smoothing is of a softmax, which head.kind=triplet alone has none of; set it to 0")
    if head is not None and not settings.triplet:
        return head
    return TripletHead(*place, margin=settings.triplet_margin, weight=settings.triplet, head=head, group=group)


def _classifier(
    settings: EasyDict, place: tuple[int, int, list[mx.Context]], common: dict[str, Any]
) -> ShardedMarginHead:
    _check(settings)
    try:
        if settings.kind == "softmax":
            return SoftmaxHead(*place, **common, **settings.options)
        common["scale"] = settings.scale
        common["intra"] = Intra(settings.intra) if settings.intra else None
        common["inter"] = Inter(settings.inter) if settings.inter else None
        if is_named(settings.kind):
            own = load_named("head.kind", settings.kind)
            if not hasattr(own, "EQUATION"):
                raise UserError(f"head.kind={settings.kind} is no margin with an EQUATION (see docs/extending.md)")
            if isinstance(own, type) and issubclass(own, ShardedMarginHead):
                return own(*place, **common, **settings.options)
            return ShardedMarginHead(*place, margin=own(**settings.options), **common)
        if settings.kind in MARGINS:
            return ShardedMarginHead(*place, margin=MARGINS[settings.kind](**settings.options), **common)
        common["margin"] = Margin(*settings.margin, boundary=settings.boundary)
        if settings.kind == "curricularface":
            return CurricularHead(*place, **common, **settings.options)
        if settings.sub_centres > 1:
            return SubCentreHead(*place, sub_centres=settings.sub_centres, **common, **settings.options)
        return ShardedMarginHead(*place, **common, **settings.options)
    except TypeError as error:
        raise UserError(f"head.options={dict(settings.options)}: {error}; docs/losses.md lists them") from error


def _check(settings):
    regularised = settings.intra or settings.inter
    if settings.kind == "softmax" and regularised:
        raise UserError("head.intra and head.inter are of angles, which head.kind=softmax has none of; set them to 0")
    if settings.sub_centres > 1 and (settings.kind != "margin" or regularised):
        raise UserError("head.sub_centres goes with head.kind=margin alone, without head.intra and head.inter")
