#!/bin/sh
# Resolves every dependency into requirements/*.txt, one file for each installation, with the hashes of all files.
# What a file already names stays as it is; `lock.sh --upgrade` takes the newest that pyproject.toml allows.
set -eu
cd "$(dirname "$0")/.."

compile() { # the file's name, then what it is made of
    name=$1
    shift
    echo "requirements/$name.txt"
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-package \
        audio-driven-image-stylization --custom-compile-command "make lock" \
        --output-file "requirements/$name.txt" "$@"
}

upgrade=${1:-}
# The development environment comes first: whatever else is installed has the versions that the tests ran with.
compile dev pyproject.toml $upgrade --extra service --extra training --extra prepare --extra metrics --extra words \
    --extra dev --extra docs
compile api pyproject.toml --constraints requirements/dev.txt --extra api --extra s3 --extra tracing
compile service pyproject.toml --constraints requirements/dev.txt --extra service --extra s3 --extra tracing
compile training pyproject.toml --constraints requirements/dev.txt --extra service --extra training
# The speech detector asks for ONNX Runtime for CPUs, which must not lie beside the one for GPUs.
compile gpu pyproject.toml requirements/speech.in --constraints requirements/dev.txt \
    --overrides requirements/gpu-overrides.txt --extra gpu --extra s3 --extra tracing
compile store requirements/store.in --constraints requirements/dev.txt
