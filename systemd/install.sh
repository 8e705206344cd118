#!/usr/bin/env bash
# Installs fer-edge as a service, or upgrades it, from a checkout or a released tarball: sudo ./systemd/install.sh
# For 64-bit Raspberry Pi OS and Debian, Bookworm or Trixie; from the archive where it can be, the rest with pip.
# Each version lives in a folder of its own below /opt/fer-edge. The last step that can fail comes before the switch to
# the new one: until then the old one runs on, however this ends.
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
prefix=/opt/fer-edge
config=/etc/fer-edge/config.yaml
log=/var/log/fer-edge-install.log
python=/usr/bin/python3 # picamera2 and its NumPy fit no other
from_archive="python3-venv python3-numpy python3-yaml python3-rich"

main() {
    check_machine
    mkdir -p "$prefix"
    exec 9>"$prefix/.lock"
    flock --nonblock 9 || die "another install.sh, or the pip of one that was killed, is running"
    old=$(readlink "$prefix/current" || true)
    new=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' "$repository/fer_edge/__init__.py")-$(date +%Y%m%d%H%M%S)
    remove_versions_but "${old:-none}"
    trap '[ "$(readlink "$prefix/current")" = "$new" ] || rm -rf "${prefix:?}/$new"' EXIT
    : >"$log"
    install_from_archive
    make_environment "$prefix/$new"
    try_environment "$prefix/$new"
    keep_or_write_config
    install_service
    switch
    look_and_start
    remove_versions_but "$new"
    say "$new is installed in $prefix ($(du -sm "$prefix" | cut -f1) MB); to remove it: sudo $prefix/uninstall.sh"
}

say() {
    echo "install: $*"
}

die() {
    echo "install: $*" >&2
    exit 1
}

# An upgrade that fails leaves the old version running; a first installation leaves nothing.
fail() {
    die "$1${old:+ The version before this one still runs.} All that was said: $log"
}

check_machine() {
    [ "$(id -u)" = 0 ] || die "root is needed: sudo $0"
    [ -d /run/systemd/system ] || die "systemd is needed, and does not run here"
    local architecture
    architecture=$(dpkg --print-architecture)
    case $architecture in
        amd64 | arm64) ;;
        *) die "a 64-bit system is needed (amd64 or arm64), got $architecture: use the 64-bit Raspberry Pi OS" ;;
    esac
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        die "$python: 3.11 or newer is needed (Bookworm, Trixie), got: $("$python" --version 2>&1 || true)"
    ! is_installed fer-edge || die "fer-edge is installed as a package; remove that first: sudo apt remove fer-edge"
}

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

# NumPy and what else the archive has; picamera2 where it has that (Raspberry Pi OS), without its windows and GL.
install_from_archive() {
    local wanted="" package
    for package in $from_archive; do
        is_installed "$package" || wanted+=" $package"
    done
    if [ -n "$wanted" ] || ! is_installed python3-picamera2; then
        say "asking the archive for$wanted python3-picamera2"
        apt-get update >>"$log" 2>&1 || [ -z "$wanted" ] || fail "apt-get update failed: is there a network?"
        if apt-cache show python3-picamera2 >/dev/null 2>&1; then
            wanted+=" python3-picamera2"
        else
            say "the archive has no python3-picamera2: webcams, streams and files only"
        fi
    fi
    # shellcheck disable=SC2086 # a list of words
    [ -z "$wanted" ] || DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $wanted \
        >>"$log" 2>&1 || fail "apt-get could not install$wanted: is there a network?"
}

# The system's NumPy, and of all else exactly the wheels of the Debian package: pip takes no byte whose sum is not in the
# lock, and builds nothing.
make_environment() {
    local numpy
    numpy=$("$python" -c 'import numpy; print(numpy.__version__)')
    say "making $1 with the system's NumPy $numpy (pip downloads 90 to 120 MB)"
    "$python" -m venv --system-site-packages "$1" >>"$log" 2>&1 || fail "$python -m venv failed."
    mkdir "$1/tmp" # /tmp may be memory, and a small machine has little
    TMPDIR=$1/tmp "$1/bin/python" -m pip install --disable-pip-version-check --no-cache-dir --require-hashes --no-deps \
        --only-binary=:all: --requirement "$repository/systemd/debian/wheels.lock" >>"$log" 2>&1 ||
        fail "pip failed: $(grep -q 'DO NOT MATCH THE HASHES' "$log" && echo "a download is not what was released" ||
            echo "is there a network?")"
    rm -r "$1/tmp"
    copy_program "$1"
    # shellcheck disable=SC2016 # the editor's $schema
    sed 's|\$schema=\./docs/.*|$schema=/opt/fer-edge/current/config.schema.json|' "$repository/config.yaml" >"$1/config.yaml"
    cp "$repository/docs/config.schema.json" "$1/"
}

copy_program() {
    local site
    site=$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    cp -r "$repository/fer_edge" "$site/"
    find "$site/fer_edge" -name __pycache__ -prune -exec rm -rf {} +
    mkdir "$site/fer_edge/models"
    cp "$repository"/models/*.tflite "$repository"/models/*.json "$site/fer_edge/models/"
    chmod -R a+rX "$site/fer_edge" # not what a checkout's umask made of it
    [ -n "${PIP_NO_COMPILE:-}" ] || "$1/bin/python" -m compileall -q "$site/fer_edge" >>"$log" 2>&1 || true
    printf '#!%s/bin/python -I\nimport sys\n\nfrom fer_edge.__main__ import main\n\nsys.exit(main())\n' "$1" >"$1/bin/fer-edge"
    chmod 755 "$1/bin/fer-edge"
}

try_environment() {
    "$1/bin/python" -c 'import numpy, sys; sys.exit(numpy.__file__.startswith(sys.prefix))' ||
        fail "pip has put a NumPy of its own before the system's."
    "$1/bin/fer-edge" analyze "$repository/fer_edge/camera/pictures/astronaut.jpg" --still >>"$log" 2>&1 ||
        fail "the new version does not run: $(tail -n 1 "$log")."
}

# What is edited stays; new defaults are put beside it, where they are new. A camera's address may hold a password.
keep_or_write_config() {
    local defaults=$prefix/$new/config.yaml before=$prefix/$old/config.yaml
    systemd-sysusers "$repository/systemd/debian/fer-edge.sysusers"
    mkdir -p "$(dirname "$config")"
    if [ ! -e "$config" ] || { [ -n "$old" ] && cmp --quiet "$config" "$before"; }; then
        install -m 640 -g fer-edge "$defaults" "$config"
    elif ! cmp --quiet "$defaults" "$config" && ! { [ -n "$old" ] && cmp --quiet "$defaults" "$before"; }; then
        install -m 640 -g fer-edge "$defaults" "$config.new"
        say "$config is kept; the new defaults are in $config.new"
    fi
    if [ "$(stat -c %U:%G:%a "$config")" = root:root:644 ]; then # as earlier versions left it
        chgrp fer-edge "$config"
        chmod 640 "$config"
    fi
}

install_service() {
    install -m 644 "$repository/systemd/debian/fer-edge.udev" /etc/udev/rules.d/60-fer-edge.rules
    if udevadm control --reload 2>/dev/null; then # a container has no udev
        udevadm trigger --subsystem-match=dma_heap
    fi
    install -m 755 "$repository/systemd/uninstall.sh" "$repository/systemd/check-as-service" "$prefix/"
    install -m 644 "$repository/systemd/fer-edge.service" /etc/systemd/system/fer-edge.service
}

# The unit names /opt/fer-edge/bin: one rename leads it to the new version.
switch() {
    if [ -e "$prefix/pyvenv.cfg" ]; then # an environment made by hand in this folder itself
        (cd "$prefix" && rm -rf bin include lib lib64 share pyvenv.cfg)
    fi
    ln -sfT current/bin "$prefix/bin"
    ln -sfT "$prefix/bin/fer-edge" /usr/local/bin/fer-edge
    ln -sfT "$new" "$prefix/current.new"
    mv -T "$prefix/current.new" "$prefix/current"
    systemctl daemon-reload
    say "$prefix/current is $new now"
}

# A service that somebody has stopped or disabled stays so.
look_and_start() {
    if [ -z "$old" ]; then
        systemctl --quiet enable fer-edge.service
    elif [ "$(systemctl is-active fer-edge.service)" = inactive ]; then
        say "the service was stopped and stays so"
        return
    fi
    systemctl stop fer-edge.service # one camera serves one program
    say "is everything in order? (sudo $prefix/check-as-service)"
    "$prefix/check-as-service" "$prefix/bin/fer-edge" ||
        say "not yet; after a change of $config: sudo systemctl restart fer-edge"
    if systemctl start fer-edge.service 2>/dev/null && systemctl --quiet is-active fer-edge.service; then
        say "the service runs; its log: journalctl -u fer-edge -f"
    else
        say "the service does not run yet; its log: journalctl -u fer-edge -f"
    fi
}

# Also what an install.sh that was killed has left.
remove_versions_but() {
    find "$prefix" -mindepth 1 -maxdepth 1 -type d -name '*-20[0-9]*' ! -name "$1" -exec rm -rf {} +
}

main
