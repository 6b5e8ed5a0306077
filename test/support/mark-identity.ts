// The least that can be called an identity engine, for tests of what goes on around one: a host's name and a key, in
// text, at a fixed place of the image. It really reads and writes the image that it is given.
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import type { IdentityEngine, OpenedImage, Plan } from '../../src/identity/mod.ts';

export const MARK_OFFSET = 64 * 1024;
const MARK_BYTES = 512;
/** A replica with this word in its mark has something that nobody knows. */
export const UNKNOWN_WORD = 'licence';
/** A mark with this word stays as it is, whatever is written over it: a disk that does not keep what it is given. */
export const LASTING_WORD = 'engraved';

export function markOf(hostName: string, more = ''): Buffer {
  const mark = Buffer.alloc(MARK_BYTES);
  mark.write(`I am ${hostName} ${more}`);
  return mark;
}

/** Reads and writes the bytes of the mark. */
export interface MarkDisk {
  read(image: string): Buffer;
  write(image: string, mark: Buffer): void;
}

const fileDisk: MarkDisk = {
  read(image) {
    const fd = openSync(image, 'r');
    const mark = Buffer.alloc(MARK_BYTES);
    try {
      readSync(fd, mark, 0, MARK_BYTES, MARK_OFFSET);
    } finally {
      closeSync(fd);
    }
    return mark;
  },
  write(image, mark) {
    const fd = openSync(image, 'r+');
    try {
      writeSync(fd, mark, 0, MARK_BYTES, MARK_OFFSET);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  },
};

/** The mark of a disk in memory. */
export function memoryDisk(bytesOf: (image: string) => Buffer): MarkDisk {
  return {
    read: (image) => Buffer.from(bytesOf(image).subarray(MARK_OFFSET, MARK_OFFSET + MARK_BYTES)),
    write: (image, mark) => mark.copy(bytesOf(image), MARK_OFFSET),
  };
}

export function readMark(image: string, disk: MarkDisk = fileDisk): string {
  return disk.read(image).toString('utf8').replaceAll('\0', '');
}

function writeMark(image: string, text: string, disk: MarkDisk): void {
  const mark = Buffer.alloc(MARK_BYTES);
  mark.write(text);
  disk.write(image, mark);
}

/** Fingerprints of the SSH host keys of a host with this mark. */
export function keysIn(mark: string): readonly string[] {
  return [...mark.matchAll(/ key ([0-9a-f]+)/g)].map(([, key]) => `SHA256:${key}`);
}

function planFor(before: string, hostName: string): Plan {
  const after = `I am ${hostName} key ${randomBytes(8).toString('hex')}`;
  const finding = {
    rule: 'mark',
    path: '/mark',
    value: before,
    why: 'two hosts would be one',
    action: 'rewrite',
    confidence: 'certain',
  } as const;
  const unknown = before.includes(UNKNOWN_WORD)
    ? [{ ...finding, rule: 'licence', path: '/licence', why: 'it may be for one machine', action: 'unknown' as const }]
    : [];
  const change = {
    path: '/mark',
    rule: 'mark',
    kind: 'file',
    before,
    beforeDigest: createHash('sha256').update(before).digest('hex'),
    after,
    secret: true,
    fresh: true,
    mode: null,
  } as const;
  const fingerprint = createHash('sha256').update(`${before} ${hostName}`).digest('hex');
  return {
    fingerprint,
    changes: [change],
    findings: [finding, ...unknown],
    unknown,
    proof: { sshHostKeys: keysIn(after), machineId: hostName },
  };
}

export function markIdentity(disk: MarkDisk = fileDisk): IdentityEngine {
  const opened = (image: string): OpenedImage => ({
    inspect: async () => ({ os: { id: 'mark', version: '1', arch: 'any' }, findings: [], starts: [] }),
    identify: async () => ({ hostName: readMark(image, disk), interfaces: [] }),
    plan: async (request) => {
      const plan = planFor(readMark(image, disk), request.understudy.hostName);
      if (request.keepsOwn !== true) return plan;
      return { ...plan, changes: [], findings: [], unknown: [], proof: { ...plan.proof, sshHostKeys: [] } };
    },
  });
  return {
    reading: (image, _signal, use) => use(opened(image)),
    inspect: (image, lead) => opened(image).inspect(lead),
    identify: (image) => opened(image).identify(),
    plan: (image, request) => opened(image).plan(request),
    // A mark has no files: who a volume is stays as it is, and that is what callers have to hold.
    transplant: async (_from, to, { apply }) => {
      readMark(to, disk);
      const nothing = { files: 0, folders: 0, bytes: 0, written: 0, removed: 0, skipped: [], findings: [] };
      return { ...nothing, applied: apply };
    },
    async apply(image, plan) {
      if (readMark(image, disk).includes(LASTING_WORD)) return;
      for (const { after } of plan.changes) if (after !== null) writeMark(image, after, disk);
    },
    async verify(image, { keepsOwn, understudy }, plan) {
      const mark = readMark(image, disk);
      const own = markOf(understudy.hostName).toString().replace(/\0+$/, '');
      const wanted = keepsOwn === true ? own : plan.changes[0]?.after;
      return mark === wanted
        ? { verified: true, problems: [] }
        : { verified: false, problems: [`it says "${mark}", not "${wanted}"`] };
    },
    show: (plan) => plan.changes.map(({ path }) => path).join('\n'),
  };
}
