// Renewed and revoked certificates are taken up without a restart: first each machine that runs gets the certificate
// that its host has now, then the gateways concerned are started again.
import { codeOf, type Log, messageOf } from '../src/base/mod.ts';
import type { TlsConfig } from '../src/config/mod.ts';
import { watchCertificates } from '../src/pki/mod.ts';
import type { QemuPower } from '../src/power/mod.ts';
import type { LocalStorageNode } from '../src/storage/mod.ts';

export interface Followers {
  readonly tls: TlsConfig;
  readonly machines: QemuPower;
  /** Whose machines these are. */
  readonly hosts: () => readonly string[];
  readonly storage: LocalStorageNode;
  readonly log: Log;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/**
 * Begins with what has changed while nobody followed. Never throws: what goes wrong is told, and tried again with the
 * next change.
 */
export function followCertificates(followers: Followers): void {
  watchCertificates(followers.tls.folder, { signal: followers.signal, onChange: () => takeUp(followers) });
  void takeUp(followers);
}

async function takeUp({ machines, hosts, storage, log, signal }: Followers): Promise<void> {
  for (const host of hosts()) {
    await told(log, signal, `the certificate of ${host} is not taken up by its machine`, async () => {
      if (!(await machines.renew(host, signal))) return;
      log({ level: 'info', subject: `host/${host}`, message: `${host}: its machine has a new certificate` });
    });
  }
  await told(log, signal, 'certificates are not taken up', async () => {
    for (const host of await storage.renewCertificates()) {
      const message = `${host}: its gateway was started again for new certificates`;
      log({ level: 'info', subject: `host/${host}`, message });
    }
  });
}

async function told(log: Log, signal: AbortSignal, what: string, work: () => Promise<void>): Promise<void> {
  try {
    if (!signal.aborted) await work();
  } catch (error) {
    const code = codeOf(error);
    if (code === null) throw error;
    if (!signal.aborted) log({ level: 'error', message: `${what}: ${messageOf(error)}`, code });
  }
}
