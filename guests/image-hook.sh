# Turns the system $root, which is complete, into the file system behind descriptor 9, the boot volume of the lead.
image=/proc/self/fd/9

# Languages, manuals and drawings of packages: half of the files, and nobody reads them in a machine without a person.
rm -rf "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/usr/share/icons/*
# What mmdebstrap itself removes only after this hook, and the proxies of the machine that builds.
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap"
: > "$root/etc/resolv.conf"

# A view without /proc, /sys and /dev, which are mounted inside for as long as hooks run.
view=$(mktemp -d)
mount --bind "$root" "$view"
trap 'umount "$view"; rmdir "$view"' EXIT
mke2fs -q -F -t ext4 -L root -U "$ROOT_UUID" -d "$view" "$image" "${DISK_MIB}M"
