// The general sign of identity, for programs that no rule knows: what is called like an identifier or a key of one
// host, and small files that their program lets nobody else read. No list of programs is complete; this is the net
// below all of them, and so it says no more than "looks like an identity".
import { type Entry, type FileTree, join, nameOf, parentOf } from '../tree/mod.ts';
import type { Rule } from './contract.ts';
import { finding } from './finding.ts';

const RULE = 'identity-signs';
/** Where programs keep what they made for themselves. */
const ROOTS = ['/var/lib', '/opt', '/srv', '/var/opt', '/usr/local/var', '/usr/local/etc'];
const ENTRIES_MAX = 200_000;
const DEPTH_MAX = 12;
/** Keys and identifiers are short. */
const SECRET_BYTES_MAX = 4096;
const IN_FOLDER_MAX = 10;
const WHY = 'It looks like an identity: of that the lead has one, and a clone would have the same.';
const WHY_MANY =
  'These look like identities or keys, by their size and by who may read them: a clone would have the same.';
const CUT = 'There is more here than the search looks at, so other files may look like an identity.';

const HOLDERS = [
  ...[
    'node',
    'host',
    'instance',
    'server',
    'machine',
    'agent',
    'client',
    'device',
    'peer',
    'member',
    'broker',
    'replica',
  ],
  ...[
    'runner',
    'site',
    'system',
    'installation',
    'appliance',
    'engine',
    'daemon',
    'minion',
    'worker',
    'cluster',
    'store',
  ],
];
const IDENTIFIERS = ['id', 'ids', 'uuid', 'guid', 'identity', 'identifier', 'serial'];
const JOINED = new RegExp(`(?:${HOLDERS.join('|')})(?:id|uuid|guid)$`);
const WHOLE = /\.priv$|^(?:meta\.properties|raft\.db|myid|format\.json)$/i;

/** "node-id", "instance_id.json", "hostUuid", "ssh_host_key". Words are compared, so that it takes no time. */
function isNamedSo(name: string): boolean {
  if (WHOLE.test(name)) return true;
  const words = name
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/);
  const holder = words.findIndex((word) => HOLDERS.some((one) => word.includes(one)));
  const after = words.slice(holder + 1);
  if (holder >= 0 && after.some((word) => IDENTIFIERS.includes(word))) return true;
  const isHostKey = words.some((word, at) => word === 'hostkey' || (word === 'host' && words[at + 1] === 'key'));
  return isHostKey || words.some((word) => JOINED.test(word) || ['uuid', 'guid', 'identity'].includes(word));
}

/** Programs, their sources and what describes them. */
const NO_STATE =
  /\.(?:m?js|c?js|ts|map|py|pyc|pyi|rb|pl|pm|php|go|rs|c|cc|cpp|h|hh|hpp|java|class|jar|war|so(?:\.\d+)*|a|o|sh|lua|html?|css|scss|svg|png|gif|jpe?g|ico|woff2?|ttf|md|rst|txt\.gz|gz|xz|zst|bz2|tar|zip|po|mo|sql|xsd|xsl|dtd|proto|rpm|deb|crl|list|md5sums|postinst|preinst|prerm|postrm|templates|service|timer|socket|lock|pid|log|tmpl?|erb|j2|example|sample|dist)$/i;
/** Folders of the system itself, of data that rules know, and of what is inside of containers and packages. */
const LEFT_OUT = new RegExp(
  '^/var/lib/(?:' +
    [
      'dpkg|apt|aptitude|ucf|rpm|dnf|yum|zypp|PackageKit|swcatalog|app-info|flatpak|selinux|cloud|systemd|dbus|private',
      'pam|sudo|polkit-1|misc|python|gems|ghc|grub|initramfs-tools|dkms|shim-signed|ca-certificates(?:-java)?|xml-core',
      'sgml-base|texmf|emacsen-common|vim|man-db|mlocate|plocate|logrotate|fontconfig|dictionaries-common|usbutils',
      'postfix|dovecot|AccountsService|udisks2|boltd|setroubleshoot|rpm-state|apt-listchanges',
      'NetworkManager|dhcp|dhclient|dhcpcd|iscsi|nfs|upower|bluetooth|alsa|colord|gdm3?|lightdm|sss/pubconf|authselect',
      'postgresql|pgsql|mysql|mariadb|mongodb|php/sessions|rabbitmq|redis|valkey|elasticsearch|opensearch|aide|fail2ban',
      'docker/(?:overlay2|image|volumes|containers|buildkit|aufs|btrfs|zfs)|containerd|containers/storage|kubelet/pods',
      'lxc/[^/]+/rootfs|lxd/storage-pools|incus/storage-pools|machines|libvirt/images|snapd|update-notifier|ubuntu-release-upgrader',
    ].join('|') +
    ')(?:/|$)|/(?:node_modules|site-packages|dist-packages|\\.git|\\.cache|doc|docs|man|locale|__pycache__|include|src|test|tests)(?:/|$)',
);

type Sign = 'name' | 'mode';

/** What of a file looks like an identity; null: nothing. */
export function identitySign({ path, kind, mode, sizeBytes }: Entry): Sign | null {
  if (kind !== 'file' || sizeBytes === 0 || LEFT_OUT.test(path)) return null;
  const name = nameOf(path);
  if (NO_STATE.test(name)) return null;
  if (isNamedSo(name)) return 'name';
  return (mode & 0o177) === 0 && sizeBytes <= SECRET_BYTES_MAX ? 'mode' : null;
}

export const identitySignsRule: Rule = {
  name: RULE,
  async find(tree, { found = new Set() }) {
    const { signs, cut } = await signsIn(tree, found);
    const findings = [...signs].flatMap(([folder, files]) => {
      const facts = { rule: RULE, action: 'unknown', confidence: 'guess' } as const;
      if (files.length > IN_FOLDER_MAX)
        return [finding({ ...facts, path: folder, value: `${files.length} files`, why: WHY_MANY })];
      return files.map(({ path, sign }) => {
        const value =
          sign === 'name' ? 'looks like an identity by its name' : 'a small file that only its owner may read';
        return finding({ ...facts, path, value, why: WHY });
      });
    });
    if (cut === null) return findings;
    const facts = { rule: RULE, path: cut, value: 'not looked into', action: 'unknown', confidence: 'guess' } as const;
    return [...findings, finding({ ...facts, why: CUT })];
  },
  change: async () => [],
  verify: async () => [],
};

interface Signs {
  /** By folder, in order. */
  readonly signs: ReadonlyMap<string, readonly { readonly path: string; readonly sign: Sign }[]>;
  /** Where the walk ended; null: it came to its end. */
  readonly cut: string | null;
}

async function signsIn(tree: FileTree, found: ReadonlySet<string>): Promise<Signs> {
  const signs = new Map<string, { path: string; sign: Sign }[]>();
  let left = ENTRIES_MAX;
  const folders = ROOTS.map((path) => ({ path, depth: 0 })).reverse();
  for (let at = folders.pop(); at !== undefined; at = folders.pop()) {
    const inner: typeof folders = [];
    for (const name of (await tree.lstat(at.path))?.kind === 'folder' ? await tree.list(at.path) : []) {
      left -= 1;
      if (left < 0) return { signs, cut: at.path };
      const entry = await tree.lstat(join(at.path, name));
      if (entry === null || LEFT_OUT.test(entry.path) || found.has(entry.path)) continue;
      if (entry.kind === 'folder' && at.depth < DEPTH_MAX) inner.push({ path: entry.path, depth: at.depth + 1 });
      const sign = identitySign(entry);
      if (sign === null) continue;
      const folder = parentOf(entry.path);
      signs.set(folder, [...(signs.get(folder) ?? []), { path: entry.path, sign }]);
    }
    folders.push(...inner.reverse());
  }
  return { signs, cut: null };
}
