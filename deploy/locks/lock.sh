#!/bin/sh
# Pin what the images install, with hashes, for Python 3.11 on Linux: `make lock`.
# Pins that still fit stay; `make lock LOCK=--upgrade` takes the newest.
set -eu
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

# extras of the serving images
extras="--extra arrow --extra s3 --extra gs --extra az --extra hf --extra https --extra grpc --extra mcp --extra sign --extra traces"

compile() { # OUTPUT INPUT...
    output=$1
    shift
    "$UV" pip compile --quiet --generate-hashes --no-annotate --python-version 3.11 \
        --python-platform x86_64-manylinux_2_28 --custom-compile-command "make lock" \
        ${LOCK:-} "$@" --output-file "$output"
}

# hashes are those of the wheels of every platform, so that the images build for arm64 too
compile gpu.txt ../../pyproject.toml $extras --extra cuda --extra nvml

# onnxruntime is onnxruntime-gpu less CUDA: the same modules, a fifth of the size
sed 's/onnxruntime-gpu>=/onnxruntime>=/; /"torch==/d' ../../pyproject.toml >"$folder/pyproject.toml"
sed -n 's/^onnxruntime-gpu\(==[^ ]*\).*/onnxruntime\1/p' gpu.txt >"$folder/onnxruntime.txt"
compile cpu.txt "$folder/pyproject.toml" $extras -c "$folder/onnxruntime.txt" -c gpu.txt
compile train.txt "$folder/pyproject.toml" train.in $extras --extra train -c cpu.txt

# what builds the wheel of Bijecta
sed -n 's/^requires = \["\(setuptools[^"]*\)"\]/\1/p' ../../pyproject.toml >"$folder/build.in"
compile build.txt "$folder/build.in" -c train.txt
