#!/bin/sh
# Train the example models that the store lacks: `make store`, and the image `train`.
#
# STORE is the store (BIJECTA_STORE, else ./store); runs lie in ./runs. MODELS names the models.
# With --if-empty, a store that holds a model of another name stays as it is.
set -e
store=${STORE:-${BIJECTA_STORE:-store}}
# the quickest one first, so that a server that waits for them has something to show within a minute
: "${MODELS:=wine moons-maf moons-iaf digits-nice digits-realnvp digits-maf digits-student wine-detector}"

if test "${1:-}" = --if-empty; then
    for manifest in "$store"/*/*/manifest.json; do
        test -e "$manifest" || continue
        model=$(basename "$(dirname "$(dirname "$manifest")")")
        case " $MODELS " in *" $model "*) continue ;; esac
        echo "fill-store: the store holds $model, which is no example: it stays as it is"
        exit 0
    done
    if ! test -w "$store"; then
        echo "fill-store: user $(id -u) may not write to $store, so that it stays as it is" >&2
        exit 1
    fi
fi

# each export runs beside the training of the next model, and has its say at the end
exports=
count=0
for model in $MODELS; do
    count=$((count + 1))
    ls "$store/$model"/*/manifest.json >/dev/null 2>&1 && continue
    echo "fill-store: $model, model $count of $(echo $MODELS | wc -w)"
    case $model in wine*)
        fit=fit
        test "$model" = wine || fit=fit-detector
        python -m training.data.examples.wine runs/wine.csv
        bijecta $fit runs/wine.csv --name "$model" --store "$store"
        continue
        ;;
    esac
    learn=train
    if test "$model" = digits-student; then
        test -e runs/digits-maf || bijecta train digits-maf --device cpu
        learn="distill runs/digits-maf"
    fi
    bijecta $learn "$model" --device cpu
    layers=
    case $model in moons-*) layers=--layers ;; esac # flows of two numbers, which can be watched
    bijecta export "runs/$model" --store "$store" $layers >"runs/$model/export.log" 2>&1 &
    exports="$exports $!:$model"
done
for export in $exports; do
    wait "${export%:*}" || failed=yes
    cat "runs/${export#*:}/export.log"
done
test -z "$failed"
