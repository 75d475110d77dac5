#!/bin/sh
# Finds a Chromium for the browser test, or installs Debian's.
set -eu

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then exit 0; fi
done

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo"
else
    echo "The browser test needs Chromium. Install it (apt-get install chromium) or run 'make test' as root once." >&2
    exit 1
fi
if ! command -v apt-get >/dev/null; then
    echo "The browser test needs Chromium, and this system has no apt-get: install Chromium in its own way." >&2
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends chromium >/dev/null
