import { closeSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { libc } from './libc.ts';
import { addressOf, allocatePages } from './mapping.ts';
import { listenTcp } from './tcp-listener.ts';

const [ACCEPT, GETSOCKOPT, GETSOCKNAME] = process.arch === 'arm64' ? [202, 209, 204] : [43, 55, 51];
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;

const view = new DataView(allocatePages(4096).buffer);
const value = addressOf(new Uint8Array(view.buffer, 0, 64));
const length = addressOf(new Uint8Array(view.buffer, 64, 4));

function portOf(listener: number): number {
  view.setUint32(64, 64, true);
  expect(libc.syscall(GETSOCKNAME, listener, value, length, 0, 0, 0)).toBe(0);
  return view.getUint16(2, false);
}

function isWithoutDelay(fd: number): boolean {
  view.setUint32(64, 4, true);
  expect(libc.syscall(GETSOCKOPT, fd, IPPROTO_TCP, TCP_NODELAY, value, length, 0)).toBe(0);
  return view.getUint32(0, true) === 1;
}

/** null: Node.js cannot listen at the address either. */
function freePortOf(host: string): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen({ host, port: 0 }, () => {
      const place = server.address();
      server.close(() => resolve(typeof place === 'object' ? (place?.port ?? null) : null));
    });
  });
}

describe('a listening socket for another program', () => {
  it.each([
    ['127.0.0.1', 4],
    ['0.0.0.0', 4],
  ] as const)('tcp-listener - %s: what is accepted sends at once', async (address, family) => {
    const listener = listenTcp({ address, family, port: 0 });
    const client = connect(portOf(listener), '127.0.0.1');
    try {
      await new Promise((resolve, reject) => client.once('connect', resolve).once('error', reject));
      const accepted = libc.syscall(ACCEPT, listener, 0, 0, 0, 0, 0);
      expect(accepted).toBeGreaterThan(2);
      expect(isWithoutDelay(accepted)).toBe(true);
      closeSync(accepted);
    } finally {
      client.destroy();
      closeSync(listener);
    }
  });

  it.each(['::1', '::'])('tcp-listener - %s: listened at where this machine has IPv6', async (address) => {
    const port = await freePortOf(address);
    if (port === null) {
      expect(() => listenTcp({ address, family: 6, port: 0 })).toThrow(/EADDRNOTAVAIL|EAFNOSUPPORT/);
      return;
    }
    const listener = listenTcp({ address, family: 6, port });
    const client = connect(port, '::1');
    try {
      await new Promise((resolve, reject) => client.once('connect', resolve).once('error', reject));
    } finally {
      client.destroy();
      closeSync(listener);
    }
  });

  it('tcp-listener - a port that another one has, and addresses that are none, are refused by name', () => {
    const listener = listenTcp({ address: '127.0.0.1', family: 4, port: 0 });
    try {
      const port = portOf(listener);
      expect(() => listenTcp({ address: '127.0.0.1', family: 4, port })).toThrow('EADDRINUSE');
    } finally {
      closeSync(listener);
    }
    for (const [address, family] of [
      ['san-a', 4],
      ['::1', 4],
      ['127.0.0.1', 6],
      ['192.0.2.1', 4],
    ] as const) {
      expect(() => listenTcp({ address, family, port: 0 })).toThrow('EADDRNOTAVAIL');
    }
  });
});
