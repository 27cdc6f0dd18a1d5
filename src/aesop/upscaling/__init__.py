"""Pictures upscaled with a model: tiles, and pictures in and out."""
