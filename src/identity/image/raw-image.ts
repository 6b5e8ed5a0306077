// An image as the bytes of a disk. Raw ones are that already; a qcow2 image and what an NBD server offers are shown as
// a file, so that everything else need not know the difference.
import { open, rm } from 'node:fs/promises';
import { UnderstudyError } from '../../base/mod.ts';
import { ShownFile } from './shown-file.ts';
import { runToEnd } from './tool.ts';
import { type ImageName, nameImage, type WorkFolder } from './work-folder.ts';

/** 'raw': never anything else, whatever its first bytes say: a guest can write what it likes there. */
export type ImageFormats = 'raw' | 'detect';

export interface RawImage extends ImageName {
  /** What messages call it. */
  readonly label: string;
  /** The kernel may mount what is in it. */
  readonly kernelMount: boolean;
  /** @throws IDENTITY_FAILED when what was written may not be in the image */
  close(): Promise<void>;
}

const QCOW_MAGIC = 'QFI\xfb';

/** An image that comes by a path of this process's own: what it is called, and what it is told from others by. */
export type GivenName = ImageName & { readonly label: string };

export interface Access {
  readonly given: ReadonlyMap<string, GivenName>;
  readonly formats: ImageFormats;
  readonly writable: boolean;
  readonly kernelMount: boolean;
}

/** @throws IMAGE_UNSUPPORTED, IMAGE_DAMAGED, IDENTITY_FAILED, TOOL_MISSING, INTERRUPTED */
export async function openRaw(image: string, access: Access, work: WorkFolder, signal: AbortSignal): Promise<RawImage> {
  const given = access.given.get(image);
  const name: ImageName = given ?? (await nameImage(image));
  const label = given?.label ?? image;
  if (access.formats === 'raw' || !name.isFile || !(await isQcow(name.path))) {
    return { ...name, label, kernelMount: access.kernelMount, close: async () => {} };
  }
  await refuseOtherFiles(label, name.path, signal);
  const file = { driver: 'file', filename: name.path };
  const block = { driver: 'qcow2', file, backing: null };
  return { ...name, ...(await show(block, label, access, work, signal)) };
}

export interface NbdServer {
  readonly server: Readonly<Record<string, string>>;
  readonly export: string;
}

/**
 * nbd+unix:///EXPORT?socket=PATH and nbd://HOST:PORT/EXPORT: what a storage node offers. Null for what is no such URI.
 */
export function nbdServer(image: string): NbdServer | null {
  if (!/^nbd(\+unix)?:\/\//.test(image)) return null;
  const { protocol, hostname, port, pathname, searchParams } = new URL(image);
  const name = decodeURIComponent(pathname.slice(1));
  const socket = searchParams.get('socket');
  if (protocol === 'nbd+unix:')
    return socket === null ? null : { server: { type: 'unix', path: socket }, export: name };
  return { server: { type: 'inet', host: hostname.replace(/^\[|\]$/g, ''), port: port || '10809' }, export: name };
}

async function show(
  block: Readonly<Record<string, unknown>>,
  image: string,
  { writable, kernelMount }: Access,
  work: WorkFolder,
  signal: AbortSignal,
): Promise<Pick<RawImage, 'path' | 'label' | 'kernelMount' | 'close'>> {
  const folder = await work.make('disk');
  try {
    const shown = await ShownFile.open(block, { folder, name: image, writable, signal });
    const close = async (): Promise<void> => {
      try {
        await shown.close();
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    };
    return { path: shown.path, label: image, kernelMount, close };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

async function isQcow(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
    return bytesRead === 4 && buffer.toString('latin1') === QCOW_MAGIC;
  } finally {
    await file.close();
  }
}

/**
 * The names of other files are the image's own: whoever made it chose them.
 * docs/decisions/0010-files-that-an-image-names.md
 */
async function refuseOtherFiles(image: string, path: string, signal: AbortSignal): Promise<void> {
  const args = ['info', '--output=json', '-f', 'qcow2', path];
  const info = await runToEnd('qemu-img', args, signal);
  if (info.status !== 0) {
    const isInUse = info.stderr.includes('lock');
    const why = info.stderr.trim().split('\n').at(-1) ?? '';
    throw new UnderstudyError(isInUse ? 'IDENTITY_FAILED' : 'IMAGE_DAMAGED', `${image} cannot be read: ${why}`);
  }
  const facts = JSON.parse(info.stdout) as Record<string, unknown> & {
    'format-specific'?: { data?: Record<string, unknown> };
  };
  const isAlone =
    facts['backing-filename'] === undefined && facts['format-specific']?.data?.['data-file'] === undefined;
  if (!isAlone || facts.encrypted === true) {
    const what = isAlone ? 'is encrypted' : 'has its content partly in other files';
    throw new UnderstudyError(
      'IMAGE_UNSUPPORTED',
      `${image} ${what}; make one plain image of it with qemu-img convert`,
    );
  }
}
