"""Training records, verification sets, batches and alignment."""

from .batches.augment import Augment
from .batches.stream import Batch, Batches
from .images.decode import decode_image
from .records.recordio import RecordReader, RecordWriter
from .records.training_set import FaceRecords, write_training_set
from .verification.bin_file import read_bin, write_bin

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
