#!/bin/sh
# Finds what the tests need of the system, or installs Debian's: a Chromium for the browser tests, and strace, which
# watches what the decoders open.
set -eu

has_one_of() {
    for name in "$@"; do
        if command -v "$name" >/dev/null; then return 0; fi
    done
    return 1
}

missing=""
has_one_of chromium chromium-browser google-chrome || missing="chromium"
has_one_of strace || missing="$missing strace"
if [ -z "$missing" ]; then exit 0; fi

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif has_one_of sudo && sudo -n true 2>/dev/null; then
    as_root="sudo"
else
    echo "The tests need $missing. Install that (apt-get install $missing) or run 'make test' as root once." >&2
    exit 1
fi
if ! has_one_of apt-get; then
    echo "The tests need $missing, and this system has no apt-get: install that in its own way." >&2
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086 # one word for each package
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
