// Copies from the real nginx on loopback: raw, compressed and through QEMU, with ranges and without. One that fails or stalls
// in many is a failure; `npm run proof:http` makes a hundred of each.
import { expect, test } from 'vitest';
import { startNginx } from '../../bench/rig/nginx.ts';
import { patchwork } from '../rig/content.ts';
import { onStage } from '../rig/stage.ts';

const RUNS = Number(process.env.UNDERSTUDY_HTTP_RUNS ?? 3);
const UNIT_BYTES = 1024 * 1024;

test.each(['disk.img', 'disk.img.xz', 'disk.qcow2', 'whole/disk.img', 'whole/disk.img.xz'])(
  'http - nginx gives %s, every time',
  { timeout: 60_000 + RUNS * 20_000 },
  (path) =>
    onStage(async (stage) => {
      const content = stage.allow(patchwork(5, UNIT_BYTES, '####.###..##########.###'));
      const image = stage.write('disk.img', content).path;
      if (path.endsWith('.xz')) stage.tool('xz', 'xz-utils', ['-0', '-k', image]);
      if (path.endsWith('.qcow2')) {
        stage.tool('qemu-img', 'qemu-utils', ['convert', '-f', 'raw', '-O', 'qcow2', image, stage.path('disk.qcow2')]);
      }
      const nginx = await startNginx(stage.folder, stage.folder);
      stage.defer(() => nginx.stop());
      for (let run = 0; run < RUNS; run++) {
        await stage.copyJson('--yes', `${nginx.url}/${path}`, stage.target('a.img')).good();
        expect(stage.difference('a.img', content)).toBe(null);
      }
    }),
);
