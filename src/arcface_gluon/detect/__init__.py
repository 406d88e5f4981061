"""Faces in photographs: MTCNN, or another detector behind the same interface, and aligned crops of what they find."""

from .faces import Detector, Face, open_detector

__all__ = ["Detector", "Face", "open_detector"]
