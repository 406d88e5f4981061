"""Training records, verification sets, batches and alignment."""

from .pairs import read_bin, write_bin
from .recordio import RecordReader, RecordWriter
from .records import FaceRecords, write_training_set

__all__ = ["FaceRecords", "RecordReader", "RecordWriter", "read_bin", "write_bin", "write_training_set"]
