// The engine that everybody uses: what it is asked is done in a process that can do no harm, which this one starts for
// each image that is opened and believes no further than the shape of what it says.
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, lstatSync, openSync, readlinkSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { errnoOf, reasonOf, UnderstudyError } from '../../base/mod.ts';
import { giveTo, OWN_USER } from '../../sandbox/mod.ts';
import type { IdentityEngine, Kept } from '../contract.ts';
import { type ImageFormats, nbdServer, type OnStep, WorkFolder } from '../image/mod.ts';
import type { RuleSet } from '../rules/mod.ts';
import { showPlan } from '../show.ts';
import type { Operation } from './protocol.ts';
import { type Bounds, Session, type SessionOptions } from './session.ts';
import { hostIn, inspectionIn, planIn, transplantIn, verificationIn } from './shape.ts';

export interface IdentityOptions {
  /**
   * Absolute. A private folder for what is written while an image is changed; what lets a later call complete one that
   * was interrupted lies there, so it has to be durable. @default one below the folder for temporary files
   */
  readonly stateFolder?: string;
  /**
   * What an image file may be, beside raw: 'detect' looks for qcow2. Of disks that a guest writes, say 'raw'. @default
   * 'raw'
   */
  readonly formats?: ImageFormats;
  /**
   * The kernel may mount a private overlay of an image: XFS and btrfs are read and changed then, and rules may run
   * commands in images. Only root may mount. docs/decisions/0053-kernel-mounts.md @default false
   */
  readonly kernelMount?: boolean;
  /** Beside those that come with the program, or instead. @default those that come with the program */
  readonly rules?: RuleSet;
  /** What stays as it is, although a rule would change it or ask. */
  readonly kept?: readonly Kept[];
  /** Told the name of each step of `apply` before it begins. */
  readonly onStep?: OnStep;
  /** Of the process that reads an image. */
  readonly bounds?: Bounds;
}

type Asked = Pick<SessionOptions, 'images' | 'signal'>;

export function createIdentityEngine(options: IdentityOptions = {}): IdentityEngine {
  const { formats = 'raw', kernelMount = false, rules, kept = [], onStep = null, bounds = {} } = options;
  const state = new WorkFolder(options.stateFolder ?? null).path;
  const setting = { formats, kernelMount, kept, rules: rules === undefined ? null : rules.given };
  const during = async <T>(
    given: readonly { readonly image: string; readonly writable: boolean }[],
    signal: AbortSignal,
    use: (session: Session) => Promise<T>,
  ): Promise<T> => {
    await giveFolder(state, kernelMount);
    return withImages(given, (images) => {
      const asked: Asked = { images, signal };
      const more = { stateFolder: state, keepsRoot: kernelMount, setting, onStep };
      return Session.during({ ...bounds, ...asked, ...more }, use);
    });
  };
  const once = (image: string, writable: boolean, operation: Operation, signal: AbortSignal): Promise<unknown> =>
    during([{ image, writable }], signal, (session) => session.ask(operation));
  const reading: IdentityEngine['reading'] = (image, signal, use) =>
    during([{ image, writable: false }], signal, async (session) => {
      await session.ask({ do: 'reading' });
      return use({
        inspect: async (lead) => inspectionIn(await session.ask({ ask: 'inspect', lead })),
        identify: async () => hostIn(await session.ask({ ask: 'identify' })),
        plan: async (request) => planIn(await session.ask({ ask: 'plan', request })),
      });
    });
  return {
    reading,
    inspect: (image, lead, signal) => reading(image, signal, (opened) => opened.inspect(lead)),
    identify: (image, signal) => reading(image, signal, (opened) => opened.identify()),
    plan: (image, request, signal) => reading(image, signal, (opened) => opened.plan(request)),
    async apply(image, plan, signal) {
      await once(image, true, { do: 'apply', plan }, signal);
    },
    async transplant(from, to, request, signal) {
      const images = [
        { image: from, writable: false },
        { image: to, writable: request.apply },
      ];
      return transplantIn(await during(images, signal, (session) => session.ask({ do: 'transplant', request })));
    },
    async verify(image, request, plan, signal) {
      return verificationIn(await once(image, false, { do: 'verify', request, plan }, signal));
    },
    show: showPlan,
  };
}

/**
 * The folder and what is in it belong to whoever reads: an own user where we are root, unless the kernel mounts for it.
 */
async function giveFolder(folder: string, kernelMount: boolean): Promise<void> {
  const self = process.geteuid?.() ?? 0;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const facts = lstatSync(folder);
  if (!facts.isDirectory() || (facts.uid !== self && (self !== 0 || facts.uid !== OWN_USER))) {
    throw new UnderstudyError(
      'IDENTITY_FAILED',
      `${folder} is not a folder of this user; remove it, or use another one`,
    );
  }
  giveTo(folder, kernelMount);
}

/** Opens them once, for judging and for reading: a name may be another's a moment later. @throws IMAGE_UNSUPPORTED */
async function withImages<T>(
  given: readonly { readonly image: string; readonly writable: boolean }[],
  use: (images: SessionOptions['images']) => Promise<T>,
): Promise<T> {
  const opened: SessionOptions['images'][number][] = [];
  try {
    for (const { image, writable } of given) opened.push(open(image, writable));
    return await use(opened);
  } finally {
    for (const { fd } of opened) if (fd !== null) closeSync(fd);
  }
}

function open(image: string, writable: boolean): SessionOptions['images'][number] {
  const server = nbdServer(image);
  if (server !== null) {
    const block = { driver: 'nbd', ...server };
    return { fd: null, path: '', block, writable, label: image, key: keyOf(image), isFile: false };
  }
  let fd: number;
  try {
    fd = openSync(image, (writable ? constants.O_RDWR : constants.O_RDONLY) | constants.O_NONBLOCK);
  } catch (cause) {
    const errno = errnoOf(cause) ?? String(cause);
    throw new UnderstudyError('IMAGE_UNSUPPORTED', `${image} cannot be opened: ${reasonOf(errno)}`, { cause });
  }
  try {
    const facts = fstatSync(fd);
    if (!facts.isFile() && !facts.isBlockDevice())
      throw new UnderstudyError('IMAGE_UNSUPPORTED', `${image} is neither a file nor a block device`);
    const path = readlinkSync(`/proc/self/fd/${fd}`);
    if (path.includes('?')) throw new UnderstudyError('IMAGE_UNSUPPORTED', `${image} lies at a path with a "?" in it`);
    const identity = facts.isFile() ? `file ${facts.dev} ${facts.ino}` : `device ${facts.rdev}`;
    return { fd, path, block: null, writable, label: image, key: keyOf(identity), isFile: facts.isFile() };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function keyOf(identity: string): string {
  return createHash('sha256').update(identity).digest('hex').slice(0, 24);
}
