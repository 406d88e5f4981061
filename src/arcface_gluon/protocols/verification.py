"""Face verification (LFW, CFP-FP, AgeDB-30 and every other .bin set): are the two images of a pair one person?

The protocol is the one of the paper's public evaluation: embeddings of image and mirror image summed (by the caller),
L2-normalised here, squared L2 distance, 10 contiguous folds. In each fold the threshold that is best on the other nine
is applied to it. The reference loops over 400 (accuracy) and 4,000 (VAL) thresholds in each fold and passes over all
pairs every time; here each distance is put into its threshold's bin once, and sums over bins give every count exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Sequence

import numpy as np

from ..errors import UserError

ACCURACY_THRESHOLDS = np.arange(0, 4, 0.01)
VAL_THRESHOLDS = np.arange(0, 4, 0.001)
VAL_FAR = 1e-3
_BLOCK = 64  # pairs normalised and compared at a time, so that a block stays in the cache


@dataclass(frozen=True)
class VerificationResult:
    """What `evaluate_pairs` measured. Rates are fractions, distances squared L2 of unit vectors (0 to 4).

    `std` and `val_std` are population standard deviations over the folds; `threshold` is the mean of the folds' best.
    A rate without pairs to measure it on (no impostor pair, say) is NaN, and null in JSON.
    """

    pairs: int
    folds: int
    accuracy: float
    std: float
    threshold: float
    val: float
    val_std: float
    far: float
    auc: float
    eer: float
    tar_at_far: dict[float, float]
    distances: np.ndarray = field(repr=False)
    issame: np.ndarray = field(repr=False)

    @property
    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        """(fpr, tpr) of every operating point, without those on a straight line between their neighbours."""
        return thin_roc(*roc_curve(self.distances, self.issame))

    @property
    def threshold_angle(self) -> float:
        """The threshold as an angle, in degrees."""
        return float(pair_angles(self.threshold))

    def to_json(self) -> dict:
        """The measures (not the arrays) with JSON's types only."""
        names = ("accuracy", "std", "threshold", "threshold_angle", "val", "val_std", "far", "auc", "eer")
        measures = {name: _number(getattr(self, name)) for name in names}
        tar = {_far_name(far): _number(rate) for far, rate in self.tar_at_far.items()}
        return {
            "pairs": self.pairs,
            "genuine": int(self.issame.sum()),
            "folds": self.folds,
            **measures,
            "tar_at_far": tar,
        }


def one_kind(measures: dict) -> str | None:
    """ "genuine" or "impostor" if all pairs of `VerificationResult.to_json` are of that kind, else None.

    Accuracy then says nothing: the threshold that is best on the other folds accepts all pairs, or none.
    """
    genuine = measures.get("genuine")
    if genuine is None or genuine not in (0, measures.get("pairs")):
        return None
    return "genuine" if genuine else "impostor"


def accuracy_text(measures: dict) -> str:
    """ "99.53% ± 0.21%" of `VerificationResult.to_json`, or why there is none."""
    kind = one_kind(measures)
    if kind:
        return f"all pairs are {kind}, so that no accuracy is defined"
    return f"{measures['accuracy']:.2%} ± {measures['std']:.2%}"


def mean_accuracy(results: dict[str, dict]) -> float | None:
    """Mean accuracy over sets (name → `VerificationResult.to_json`); those of one kind of pair, which have none, are
    left out. None where no set has one.
    """
    accuracies = [measures["accuracy"] for measures in results.values() if not one_kind(measures)]
    return sum(accuracies) / len(accuracies) if accuracies else None


def evaluate_pairs(
    embeddings: np.ndarray,
    issame: np.ndarray | Sequence[bool],
    folds: int = 10,
    rows: np.ndarray | Sequence[int] | None = None,
) -> VerificationResult:
    """Run the 10-fold verification protocol.

    Args:
        embeddings: (2n, d), rows 2i and 2i+1 a pair, of any length; image and mirror already summed.
        issame: n truth values; true where the pair is of one person (genuine).
        folds: number of contiguous folds.
        rows: where pairs repeat images, the row of `embeddings` (m, d) of each of the 2n; None: 0 to 2n - 1.

    Raises:
        UserError: lengths that do not agree, fewer pairs than folds, or an embedding that has no direction (all zeros,
            NaN or infinite), named by its row.

    Source: FaceNet's and insightface's LFW evaluation. Same iff distance < threshold; the fold's threshold is the first
    of 0, 0.01 … 3.99 that is best on the other folds. VAL: genuine pairs accepted at the threshold (linear between the
    steps of 0.001) where the other folds' false accept rate is 1e-3, or at 0 where it never gets there.
    """
    embeddings, issame = np.asarray(embeddings), np.asarray(issame, dtype=bool)
    rows = np.arange(len(embeddings)) if rows is None else np.asarray(rows)
    if embeddings.ndim != 2 or len(rows) != 2 * len(issame):
        raise UserError(
            f"embeddings of shape {(len(rows), *embeddings.shape[1:])} do not fit {len(issame)} pairs: "
            "(2n, d) is needed, two rows a pair"
        )
    if folds < 2:
        raise ValueError(f"folds={folds}: at least two are needed")
    if len(issame) < folds:
        raise UserError(f"{len(issame)} pairs are too few for {folds}-fold verification: give at least {folds}")
    distances = pair_distances(embeddings, rows)
    fold_of_pair = np.repeat(np.arange(folds), _fold_sizes(len(issame), folds))
    accuracy, best = _accuracies(distances, issame, fold_of_pair, folds)
    val, far = _validation_rates(distances, issame, fold_of_pair, folds)
    fpr, tpr = roc_curve(distances, issame)
    has_genuine, has_impostors = issame.any(), not issame.all()
    return VerificationResult(
        pairs=len(issame),
        folds=folds,
        accuracy=float(accuracy.mean()),
        std=float(accuracy.std()),
        threshold=float(best.mean()),
        val=float(np.nanmean(val)) if has_genuine and has_impostors else float("nan"),
        val_std=float(np.nanstd(val)) if has_genuine and has_impostors else float("nan"),
        far=float(np.nanmean(far)) if has_impostors else float("nan"),
        auc=area_under(fpr, tpr),
        eer=equal_error_rate(fpr, tpr),
        tar_at_far=tar_at_far(fpr, tpr, int((~issame).sum())),
        distances=distances,
        issame=issame,
    )


def pair_distances(embeddings: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Squared L2 distances (n,) of the L2-normalised rows 2i and 2i+1, in the embeddings' own precision.

    With `rows` (2n,), they are those of embeddings[rows], which is never made as a whole: a set of some MB can name one
    image millions of times. Computed in the reference's order of operations, so that a distance on a threshold falls on
    the same side of it.

    Raises:
        UserError: a row is all zeros, or has a NaN or infinite value.
    """
    if embeddings.dtype not in (np.float32, np.float64):
        embeddings = embeddings.astype(np.float32 if embeddings.dtype == np.float16 else np.float64)
    distances = np.empty(len(embeddings if rows is None else rows) // 2, embeddings.dtype)
    for start in range(0, len(distances), _BLOCK):
        of_block = slice(2 * start, 2 * (start + _BLOCK))
        block = embeddings[of_block if rows is None else rows[of_block]]
        with np.errstate(over="ignore", invalid="ignore"):
            norms = np.sqrt(np.einsum("ij,ij->i", block, block))
        if not (np.isfinite(norms) & (norms > 0)).all():
            _refuse(2 * start, norms)
        unit = block / norms[:, None]
        difference = unit[0::2] - unit[1::2]
        distances[start : start + _BLOCK] = np.sum(np.square(difference, out=difference), axis=1)
    return distances


def pair_angles(distances: np.ndarray | float) -> np.ndarray:
    """Angles in degrees between unit vectors at the given squared L2 distances."""
    # arcsin of half the chord keeps small angles exact, where arccos(1 - d/2) loses half of the digits.
    chord = np.sqrt(np.asarray(distances, dtype=np.float64))
    return np.degrees(2 * np.arcsin(np.minimum(chord / 2, 1)))


def roc_curve(distances: np.ndarray, issame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates (fpr, tpr), from (0, 0) to (1, 1), one point for each distinct distance.

    A pair is accepted at a distance up to and including the point's. Rates of a missing kind of pair are NaN.
    """
    order = np.argsort(distances, kind="stable")
    ordered, genuine = distances[order], np.cumsum(issame[order])
    last = np.r_[np.flatnonzero(np.diff(ordered)), len(ordered) - 1]  # last of each run of equal distances
    true = np.r_[0, genuine[last]]
    false = np.r_[0, last + 1] - true
    with np.errstate(invalid="ignore"):
        return false / np.float64(false[-1]), true / np.float64(true[-1])


def thin_roc(fpr: np.ndarray, tpr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop the ROC's points on a horizontal or vertical stretch between its corners; the curve stays the same."""
    level_fpr, level_tpr = np.diff(fpr) == 0, np.diff(tpr) == 0
    straight = (level_fpr[:-1] & level_fpr[1:]) | (level_tpr[:-1] & level_tpr[1:])
    keep = np.r_[True, ~straight, True]
    return fpr[keep], tpr[keep]


def area_under(fpr: np.ndarray, tpr: np.ndarray) -> float:
    """Area under the ROC by trapezoids: the chance that a genuine pair is closer than an impostor, ties half."""
    return float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1])) / 2)


def equal_error_rate(fpr: np.ndarray, tpr: np.ndarray) -> float:
    """Error rate where false accepts equal false rejects, on the straight line between the two ROC points around it."""
    if np.isnan(fpr).any() or np.isnan(tpr).any():
        return float("nan")
    excess = fpr - (1 - tpr)  # -1 at (0, 0), 1 at (1, 1), never falling
    after = int(np.argmax(excess >= 0))
    part = -excess[after - 1] / (excess[after] - excess[after - 1])
    return float(fpr[after - 1] + part * (fpr[after] - fpr[after - 1]))


def tar_at_far(fpr: np.ndarray, tpr: np.ndarray, impostors: int) -> dict[float, float]:
    """True accept rate at false accept rates of at most 1e-1, 1e-2 …, as long as that allows one false accept."""
    if np.isnan(tpr).any():
        return {}
    targets = [float(f"1e-{power}") for power in range(1, 10)]
    return {
        far: float(tpr[np.searchsorted(fpr, far, side="right") - 1])
        for far in targets
        # Rounded: 1000 pairs at 1e-3 are one pair, whatever the product's last bit.
        if round(far * impostors, 6) >= 1
    }


def _accuracies(distances, issame, fold_of_pair, folds):
    # Accuracy of each fold at the threshold that is best on the others, and that threshold; both (folds,).
    accepted = _accepted(distances, fold_of_pair, folds, ACCURACY_THRESHOLDS, issame)
    right = accepted[1] + (np.bincount(fold_of_pair[~issame], minlength=folds)[:, None] - accepted[0])
    training = right.sum(axis=0) - right
    best = np.argmax(training, axis=1)  # the first of equals
    return right[np.arange(folds), best] / np.bincount(fold_of_pair), ACCURACY_THRESHOLDS[best]


def _validation_rates(distances, issame, fold_of_pair, folds):
    # VAL and FAR of each fold, NaN where the fold has no pair of the kind; both (folds,).
    false = _accepted(distances, fold_of_pair, folds, VAL_THRESHOLDS, issame)[0]
    impostors = np.bincount(fold_of_pair[~issame], minlength=folds)
    val, far = np.full(folds, np.nan), np.full(folds, np.nan)
    for fold in range(folds):
        training = impostors.sum() - impostors[fold]
        train_far = (false.sum(axis=0) - false[fold]) / max(training, 1)
        threshold = np.interp(VAL_FAR, train_far, VAL_THRESHOLDS) if train_far[-1] >= VAL_FAR else 0.0
        test = fold_of_pair == fold
        accepted, genuine = distances[test] < distances.dtype.type(threshold), issame[test]
        if genuine.any():
            val[fold] = accepted[genuine].mean()
        if not genuine.all():
            far[fold] = accepted[~genuine].mean()
    return val, far


def _accepted(distances, fold_of_pair, folds, thresholds, issame):
    # Pairs with distance < threshold: (2, folds, thresholds), impostors first.
    # Thresholds in the distances' precision, as the reference's comparison of an array with a number has them.
    steps = thresholds.astype(distances.dtype)
    first = np.searchsorted(steps, distances, side="right")  # the first threshold above the distance
    bins = (issame * folds + fold_of_pair) * (len(steps) + 1) + first
    counts = np.bincount(bins, minlength=2 * folds * (len(steps) + 1))
    return counts.reshape(2, folds, len(steps) + 1)[:, :, :-1].cumsum(axis=2)


def _fold_sizes(pairs, folds):
    # As KFold(shuffle=False): the first pairs % folds folds are one longer.
    return np.full(folds, pairs // folds) + (np.arange(folds) < pairs % folds)


def _refuse(first_row, norms):
    row = int(np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))[0])
    what = "is all zeros" if norms[row] == 0 else "has a NaN or infinite value"
    row += first_row
    raise UserError(f"embedding in row {row} (pair {row // 2}) {what}: check its image and the model that embedded it")


def _number(value):
    return None if np.isnan(value) else float(value)


def _far_name(far):
    return f"1e-{round(-np.log10(far))}"
