#!/usr/bin/env bash
# Install papertape as a systemd service, without Docker. Run it again to update: it keeps settings, tokens and data.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: sudo deploy/install.sh [--root DIR] [--extras A,B] [--without-packages] [--no-start]
       sudo deploy/install.sh --uninstall [--root DIR]

Installs this checkout of papertape for systemd:
  the user papertape        without a shell or a home
  /opt/papertape/.venv      the program, with the locked versions of everything it needs
  /etc/papertape            papertape.toml (your settings) and environment (your tokens; PAPERTAPE_TOKEN is generated once)
  /var/lib/papertape        the log and its backups; /var/log/papertape the log files
  papertape.service         enabled and started

  --root DIR          install under DIR, without a user and without systemctl: for an image or a test
  --extras A,B        also install extras, for example research (these are not locked)
  --without-packages  leave /opt/papertape/.venv as it is
  --no-start          do not start or restart the service
  --uninstall         remove the service and the program; settings, data, log files and the user stay
  --help              this text
TEXT
}

root="" extras="" packages=true start=true uninstall=false
while [ $# -gt 0 ]; do
    case $1 in
        --root) root=${2:?--root needs a folder} && shift ;;
        --extras) extras=${2:?--extras needs names} && shift ;;
        --without-packages) packages=false ;;
        --no-start) start=false ;;
        --uninstall) uninstall=true ;;
        -h | --help) usage && exit 0 ;;
        *) echo "install: $1 is no option; see --help" >&2 && exit 64 ;;
    esac
    shift
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly SOURCE=$PWD
readonly ACCOUNT=papertape
readonly PROGRAM=$root/opt/papertape
readonly SETTINGS=$root/etc/papertape
readonly DATA=$root/var/lib/papertape
readonly LOGS=$root/var/log/papertape
readonly UNIT=$root/etc/systemd/system/papertape.service

say() { printf 'install: %s\n' "$*"; }
fail() { printf 'install: %s\n' "$*" >&2 && exit 69; }
has_systemd() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

remove() {
    if has_systemd; then systemctl disable --now papertape || true; fi
    rm -f "$UNIT"
    rm -rf "$PROGRAM"
    if has_systemd; then systemctl daemon-reload; fi
    say "removed the service and the program; $SETTINGS, $DATA and $LOGS stay"
}

# The first Python that is new enough.
python() {
    local one
    for one in python3 python3.13 python3.12 python3.11; do
        "$one" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$one" && return 0
    done
    fail "Python 3.11 or newer with venv is not installed (Debian: apt install python3-venv)"
}

make_user() {
    [ -z "$root" ] || return 0
    id "$ACCOUNT" >/dev/null 2>&1 ||
        useradd --system --user-group --no-create-home --home-dir /var/lib/papertape --shell /usr/sbin/nologin "$ACCOUNT"
}

# Change a path's owner and group, if there is such a user (not in another root).
own() { [ -n "$root" ] || chown "$1" "$2"; }

make_folders() {
    install -d -m 755 "$PROGRAM" "$(dirname "$UNIT")"
    install -d -m 750 "$SETTINGS" "$DATA" "$LOGS"
    own "root:$ACCOUNT" "$SETTINGS"
    own "$ACCOUNT:$ACCOUNT" "$DATA"
    own "$ACCOUNT:$ACCOUNT" "$LOGS"
}

install_packages() {
    local interpreter pip=("$PROGRAM/.venv/bin/python" -m pip --quiet --disable-pip-version-check install)
    interpreter=$(python)
    command -v npm >/dev/null || [ -e ui/assets/htmx.js ] || say "without npm the pages have no charts: see docs/operations.md"
    [ -x "$PROGRAM/.venv/bin/python" ] || "$interpreter" -m venv "$PROGRAM/.venv"
    say "installing the locked packages"
    "${pip[@]}" --require-hashes -r requirements/notify.lock
    "${pip[@]}" --no-deps --force-reinstall "$SOURCE"
    [ -z "$extras" ] || "${pip[@]}" "${SOURCE}[$extras]"
}

# Settings and tokens are created once and never overwritten.
write_settings() {
    local token
    [ -e "$SETTINGS/papertape.toml" ] || install -m 644 papertape.toml "$SETTINGS/papertape.toml"
    [ ! -e "$SETTINGS/environment" ] || return 0
    token=$(head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n')
    (umask 077 && sed "s/^PAPERTAPE_TOKEN=.*/PAPERTAPE_TOKEN=$token/; /^# For compose itself/,\$d" .env.example |
        sed '1,2c # Lines are NAME=value; what is empty is not used. systemd reads this file and gives it to papertape.' \
            >"$SETTINGS/environment.new")
    own "root:$ACCOUNT" "$SETTINGS/environment.new"
    chmod 640 "$SETTINGS/environment.new"
    mv "$SETTINGS/environment.new" "$SETTINGS/environment"
    say "generated a token for the page: see PAPERTAPE_TOKEN in $SETTINGS/environment"
}

install_unit() {
    install -m 644 deploy/papertape.service "$UNIT"
    has_systemd || { say "installed $UNIT; systemd does not run here, so nothing was started" && return 0; }
    systemctl daemon-reload
    systemctl enable papertape
    if $start; then systemctl restart papertape && say "papertape is running: journalctl -u papertape -f"; fi
}

[ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "needs root: sudo deploy/install.sh"
if $uninstall; then
    remove
    exit 0
fi
make_user
make_folders
if $packages; then install_packages; fi
write_settings
install_unit
