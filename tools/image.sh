#!/usr/bin/env bash
# Build the Dockerfile for one architecture or for several, with buildah alone or with docker's buildx.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: tools/image.sh [--arch ARCH[,ARCH]] [--push NAME] [--buildx NAME] [TARGET] [TAG]

Builds the Dockerfile's TARGET (runtime, research, study; default runtime) as localhost/papertape:TAG (default: TARGET)
with buildah, in the storage build/image (PAPERTAPE_IMAGES names another folder).

  --arch ARCHES   amd64, arm64 or both with a comma (default: this machine's). Each becomes localhost/papertape:TAG-ARCH
                  and localhost/papertape:TAG is their manifest list. A foreign one needs qemu-user-static and binfmt_misc
  --push NAME     push the result to a registry afterwards, for example ghcr.io/me/papertape:0.1.0
  --buildx NAME   build with `docker buildx` instead, and push to NAME

EXTRAS=exchanges adds ccxt, for every exchange but Bitget.
PYTHON_IMAGE and NODE_IMAGE name base images to pull, and PYTHON_DIGEST and NODE_DIGEST (@sha256:...) pin them. Without
names, buildah's base images are built here from Debian packages and this machine's node; this needs no image registry, but
root and debootstrap. This machine's settings for PyPI and npm are mounted during the build and end up in no layer.
TEXT
}

say() { printf 'image: %s\n' "$*" >&2; }
machine_arch() { case $(uname -m) in x86_64) echo amd64 ;; aarch64 | arm64) echo arm64 ;; *) uname -m ;; esac; }
uname_of() { case $1 in amd64) echo x86_64 ;; *) echo aarch64 ;; esac; }

arches=$(machine_arch) push="" buildx=""
while [ $# -gt 0 ]; do
    case $1 in
        --arch) arches=${2:?--arch needs a value} && shift ;;
        --push) push=${2:?--push needs a name} && shift ;;
        --buildx) buildx=${2:?--buildx needs a name} && shift ;;
        -h | --help) usage && exit 0 ;;
        -*) say "$1 is no option; see --help" && exit 64 ;;
        *) break ;;
    esac
    shift
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly TARGET=${1:-runtime} TAG=${2:-${1:-runtime}}
readonly IMAGES=${PAPERTAPE_IMAGES:-$PWD/build/image}
readonly SUITE=trixie
readonly BUNDLE=/etc/ssl/certs/ca-certificates.crt
readonly SETTINGS=$IMAGES/settings
IFS=, read -ra ARCHES <<<"$arches"
for arch in "${ARCHES[@]}"; do
    case $arch in amd64 | arm64) ;; *) say "$arch is neither amd64 nor arm64" && exit 64 ;; esac
done

arguments=(--target "$TARGET" --build-arg "COMMIT=${PAPERTAPE_COMMIT:-$(git rev-parse HEAD)}")
for name in PYTHON_IMAGE NODE_IMAGE PYTHON_DIGEST NODE_DIGEST EXTRAS; do
    [ -z "${!name:-}" ] || arguments+=(--build-arg "$name=${!name}")
done

if [ -n "$buildx" ]; then
    say "building $buildx for $arches with buildx"
    exec docker buildx build --platform "linux/${arches//,/,linux/}" "${arguments[@]}" --tag "$buildx" --push .
fi

needed=(buildah)
[ -n "${PYTHON_IMAGE:-}" ] || needed+=(debootstrap)
[ -n "${NODE_IMAGE:-}" ] || needed+=(npm node)
for tool in "${needed[@]}"; do
    command -v "$tool" >/dev/null || { say "$tool is not installed" && exit 69; }
done
[ "$(id -u)" = 0 ] || { say "needs root for its chroots" && exit 69; }
for arch in "${ARCHES[@]}"; do
    [ "$arch" = "$(machine_arch)" ] || grep -qs '^flags:.*F' "/proc/sys/fs/binfmt_misc/qemu-$(uname_of "$arch")" ||
        { say "this machine cannot run programs for $arch: install qemu-user-static and mount binfmt_misc" && exit 69; }
done

store() { buildah --root "$IMAGES/storage" --runroot "$IMAGES/run" --storage-driver vfs "$@"; }
has() { store inspect --type image "$1" >/dev/null 2>&1; }
# After a stage for the build platform, buildah 1.28 finds no image of another platform by its name, but it does by this.
id_of() { store inspect --type image --format '{{.FromImageID}}' "$1"; }

# ---------------------------------------------------------------- base images

# A small Debian with Python, like python:slim, for an architecture.
make_python() {
    local arch=$2 root=$IMAGES/$SUITE-python-$2 container
    if [ ! -e "$root.whole" ]; then
        say "building a base image for $arch from Debian packages"
        # An interrupted debootstrap leaves these mounted.
        for mounted in "$root/proc" "$root/sys"; do umount --lazy "$mounted" 2>/dev/null || true; done
        rm -rf --one-file-system "$root"
        debootstrap --arch="$arch" --variant=minbase --include=ca-certificates,python3,python3-venv,python3-pip \
            "$SUITE" "$root" >"$root.log"
        rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
        ln -sf python3 "$root/usr/bin/python"
        # Empty files at the mount points of this machine's settings.
        mkdir -p "$root/etc/uv" && touch "$root/etc/uv/uv.toml" "$root/etc/pip.conf" "$root/root/.npmrc"
        touch "$root.whole"
    fi
    container=$(store from --arch "$arch" scratch)
    store add --quiet "$container" "$root" / >/dev/null
    store config --os linux --arch "$arch" "$container"
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
    registry=$(npm config get registry 2>/dev/null || echo https://registry.npmjs.org/)
    printf '[global]\ncert = %s\n%s\n' "$BUNDLE" "${index:+index-url = $index}" >"$SETTINGS/pip.conf"
    printf 'native-tls = true\n%s\n' "${index:+index-url = \"$index\"}" >"$SETTINGS/uv.toml"
    printf 'cafile=%s\nregistry=%s\n' "$BUNDLE" "$registry" >"$SETTINGS/npmrc"
}

# ---------------------------------------------------------------- the image

build() {
    local arch=$1 tag=$2 bases=()
    if [ -z "${PYTHON_IMAGE:-}" ]; then
        has "localhost/papertape-python:$arch" || make_python "localhost/papertape-python:$arch" "$arch"
        bases+=(--build-arg "PYTHON_IMAGE=$(id_of "localhost/papertape-python:$arch")")
    fi
    if [ -z "${NODE_IMAGE:-}" ]; then
        has "localhost/papertape-python:$(machine_arch)" ||
            make_python "localhost/papertape-python:$(machine_arch)" "$(machine_arch)"
        has localhost/papertape-node || make_node localhost/papertape-node "localhost/papertape-python:$(machine_arch)"
        bases+=(--build-arg "NODE_IMAGE=$(id_of localhost/papertape-node)")
    fi
    [ ${#bases[@]} -lt 4 ] || bases+=(--pull-never)
    say "building the Dockerfile for $arch, target $TARGET"
    store bud --isolation chroot --format docker --platform "linux/$arch" --tag "localhost/papertape:$tag" \
        "${arguments[@]}" "${bases[@]}" \
        --volume "$BUNDLE:$BUNDLE:ro" --volume "$SETTINGS/pip.conf:/etc/pip.conf:ro" \
        --volume "$SETTINGS/uv.toml:/etc/uv/uv.toml:ro" --volume "$SETTINGS/npmrc:/root/.npmrc:ro" .
}

mkdir -p "$IMAGES"
# One build at a time: each ends by removing images without a name, among them those of another build's stages.
exec 9>"$IMAGES/lock"
flock --nonblock 9 || { say "waiting for another build in $IMAGES" && flock 9; }
write_settings
if [ ${#ARCHES[@]} = 1 ]; then
    build "$arches" "$TAG"
    [ -z "$push" ] || store push "localhost/papertape:$TAG" "docker://$push"
else
    for arch in "${ARCHES[@]}"; do build "$arch" "$TAG-$arch"; done
    store manifest rm "localhost/papertape:$TAG" >/dev/null 2>&1 || true
    store manifest create "localhost/papertape:$TAG" >/dev/null
    for arch in "${ARCHES[@]}"; do store manifest add "localhost/papertape:$TAG" "localhost/papertape:$TAG-$arch" >/dev/null; done
    [ -z "$push" ] || store manifest push --all "localhost/papertape:$TAG" "docker://$push"
fi
# Remove images left by earlier builds.
store rmi --prune >/dev/null 2>&1 || true
