# What makes the lead a pet: a database that has a number, mail that waits, work that starts by the clock, and a way to start from its own
# disk. Comes between tree-hook.sh and image-hook.sh.
place_pet "$root"

printf '[mysqld]\nserver-id = 7\nlog_bin = mysql-bin\n' > "$root/etc/mysql/mariadb.conf.d/60-replication.cnf"
inside systemctl --quiet enable mariadb postfix invoices.timer

# No daemon takes it from there: it waits as it does while postfix is down.
printf 'From: sales@example.org\nTo: customer@example.net\nSubject: invoice 4711\n\nPlease pay.\n' |
  inside sendmail -i -f sales@example.org customer@example.net

# GRUB for BIOS, without its installer, which wants a device: the parts are put together here and laid on the disk by guests/disk.ts.
mkdir -p "$root/boot/grub"
inside grub-mkimage -O i386-pc -p '(hd0,gpt2)/boot/grub' -o /boot/grub/core.img biosdisk part_gpt ext2 linux normal
cp "$root/usr/lib/grub/i386-pc/boot.img" "$root/boot/grub/boot.img"
printf 'linux /boot/vmlinuz root=/dev/vda2 %s\ninitrd /boot/initrd.img\nboot\n' "$APPEND" > "$root/boot/grub/grub.cfg"

