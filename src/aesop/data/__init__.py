"""Pictures: files in and out, the bicubic degradation, preparation for training, training crops."""

from aesop.data.bicubic import resize
from aesop.data.crops import Crops, batches
from aesop.data.pictures import find_pictures, read_picture, write_picture
from aesop.data.prepared import PreparedData

__all__ = ["Crops", "PreparedData", "batches", "find_pictures", "read_picture", "resize", "write_picture"]
