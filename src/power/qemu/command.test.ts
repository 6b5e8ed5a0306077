import { describe, expect, it } from 'vitest';
import { type Machine, machineArguments } from './command.ts';
import { nbdServer } from './disk.ts';
import { qemuSettings } from './settings.ts';

function machine(settings: object, disk: string | null = null): Machine {
  return {
    host: 'web1',
    settings: qemuSettings.parse(settings),
    uuid: '00000000-0000-8000-a000-000000000000',
    monitor: '/run/a,b/web1.qmp',
    accelerator: 'tcg',
    disk,
    byRoot: true,
  };
}

describe('where a machine finds its disk', () => {
  it('is read from NBD URIs', () => {
    expect(nbdServer('nbd+unix:///web%201?socket=/run/u/nbd.sock')).toEqual({
      server: { type: 'unix', path: '/run/u/nbd.sock' },
      exportName: 'web 1',
      tls: false,
    });
    const inet = (host: string, port: string) => ({ type: 'inet', host, port });
    const web1 = { exportName: 'web1', tls: false };
    expect(nbdServer('nbd://storage/web1')).toEqual({ ...web1, server: inet('storage', '10809') });
    expect(nbdServer('nbd://[::1]:99/')).toEqual({ server: inet('::1', '99'), exportName: '', tls: false });
    expect(nbdServer('nbds://10.0.0.1:99/web1')).toEqual({ ...web1, server: inet('10.0.0.1', '99'), tls: true });
  });

  it.each(['', 'nbd:///web1', 'nbds:///web1', 'nbd+unix:///web1', '/var/disk.img'])('is not in %j', (uri) => {
    expect(() => nbdServer(uri)).toThrow(expect.objectContaining({ code: 'POWER_FAILED' }));
  });
});

describe('the command line of a machine', () => {
  it('doubles commas in values', () => {
    const args = machineArguments(machine({ serialLog: '/log,1' }, 'nbd+unix:///a,b?socket=/s,t'));
    expect(args).toContain('file,id=serial0,path=/log,,1');
    expect(args).toContain('socket,id=monitor0,path=/run/a,,b/web1.qmp,server=on,wait=off');
    const [node] = args.filter((argument) => argument.startsWith('{')).map((argument) => JSON.parse(argument));
    expect(node).toMatchObject({ driver: 'nbd', server: { type: 'unix', path: '/s,t' }, export: 'a,b' });
  });

  it('has the certificate of its host where the disk comes over TLS, and nowhere else', () => {
    const tls = { id: '0123', folder: '/run/a,b', serverName: 'san-a' };
    const given = (disk: string, own: typeof tls | null) => machineArguments({ ...machine({}, disk), tls: own });
    const [creds, net, top] = given('nbds://10.0.0.1:7/web1', tls)
      .filter((argument) => argument.startsWith('{'))
      .map((argument) => JSON.parse(argument));
    expect(creds).toMatchObject({
      'qom-type': 'tls-creds-x509',
      dir: '/run/a,b',
      priority: 'NORMAL:-VERS-ALL:+VERS-TLS1.3',
    });
    expect(net).toMatchObject({ 'node-name': 'net-0123', 'tls-creds': creds.id, 'tls-hostname': 'san-a' });
    expect(top).toMatchObject({ 'node-name': 'disk0', file: 'net-0123' });
    expect(() => given('nbds://10.0.0.1:7/web1', null)).toThrow('do not belong together');
    expect(() => given('nbd://10.0.0.1:7/web1', tls)).toThrow('do not belong together');
  });

  it('starts its disk, but a kernel from outside where it has one', () => {
    const disk = (settings: object): string | undefined =>
      machineArguments(machine(settings, 'nbd+unix:///web1?socket=/s')).find((argument) =>
        /^virtio-blk/.test(argument),
      );
    expect(disk({})).toBe('virtio-blk-pci,id=disk0,drive=disk0,bootindex=0');
    expect(disk({ kernel: '/boot/vmlinuz' })).toBe('virtio-blk-pci,id=disk0,drive=disk0');
  });

  it('becomes a user of its own, unless it has to open a socket of root again', () => {
    const rights = (disk: string | null, byRoot: boolean): string[] => {
      const args = machineArguments({ ...machine({}, disk), byRoot });
      const at = args.indexOf('-runas');
      return [args[args.indexOf('-sandbox') + 1] ?? '', ...(at < 0 ? [] : [args[at + 1] ?? ''])];
    };
    const denied = ['on,obsolete=deny,elevateprivileges=deny,spawn=deny'];
    const other = ['on,obsolete=deny,elevateprivileges=allow,spawn=deny', '65334:65334'];
    expect(rights('nbd://127.0.0.1:10809/web1', true)).toEqual(other);
    expect(rights(null, true)).toEqual(other);
    expect(rights('nbd+unix:///web1?socket=/s', true)).toEqual(denied);
    expect(rights('nbd://127.0.0.1:10809/web1', false)).toEqual(denied);
  });

  it('has a card for each interface, in their order', () => {
    const macs = ['52:54:00:90:00:11', '52:54:00:90:00:12'];
    const args = machineArguments(machine({ interfaces: macs.map((mac, index) => ({ tap: `tap${index}`, mac })) }));
    const cards = args.filter((argument) => argument.startsWith('virtio-net-pci'));
    expect(cards).toEqual(macs.map((mac, index) => `virtio-net-pci,netdev=net${index},mac=${mac},romfile=`));
  });
});

describe('settings of a machine', () => {
  it.each([
    [{ memoryMiB: 0 }, 'memoryMiB'],
    [{ interfaces: [{ tap: 'tap0', mac: '53:54:00:90:00:11' }] }, 'interfaces.0.mac'],
    [{ interfaces: [{ tap: 'a-name-of-16-long', mac: '52:54:00:90:00:11' }] }, 'interfaces.0.tap'],
    [{ append: 'root=/dev/vda' }, 'kernel'],
    [{ memory: 512 }, ''],
  ])('%j is refused where it is wrong', (settings, path) => {
    const result = qemuSettings.safeParse(settings);
    expect(result.error?.issues.map((issue) => issue.path.join('.'))).toEqual([path]);
  });

  it('have defaults', () => {
    expect(qemuSettings.parse({})).toEqual({ memoryMiB: 512, cpus: 1, interfaces: [], accelerator: 'auto' });
  });
});
