# docker build -t aesop .
# docker run --rm --gpus all --ipc host -v "$PWD:/data" aesop upscale holiday.jpg
# BASE is any image with Python 3.10 to 3.13: one with CUDA's libraries, say. EXTRAS are the package's.
ARG BASE=python:3.12-slim
FROM ${BASE}
ARG EXTRAS=laptop,metrics
# An index of wheels for one kind of device, such as PyTorch's for CPUs; unset, pip's own, whose torch brings CUDA.
ARG TORCH_INDEX=
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN if [ -n "$TORCH_INDEX" ]; then pip install --no-cache-dir --index-url "$TORCH_INDEX" torch torchvision; fi \
    && pip install --no-cache-dir ".[$EXTRAS]"
WORKDIR /data
ENTRYPOINT ["aesop"]
