// The keys by which clients know an SSH server: sshd(8), sshd_config(5) "HostKey".

import type { Finding, HostIdentity } from '../contract.ts';
import { fullNameOf } from '../correspondence.ts';
import { type FileTree, join, nameOf, readText } from '../tree/mod.ts';
import type { Edit, Rule, SshKeySpec } from './contract.ts';
import { finding, unusable } from './finding.ts';
import { fingerprintOf, publicBlob, publicBlobOfPrivate, specOfBlob, specOfPem } from './ssh-key-file.ts';

const RULE = 'ssh-host-keys';
const FOLDER = '/etc/ssh';
const CONFIG = '/etc/ssh/sshd_config';
const CONFIG_FOLDER = '/etc/ssh/sshd_config.d';
const FILES_MAX = 100;
const WHY = 'Clients cannot tell two hosts of one key apart, and who gets into one of them can pose as the other.';

export const sshHostKeysRule: Rule = {
  name: RULE,
  async find(tree) {
    const found: Finding[] = [];
    for (const path of await keyPaths(tree)) {
      const one = await findKey(tree, path);
      if (one !== null && !found.some(({ path: known }) => known === one.path)) found.push(one);
    }
    return [...found, ...(await findCertificates(tree))];
  },
  async prepare(tree, { understudy, makers }) {
    for (const path of await keyPaths(tree)) {
      const spec = await specOf(tree, path, commentOf(understudy));
      if (spec !== null) makers.foresee(spec);
    }
  },
  async change(found, tree, { understudy, makers }) {
    const spec = await specOf(tree, found.path, commentOf(understudy));
    if (spec === null) return [];
    const { privateKey, publicKey } = await makers.sshHostKey(spec);
    const file = await readText(tree, `${found.path}.pub`);
    const fresh = { kind: 'write', fresh: true } as const;
    const edits: Edit[] = [{ ...fresh, path: found.path, text: privateKey, secret: true }];
    if (file.status !== 'unusable') edits.push({ ...fresh, path: file.path ?? `${found.path}.pub`, text: publicKey });
    return edits;
  },
  async verify(tree, { proof, lead, understudy }) {
    const problems: string[] = [];
    const fingerprints = await sshFingerprints(tree);
    const missing = proof.sshHostKeys.filter((one) => !fingerprints.includes(one));
    const others = fingerprints.filter((one) => !proof.sshHostKeys.includes(one));
    if (missing.length > 0) problems.push(`SSH host keys that were made are missing: ${missing.join(', ')}`);
    if (others.length > 0) problems.push(`there are other SSH host keys than were made: ${others.join(', ')}`);
    for (const path of await keyPaths(tree)) problems.push(...(await comparePair(tree, path)));
    const old = `@${fullNameOf(lead)}`;
    return fullNameOf(lead) === fullNameOf(understudy) ? problems : [...problems, ...(await comments(tree, old))];
  },
};

function commentOf({ hostName }: HostIdentity): string {
  return `root@${hostName}`;
}

/** Private keys of the host: those with the names that sshd expects, and those that its configuration names. */
async function keyPaths(tree: FileTree): Promise<readonly string[]> {
  const usual = (await tree.list(FOLDER)).filter((name) => /^ssh_host_[a-z0-9]+_key$/.test(name));
  const paths = usual.slice(0, FILES_MAX).map((name) => join(FOLDER, name));
  for (const path of [CONFIG, ...(await configParts(tree))]) {
    const file = await readText(tree, path);
    if (file.status === 'text') paths.push(...hostKeysIn(file.text).slice(0, FILES_MAX));
  }
  return [...new Set(paths)];
}

async function configParts(tree: FileTree): Promise<string[]> {
  const names = (await tree.list(CONFIG_FOLDER)).filter((name) => name.endsWith('.conf'));
  return names.slice(0, FILES_MAX).map((name) => join(CONFIG_FOLDER, name));
}

function hostKeysIn(config: string): string[] {
  return config.split('\n').flatMap((line) => /^\s*hostkey[\s=]+"?(\/[^\s"]+)/i.exec(line)?.[1] ?? []);
}

async function findKey(tree: FileTree, path: string): Promise<Finding | null> {
  const file = await readText(tree, path);
  if (file.status === 'absent') return null;
  if (file.status === 'unusable') return unusable(RULE, file);
  const spec = await specOf(tree, path, '');
  const facts = { rule: RULE, path: file.path, why: WHY };
  if (spec === null) return finding({ ...facts, value: '(secret)', action: 'unknown', confidence: 'likely' });
  const blob = await blobOf(tree, path);
  const value = blob === null ? spec.type.toUpperCase() : `${spec.type.toUpperCase()} ${fingerprintOf(blob)}`;
  return finding({ ...facts, value, action: 'regenerate' });
}

/** Signed for the lead's key and names: with another key they are of no use, and sshd will not start without what it names. */
async function findCertificates(tree: FileTree): Promise<readonly Finding[]> {
  const names = (await tree.list(FOLDER)).filter((name) => /^ssh_host_.*-cert\.pub$/.test(name)).slice(0, FILES_MAX);
  return names.map((name) =>
    finding({
      rule: RULE,
      path: join(FOLDER, name),
      value: 'a host certificate',
      why: 'It is signed for the key and the names of the lead; only who signed it can make another.',
      action: 'unknown',
    }),
  );
}

async function specOf(tree: FileTree, path: string, comment: string): Promise<SshKeySpec | null> {
  const blob = await blobOf(tree, path);
  if (blob !== null) return specOfBlob(blob, comment);
  const file = await readText(tree, path);
  return file.status === 'text' ? specOfPem(file.text, comment) : null;
}

/** The public part of a key pair: from the private key where it tells, because that is what the server shows. */
async function blobOf(tree: FileTree, path: string): Promise<Buffer | null> {
  const file = await readText(tree, path);
  const own = file.status === 'text' ? publicBlobOfPrivate(file.text) : null;
  if (own !== null) return own;
  const other = await readText(tree, `${path}.pub`);
  return other.status === 'text' ? publicBlob(other.text) : null;
}

/** Fingerprints of all host keys that the image has, sorted: what its SSH server will show. */
export async function sshFingerprints(tree: FileTree): Promise<readonly string[]> {
  const found = new Set<string>();
  for (const path of await keyPaths(tree)) {
    const file = await readText(tree, path);
    const blob = file.status === 'text' ? await blobOf(tree, path) : null;
    if (blob !== null) found.add(fingerprintOf(blob));
  }
  return [...found].sort();
}

async function comparePair(tree: FileTree, path: string): Promise<string[]> {
  const key = await readText(tree, path);
  const other = await readText(tree, `${path}.pub`);
  if (key.status !== 'text' || other.status !== 'text') return [];
  const own = publicBlobOfPrivate(key.text);
  const theirs = publicBlob(other.text);
  return own !== null && theirs !== null && !own.equals(theirs)
    ? [`${path} and its public key do not belong together`]
    : [];
}

/** Public keys carry the name of the host that made them. */
async function comments(tree: FileTree, old: string): Promise<string[]> {
  const problems: string[] = [];
  for (const path of await keyPaths(tree)) {
    const file = await readText(tree, `${path}.pub`);
    if (file.status === 'text' && file.text.trim().endsWith(old)) problems.push(`${nameOf(path)}.pub names the lead`);
  }
  return problems;
}
