#!/bin/sh
# Join the wheels in FOLDER (build/gpu-wheels), install them to SITE (build/gpu-site) and write
# SITE/environment.sh, to be read by the shell that runs gpu-check in this folder.
set -eu
folder=${1:-build/gpu-wheels}
site=$(realpath -m "${2:-build/gpu-site}")
for first in "$folder"/*.whl.part-aa; do
    [ -e "$first" ] || continue
    wheel=${first%.part-aa}
    cat "$wheel".part-* > "$wheel"
    rm "$wheel".part-*
done
python3 -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade \
    --target "$site" "$folder"/*.whl
# CUDA's and cuDNN's libraries, which came with PyTorch
libraries=$(python3 -c '
from importlib.util import find_spec
from pathlib import Path
spec = find_spec("nvidia")
places = [] if spec is None else spec.submodule_search_locations
print(":".join(str(path) for place in places for path in Path(place).glob("*/lib")))')
{
    echo "export PYTHONPATH='$PWD:$PWD/service/client/src:$PWD/training/estimators/src:$site'"
    echo "export LD_LIBRARY_PATH='$libraries'\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
} > "$site/environment.sh"
