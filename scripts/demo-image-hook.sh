# Turns the unpacked system $1 into the disk image behind descriptor 9, whose partition table is there already: a BIOS boot
# partition at 1 MiB (sector 2048) and the root file system, of ROOT_MIB MiB, at 2 MiB. mmdebstrap runs this text as root of
# a user namespace or of the machine. Such a mapped root may not see the caller's folders: hence text, and hence a descriptor.
set -eu
root=$1
disk=/proc/self/fd/9

# What makes it a server and not just a set of packages.
echo golden > "$root/etc/hostname"
printf '127.0.0.1\tlocalhost golden\n' > "$root/etc/hosts"
printf 'PARTUUID=%s / ext4 errors=remount-ro 0 1\n' "$ROOT_PARTUUID" > "$root/etc/fstab"
printf '[Match]\nName=eth0\n\n[Network]\nDHCP=yes\n' > "$root/etc/systemd/network/10-eth0.network"
echo '<h1>The golden image</h1>' > "$root/var/www/html/index.html"
chroot "$root" systemctl --quiet enable systemd-networkd nginx
: > "$root/etc/machine-id"
: > "$root/etc/resolv.conf"
# What mmdebstrap itself removes only after this hook, and the proxies of the machine that builds.
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap"

mkdir -p "$root/boot/grub"
cat > "$root/boot/grub/grub.cfg" <<CFG
linux /vmlinuz root=PARTUUID=$ROOT_PARTUUID ro net.ifnames=0 console=tty0 console=ttyS0,115200
initrd /initrd.img
boot
CFG
# The empty drive in the prefix means: partition 2 of whatever disk the machine was started from.
chroot "$root" grub-mkimage --format=i386-pc --prefix='(,gpt2)/boot/grub' --output=/boot/grub/core.img \
  biosdisk part_gpt ext2 normal linux

put() { dd of="$disk" bs=1 seek="$1" conv=notrunc status=none; }
# Boot code, without the 72 bytes that are disk signature and partition table.
head -c 440 "$root/usr/lib/grub/i386-pc/boot.img" | put 0
dd if="$root/boot/grub/core.img" of="$disk" bs=1M seek=1 conv=notrunc status=none
# As grub-bios-setup does: boot.img is told the sector of core.img (2048, at byte 0x5c), and the first sector of core.img
# where the rest of it lies (2049, at byte 0x1f4), both as 64-bit little-endian numbers.
printf '\000\010\000\000\000\000\000\000' | put $((0x5c))
printf '\001\010\000\000\000\000\000\000' | put $((0x100000 + 0x1f4))

# A view without /proc, /sys and /dev, which are mounted inside for as long as hooks run.
view=$(mktemp -d)
mount --bind "$root" "$view"
trap 'umount "$view"; rmdir "$view"' EXIT
mke2fs -q -F -t ext4 -L root -U "$ROOT_UUID" -E offset=$((0x200000)) -d "$view" "$disk" "${ROOT_MIB}M"
