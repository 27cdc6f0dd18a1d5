"""The page of `aesop ui`."""
