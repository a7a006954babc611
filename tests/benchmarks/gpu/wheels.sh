#!/bin/sh
# Download what gpu-check needs on a machine with PyTorch for CUDA 13 and without a network, where
# Python is 3.12: to FOLDER (build/gpu-wheels). Wheels of more than 40 MB are split.
set -eu
folder=${1:-build/gpu-wheels}
mkdir -p "$folder"
# all that serving stands on, but for numpy, which came with PyTorch
.venv/bin/python - > "$folder/wheels.txt" <<'END'
from importlib.metadata import requires, version
from packaging.requirements import Requirement

found = {}


def add(name, extras=()):
    for text in requires(name) or ():
        needed = Requirement(text)
        marker = needed.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            if needed.name not in found and needed.name != "numpy":
                found[needed.name] = version(needed.name)
                add(needed.name, needed.extras)


add("bijecta")
print(*sorted(f"{name}=={number}" for name, number in found.items()), sep="\n")
END
.venv/bin/pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 \
    --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    --platform manylinux1_x86_64 --dest "$folder" --requirement "$folder/wheels.txt"
# for its name and version alone: the code is that of the repository
.venv/bin/pip wheel --quiet --no-deps --wheel-dir "$folder" .
for wheel in "$folder"/*.whl; do
    if [ "$(wc -c < "$wheel")" -gt 40000000 ]; then
        split --bytes=40000000 "$wheel" "$wheel.part-"
        rm "$wheel"
    fi
done
ls -l "$folder"
