// The interface in front of a controller with a defect, for the proof that the attack finds each: planted FOLDER
// DEFECT. What the interface itself would not say is put into its answers on their way out.
import { createServer, connect as dial, type Socket } from 'node:net';
import { join } from 'node:path';
import { driverSchemas } from '../../../bin/drivers.ts';
import { createApi } from '../../../src/api/mod.ts';
import { loadConfiguration } from '../../../src/config/mod.ts';
import { ControllerPeer } from '../../support/controller-peer.ts';

const [folder = '', defect = ''] = process.argv.slice(2);

/** Other bytes of the same length, so that the framing stays right. */
const REPLACED: Readonly<Record<string, readonly [string, string]>> = {
  'a code that is not registered': ['API_NOT_FOUND', 'API_GONE_AWAY'],
  'a stack in a message': ['this token is not known', 'at f (/srv/a/token.ts:1)'.slice(1)],
  'another form of errors': ['"error":{"code"', '"wrong":{"code"'],
  'another status': ['404 Not Found', '500 Not Found'],
  'a page of the framework': ['application/json; charset=utf-8', 'text/html; charset=utf-8       '],
};

class Defective extends ControllerPeer {
  readonly #kept: Buffer[] = [];
  #asked = 0;

  override async explain(service: string, limit: number) {
    this.#asked += 1;
    if (defect === 'an order that nobody gave' && this.#asked === 20) this.engagements = [];
    if (defect === 'memory for every request') this.#kept.push(Buffer.alloc(8 * 1024 * 1024, 1));
    if (defect === 'an answer that never comes' && this.#asked > 5) await new Promise(() => undefined);
    if (defect === 'the end of the process' && this.#asked === 10) process.exit(0);
    if (defect === 'an error of nobody' && this.#asked === 10) throw new TypeError('nobody thought of this');
    if (defect === 'a path of the machine' && service !== 'wiki') throw new Error(`ENOENT ${folder}`);
    return super.explain(service, limit);
  }
}

const configuration = await loadConfiguration(join(folder, 'understudy.yaml'), driverSchemas);
const { url } = await (await createApi({ controller: new Defective(), configuration, version: '1.2.3' })).listen();
const [from, to] = REPLACED[defect] ?? ['', ''];

/** Passes everything on, and changes what comes back. */
function relay(client: Socket): void {
  // Each client keeps its address, or what one address may do would be for all of them together.
  const { remoteAddress: localAddress = '127.0.0.1' } = client;
  const server = dial({ host: '127.0.0.1', port: Number(new URL(url).port), localAddress });
  client.on('data', (bytes: Buffer) => server.write(bytes));
  server.on('data', (bytes: Buffer) => {
    const text = bytes.toString('latin1');
    client.write(
      Buffer.from(from === '' ? text : text.replaceAll(from, to.padEnd(from.length).slice(0, from.length)), 'latin1'),
    );
  });
  for (const [one, other] of [
    [client, server],
    [server, client],
  ] as const) {
    one.on('end', () => other.end());
    one.on('error', () => other.destroy());
    one.on('close', () => other.destroy());
  }
}

const front = createServer({ allowHalfOpen: true }, relay);
front.listen(0, '127.0.0.1', () => {
  const address = front.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`);
});
