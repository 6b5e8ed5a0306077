// The one image in a container that can be read at any offset: all members are looked at before anything is copied.
import type { ByteSource } from './byte-source.ts';
import {
  Ignored,
  isNever,
  judgeMember,
  type Look,
  noImage,
  onlyOne,
  refuseOva,
  requireReadable,
  twoImages,
} from './container.ts';
import type { ImageFormat } from './format.ts';
import type { Member, Members } from './members.ts';
import { Run, type RunOptions } from './run.ts';
import { readRange, SeekingReader } from './seeking-reader.ts';
import { tarMembers } from './tar.ts';
import { zipDirectoryMembers } from './zip-directory.ts';

export interface FoundMember {
  /** Can be opened any number of times. */
  readonly member: Member;
  /** Null: raw, when the layers are off. */
  readonly format: ImageFormat | null;
  /** The stored content is the image itself, without a layer. */
  readonly plain: boolean;
}

/** @throws FORMAT_UNKNOWN (no image, or two), SOURCE_CORRUPT, TOOL_MISSING */
export async function imageOfFile(
  bytes: ByteSource,
  format: 'tar' | 'zip',
  options: RunOptions,
  look: Look,
): Promise<FoundMember> {
  const { uri } = bytes;
  const ignored = new Ignored();
  let found: FoundMember | null = null;
  for await (const member of membersOf(bytes, format, options.onWarning)) {
    refuseOva(uri, member);
    if (isNever(member)) {
      ignored.add(member);
      continue;
    }
    requireReadable(member, uri);
    const trial = new Run(options);
    try {
      const { image, plain, what } = await judgeMember(member, member.open(), trial, look);
      if (image === null) {
        ignored.countPrograms(trial, uri, format);
        ignored.add(member, what);
        continue;
      }
      if (found !== null) throw twoImages(uri, format, found.member.name, member.name);
      found = { member, plain, format: image.kind === 'image' ? image.format : null };
    } finally {
      await trial.stop();
    }
  }
  if (found === null) throw noImage(uri, format, ignored);
  if (!ignored.none) options.onWarning(onlyOne(found.member, ignored));
  return found;
}

function membersOf(bytes: ByteSource, format: 'tar' | 'zip', onWarning: (warning: string) => void): Members {
  if (format === 'zip') return zipDirectoryMembers(bytes, onWarning);
  const reopen = (offsetBytes: number, lengthBytes: number) => readRange(bytes, offsetBytes, lengthBytes);
  return tarMembers(new SeekingReader(bytes), { uri: bytes.uri, stored: true, reopen, onWarning });
}
