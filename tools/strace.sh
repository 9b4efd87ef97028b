#!/bin/sh
# Install strace, through which the tests see what reaches the disk. Where that fails they are skipped, and say so.
command -v strace >/dev/null 2>&1 && exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update >/dev/null && apt-get -qq install -y strace >/dev/null && exit 0
fi
echo "no power cut is proved here: install your system's package strace" >&2
