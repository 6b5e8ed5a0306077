// Where the search does not look, and what a place says of what was found there.

interface Exclusion {
  readonly at: RegExp;
  readonly why: string;
  /** Its names are looked at all the same. */
  readonly isListed: boolean;
}

const MADE = 'the kernel makes what is there while the system runs';
const PACKAGE = 'data of packages, the same on every host';
const exclude = (paths: string, why: string, isListed = false): Exclusion => ({
  at: new RegExp(`^(?:${paths})$`),
  why,
  isListed,
});

/** The first that matches counts. */
const EXCLUSIONS: readonly Exclusion[] = [
  exclude('/(?:proc|sys|dev|run)', MADE),
  exclude('/(?:.*/)?lost\\+found', 'remains of a check of the file system'),
  exclude('/tmp|/var/tmp', 'temporary files', true),
  exclude('/var/log', 'logs', true),
  exclude('/var/cache|/(?:.*/)?\\.cache', 'caches', true),
  exclude('/var/lib/(?:dpkg|apt|aptitude|rpm|dnf|yum|zypp|pacman|PackageKit|portage|ucf)', PACKAGE),
  exclude('/usr/lib/sysimage|/lib/apk|/usr/lib/apk', PACKAGE),
  exclude('/usr/share/(?:doc|man|info|locale|i18n|zoneinfo|icons|fonts|licenses|help|mime|terminfo|gtk-doc)', PACKAGE),
  exclude('/(?:usr/)?lib/(?:modules|firmware)', 'kernel modules and firmware'),
];

/** Why the files in this folder are not searched; null: they are. */
export function exclusionOf(folder: string): Pick<Exclusion, 'why' | 'isListed'> | null {
  return EXCLUSIONS.find(({ at }) => at.test(folder)) ?? null;
}

/** Greetings, histories, copies of what was, letters, keys of other computers: nothing acts on an address there. */
const HARMLESS = [
  '/etc/(?:motd|issue|issue\\.net|(?:motd|issue|update-motd)\\.d/.*)',
  '/var/(?:mail|spool/mail|backups)/.*',
  // grub-install(8) makes it for itself.
  '/boot/grub2?/device\\.map',
  '.*/\\.[a-z_]*(?:history|hist|hst|viminfo)',
  '.*/(?:known_hosts|ssh_known_hosts|README)[^/]*',
  '.*(?:~|\\.(?:bak|orig|old|log|log\\.\\d+|dpkg-(?:old|dist|new)|ucf-(?:old|dist)|rpm(?:save|orig|new)|md|rst))',
];
const harmless = new RegExp(`^(?:${HARMLESS.join('|')})$`);

export function isHarmless(path: string): boolean {
  return harmless.test(path);
}
