#!/usr/bin/env bash
# Make the base image from Debian packages, for machines that reach a Debian mirror but no image
# registry. The mirror is the one that this machine's own apt uses. Needs root, debootstrap and a
# Docker engine:
#
#     sudo apt-get install debootstrap
#     sudo deploy/base-image.sh                  # makes tangent-mesh-base:local
#     docker build --build-arg BASE_IMAGE=tangent-mesh-base:local -f deploy/Dockerfile .
#
# MIRROR, SUITE and IMAGE in the environment override what is found.
set -euo pipefail

SUITE=${SUITE:-bookworm}
IMAGE=${IMAGE:-tangent-mesh-base:local}
PACKAGES=python3,python3-venv,ca-certificates

fail() {
    echo "base-image.sh: $*" >&2
    exit 1
}

# The first Debian mirror in apt's sources, in either of their two formats.
find_mirror() {
    find /etc/apt -maxdepth 2 -path '*sources.list*' -type f -exec cat {} + |
        sed -nE 's/^(URIs:|deb( \[[^]]*\])?) +([^ ]+\/debian)\/?( .*)?$/\3/p' |
        head -n 1
}

[ "$(id -u)" = 0 ] || fail "expected to run as root, which debootstrap needs; use sudo"
command -v debootstrap >/dev/null || fail "debootstrap is missing; apt-get install debootstrap"
docker info >/dev/null 2>&1 || fail "no Docker engine answers; start it"
MIRROR=${MIRROR:-$(find_mirror)}
[ -n "$MIRROR" ] || fail "no Debian mirror in /etc/apt; name one: MIRROR=http://... $0"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include="$PACKAGES" "$SUITE" "$root" "$MIRROR"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* \
    "$root"/usr/share/{doc,man,locale}/*
tar -C "$root" --numeric-owner -c . |
    docker import --change 'ENV LANG=C.UTF-8' --change 'CMD ["bash"]' - "$IMAGE"
