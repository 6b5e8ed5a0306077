// The SSH host keys that a host shows, by ssh-keyscan(1): all of its usual types, with no login.
import { createHash } from 'node:crypto';
import { assert, requireTool, runTool, UnderstudyError } from '../../base/mod.ts';

/** For each connection. Emulated hosts take seconds for a key exchange. */
const ANSWER_SECONDS = 10;
const TIMEOUT_MS = 60_000;

/** As ssh-keygen(1) and ssh(1) show it: SHA-256 of the key's blob in base64, without padding. */
export function fingerprintOf(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** Fingerprints in the output of ssh-keyscan: "HOST TYPE BASE64" a line; comments begin with "#". */
export function fingerprintsIn(output: string): readonly string[] {
  const keys = output.split('\n').flatMap((line) => /^[^#\s]\S* [\w@.-]+ ([A-Za-z0-9+/]+=*)\s*$/.exec(line)?.[1] ?? []);
  return [...new Set(keys.map((key) => fingerprintOf(Buffer.from(key, 'base64'))))].sort();
}

/** @throws TOOL_MISSING, NETWORK_FAILED, INTERRUPTED */
export async function sshHostKeys(address: string, port: number, signal: AbortSignal): Promise<readonly string[]> {
  assert(Number.isInteger(port) && port > 0 && port < 65_536, 'a port');
  const tool = requireTool('ssh-keyscan', 'openssh-client');
  const what = `host keys of ${address}, port ${port}`;
  if (signal.aborted) throw new UnderstudyError('INTERRUPTED', `${what}: stopped by its caller`);
  const args = ['-T', `${ANSWER_SECONDS}`, '-p', `${port}`, '--', address];
  const { status, stdout, stderr } = await runTool(tool, args, { timeoutMs: TIMEOUT_MS, signal });
  if (signal.aborted) throw new UnderstudyError('INTERRUPTED', `${what}: stopped by its caller`);
  // 1: it found no key, which is an answer.
  if (status === 0 || status === 1) return fingerprintsIn(stdout);
  throw new UnderstudyError('NETWORK_FAILED', `${what}: ssh-keyscan ended with ${status}: ${stderr.trim()}`);
}
