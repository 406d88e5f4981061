"""Answers from photographs: who is alike, who is who, and how sure that is."""

from ..lazy import lazily

_NAMES = {
    "Candidate": "gallery",
    "Entry": "gallery",
    "FoundFace": "recogniser",
    "Gallery": "gallery",
    "Likeness": "thresholds",
    "PhotographError": "recogniser",
    "Recogniser": "recogniser",
    "Thresholds": "thresholds",
    "cluster": "clusters",
    "compare": "thresholds",
    "enroll": "enrolment",
    "measure": "thresholds",
}
__all__ = [*_NAMES]
__getattr__, __dir__ = lazily(__name__, _NAMES)
