// The networks of tests themselves: what they connect, and that nothing of them is left.
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { present } from '../../src/base/mod.ts';
import { stateOf } from '../rig/processes.ts';
import { eventually } from '../rig/wait.ts';
import { Lan, onLan } from '../support/net-namespace.ts';

/** One connection from a namespace, and what the other side said. */
const ASK = `require('net').connect(8080, process.argv[1]).on('data', (text) => process.stdout.write(text));`;
const SAY = `require('net').createServer((peer) => peer.end('here')).listen(8080, () => console.log('listening'));`;

describe('a network of a test', () => {
  it('network - hosts reach each other and the controller reaches them', async () => {
    await onLan({ hosts: ['web1', 'web2'] }, async (lan) => {
      const stdio = ['ignore', 'pipe', 'inherit'] as const;
      const server = lan.spawn(process.execPath, ['-e', SAY], { stdio: [...stdio] }, lan.host('web2').namespace);
      await once(present(server.stdout, 'output'), 'data');
      const args = ['-e', ASK, lan.host('web2').address];
      expect(await lan.run(process.execPath, args, lan.host('web1').namespace)).toBe('here');
      expect(await lan.run(process.execPath, args)).toBe('here');
      await lan.plug('web2', false);
      expect(await lan.run('ip', ['-brief', 'link', 'show', 'port-web2'])).toContain('DOWN');
    });
  });

  it('network - tap devices are ports of the bridge', async () => {
    await onLan({ taps: ['tap0'] }, async (lan) => {
      expect(await lan.run('ip', ['link', 'show', 'tap0'])).toContain(`master ${lan.link}`);
    });
  });

  it('network - closing ends the processes in it and leaves nothing', async () => {
    const lan = await Lan.make({ hosts: ['web1'] });
    const ours = () => readdirSync('/run/netns').filter((name) => name.startsWith(lan.namespace));
    expect(ours()).toHaveLength(2);
    const sleeper = lan.spawn('sleep', ['1000'], { stdio: 'ignore' }, lan.host('web1').namespace);
    const pid = present(sleeper.pid, 'process id');
    await eventually(
      'the program runs',
      async () => (await lan.run('ip', ['netns', 'pids', `${lan.namespace}-web1`])) !== '',
    );
    await lan.close();
    expect(existsSync(`/proc/${pid}`) ? stateOf(pid) : 'Z').toBe('Z');
    expect(ours()).toEqual([]);
    await lan.close();
  });

  it('network - one that cannot be made whole is taken away', async () => {
    await expect(Lan.make({ taps: ['a name that is too long for a link'] })).rejects.toThrow('ip');
    expect(readdirSync('/run/netns').filter((name) => name.startsWith(`ust-${process.pid}-`))).toEqual([]);
  });
});
