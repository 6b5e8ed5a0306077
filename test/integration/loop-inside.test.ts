// The process that speaks for the users inside a private network: a closed loop of clients against a real server there.
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Insider } from '../../scripts/loop/insider.ts';
import { eventually } from '../rig/wait.ts';
import { onLan } from '../support/net-namespace.ts';

const program = fileURLToPath(new URL('../../dist/scripts/loop/inside.js', import.meta.url));

const server = `
  let [open, most, count] = [0, 0, 0];
  require('node:http').createServer((request, response) => {
    if (request.url === '/counts') return response.end(JSON.stringify({ most, count }));
    most = Math.max(most, ++open);
    count += 1;
    setTimeout(() => { open -= 1; response.end(request.method + ' ' + request.url); }, 20);
  }).listen(8080, '10.88.0.1', () => console.log('listening'));
`;

describe('the process inside', () => {
  it('inside - asks, plays as many clients as it is told, and tells how each request went', async () => {
    await onLan({}, async (lan) => {
      const web = lan.spawn(process.execPath, ['-e', server], { stdio: ['ignore', 'pipe', 'inherit'] });
      await new Promise((resolve) => web.stdout?.once('data', resolve));
      const samples: { readonly status: number; readonly milliseconds: number }[] = [];
      const insider = new Insider(lan, program, (sample) => samples.push(sample));
      const url = 'http://10.88.0.1:8080/page';
      expect(await insider.ask({ method: 'POST', url, body: 'x' })).toEqual({ status: 200, body: 'POST /page' });
      await expect(insider.ask({ url: 'http://10.88.0.1:8081/' })).rejects.toThrow('ECONNREFUSED');
      insider.load({ clients: 3, url, thinkMs: 1, timeoutMs: 5000 });
      await eventually('thirty samples', () => samples.length >= 30);
      insider.load({ clients: 0, url, thinkMs: 1, timeoutMs: 5000 });
      expect(samples.every(({ status, milliseconds }) => status === 200 && milliseconds > 0)).toBe(true);
      const { body } = await insider.ask({ url: 'http://10.88.0.1:8080/counts' });
      expect(JSON.parse(body)).toMatchObject({ most: 3 });
      await insider.close();
    });
  });
});
