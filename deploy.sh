#!/usr/bin/env bash
# Update a running papertape without losing an event, and put the old version back if the new one is not healthy.
set -euo pipefail

readonly IMAGE=papertape
readonly SERVICE=papertape
readonly DB=papertape.db
readonly UID_INSIDE=10001
readonly FREE_KB_MIN=2000000
readonly STALLED_S_MAX="${PAPERTAPE_STALLED_S:-120}"   # without any progress a start has failed
readonly READY_S_MAX="${PAPERTAPE_READY_S:-3600}"      # and after so long in any case
readonly STOP_S_MAX=30
readonly DECIDE_FROM="${PAPERTAPE_DECIDE_FROM:-}"        # decide from this day on, for a log of years
readonly DECISIONS=data/.decisions      # what the old version decides, while the new one compares
readonly OWN_CONFIG=./config/papertape.toml
readonly DIFFERS=6                      # the exit code of decide-diff where decisions differ

usage() {
    cat <<'TEXT'
Usage: ./deploy.sh [--dry-run] [--no-pull] [--accept-digest] [--accept-decisions] [--help]

Updates the papertape in this folder to the newest commit of its branch:
  1 checks   one deploy at a time, a clean working tree, room on the disk, data/ and logs/. An edited papertape.toml
             moves to config/, which git ignores, and .env gets the line that names it
  2 pull     git pull --ff-only
  3 backup   of the living log, restored and folded to the same state before anything else
  4 build    the new image, while the old version runs
  5 fold     the new image reads the backup: it must reach the same state
  6 decide   both images decide again on the inputs in the backup: differences are shown
  7 switch   the old version stops (SIGTERM, snapshot), the new one starts on the same data
  8 ready    its replay is watched until /ready says 200; else the old image starts again

  --dry-run           say what would be done, and do nothing
  --no-pull           deploy the commit that is checked out
  --accept-digest     go on if the new version folds the log to another state
  --accept-decisions  go on if the new version decides differently, on purpose
  --help              this text

It never deletes data, and changes no setting. A tripped kill switch stays tripped.
Exit codes: 0 the new version runs, 1 it does not and the old one runs again, 2 nothing was begun,
3 another deploy is running, 4 neither version is healthy, 130 interrupted (a version runs; run it again).
TEXT
}

dry_run=false pull=true accept_digest=false accept_decisions=false
for argument in "$@"; do
    case $argument in
        --dry-run) dry_run=true ;;
        --no-pull) pull=false ;;
        --accept-digest) accept_digest=true ;;
        --accept-decisions) accept_decisions=true ;;
        -h | --help) usage && exit 0 ;;
        *) echo "deploy: $argument is no option; see --help" >&2 && exit 2 ;;
    esac
done

cd "$(dirname "${BASH_SOURCE[0]}")"
readonly began_s=$SECONDS
port=8700
switched=false          # whether the old version was stopped
old_image=""            # by digest; empty on an empty box
backup_file="" backup_digest=""

say() { printf '%s  +%4ds  %s\n' "$(date -u +%H:%M:%SZ)" "$((SECONDS - began_s))" "$*"; }
refuse() { say "refused: $*" >&2 && exit 2; }
run() {
    if $dry_run; then say "would run: $*"; else "$@"; fi
}
compose() { docker compose "$@"; }

# ---------------------------------------------------------------- 1 checks

checks() {
    for tool in docker git flock curl; do
        command -v "$tool" >/dev/null || refuse "$tool is not installed"
    done
    docker info >/dev/null 2>&1 || refuse "the Docker engine does not answer"
    [ -f .env ] || refuse ".env is missing: copy .env.example and fill it in"
    port=$(sed -n 's/^PAPERTAPE_PORT=\([0-9][0-9]*\).*/\1/p' .env | tail -n 1)
    port=${port:-8700}
    move_configuration
    [ -z "$(changes)" ] || refuse "the working tree has changes; commit or put them aside"
    make_folders
    local free_kb log_kb
    free_kb=$(df -Pk data | awk 'NR == 2 {print $4}')
    log_kb=$(du -sk data 2>/dev/null | awk '{print $1}')
    [ "$free_kb" -ge $((FREE_KB_MIN + 3 * log_kb)) ] ||
        refuse "$((free_kb / 1024)) MB are free, $(((FREE_KB_MIN + 3 * log_kb) / 1024)) are needed for the image and a proved backup"
    old_image=$(running_image)
    say "checks passed; running: ${old_image:-nothing}"
}

# Tracked files that have been changed; a dry run has not moved the configuration.
changes() {
    git status --porcelain --untracked-files=no | { if $dry_run; then grep -v ' papertape.toml$'; else cat; fi || true; }
}

# Keep the owner's settings outside of what git tracks: an edited papertape.toml would block every pull.
move_configuration() {
    [ -z "$(setting PAPERTAPE_CONFIG_FILE)" ] || return 0
    git diff --quiet HEAD -- papertape.toml && return 0
    [ ! -e "$OWN_CONFIG" ] || refuse "papertape.toml has been edited and $OWN_CONFIG exists: name one of them in .env as PAPERTAPE_CONFIG_FILE"
    say "papertape.toml is edited: moving it to $OWN_CONFIG, which git ignores"
    $dry_run && return 0
    mkdir -p "$(dirname "$OWN_CONFIG")"
    cp papertape.toml "$OWN_CONFIG.new" && mv "$OWN_CONFIG.new" "$OWN_CONFIG"
    printf '\n# Moved here by deploy.sh, so that git can update its example.\nPAPERTAPE_CONFIG_FILE=%s\n' "$OWN_CONFIG" >>.env
    git checkout --quiet HEAD -- papertape.toml
}

make_folders() {
    for folder in data logs config/strategies; do
        [ -d "$folder" ] || run mkdir -p "$folder"
        [ "$(id -u)" != 0 ] || [ "$folder" = config/strategies ] || run chown "$UID_INSIDE:$UID_INSIDE" "$folder"
    done
}

# The image of the container that runs now, by digest.
running_image() {
    local id
    id=$(compose ps --quiet "$SERVICE" 2>/dev/null | head -n 1)
    [ -z "$id" ] || docker inspect --format '{{.Image}}' "$id"
}

# ---------------------------------------------------------------- 2 pull, 3 backup, 4 build, 5 fold, 6 decide

pull_newest() {
    if $pull; then
        run git pull --ff-only || refuse "git pull --ff-only failed; nothing was changed"
    fi
    commit=$(git rev-parse --short=12 HEAD)
    say "commit $commit"
}

back_up() {
    [ -n "$old_image" ] || { say "nothing runs here yet: no backup" && return 0; }
    $dry_run && say "would back up the living log, and prove the copy" && return 0
    local made
    made=$(compose exec -T "$SERVICE" papertape backup --db "/data/$DB" --json) ||
        refuse "no backup could be made and proved: ${made:-see above}"
    backup_file=$(field path <<<"$made")
    backup_digest=$(field digest <<<"$made")
    say "backup $backup_file, restored and folded: digest $backup_digest"
}

# A text of a JSON object on one line.
field() { sed -n "s/.*\"$1\":\"\\([^\"]*\\)\".*/\\1/p"; }

# A value of .env, empty if it is not there.
setting() { sed -n "s/^$1=\(.*\)/\1/p" .env 2>/dev/null | tail -n 1; }

build() {
    say "building $IMAGE:$commit while the old version runs"
    run docker build --quiet --target runtime --build-arg "COMMIT=$commit" \
        --build-arg "PYTHON_DIGEST=$(setting PYTHON_DIGEST)" \
        --build-arg "NODE_DIGEST=$(setting NODE_DIGEST)" --tag "$IMAGE:$commit" . ||
        refuse "the image could not be built"
}

# Run a command of an image, which can read the data and the configuration and reach nothing else.
in_image() {
    docker run --rm --interactive --network none --read-only --user "$UID_INSIDE:$UID_INSIDE" --env COLUMNS=100 \
        --volume "$(absolute "$(setting PAPERTAPE_CONFIG_FILE)" papertape.toml):/config/papertape.toml:ro" \
        --volume "$(absolute "$(setting PAPERTAPE_STRATEGIES_FOLDER)" config/strategies):/config/strategies:ro" \
        --volume "$(absolute "$(setting PAPERTAPE_ARCHIVE_FOLDER)" data/archive):/archive:ro" \
        --volume "$PWD/data:/data:ro" "$@"
}

# A path of .env, or the default, as compose reads it: relative to this folder.
absolute() {
    local path=${1:-$2}
    case $path in /*) echo "$path" ;; *) echo "$PWD/${path#./}" ;; esac
}

fold() {
    [ -n "$backup_file" ] || return 0
    local said
    if said=$(in_image "$IMAGE:$commit" refold --db "$backup_file" --expect "$backup_digest" 2>&1 </dev/null); then
        say "dry fold: $said"
    elif $accept_digest; then
        say "dry fold: $said; accepted as asked"
    else
        say "$said" >&2
        refuse "the new version does not read the log as the old one does; --accept-digest goes on all the same"
    fi
}

# The old version decides what to expect; if it does not know the command, its recorded decisions are expected.
decide() {
    [ -n "$backup_file" ] || return 0
    local code=0 from=()
    [ -z "$DECIDE_FROM" ] || from=(--from "$DECIDE_FROM")
    if in_image "$old_image" decide-diff "$backup_file" "${from[@]}" --write - >"$DECISIONS" 2>/dev/null </dev/null; then
        in_image "$IMAGE:$commit" decide-diff "$backup_file" --expect - 2>&1 <"$DECISIONS" || code=$?
    else
        say "the old version cannot write what it decides; comparing with the recorded decisions instead"
        in_image "$IMAGE:$commit" decide-diff "$backup_file" "${from[@]}" 2>&1 </dev/null || code=$?
    fi
    rm -f "$DECISIONS"
    if [ "$code" = 0 ]; then
        say "both versions decide the same"
    elif [ "$code" != "$DIFFERS" ]; then
        refuse "the new version could not decide again on the log"
    elif $accept_decisions; then
        say "the new version decides differently; accepted as asked"
    else
        refuse "the new version decides differently; --accept-decisions goes on all the same"
    fi
}

# ---------------------------------------------------------------- 7 switch, 8 ready

switch_over() {
    switched=true
    if [ -n "$old_image" ]; then
        say "stopping the old version"
        run compose stop --timeout "$STOP_S_MAX" "$SERVICE"
    fi
    start "$IMAGE:$commit"
}

# Start an image, by tag or digest, on the data that is there.
start() {
    run docker tag "$1" "$IMAGE:current"
    run compose up --detach --no-build "$SERVICE"
}

# Wait while the start makes progress. What /ready says changes with every page of the replay.
await_ready() {
    $dry_run && say "would wait for /ready" && return 0
    local answer last="" last_s=$SECONDS from_s=$SECONDS
    until answer=$(curl --silent --max-time 5 --fail-with-body "http://127.0.0.1:$port/ready"); do
        if [ "$answer" != "$last" ]; then
            say "not ready: $(reasons <<<"$answer")"
            last=$answer last_s=$SECONDS
        fi
        [ "$(compose ps --quiet --status running "$SERVICE" | wc -l)" -gt 0 ] || [ $((SECONDS - from_s)) -lt 5 ] ||
            { say "the container has ended" && return 1; }
        [ $((SECONDS - last_s)) -le "$STALLED_S_MAX" ] || { say "no progress for $STALLED_S_MAX s" && return 1; }
        [ $((SECONDS - from_s)) -le "$READY_S_MAX" ] || { say "not ready after $READY_S_MAX s" && return 1; }
        sleep 1
    done
}

reasons() {
    local text
    text=$(tr -d '\n' | sed -n 's/.*"reasons":\[\([^]]*\)\].*/\1/p')
    echo "${text:-no answer yet}"
}

roll_back() {
    say "the new version is not healthy; its last lines:" >&2
    compose logs --no-color --tail 40 "$SERVICE" >&2 || true
    if [ -z "$old_image" ]; then
        say "there is no old version to put back" >&2
        exit 4
    fi
    say "putting the old image back: $old_image"
    compose stop --timeout "$STOP_S_MAX" "$SERVICE" || true
    start "$old_image"
    await_ready || { say "the old version is not healthy either; its data is untouched" >&2 && exit 4; }
    switched=false
    say "the old version runs again"
}

interrupted() {
    trap '' INT TERM
    say "interrupted" >&2
    rm -f "$DECISIONS"
    if $switched; then
        if [ -n "$old_image" ]; then
            roll_back
        else
            await_ready || true
        fi
    fi
    exit 130
}

# ---------------------------------------------------------------- all of it

mkdir -p data
exec 9>data/.deploy.lock
flock --nonblock 9 || { say "another deploy is running" >&2 && exit 3; }
trap interrupted INT TERM

checks
pull_newest
back_up
build
fold
decide
switch_over
if await_ready; then
    switched=false
    say "$IMAGE:$commit is ready"
else
    roll_back
    exit 1
fi
