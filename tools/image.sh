#!/usr/bin/env bash
# Build the Dockerfile with buildah, without Docker or an image registry. The base images are made from Debian packages
# and this machine's node. This machine's settings for PyPI and npm are mounted only during the build, and are in no layer.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: tools/image.sh [TARGET] [TAG]

Builds the Dockerfile's TARGET (runtime, research; default runtime) as localhost/papertape:TAG (default: TARGET)
with the storage in build/image (PAPERTAPE_IMAGES names another folder). Needs root, buildah and debootstrap.
PYTHON_IMAGE and NODE_IMAGE name base images that can be pulled; without them both are built here.
TEXT
}
case ${1:-} in -h | --help) usage && exit 0 ;; esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly TARGET=${1:-runtime} TAG=${2:-${1:-runtime}}
readonly IMAGES=${PAPERTAPE_IMAGES:-$PWD/build/image}
readonly SUITE=bookworm
readonly BUNDLE=/etc/ssl/certs/ca-certificates.crt
readonly SETTINGS=$IMAGES/settings

say() { printf 'image: %s\n' "$*" >&2; }
for tool in buildah debootstrap npm node; do
    command -v "$tool" >/dev/null || { say "$tool is not installed" && exit 69; }
done
[ "$(id -u)" = 0 ] || { say "needs root for its chroots" && exit 69; }

store() { buildah --root "$IMAGES/storage" --runroot "$IMAGES/run" --storage-driver vfs "$@"; }
has() { store inspect --type image "$1" >/dev/null 2>&1; }

# ---------------------------------------------------------------- base images

# A small Debian with Python, like python:slim.
make_python() {
    local root=$IMAGES/python-root container
    if [ ! -e "$root.whole" ]; then
        say "building a base image from Debian packages"
        rm -rf "$root"
        debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python3-pip "$SUITE" "$root" >"$root.log"
        rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
        ln -sf python3 "$root/usr/bin/python"
        # Empty files at the mount points of this machine's settings.
        mkdir -p "$root/etc/uv" && touch "$root/etc/uv/uv.toml" "$root/etc/pip.conf" "$root/root/.npmrc"
        touch "$root.whole"
    fi
    container=$(store from scratch)
    store add --quiet "$container" "$root" / >/dev/null
    store commit --quiet --rm "$container" "$1" >/dev/null
}

# The same with this machine's node and npm.
make_node() {
    local container modules
    modules=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
    container=$(store from "$2")
    store add --quiet "$container" "$(readlink -f "$(command -v node)")" /usr/local/bin/node >/dev/null
    store add --quiet "$container" "$modules" /usr/local/lib/node_modules/npm >/dev/null
    store run --isolation chroot "$container" -- ln -sf ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
    store commit --quiet --rm "$container" "$1" >/dev/null
}

# ---------------------------------------------------------------- settings for the registries

write_settings() {
    local index registry
    mkdir -p "$SETTINGS"
    index=$(pip config get global.index-url 2>/dev/null || true)
    registry=$(npm config get registry)
    printf '[global]\ncert = %s\n%s\n' "$BUNDLE" "${index:+index-url = $index}" >"$SETTINGS/pip.conf"
    printf 'native-tls = true\n%s\n' "${index:+index-url = \"$index\"}" >"$SETTINGS/uv.toml"
    printf 'cafile=%s\nregistry=%s\n' "$BUNDLE" "$registry" >"$SETTINGS/npmrc"
}

mkdir -p "$IMAGES"
python_image=${PYTHON_IMAGE:-localhost/papertape-python}
node_image=${NODE_IMAGE:-localhost/papertape-node}
[ -n "${PYTHON_IMAGE:-}" ] || has "$python_image" || make_python "$python_image"
[ -n "${NODE_IMAGE:-}" ] || has "$node_image" || make_node "$node_image" "$python_image"
write_settings
say "building the Dockerfile, target $TARGET"
store bud --isolation chroot --pull-never --format docker --target "$TARGET" --tag "localhost/papertape:$TAG" \
    --build-arg "PYTHON_IMAGE=$python_image" --build-arg "NODE_IMAGE=$node_image" \
    --build-arg "COMMIT=${PAPERTAPE_COMMIT:-$(git rev-parse HEAD)}" \
    --volume "$BUNDLE:$BUNDLE:ro" --volume "$SETTINGS/pip.conf:/etc/pip.conf:ro" \
    --volume "$SETTINGS/uv.toml:/etc/uv/uv.toml:ro" --volume "$SETTINGS/npmrc:/root/.npmrc:ro" .
# Remove images left by earlier builds.
store rmi --prune >/dev/null 2>&1 || true
