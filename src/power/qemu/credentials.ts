// The certificate of a host, as files for as long as its machine reads them:
// https://www.qemu.org/docs/master/system/tls.html. QEMU reads them once, so they are gone before its guest does
// anything. A machine that root started has become another user when it is given new ones, and all machines have that
// user in common: the files lie in a folder that only those find who were told its name.
import { createHash } from 'node:crypto';
import { chmod, chown, lstat, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, errnoOf, messageOf, UnderstudyError } from '../../base/mod.ts';

/** What a machine proves itself with at its gateway. PEM. */
export interface MachineCertificates {
  /** Name that the gateway's certificate has to vouch for. */
  readonly serverName: string;
  /** Of the authority that must have signed it. */
  readonly authority: string;
  /** The host's own, and its key. */
  readonly certificate: string;
  readonly key: string;
}

export interface MachineTls {
  /** Another one for other certificates: part of the names of QEMU's objects. */
  readonly id: string;
  /** ca-cert.pem, client-cert.pem, client-key.pem */
  readonly folder: string;
  readonly serverName: string;
}

export interface TlsPlace {
  /** Of the machine: part of the name of its folder, so that what a crash left is found. */
  readonly uuid: string;
  /** For the folders of a user who is not root: of the machines, 0700. */
  readonly folder: string;
  /** User that root's machines become; null: they stay who started them. */
  readonly user: number | null;
}

/** Enough to tell one certificate of a host from the next. */
const ID_DIGITS = 12;
/** Root's machines can go through it and cannot list it; it is gone with the computer's next start. */
const SHARED = '/run/understudy-tls';

export function idOf({ serverName, authority, certificate, key }: MachineCertificates): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([serverName, authority, certificate, key]))
    .digest('hex');
  return digest.slice(0, ID_DIGITS);
}

/** Lets `work` have the files, and removes them. @throws POWER_FAILED when they cannot be written */
export async function withMachineTls<T>(
  place: TlsPlace,
  certificates: MachineCertificates,
  work: (tls: MachineTls) => Promise<T>,
): Promise<T> {
  await removeMachineTls(place);
  try {
    const folder = await write(place, certificates);
    return await work({ id: idOf(certificates), folder, serverName: certificates.serverName });
  } finally {
    await removeMachineTls(place);
  }
}

async function write(place: TlsPlace, { authority, certificate, key }: MachineCertificates): Promise<string> {
  try {
    const folder = await mkdtemp(join(await parentOf(place), `${place.uuid}-`));
    const files = { 'ca-cert': authority, 'client-cert': certificate, 'client-key': key };
    for (const [name, text] of Object.entries(files)) {
      const path = join(folder, `${name}.pem`);
      await writeFile(path, text, { mode: 0o600, flag: 'wx' });
      if (place.user !== null) await chown(path, place.user, place.user);
    }
    if (place.user !== null) await chown(folder, place.user, place.user);
    return folder;
  } catch (cause) {
    if (codeOf(cause) !== null) throw cause;
    const message = `the certificate of a machine cannot be written: ${messageOf(cause)}`;
    throw new UnderstudyError('POWER_FAILED', message, { cause });
  }
}

async function parentOf({ folder, user }: TlsPlace): Promise<string> {
  if (user === null) return folder;
  await mkdir(SHARED, { mode: 0o711, recursive: true });
  const { uid } = await lstat(SHARED);
  if (uid !== 0) throw new UnderstudyError('POWER_FAILED', `${SHARED} belongs to user ${uid}, not to root: remove it`);
  await chmod(SHARED, 0o711);
  return SHARED;
}

/** Removes what a crash left of this machine's. */
export async function removeMachineTls({ uuid, folder, user }: TlsPlace): Promise<void> {
  const parent = user === null ? folder : SHARED;
  let names: readonly string[] = [];
  try {
    names = await readdir(parent);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
  for (const name of names) {
    if (name.startsWith(`${uuid}-`)) await rm(join(parent, name), { recursive: true, force: true });
  }
}
