#!/bin/sh
# Ask PyPI's advisory service about all that the images pin: `make audit`. Exit codes: 0 nothing is known
# against it, 1 a package has an advisory, 2 the service could not be asked.
set -u
cd "$(dirname "$0")/locks" || exit 2
code=0
for lock in build cpu gpu train; do
    # strict: a package that the service does not know is no package without advisories
    if said=$("$PIP_AUDIT" --strict --require-hashes --disable-pip --progress-spinner off \
        -r "$lock.txt" 2>&1); then
        echo "$lock.txt: nothing is known against it"
        continue
    fi
    case $said in
    *Error:* | *"could not be audited"*)
        echo "$lock.txt was not audited, as PyPI's advisory service could not be asked:" >&2
        printf '%s\n' "$said" | tail -n 1 >&2
        exit 2
        ;;
    esac
    printf '%s.txt:\n%s\n' "$lock" "$said"
    code=1
done
exit $code
