// A storage node with gateways, and hosts that use them or are not meant to.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { callOf } from '../conformance/storage.ts';
import type { TestAuthority } from '../support/authority.ts';
import type { ClientCredentials } from './nbd-host.ts';
import { StorageStage, type StorageStageOptions } from './storage-stage.ts';

const MIB = 1024 * 1024;
export const HOSTS = ['web1', 'spare1', 'spare2'];
export const PIECE = 64 * 1024;

export async function onGateways(
  play: (stage: StorageStage) => Promise<void>,
  options: Partial<StorageStageOptions> = {},
): Promise<void> {
  const stage = await StorageStage.make({
    volumes: HOSTS.map((name) => ({ name, bytes: 4 * MIB })),
    network: { hosts: HOSTS },
    ...options,
  });
  try {
    await play(stage);
  } finally {
    await stage.close();
  }
}

export async function attachAll(
  { node }: StorageStage,
  hosts: readonly string[] = HOSTS,
): Promise<Map<string, string>> {
  const uris = new Map<string, string>();
  for (const host of hosts) uris.set(host, (await node.attach(host, host, callOf())).uri);
  return uris;
}

export function authorityOf({ authority }: StorageStage): TestAuthority {
  if (authority === null) throw new Error('the stage has no certificates');
  return authority;
}

/** What a server tells of its exports: nbdinfo(1), which trusts nothing but the folder of certificates. */
export function exportsAt(uri: string, credentials: ClientCredentials | null): string {
  const { host } = new URL(uri);
  const at =
    credentials === null ? `nbd://${host}/` : `nbds://${host}/?tls-certificates=${encodeURI(credentials.folder)}`;
  try {
    return execFileSync('nbdinfo', ['--list', at], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    // It was refused, which is what the caller asks.
    return 'refused';
  }
}

/** Inodes of the sockets of a process that are TCP. */
export function tcpSocketsOf(pid: number): readonly string[] {
  const tables = ['tcp', 'tcp6'].flatMap((name) => readFileSync(`/proc/net/${name}`, 'utf8').trim().split('\n'));
  const known = new Set(tables.map((line) => line.trim().split(/\s+/)[9]));
  const links = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  return links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []).filter((inode) => known.has(inode));
}

export function filesOfGateways(stage: StorageStage): readonly string[] {
  return readdirSync(join(stage.folder, 'state')).filter((name) => name.startsWith('gateway-'));
}
