"""Faces in photographs: MTCNN, or another detector behind the same interface, and aligned crops of what they find."""

from .detectors import open_detector
from .faces import Detector, Face

__all__ = ["Detector", "Face", "open_detector"]
