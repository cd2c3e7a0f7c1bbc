#!/bin/bash
# Provisions a machine with a kernel of its own, and looks at what containers can't show: memory limits, the address filter, a reboot.
# Emulated, without KVM: some forty minutes on two cores with nothing else to do. MACHINE_DEBIAN=13 chooses the release, MACHINE_ARCHITECTURE=arm64 the other processor.
set -euo pipefail

debian=${MACHINE_DEBIAN:-12}
architecture=${MACHINE_ARCHITECTURE:-amd64}
folder=$PWD/.hosts/machine
inventory=molecule/machine/inventory/hosts.yml
port=22090
key=$PWD/.hosts/key

case $debian in
    12) suite=bookworm ;;
    13) suite=trixie ;;
    *) echo "MACHINE_DEBIAN must be 12 or 13." >&2; exit 1 ;;
esac
packages=(e2fsprogs)
case $architecture in
    amd64) packages+=(qemu-system-x86); emulator=(qemu-system-x86_64 -cpu max); console=ttyS0 ;;
    arm64) packages+=(qemu-system-arm qemu-user-static arch-test binfmt-support); emulator=(qemu-system-aarch64 -machine virt -cpu max,pauth-impdef=on); console=ttyAMA0 ;;
    *) echo "MACHINE_ARCHITECTURE must be amd64 or arm64." >&2; exit 1 ;;
esac

mkdir -p "$folder"
[ -e "$key" ] || ssh-keygen -q -t ed25519 -N '' -C test-hosts -f "$key"
dpkg --status "${packages[@]}" >/dev/null 2>&1 || {
    [ "$(id -u)" = 0 ] || { echo "Install ${packages[*]}, or run this as root." >&2; exit 1; }
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "${packages[@]}" </dev/null
}
# Where systemd is at work the packages did it themselves.
if [ "$architecture" = arm64 ] && ! arch-test arm64 >/dev/null; then
    mountpoint --quiet /proc/sys/fs/binfmt_misc || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    update-binfmts --enable qemu-aarch64
fi

# A minbase system has no hosts file, without which RabbitMQ doesn't find localhost, and no DHCP client.
disk=$folder/$debian-$architecture.img
if ! [ -e "$disk.made" ]; then
    root=$folder/root
    rm -rf "$root"
    # shellcheck disable=SC2016
    mmdebstrap --quiet --mode=root --variant=minbase --architectures="$architecture" \
        --include="linux-image-cloud-$architecture,systemd,systemd-sysv,dbus,openssh-server,sudo,python3,python3-apt" \
        --include=ca-certificates,iproute2,procps,less,ifupdown,isc-dhcp-client,udev \
        --customize-hook='chroot "$1" useradd --create-home --shell /bin/bash ansible' \
        --customize-hook='echo "ansible ALL=(ALL) NOPASSWD: ALL" >"$1/etc/sudoers.d/ansible"' \
        --customize-hook='chroot "$1" install -d -o ansible -g ansible -m 0700 /home/ansible/.ssh' \
        --customize-hook='echo "127.0.0.1 localhost machine" >"$1/etc/hosts"; echo machine >"$1/etc/hostname"' \
        --customize-hook='printf "auto lo eth0\niface lo inet loopback\niface eth0 inet dhcp\n" >"$1/etc/network/interfaces"' \
        --customize-hook='echo "/dev/vda / ext4 defaults 0 1" >"$1/etc/fstab"' \
        "$suite" "$root"
    cp "$root"/boot/vmlinuz-* "$disk.kernel"
    cp "$root"/boot/initrd.img-* "$disk.initrd"
    rm -f "$disk"
    truncate --size=6G "$disk"
    mkfs.ext4 -q -d "$root" "$disk"
    rm -rf "$root"
    touch "$disk.made"
fi
# Each run has a fresh machine, and today's key.
cp --sparse=always "$disk" "$folder/running.img"
debugfs -w -f /dev/stdin "$folder/running.img" >/dev/null 2>&1 <<END
cd /home/ansible/.ssh
write $key.pub authorized_keys
set_inode_field authorized_keys mode 0100644
END

"${emulator[@]}" -accel tcg,thread=multi -m "${MACHINE_MEMORY:-1024}" -smp 2 -display none -monitor none \
    -serial "file:$folder/console.log" -pidfile "$folder/pid" -daemonize \
    -kernel "$disk.kernel" -initrd "$disk.initrd" -append "root=/dev/vda rw console=$console net.ifnames=0" \
    -drive "file=$folder/running.img,format=raw,if=virtio,cache=unsafe" \
    -netdev "user,id=net,hostfwd=tcp:127.0.0.1:$port-:22" -device virtio-net-pci,netdev=net
trap 'kill "$(cat "$folder/pid")" 2>/dev/null || true; rm -f "$folder/running.img"; rm -rf molecule/machine/inventory/credentials' EXIT

# Everything is some ten times slower than on a processor.
export ANSIBLE_TIMEOUT=120
ansible-playbook --inventory "$inventory" molecule/shared/reach.yml
time ansible-playbook --inventory "$inventory" site.yml
ansible-playbook --inventory "$inventory" molecule/machine/verify.yml
