# Makes the unpacked system $1 that of the lead. The text before this one has defined place() and place_key(), which lay our own files
# into the system; image-hook.sh comes last and turns it into an image. mmdebstrap runs all of it as root, or as mapped root.
set -eu
root=$1
inside() { chroot "$root" "$@"; }

place "$root"
place_key "$root"

# The kernel lies outside of the image too; of its modules the few that a machine of ours needs are loaded from the initial file
# system, which is a shell script and busybox.
kernel=$(inside apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p')
mkdir "$root/tmp/kernel" "$root/tmp/early"
inside sh -c "cd /tmp/kernel && apt-get -qq -o APT::Sandbox::User=root download $kernel && dpkg-deb -x ./*.deb ."
cp "$root"/tmp/kernel/boot/vmlinuz-* "$root/boot/vmlinuz"
early=$root/tmp/early
mkdir "$early/bin" "$early/dev" "$early/modules" "$early/proc" "$early/root"
cp "$root/bin/busybox" "$early/bin/busybox"
modules='virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk failover net_failover virtio_net virtio-rng'
for module in $modules; do
  find "$root/tmp/kernel/lib/modules" -name "$module.ko" -exec cp {} "$early/modules/" \;
  test -f "$early/modules/$module.ko"
done
cat > "$early/init" <<INIT
#!/bin/busybox sh
b=/bin/busybox
\$b mount -t devtmpfs dev /dev
\$b mount -t proc proc /proc
for module in $modules; do \$b insmod /modules/\$module.ko; done
name=/dev/vda
for word in \$(\$b cat /proc/cmdline); do
  case \$word in root=*) name=\${word#root=} ;; esac
done
device() {
  case \$name in UUID=*) \$b findfs \$name 2> /dev/null ;; *) echo \$name ;; esac
}
until disk=\$(device) && [ -b "\$disk" ]; do \$b usleep 10000; done
\$b mount -t ext4 \$disk /root
\$b umount /proc
\$b mount -o move /dev /root/dev
exec \$b switch_root /root /sbin/init
INIT
chmod 755 "$early/init"
inside sh -c 'cd /tmp/early && find . | cpio --quiet -o -H newc > /boot/initrd.img'
rm -rf "$root/tmp/kernel" "$root/tmp/early"

# The services.
ln -sf ../sites-available/wiki "$root/etc/nginx/sites-enabled/default"
hash=$(inside php -r 'echo password_hash("workshop", PASSWORD_BCRYPT, ["cost" => 4]);')
printf '# <?php exit()?>\nadmin:%s:Administrator:admin@example.org:admin,user\nanna:%s:Anna:anna@example.org:user\n' \
  "$hash" "$hash" > "$root/var/lib/dokuwiki/acl/users.auth.php"
mkdir -p "$root/var/lib/counter"
: > "$root/var/lib/counter/log"
printf 0 > "$root/var/lib/counter/count"
inside chown -R www-data:www-data /var/lib/counter /var/lib/dokuwiki/data/pages /var/lib/dokuwiki/acl
chmod 700 "$root/root/.ssh"
chmod 600 "$root/root/.ssh/authorized_keys"
inside systemctl --quiet enable nginx php8.2-fpm ssh cron
# What takes a slow machine time and serves nobody here.
inside systemctl --quiet mask getty.target getty@.service serial-getty@.service modprobe@.service \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer phpsessionclean.timer \
  e2scrub_reap.service systemd-udev-settle.service ifupdown-pre.service ifupdown-wait-online.service \
  systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-pcrphase.service systemd-pcrphase-sysinit.service \
  systemd-journal-flush.service systemd-modules-load.service systemd-sysusers.service systemd-firstboot.service \
  systemd-repart.service kmod-static-nodes.service dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount \
  sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount
