"""What the paper's analysis figures show, measured on any model: tensors in, numbers out, and a drawing of each."""
