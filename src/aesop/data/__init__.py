"""Pictures: files in and out, the bicubic degradation, preparation for training, training crops.

`pictures` and `bicubic` stand alone; `prepare` makes a store of them, `crops` reads it.
"""

__all__ = ["bicubic", "crops", "pictures", "prepare", "prepared", "sources"]
