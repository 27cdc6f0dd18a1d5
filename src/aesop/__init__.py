"""AESOP: perceptual image super-resolution with auto-encoded supervision."""
