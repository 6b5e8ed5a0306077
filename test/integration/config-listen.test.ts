// Where hosts find their volumes: what is accepted, and what is refused with which advice.
import { expect, it } from 'vitest';
import { insecureVolumes } from '../../bin/gateway-tls.ts';
import { readConfiguration } from '../../src/config/mod.ts';
import { isInsecure } from '../../src/storage/gateway/contract.ts';
import { ConfigFolder, changed, drivers } from '../support/config-folder.ts';

const TLS = 'tls: { folder: pki, name: san-a }';

async function read(storage: string, top = '') {
  const config = new ConfigFolder();
  try {
    const text = changed('volumes:', `storage: { ${storage} }\n${top}\nvolumes:`);
    return await readConfiguration(config.write(text), drivers);
  } finally {
    config.remove();
  }
}

it.each([
  ['listen: unix', '', null],
  ['listen: 127.0.0.1:10809', '', null],
  ['listen: "[::1]:10809"', TLS, null],
  ['listen: 127.0.0.1:10810-10820', '', null],
  ['listen: 10.20.0.1:10810-10811', TLS, null],
  ['listen: 0.0.0.0:10810-10820', TLS, null],
  ['listen: 10.20.0.1:10809, insecure: true', '', 'volumes at 10.20.0.1 are not encrypted'],
  ['listen: 10.20.0.1:10810-10820, insecure: true', TLS, 'volumes at 10.20.0.1 are not encrypted'],
  ['listen: 127.0.0.1:10809, insecure: true', '', null],
])('config - storage { %s } %s is accepted; warning: %s', async (storage, top, warning) => {
  const { configuration, problems } = await read(storage, top);
  expect(problems).toEqual([]);
  if (configuration === null) throw new Error('no configuration');
  const { listen, insecure } = configuration.storage;
  const tls =
    configuration.tls === null || insecure ? null : { name: '', read: () => Promise.reject(new Error('not read')) };
  expect(isInsecure(listen.kind === 'range' ? { ...listen, tls } : listen)).toBe(warning !== null);
  const told = insecureVolumes(configuration);
  if (warning === null) expect(told).toBeNull();
  else expect(told).toContain(warning);
});

it.each([
  [
    'listen: 10.20.0.1:10809',
    '',
    'whoever reaches 10.20.0.1 could read and write every disk, for one port for all hosts has no TLS',
  ],
  ['listen: 10.20.0.1:10809', TLS, 'for one port for all hosts has no TLS'],
  [
    'listen: 10.20.0.1:10810-10820',
    '',
    'whoever reaches 10.20.0.1 could read and write every disk, for there is no tls',
  ],
  ['listen: 0.0.0.0:10809', TLS, '0.0.0.0 would offer every disk to every network of this machine'],
  ['listen: 0.0.0.0:10810-10820', '', '0.0.0.0 would offer every disk'],
  ['listen: 0.0.0.0:10809, insecure: true', '', '0.0.0.0 would offer every disk'],
  ['listen: "[::]:10810-10820", insecure: true', TLS, ':: would offer every disk'],
  ['listen: "[::ffff:127.0.0.1]:10809"', '', 'is not a place to listen'],
  ['listen: 10.20.0.1:10810-10810', TLS, '2 hosts need a port each, and there are 1'],
  ['listen: 10.20.0.1:10820-10810', TLS, 'is not a place to listen'],
  ['listen: 10.20.0.1:0-10', TLS, 'is not a place to listen'],
  ['listen: 10.20.0.1:65000-65536', TLS, 'is not a place to listen'],
  ['listen: unix, insecure: true', '', 'storage.insecure: a Unix socket is not plain text on a network'],
])('config - storage { %s } %s is refused', async (storage, top, text) => {
  const { configuration, problems } = await read(storage, top);
  expect(configuration).toBeNull();
  expect(problems.map((problem) => problem.text).join('\n')).toContain(text);
});

it("config - the port of the API is no host's", async () => {
  const { problems } = await read('listen: 127.0.0.1:7000-7100', TLS);
  expect(problems).toEqual([]);
  const config = new ConfigFolder();
  try {
    const text = changed('port: 0', 'port: 7050').replace(
      'volumes:',
      'storage: { listen: 127.0.0.1:7000-7100 }\nvolumes:',
    );
    const reading = await readConfiguration(config.write(text), drivers);
    expect(reading.problems.map((problem) => problem.text)).toEqual([
      'storage.listen: 127.0.0.1:7050 is where the API listens',
    ]);
  } finally {
    config.remove();
  }
});
