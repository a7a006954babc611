#!/bin/sh
# Download what gpu-check needs on a machine with PyTorch for CUDA 13 and without a network, where
# Python is 3.12: to FOLDER (build/gpu-wheels). Wheels of more than 40 MB are split.
set -eu
folder=${1:-build/gpu-wheels}
mkdir -p "$folder"
names="onnxruntime-gpu annotated-doc annotated-types fastapi httptools orjson prometheus-client \
pydantic pydantic-core pydantic-settings python-dotenv starlette typing-extensions \
typing-inspection uvicorn"
.venv/bin/pip freeze | sed 's/_/-/g' > "$folder/frozen"
for name in $names; do grep -i "^$name==" "$folder/frozen"; done > "$folder/wheels.txt"
.venv/bin/pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 \
    --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    --dest "$folder" --requirement "$folder/wheels.txt"
for wheel in "$folder"/*.whl; do
    if [ "$(wc -c < "$wheel")" -gt 40000000 ]; then
        split --bytes=40000000 "$wheel" "$wheel.part-"
        rm "$wheel"
    fi
done
ls -l "$folder"
