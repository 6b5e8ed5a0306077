// The loop for hosts that differ, with real guests: the spare keeps its own system and its own name, and serves the portion of the lead
// that it can use.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readFromImage } from '../../guests/mod.ts';
import type { Stage } from '../../scripts/loop/stage.ts';
import { present } from '../../src/base/mod.ts';
import { BUILD_MS, GuestStage, LOOP_MS } from '../e2e/guest-stage.ts';
import { patience } from '../rig/patience.ts';

let guests: GuestStage;
let stage: Stage;

beforeAll(async () => {
  guests = await GuestStage.make();
  stage = guests.stage;
}, BUILD_MS);

afterAll(() => guests?.close(), patience(60_000));

async function textIn(image: string, path: string): Promise<string> {
  return Buffer.from(present(await readFromImage(image, path), path)).toString();
}

describe('hosts that differ', () => {
  it(
    'portion - the spare keeps its own system and its own name, and serves the files of the lead that it can use',
    async () => {
      stage.configure({ portion: '[/var/lib/dokuwiki, /etc/nginx/sites-enabled]' });
      await guests.startLead();
      const before = await guests.digestOf('spare1');
      const lead = await guests.whoAmI('10.90.0.11');
      const own = await textIn(stage.volume('spare1'), '/etc/machine-id');
      await guests.run('10.90.0.11', 'echo "written a moment ago" > /var/lib/dokuwiki/data/pages/news.txt; sync');
      expect(await stage.json('clone', 'web1', '--to', 'spare1')).toMatchObject({ ok: true });
      expect(await guests.whoAmI('10.90.0.21')).toMatchObject({ hostName: 'spare1', machineId: own.trim() });
      expect(own.trim()).not.toBe(lead.machineId);
      const page = await stage.insider.ask({ url: 'http://10.90.0.21/doku.php?id=news' });
      expect([page.status, page.body.includes('written a moment ago')]).toEqual([200, true]);
      expect(await guests.run('10.90.0.21', 'stat -c %U /var/lib/dokuwiki/data/pages/news.txt')).toBe('root\n');
      expect(await guests.run('10.90.0.21', 'stat -c %U /var/lib/dokuwiki/data/pages')).toBe('www-data\n');
      await stage.json('dismiss', 'spare1');
      await guests.untilEngagement('spare1 is free', ({ state }) => state === 'done');
      expect(await guests.digestOf('spare1')).toBe(before);
    },
    LOOP_MS,
  );
});
