import { describe, expect, it } from 'vitest';
import { type Machine, machineArguments, nbdServer } from './command.ts';
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
      'server.type': 'unix',
      'server.path': '/run/u/nbd.sock',
      export: 'web 1',
    });
    const tcp = { 'server.type': 'inet', 'server.port': '10809' };
    expect(nbdServer('nbd://storage/web1')).toEqual({ ...tcp, 'server.host': 'storage', export: 'web1' });
    expect(nbdServer('nbd://[::1]:99/')).toEqual({ ...tcp, 'server.host': '::1', 'server.port': '99', export: '' });
  });

  it.each(['', 'nbd:///web1', 'nbds://storage/web1', 'nbd+unix:///web1', '/var/disk.img'])('is not in %j', (uri) => {
    expect(() => nbdServer(uri)).toThrow(expect.objectContaining({ code: 'POWER_FAILED' }));
  });
});

describe('the command line of a machine', () => {
  it('doubles commas in values', () => {
    const args = machineArguments(machine({ serialLog: '/log,1' }, 'nbd+unix:///a,b?socket=/s,t'));
    expect(args).toContain('file,id=serial0,path=/log,,1');
    expect(args).toContain('socket,id=monitor0,path=/run/a,,b/web1.qmp,server=on,wait=off');
    expect(args.find((argument) => argument.startsWith('driver=nbd'))).toMatch(/server\.path=\/s,,t,export=a,,b,/);
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
