#!/bin/sh
# Look for known weaknesses in an image, of its system and of its packages: deploy/scan.sh bijecta:cpu.
# Takes trivy or grype. Exit codes: 0 none that has a remedy, 1 some, 2 there is no scanner.
set -eu
image=${1:?expected an image, such as bijecta:cpu}
if command -v trivy >/dev/null; then
    exec trivy image --severity HIGH,CRITICAL --ignore-unfixed --exit-code 1 "$image"
elif command -v grype >/dev/null; then
    grype "$image" --only-fixed --fail-on high || exit 1
else
    echo "scan.sh: expected trivy or grype on the PATH" >&2
    exit 2
fi
