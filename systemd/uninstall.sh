#!/usr/bin/env bash
# Removes what install.sh has installed: sudo ./systemd/uninstall.sh [--purge]
# Configuration, state and the user fer-edge stay, so that install.sh finds them again; with --purge they go too, and the
# passwords and token. Packages from the archive (python3-picamera2 and others) stay: other programs may use them.
set -euo pipefail

case "${1:-}" in
    "" | --purge) ;;
    *)
        echo "uninstall: unknown argument: $1; expected --purge or nothing" >&2
        exit 2
        ;;
esac
if [ "$(id -u)" != 0 ]; then
    echo "uninstall: root is needed: sudo $0" >&2
    exit 1
fi
if [ "$(dpkg-query -W -f '${db:Status-Status}' fer-edge 2>/dev/null)" = installed ]; then
    echo "uninstall: fer-edge is installed as a package: sudo apt remove fer-edge (or apt purge)" >&2
    exit 1
fi

systemctl --quiet disable --now fer-edge.service 2>/dev/null || true # it may be gone already
# the device goes from the broker, and from Home Assistant
if [ "${1:-}" = --purge ] && [ -x /opt/fer-edge/bin/fer-edge ]; then
    timeout 60 "$(dirname "$0")/check-as-service" /opt/fer-edge/bin/fer-edge forget || true
fi
rm -f /etc/systemd/system/fer-edge.service /etc/udev/rules.d/60-fer-edge.rules /usr/local/bin/fer-edge
rm -rf /opt/fer-edge
[ ! -d /run/systemd/system ] || systemctl daemon-reload
systemctl reset-failed fer-edge.service 2>/dev/null || true
if [ "${1:-}" = --purge ]; then
    rm -rf /etc/fer-edge /var/lib/fer-edge /var/log/fer-edge-install.log \
        /etc/credstore/fer-edge.mqtt-password /etc/credstore/fer-edge.web-token \
        /etc/credstore/fer-edge.camera-password
    ! getent passwd fer-edge >/dev/null || userdel fer-edge
    echo "uninstall: removed, with configuration, state, passwords and user"
else
    echo "uninstall: removed; /etc/fer-edge and /var/lib/fer-edge are kept (--purge removes them)"
fi
