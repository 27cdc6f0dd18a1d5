"""Pictures: files in and out, the bicubic degradation, preparation for training, training crops."""
