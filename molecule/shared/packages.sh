#!/bin/sh
# Installs what this project's tools and test hosts need on a Debian machine; says and does nothing when it is there.
set -eu

missing=
for package in systemd podman crun netavark aardvark-dns iptables nftables uidmap mmdebstrap openssh-client postgresql restic \
    python3-venv git make; do
    case $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) in
        installed) ;;
        *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

echo "Installing:$missing"
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update </dev/null
# The tests run PostgreSQL's programs by themselves: no database server of Debian's shall start here for good.
clusters=/etc/postgresql-common/createcluster.d/no-main-cluster.conf
case $missing in
    *postgresql*)
        $sudo mkdir -p "${clusters%/*}"
        echo 'create_main_cluster = false' | $sudo tee "$clusters" >/dev/null
        ;;
esac
# shellcheck disable=SC2086
$sudo apt-get install --yes --no-install-recommends $missing </dev/null
$sudo rm -f "$clusters"
