// The one image in a container. An image is a member with a partition table, a file system or a known format; other
// members
// are ignored and named, and a second image is an error.
import type { UnderstudyError } from '../../base/mod.ts';
import { unreadable } from './damage.ts';
import { type Flow, flowOfPieces } from './flow.ts';
import type { Member, Members } from './members.ts';
import { Run } from './run.ts';
import { diskSignature, SIGNATURE_BYTES } from './signature.ts';
import { requireRaw, type Unwrapped } from './unwrapped.ts';

export interface ContainerOptions {
  readonly format: 'tar' | 'zip';
  readonly run: Run;
  readonly look: Look;
}

/** Takes the layers off a member's content. */
export type Look = (flow: Flow, run: Run) => Promise<Unwrapped>;

/** Smaller than a sector, nothing is a disk. */
const IMAGE_BYTES_MIN = 512;
const NAMES_SHOWN = 8;
/** Programs that are started to look into compressed members, which takes some ten milliseconds for each. */
export const TRIALS_MAX = 256;

/** Names of what was ignored, in one sentence, and what it cost to find out. */
export class Ignored {
  readonly #names: string[] = [];
  #count = 0;
  #programs = 0;

  /** A trial has ended. @throws FORMAT_UNKNOWN when too many members needed programs */
  countPrograms({ started }: Run, uri: string, format: string): void {
    this.#programs += started;
    if (this.#programs <= TRIALS_MAX) return;
    const why = `any of its more than ${TRIALS_MAX} compressed members may be an image`;
    throw unreadable(uri, `is a ${format} archive that is not searched to its end: ${why}; unpack the right one first`);
  }

  add(member: Member, what = ''): void {
    if (member.kind !== 'file') return;
    this.#count += 1;
    if (this.#names.length < NAMES_SHOWN) this.#names.push(what === '' ? member.name : `${member.name} (${what})`);
  }

  get text(): string {
    const more = this.#count - this.#names.length;
    return this.#names.join(', ') + (more > 0 ? ` and ${more} more` : '');
  }

  get none(): boolean {
    return this.#count === 0;
  }
}

export function noImage(uri: string, format: string, ignored: Ignored): UnderstudyError {
  const holds = ignored.none ? 'it holds no file' : `it holds ${ignored.text}`;
  return unreadable(
    uri,
    `is a ${format} archive without an image in it: ${holds}; if one of them is one, unpack it first`,
  );
}

export function twoImages(uri: string, format: string, one: string, other: string): UnderstudyError {
  return unreadable(uri, `is a ${format} archive with more than one image, ${one} and ${other}; unpack the right one`);
}

/** A copy of what the archive of a virtual machine says, not of one disk. */
export function refuseOva(uri: string, member: Member): void {
  if (!/\.ovf$/i.test(member.name)) return;
  throw unreadable(
    uri,
    'is an OVA, the archive of a virtual machine; unpack it with tar, and copy the disk that is meant',
  );
}

export interface Judgement {
  readonly image: Unwrapped | null;
  /** There was no layer to take off. */
  readonly plain: boolean;
  /** What the member is, where it is no image and has a name. */
  readonly what: string;
}

/**
 * What an image is judged by, or null for what is none. The member's content is read from its start; programs started
 * for that
 * belong to `trial`.
 */
export async function judgeMember(
  member: Member,
  pieces: AsyncIterable<Uint8Array>,
  trial: Run,
  look: Look,
): Promise<Judgement> {
  const flow = await flowOfPieces(pieces, SIGNATURE_BYTES, member.sizeBytes);
  const unwrapped = await look(flow, trial);
  const plain = unwrapped.flow === flow;
  switch (unwrapped.kind) {
    case 'raw':
      return { image: diskSignature(unwrapped.flow.first) === null ? null : unwrapped, plain, what: '' };
    case 'image':
      return { image: unwrapped, plain, what: '' };
    case 'unread':
      return { image: null, plain, what: unwrapped.unread.name };
    case 'container':
      return { image: null, plain, what: `a ${unwrapped.format} archive` };
  }
}

/** Folders, links, what is too small, and what macOS adds to every archive. */
export function isNever(member: Member): boolean {
  if (member.kind !== 'file') return true;
  if (member.sizeBytes !== null && member.sizeBytes < IMAGE_BYTES_MIN) return true;
  return /(^|\/)(__MACOSX\/|\._[^/]*$|\.DS_Store$)/.test(member.name);
}

export function requireReadable(member: Member, uri: string): void {
  if (member.obstacle === null) return;
  throw unreadable(uri, `holds ${member.name}, which ${member.obstacle}; unpack it first`);
}

/**
 * The image of a container that is read in order. What follows the image is looked through, as a task of the run, when
 * its
 * bytes have been read. @throws FORMAT_UNKNOWN, SOURCE_CORRUPT
 */
export async function imageOfStream(members: Members, options: ContainerOptions): Promise<Unwrapped> {
  const { run, format } = options;
  const { uri } = run.options;
  const ignored = new Ignored();
  const found = await nextImage(members, ignored, options);
  if (found === null) throw noImage(uri, format, ignored);
  const flow = requireRaw(found.image, uri);
  run.adopt(found.trial);
  run.task(found.over.then(() => lookThrough(members, found.member, ignored, options)));
  return { kind: 'raw', flow };
}

interface Found {
  readonly member: Member;
  readonly image: Unwrapped;
  readonly trial: Run;
  /** The stored bytes of the member have all been read. */
  readonly over: Promise<void>;
}

async function nextImage(members: Members, ignored: Ignored, options: ContainerOptions): Promise<Found | null> {
  const { run, look } = options;
  for (;;) {
    const next = await members.next();
    if (next.done === true) return null;
    const member = next.value;
    refuseOva(run.options.uri, member);
    if (isNever(member)) {
      ignored.add(member);
      continue;
    }
    requireReadable(member, run.options.uri);
    const trial = new Run(run.options);
    const content = new MemberContent(member.open());
    try {
      const { image, what } = await judgeMember(member, content, trial, look);
      if (image !== null) return { member, image, trial, over: content.over };
      ignored.countPrograms(trial, run.options.uri, options.format);
      ignored.add(member, what);
    } catch (error) {
      await trial.stop();
      throw error;
    }
    await trial.stop();
    await content.release();
  }
}

/**
 * The content of a member in the hands of readers that may leave it half read: whoever goes on with the container does
 * so
 * when no read is under way any more.
 */
class MemberContent implements AsyncIterable<Uint8Array> {
  /** Nobody will read more of it. */
  readonly over: Promise<void>;
  readonly #pieces: AsyncIterator<Uint8Array>;
  #end: () => void = () => undefined;
  #pending: Promise<unknown> = Promise.resolve();
  #released = false;

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
    this.over = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return {
      next: () => this.#next(),
      return: async () => {
        await this.release();
        return { done: true, value: undefined };
      },
    };
  }

  async #next(): Promise<IteratorResult<Uint8Array>> {
    if (this.#released) return { done: true, value: undefined };
    const next = this.#pieces.next();
    this.#pending = next.catch(() => undefined);
    const result = await next;
    if (result.done === true) this.#end();
    return result;
  }

  async release(): Promise<void> {
    this.#released = true;
    await this.#pending;
    this.#end();
  }
}

async function lookThrough(
  members: Members,
  image: Member,
  ignored: Ignored,
  options: ContainerOptions,
): Promise<void> {
  const { run, format } = options;
  const other = await nextImage(members, ignored, options);
  if (other !== null) {
    await other.trial.stop();
    throw twoImages(run.options.uri, format, image.name, other.member.name);
  }
  if (!ignored.none) run.options.onWarning(onlyOne(image, ignored));
}

export function onlyOne(image: Member, ignored: Ignored): string {
  return `copied ${image.name}, the image in it, and ignored ${ignored.text}`;
}
