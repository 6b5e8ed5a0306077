// Virtual machines and containers that start with the host: libvirt (virsh(1), "autostart"), LXC
// (lxc.container.conf(5)), Xen, systemd-nspawn, units that podman-generate-systemd(1) made, podman-restart. Inside of
// each there is a host of its own, with an identity of its own, that would exist twice.
import { nameOf } from '../../tree/mod.ts';
import { clueRule } from '../clue.ts';
import type { Rule } from '../contract.ts';
import { finding } from '../finding.ts';
import { isNameable, namesAt } from '../glob.ts';

const RULE = 'guests';
const WHY = 'It starts with the host, and is a host of its own: the same one would run twice.';
/** Links to the definition; the definition itself stays. */
const AUTOSTART = ['/etc/libvirt/{qemu,lxc,libxl}/autostart/*.xml', '/etc/xen/auto/*'];

const clues = clueRule(RULE, [
  {
    at: ['/var/lib/lxc/*/config', '/home/*/.local/share/lxc/*/config', '/root/.local/share/lxc/*/config'],
    lines: /^\s*(lxc\.start\.auto\s*=\s*1)\s*$/,
    why: WHY,
    becomes: { action: 'disable', by: 'comment' },
  },
  {
    at: ['/etc/systemd/system/{container,pod}-*.service'],
    value: 'a container (podman)',
    why: WHY,
    becomes: { action: 'disable', units: (path) => [nameOf(path)] },
  },
  {
    at: [
      '/etc/systemd/user/{container,pod}-*.service',
      '/{home/*,root}/.config/systemd/user/{container,pod}-*.service',
      '/{home/*,root}/.config/containers/systemd/**/*.{container,pod,kube}',
      '/usr/share/containers/systemd/**/*.{container,pod,kube}',
    ],
    value: 'a container of a user (podman)',
    why: 'It starts with the session of its user, with linger at every start, and the same one would run twice.',
    becomes: { action: 'unknown' },
    confidence: 'likely',
  },
  {
    at: ['/var/lib/containers/storage/{overlay,vfs}-containers/containers.json'],
    lines: /"(id)"\s*:/,
    value: 'containers that may restart (podman)',
    why: 'Those that are to restart always do so at every start.',
    becomes: { action: 'disable', units: () => ['podman-restart.service'] },
  },
  {
    at: ['/etc/systemd/nspawn/*.nspawn'],
    value: 'a container (systemd-nspawn)',
    why: WHY,
    becomes: {
      action: 'disable',
      units: (path) => [`systemd-nspawn@${nameOf(path).replace(/\.nspawn$/, '')}.service`],
    },
  },
]);

export const guestsRule: Rule = {
  ...clues,
  async find(tree, context) {
    const { names } = await namesAt(tree, AUTOSTART);
    const started = names.map(({ path, kind }) => {
      const canChange = kind === 'link' && isNameable(path);
      const value = `${nameOf(path).replace(/\.xml$/, '')} starts with the host`;
      return finding({ rule: RULE, path, value, why: WHY, action: canChange ? 'disable' : 'unknown' });
    });
    return [...started, ...(await clues.find(tree, context))];
  },
  async change(found, tree, context) {
    const link = await tree.lstat(found.path);
    if (link?.kind === 'link' && /\/(autostart|xen\/auto)\//.test(found.path))
      return [{ kind: 'remove', path: found.path }];
    return clues.change(found, tree, context);
  },
  async verify(tree, context) {
    const { names } = await namesAt(tree, AUTOSTART);
    const done = context.findings.filter(({ rule, action }) => rule === RULE && action === 'disable');
    const left = names.filter(({ path }) => done.some((one) => one.path === path));
    return [...left.map(({ path }) => `${path} still starts it`), ...(await clues.verify(tree, context))];
  },
};
