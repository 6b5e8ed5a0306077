// Packages whose programs keep nothing that must not exist twice, or whose rules know what does: beside what every
// system has. Names of Debian 11 to 13 and their derivatives, and of Fedora, RHEL 7 to 10 and SUSE 12 to 15. "*"
// stands for any part of a name.

const NAMES = [
  // Starting, devices, clocks.
  'systemd* udev dbus* kmod procps util-linux* sysvinit-utils initscripts init-system-helpers openrc busybox*',
  'runit* base-files',
  'console-setup* keyboard-configuration kbd plymouth* grub* shim* efi* fwupd* dracut* initramfs-tools* linux-*',
  'kernel* kexec-tools',
  'chrony ntp ntpsec ntpdate openntpd timedatex fake-hwclock hwclock rng-tools* haveged irqbalance tuned* acpid',
  'powertop kdump*',
  'dmsetup lvm2* mdadm dmraid device-mapper* multipath-tools* thin-provisioning-tools e2fsprogs* xfsprogs',
  'btrfs* nfs-common',
  'nfs-utils rpcbind open-iscsi iscsi-initiator-utils* nvme-cli cryptsetup* smartmontools hdparm sdparm',
  'lm-sensors lm_sensors',
  'bolt usb* udisks2* upower policykit* polkit* libpolkit* accountsservice* rtkit* modemmanager ModemManager*',
  'bluez* media-types',
  'alsa* pcscd libfprint* geoclue* low-memory-monitor* power-profiles-daemon switcheroo-control colord* cups-bsd eject',
  // Networks.
  'ifupdown* network-manager* NetworkManager* netplan* isc-dhcp-client dhcp-client dhcpcd* resolvconf',
  'openresolv wpasupplicant',
  'wpa_supplicant* wicked* networkd-dispatcher* ethtool iproute2 bridge-utils vlan ifenslave iw crda wireless-*',
  'net-tools',
  'ufw nftables iptables* netfilter-persistent firewalld* fail2ban apparmor* selinux* policycoreutils* audit* auditd',
  // Access and care of the system.
  'openssh-* ssh gnupg* gpg-agent dirmngr gnupg-agent scdaemon sudo login passwd shadow* libpam* pam*',
  'cracklib-runtime nscd',
  'cron cron-daemon-common cronie* crontabs anacron at systemd-cron logrotate rsyslog* syslog-ng* logwatch',
  'logcheck man-db mandb',
  'apt apt-* aptitude dpkg debsums unattended-upgrades needrestart* packagekit* PackageKit* dnf* yum* rpm*',
  'zypper* libzypp* snapper*',
  'python3-* popularity-contest reportbug debian-* plocate mlocate locate sysstat atop dstat irqtop apport*',
  'whoopsie* kerneloops',
  'update-notifier-common update-manager-core ubuntu-* landscape-common motd-news-config bsdmainutils bsdutils',
  'mailcap chkconfig',
  'setup filesystem authselect* sssd-common oddjob* abrt* insights-client subscription-manager* cockpit*',
  'libvirt-libs rasdaemon mcelog',
  'libblockdev* libstoragemgmt* gssproxy quota* psacct acct fcoe-utils',
  // Virtual machines.
  'qemu-guest-agent open-vm-tools* hyperv-daemons spice-vdagent* virtualbox-guest-* cloud-init',
  'cloud-guest-utils cloud-initramfs-*',
  // Servers for which there are rules, or that have nothing of the kind.
  'nginx* apache2* httpd* lighttpd* php* libapache2-* mod_* ssl-cert haproxy varnish* squid* memcached',
  'rsync dnsmasq-base',
  'postfix* exim4* sendmail* mariadb-* mysql-* postgresql* redis* valkey* mongodb* docker* containerd* podman*',
  'lxc* libvirt*',
]
  .join(' ')
  .split(' ');

const exact = new Set(NAMES.filter((name) => !name.includes('*')));
const beginnings = NAMES.filter((name) => name.endsWith('*')).map((name) => name.slice(0, -1));

export function isKnownPackage(name: string): boolean {
  return exact.has(name) || beginnings.some((one) => name.startsWith(one));
}
