#!/bin/sh
# Makes the image of a small Debian server with systemd and SSH: `image.sh 12|13`. Its name is the only line on stdout.
# The name carries a hash of this file: an image is made once, and again when its recipe changes.
set -eu

release=$1
case $release in
    12) suite=bookworm ;;
    13) suite=trixie ;;
    *) echo "No recipe for Debian $release: choose 12 or 13." >&2; exit 1 ;;
esac

podman=$(dirname "$0")/podman
repository=localhost/oauth-clear-tokens-test
image=$repository:debian$release-$(sha256sum "$0" | cut -c1-12)

# Several hosts of one release may ask at the same time: one makes it, the others wait.
exec 9>"${TMPDIR:-/tmp}/oauth-clear-tokens-test-$(id -u)-$release.lock"
flock 9

if ! "$podman" image exists "$image"; then
    echo "Making $image, about a minute" >&2
    archive=$(mktemp --suffix=.tar)
    trap 'rm -f "$archive"' EXIT

    # The masked units would act on the machine's kernel and terminals, which a privileged container shares.
    # Without a mirror named, mmdebstrap uses Debian's and adds the suites for updates and security.
    # shellcheck disable=SC2016
    mmdebstrap --quiet --variant=minbase \
        --include=systemd,systemd-sysv,dbus,openssh-server,sudo,python3,python3-apt,ca-certificates \
        --include=iproute2,procps,less \
        --customize-hook='chroot "$1" useradd --create-home --shell /bin/bash ansible' \
        --customize-hook='echo "ansible ALL=(ALL) NOPASSWD: ALL" >"$1/etc/sudoers.d/ansible"' \
        --customize-hook='chroot "$1" install -d -o ansible -g ansible -m 0700 /home/ansible/.ssh' \
        --customize-hook='rm "$1"/etc/ssh/ssh_host_*' \
        --customize-hook='chroot "$1" systemctl --quiet mask getty.target systemd-binfmt.service' \
        --customize-hook='chroot "$1" systemctl --quiet mask systemd-modules-load.service systemd-sysctl.service' \
        "$suite" "$archive" >&2

    # At every boot, before systemd: mounts propagate as on a machine, or else LoadCredential= fails; each host makes
    # SSH host keys of its own.
    "$podman" import --quiet \
        --change 'CMD ["/bin/sh", "-c", "mount --make-rshared / && ssh-keygen -A && exec /lib/systemd/systemd"]' \
        --change 'STOPSIGNAL SIGRTMIN+3' \
        "$archive" "$image" >&2
fi
echo "$image"
