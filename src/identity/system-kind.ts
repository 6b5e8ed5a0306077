// Systems whose files below /etc are made again from elsewhere, or lie elsewhere on their disk: what is changed in the
// usual places does not last there. Each is told by its name, with what can be done instead.
import { type FileTree, readText } from './tree/mod.ts';

export interface SystemKind {
  readonly name: string;
  /** What shows that it is one. */
  readonly sign: string;
  /** What becomes of changes, and what to do instead: sentences. */
  readonly why: string;
}

interface Known extends Omit<SystemKind, 'sign'> {
  /** Any of these is there. */
  readonly signs: readonly string[];
}

/**
 * Documented by: NixOS manual, "Switching"; Guix manual, "etc-service-type"; ostree(1), "deployments"; Ubuntu Core
 * docs.
 */
const KNOWN: readonly Known[] = [
  {
    name: 'NixOS',
    signs: ['/etc/NIXOS', '/nix/var/nix/profiles/system'],
    why: 'Each start makes /etc again from /nix/store, so changes to names, addresses and services do not last. Build the configuration of the understudy with nixos-rebuild, and copy only data (portion, transplant).',
  },
  {
    name: 'Guix System',
    signs: ['/var/guix/profiles/system', '/run/current-system/configuration.scm', '/gnu/store/.links'],
    why: 'Each start makes /etc again from /gnu/store, so changes to names, addresses and services do not last. Build the configuration of the understudy with guix system, and copy only data (portion, transplant).',
  },
  {
    name: 'an ostree system',
    signs: ['/ostree/repo/config', '/ostree/deploy', '/sysroot/ostree/repo/config'],
    why: 'The system that starts lies below /ostree/deploy with an /etc of its own, which is not looked into. Install the understudy from the same commit, and copy only data (portion, transplant).',
  },
  {
    name: 'Ubuntu Core',
    signs: ['/system-data/var/lib/snapd', '/writable/system-data/var/lib/snapd'],
    why: 'The system that starts is put together from snaps and /system-data, which is not looked into. Make the understudy from its model, and copy only data (portion, transplant).',
  },
  {
    name: 'a system with a read-only root (transactional-update)',
    signs: ['/var/lib/overlay/etc', '/var/lib/overlay/1/etc', '/var/lib/overlay/work-etc'],
    why: 'What the running system has below /etc lies below /var/lib/overlay, which is not looked into. Change the understudy by its own tools (transactional-update, combustion), and copy only data (portion, transplant).',
  },
];

/** Null for a system that keeps what is changed in the usual places. */
export async function systemKindOf(tree: FileTree): Promise<SystemKind | null> {
  for (const { signs, ...kind } of KNOWN) {
    for (const sign of signs) {
      // The target of a link is often made at the start only.
      if ((await tree.lstat(sign)) !== null) return { ...kind, sign };
    }
  }
  const release = await readText(tree, '/etc/os-release');
  const id = release.status === 'text' ? /^ID=["']?([\w.-]+)/m.exec(release.text)?.[1] : undefined;
  const byId = KNOWN.find(({ name }) => name === ({ nixos: 'NixOS', guix: 'Guix System' } as const)[id ?? '']);
  return byId === undefined ? null : { name: byId.name, why: byId.why, sign: '/etc/os-release' };
}
