"""iQIYI-VID: mean average precision of the first 100 videos found for each person.

A person is a query vector (a class's row of a classifier, or the feature centre of the person's training videos), a
video the feature centre of its frames (`ijb_templates.pool`). All methods of Table 9 are inner products: plain
cosines, the scores of a classifier, a mean over models, context features as one more part; `combine` joins them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

import numpy as np

from .. import runtime
from ..errors import UserError
from .scores.search import top_k


@dataclass
class Retrieval:
    """Result of `mean_average_precision`.

    average_precision: (q,) of each query with a relevant video. without_relevant: queries left out for having none.
    more_than_k: queries with more than k relevant videos, whose average precision cannot reach 1.
    """

    average_precision: np.ndarray
    k: int
    videos: int
    without_relevant: int
    more_than_k: int

    @property
    def map(self) -> float:
        return float(self.average_precision.mean())

    def to_json(self) -> dict:
        return {
            f"map_at_{self.k}": self.map,
            "queries": len(self.average_precision),
            "videos": self.videos,
            "queries_without_relevant_video": self.without_relevant,
            "queries_with_more_relevant_videos_than_k": self.more_than_k,
        }


def combine(
    parts: Sequence[tuple[np.ndarray, np.ndarray]], weights: Sequence[float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Join several pairs (queries, videos) into one, whose score is the weighted sum of their scores.

    Args:
        parts: pairs of arrays (q, d_i) and (m, d_i): several models, or a model and context features.
        weights: one a part; None: the mean.

    Raises:
        UserError: parts with other numbers of queries or videos.
    """
    weights = [1 / len(parts)] * len(parts) if weights is None else weights
    if len(weights) != len(parts):
        raise UserError(f"{len(parts)} sets of features, but {len(weights)} weights; give one a set")
    for queries, videos in parts:
        if (len(queries), len(videos)) != (len(parts[0][0]), len(parts[0][1])) or queries.shape[1] != videos.shape[1]:
            raise UserError(
                f"features of {len(queries)} x {queries.shape[1]} queries and {len(videos)} x {videos.shape[1]} videos "
                f"do not fit the first set's {len(parts[0][0])} queries and {len(parts[0][1])} videos"
            )
    queries = np.concatenate([np.asarray(q, np.float32) * np.float32(w) for (q, _), w in zip(parts, weights)], axis=1)
    return queries, np.concatenate([np.asarray(v, np.float32) for _, v in parts], axis=1)


def mean_average_precision(
    queries: np.ndarray,
    query_labels: np.ndarray,
    videos: np.ndarray,
    video_labels: np.ndarray,
    k: int = 100,
    contexts: runtime.Devices = None,
    names: Sequence[Any] | np.ndarray | None = None,
) -> Retrieval:
    """Rank all videos for each query by inner product and score the first k.

    AP = 1/m sum over the relevant videos among the first k of the precision up to their rank, m being the number of
    all relevant videos. Of equal scores the earlier video comes first.

    Args:
        queries: (q, d). query_labels: (q,) distinct persons. videos: (n, d), may be a memory map. video_labels: (n,)
            person of each, or anything that is no query (-1) for a distractor. names: of the videos, for errors.

    Raises:
        UserError: NaN (named), sizes that do not fit, a person queried twice, or no query with a relevant video.
    """
    query_labels, video_labels = np.asarray(query_labels), np.asarray(video_labels)
    if len(video_labels) != len(videos) or len(query_labels) != len(queries):
        raise UserError(
            f"{len(queries)} queries with {len(query_labels)} labels, {len(videos)} videos with {len(video_labels)}; "
            "there must be one label each"
        )
    if queries.shape[1] != videos.shape[1]:
        raise UserError(f"queries have {queries.shape[1]} values, videos {videos.shape[1]}; use one model for both")
    values, counts = np.unique(query_labels, return_counts=True)
    if (counts > 1).any():
        raise UserError(f"person {values[counts > 1][0]} is queried twice; join the two queries")

    def load(start, stop):
        return _finite(videos[start:stop], "video", names[start:stop] if names is not None else range(start, stop))

    relevant = np.array([np.count_nonzero(video_labels == label) for label in query_labels])
    asked = relevant > 0
    if not asked.any():
        raise UserError("no video shows any of the persons asked for; check the labels")
    rows = _finite(queries[asked], "query", query_labels[asked])
    _, found = top_k(rows, load, len(videos), k, contexts)
    hits = video_labels[found] == query_labels[asked][:, None]
    precision = np.cumsum(hits, axis=1) / np.arange(1, found.shape[1] + 1)
    return Retrieval(
        average_precision=(precision * hits).sum(axis=1) / relevant[asked],
        k=k,
        videos=len(videos),
        without_relevant=int(np.count_nonzero(~asked)),
        more_than_k=int(np.count_nonzero(relevant > k)),
    )


def _finite(features, what, names):
    features = np.ascontiguousarray(features, np.float32)
    if not np.isfinite(features.sum()):
        for i in np.flatnonzero(~np.isfinite(features).all(axis=1))[:1]:
            raise UserError(f"{what} {names[i]} has NaN or infinite values; extract it again or leave it out")
    return features
