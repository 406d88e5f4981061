"""Training records, verification sets, batches and alignment."""

from .batches import Batch, Batches
from .decode import decode_image
from .pairs import read_bin, write_bin
from .recordio import RecordReader, RecordWriter
from .records import FaceRecords, write_training_set
from .transforms import Augment

__all__ = [
    "Augment",
    "Batch",
    "Batches",
    "FaceRecords",
    "RecordReader",
    "RecordWriter",
    "decode_image",
    "read_bin",
    "write_bin",
    "write_training_set",
]
