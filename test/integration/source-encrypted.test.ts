// Encrypted images: said to be that, and opened by a key from a file, of which every byte counts.
import { chmodSync } from 'node:fs';
import { expect, test } from 'vitest';
import { expectFailure } from '../rig/failure.ts';
import { onStage, type Stage } from '../rig/stage.ts';
import { diskBytes } from '../support/packed-image.ts';

const MIB = 1024 * 1024;
const SECRET = 'a key, of one line';

function encrypted(stage: Stage, method: string): Buffer {
  const disk = stage.write('golden.img', diskBytes(2 * MIB)).content;
  stage.write('key', Buffer.from(SECRET));
  chmodSync(stage.path('key'), 0o600);
  const iterations = method === 'luks' ? ['-o', 'encrypt.iter-time=10'] : [];
  const encrypt = ['-o', `encrypt.format=${method},encrypt.key-secret=k`, ...iterations];
  const object = ['--object', `secret,id=k,file=${stage.path('key')}`];
  const from = stage.path('golden.img');
  const to = stage.path('golden.qcow2');
  // Writing with the AES method is refused by programs of today; such an image can still be made.
  if (method === 'aes')
    stage.tool('qemu-img', 'qemu-utils', ['create', '-q', '-f', 'qcow2', ...object, ...encrypt, to, '2M']);
  else
    untilTimed(() =>
      stage.tool('qemu-img', 'qemu-utils', ['convert', '-f', 'raw', '-O', 'qcow2', ...object, ...encrypt, from, to]),
    );
  return disk;
}

/**
 * qemu-img chooses the rounds of the key derivation by the processor time of a few, and gives up where it measures
 * none.
 */
function untilTimed(make: () => void): void {
  for (let tries = 1; ; tries++) {
    try {
      make();
      return;
    } catch (error) {
      if (tries === 20 || !String(error).includes('Unable to get accurate CPU usage')) throw error;
    }
  }
}

test('encrypted - a qcow2 with LUKS is said to be encrypted, and --key-file opens it', () =>
  onStage(async (stage) => {
    const disk = encrypted(stage, 'luks');
    const source = stage.path('golden.qcow2');
    const unreadable = /is encrypted \(LUKS\); --key-file FILE opens it/;
    await expectFailure(stage.copyJson(source, stage.target('a.img')), 'SOURCE_UNREADABLE', unreadable);
    await stage.copyJson('--verify', '--key-file', stage.path('key'), source, stage.target('a.img')).good();
    expect(stage.difference('a.img', disk)).toBe(null);
  }));

test('encrypted - a line end in the key file counts, and a wrong key is told as that', () =>
  onStage(async (stage) => {
    encrypted(stage, 'luks');
    stage.write('other', Buffer.from(`${SECRET}\n`));
    const open = stage.copyJson('--key-file', stage.path('other'), stage.path('golden.qcow2'), stage.target('a.img'));
    await expectFailure(
      open,
      'USAGE',
      /the key file .*other can be read or changed by others \(mode 0644\); chmod 600/,
    );
    chmodSync(stage.path('other'), 0o600);
    const copy = stage.copyJson('--key-file', stage.path('other'), stage.path('golden.qcow2'), stage.target('a.img'));
    await expectFailure(copy, 'SOURCE_UNREADABLE', /the key in the key file is not the one of this image/);
    const gone = stage.copyJson('--key-file', stage.path('gone'), stage.path('golden.qcow2'), stage.target('a.img'));
    await expectFailure(gone, 'SOURCE_NOT_FOUND', /open the key file .*gone/);
  }));

test('encrypted - the AES method of old is refused by name', () =>
  onStage(async (stage) => {
    encrypted(stage, 'aes');
    const copy = stage.copyJson(stage.path('golden.qcow2'), stage.target('a.img'));
    await expectFailure(copy, 'SOURCE_UNREADABLE', /encrypted by the AES method of old qcow2 files/);
  }));

test('encrypted - a key for what needs none is a mistake', () =>
  onStage(async (stage) => {
    encrypted(stage, 'luks');
    for (const name of ['golden.img', 'plain.qcow2']) {
      stage.tool('qemu-img', 'qemu-utils', [
        'convert',
        '-O',
        'qcow2',
        stage.path('golden.img'),
        stage.path('plain.qcow2'),
      ]);
      const copy = stage.copyJson('--key-file', stage.path('key'), stage.path(name), stage.target('a.img'));
      await expectFailure(copy, 'USAGE', /leave --key-file out/);
    }
  }));

test('encrypted - a disk of LUKS itself is copied as it is, without a question', () =>
  onStage(async (stage) => {
    const content = stage.allow(
      Buffer.concat([Buffer.from('LUKS\xba\xbe\x00\x02', 'latin1'), Buffer.alloc(MIB - 8, 9)]),
    );
    stage.write('luks', content);
    stage.write('disk', Buffer.alloc(2 * MIB));
    const device = stage.loop(stage.path('disk'));
    await stage.copyJson(stage.path('luks'), device).good();
    expect(stage.difference(device, content)).toBe(null);
  }));
