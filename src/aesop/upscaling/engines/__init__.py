"""What runs a generator: torch in several precisions, OpenVINO, ONNX Runtime, ncnn; and the choice between them."""
