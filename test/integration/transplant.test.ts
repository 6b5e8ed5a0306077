// Goal: a host that cannot run the lead's system gets the portion of its files that it can use, and stays who it is.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { limits, runTool } from '../../src/base/mod.ts';
import { createIdentityEngine, type HostIdentity, type IdentityEngine } from '../../src/identity/mod.ts';
import { createStorageNode } from '../../src/storage/mod.ts';
import { memoryStore, storeEpochGate } from '../../src/store/mod.ts';
import { patience } from '../rig/patience.ts';
import { run } from '../support/disk-image.ts';
import { documentedJson, shapeDifferences } from '../support/json-shape.ts';
import {
  type Content,
  catFile,
  checkImage,
  digestOfFile,
  LEAD,
  makeImage,
  SPARE,
  type SystemImage,
  systemFiles,
  withMount,
  writeTree,
} from '../support/system-image.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/run/cli/understudy.js', import.meta.url));
const signal = new AbortController().signal;
const PORTION = ['/var/lib/wiki', '/etc/nginx/sites-enabled'];
/** www-data on the lead. */
const LEADS_WEB = 33;
/** And on the spare. */
const OWN_WEB = 1033;

let folder: string;
let engine: IdentityEngine;
let lead: SystemImage;
let spare: SystemImage;

function system(name: string, files: Readonly<Record<string, Content | null>>, layout: 'bare' | 'gpt' = 'bare') {
  const tree = writeTree(join(folder, `${name}-tree`), { ...systemFiles(), ...files });
  return makeImage(join(folder, name), tree, { layout, sizeBytes: 64 * limits.MIB });
}

const web = (text: string | Buffer, uid = LEADS_WEB): Content => ({ text, mode: 0o640, uid, gid: uid });

/** A system of its own: another kind of machine, which could not run a single program of the lead. */
function otherSystem(): Record<string, Content | null> {
  const arm = Buffer.alloc(64);
  arm.write('\x7fELF\x02\x01', 'latin1');
  arm.writeUInt16LE(183, 18);
  return {
    '/usr/bin/sh': { text: arm, mode: 0o755 },
    '/etc/hostname': 'spare1\n',
    '/etc/hosts': '127.0.0.1 localhost\n10.0.0.12 spare1\n',
    '/etc/network/interfaces': 'auto eth0\niface eth0 inet static\n\taddress 10.0.0.12/24\n',
    '/etc/passwd': `root:x:0:0:root:/root:/bin/sh\nwww-data:x:${OWN_WEB}:${OWN_WEB}::/:/bin/false\n`,
    '/etc/group': `root:x:0:\nwww-data:x:${OWN_WEB}:\n`,
    '/etc/nginx/sites-enabled/wiki': null,
    '/etc/nginx/sites-enabled/waiting': 'server { listen 80; }\n',
    '/var/lib/wiki/old/page.txt': web('of another time\n', OWN_WEB),
    '/var/lib/wiki/pages': web('a file where the lead has a folder\n', OWN_WEB),
    '/var/lib/wiki/start': { link: '/nowhere' },
  };
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-transplant-test-'));
  engine = createIdentityEngine({ stateFolder: join(folder, 'state') });
  lead = system('lead', {
    '/etc/passwd': `root:x:0:0:root:/root:/bin/sh\nwww-data:x:${LEADS_WEB}:${LEADS_WEB}::/:/bin/false\n`,
    '/etc/group': `root:x:0:\nwww-data:x:${LEADS_WEB}:\n`,
    '/var/lib/wiki/pages/start.txt': web('welcome\n'),
    '/var/lib/wiki/pages/ a "quoted" name.txt': web('odd\n'),
    '/var/lib/wiki/media/plan.pdf': web(Buffer.alloc(3 * limits.MIB, 'plan ')),
    '/var/lib/wiki/media/empty': web(''),
    '/var/lib/wiki/start': { link: 'pages/start.txt' },
    '/var/lib/wiki/fifo': (path) => void run('mkfifo', [path]),
    '/var/lib/wiki/labelled': 'ranked\n',
  });
  run('debugfs', ['-w', '-R', 'ea_set /var/lib/wiki/labelled user.rank first', lead.ext]);
  spare = system('spare', otherSystem(), 'gpt');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const request = { lead: null, understudy: null, portion: PORTION, accept: [], apply: true };

/** Every file below a path: kind, mode, owner, time and content or target. */
function listing(image: SystemImage, path: string): string {
  const line =
    'printf "%s " "$(stat -c "%F %a %u %g" "$f")"; [ -h "$f" ] || stat -c %Y "$f"; readlink "$f" || { [ -f "$f" ] && sha256sum < "$f" || echo; }';
  return withMount(
    image,
    `cd "$M${path}"; find . ! -type p ! -type d | sort | while IFS= read -r f; do echo "$f"; ${line}; done`,
  );
}

describe('a portion of the files of the lead', () => {
  test('is there afterwards, as it was on the lead, with owners by name; everything else is the other host’s own', async () => {
    const before = digestOfFile(lead.path);
    const own = ['/etc/hostname', '/etc/machine-id', '/usr/bin/sh', '/etc/motd'];
    const kept = withMount(spare, own.map((path) => `sha256sum $M${path}`).join('; '));
    const looked = await engine.transplant(lead.path, spare.path, { ...request, apply: false }, signal);
    expect(looked).toMatchObject({ applied: false, skipped: ['/var/lib/wiki/fifo'] });
    const result = await engine.transplant(lead.path, spare.path, request, signal);
    expect(result).toEqual({ ...looked, applied: true });
    // The wiki, its media and pages; the folder of sites. Old files, their folder, the file in the place of a folder,
    // and a site went.
    expect(result).toMatchObject({ files: 7, folders: 4, removed: 4 });
    expect(result.bytes).toBeGreaterThan(3 * limits.MIB);
    expect(checkImage(spare)).toBe('');
    for (const path of PORTION) {
      expect(listing(spare, path)).toBe(
        listing(lead, path).replaceAll(` ${LEADS_WEB} ${LEADS_WEB}`, ` ${OWN_WEB} ${OWN_WEB}`),
      );
    }
    expect(run('debugfs', ['-R', 'ea_get -V /var/lib/wiki/labelled user.rank', spare.ext]).trim()).toBe('first');
    expect(withMount(spare, own.map((path) => `sha256sum $M${path}`).join('; '))).toBe(kept);
    expect((await engine.identify(spare.path, signal)).hostName).toBe('spare1');
    expect((await engine.inspect(spare.path, null, signal)).os.arch).toBe('aarch64');
    expect(digestOfFile(lead.path)).toBe(before);

    const after = digestOfFile(spare.path);
    const again = await engine.transplant(lead.path, spare.path, request, signal);
    expect(again).toMatchObject({ written: 0, removed: 0 });
    expect(digestOfFile(spare.path)).toBe(after);
  });

  test('that names the lead is reported, and stops until somebody accepts it', async () => {
    withMount(lead, 'echo "listen 10.0.0.11:80;" > $M/etc/nginx/sites-enabled/wiki', 'rw');
    const before = digestOfFile(spare.path);
    const refusal = { code: 'IDENTITY_UNKNOWN', message: expect.stringContaining('/etc/nginx/sites-enabled/wiki') };
    await expect(engine.transplant(lead.path, spare.path, request, signal)).rejects.toMatchObject(refusal);
    expect(digestOfFile(spare.path)).toBe(before);
    const accepted = { ...request, accept: ['mentions'] };
    const { findings } = await engine.transplant(lead.path, spare.path, accepted, signal);
    expect(findings.map(({ path, action }) => [path, action])).toEqual([['/etc/nginx/sites-enabled/wiki', 'unknown']]);
    expect(catFile(spare, '/etc/nginx/sites-enabled/wiki')).toBe('listen 10.0.0.11:80;\n');
  });

  test.each([
    ['a path that is not there', ['/srv/nothing'], 'IMAGE_UNSUPPORTED', 'no /srv/nothing'],
    ['everything', ['/'], 'IMAGE_UNSUPPORTED', 'a whole clone'],
    ['a loop of links', ['/etc/loop'], 'IMAGE_UNSUPPORTED', 'no /etc/loop'],
  ])('%s is refused, and nothing is changed', async (_, portion, code, message) => {
    withMount(lead, 'ln -s loop $M/etc/loop', 'rw');
    const before = digestOfFile(spare.path);
    const refusal = { code, message: expect.stringContaining(message) };
    await expect(engine.transplant(lead.path, spare.path, { ...request, portion }, signal)).rejects.toMatchObject(
      refusal,
    );
    expect(digestOfFile(spare.path)).toBe(before);
  });

  test('is not given to users that the other host has not, nor to places that lead elsewhere', async () => {
    const before = digestOfFile(spare.path);
    withMount(
      lead,
      'echo "poet:x:77:77::/:" >> $M/etc/passwd; chown 77 $M/var/lib/wiki/start $M/var/lib/wiki/pages',
      'rw',
    );
    const nobody = { code: 'IMAGE_UNSUPPORTED', message: expect.stringContaining('no user poet') };
    await expect(engine.transplant(lead.path, spare.path, request, signal)).rejects.toMatchObject(nobody);
    withMount(
      lead,
      'chown 33 $M/var/lib/wiki/pages; ln -s /etc $M/var/lib/elsewhere; mkdir -p $M/opt/real; echo x > $M/opt/real/x',
      'rw',
    );
    expect(digestOfFile(spare.path)).toBe(before);
    withMount(spare, 'ln -s /etc $M/opt', 'rw');
    const changed = digestOfFile(spare.path);
    const elsewhere = { code: 'IMAGE_UNSUPPORTED', message: expect.stringContaining('/opt leads elsewhere') };
    await expect(
      engine.transplant(lead.path, spare.path, { ...request, portion: ['/opt/real'] }, signal),
    ).rejects.toMatchObject(elsewhere);
    expect(digestOfFile(spare.path)).toBe(changed);
  });

  test('by the command line: looked at, then done', async () => {
    const command = (...more: readonly string[]) =>
      runTool(process.execPath, [PROGRAM, 'transplant', lead.path, spare.path, ...PORTION, ...more], {
        env: { TMPDIR: folder },
        timeoutMs: patience(60_000),
      });
    const looked = await command();
    expect([looked.status, looked.stderr]).toEqual([0, '']);
    expect(looked.stdout).toMatch(
      /7 files in 4 folders, 3\.00 MiB, 1 devices.* would be written, 4 removed; --apply does it\n$/,
    );
    const { status, stdout } = await command('--apply', '--json');
    expect(status).toBe(0);
    const answer = JSON.parse(stdout) as unknown;
    expect(answer).toMatchObject({ lead: lead.path, spare: spare.path, applied: true });
    expect(shapeDifferences(documentedJson('transplant'), answer)).toEqual([]);
    expect(catFile(spare, '/var/lib/wiki/pages/start.txt')).toBe('welcome\n');
    // What an interrupted call leaves there is found by the next one.
    expect(readdirSync(folder).filter((name) => name.startsWith('understudy-identity'))).toEqual([
      `understudy-identity-${process.geteuid?.()}`,
    ]);
  });
});

describe('a storage node whose spare is somebody else than the configuration says', () => {
  test('storage - is given the portion, is not verified to be the understudy, and nobody can boot it', async () => {
    const own = { hostName: 'spare1', interfaces: SPARE.interfaces };
    const store = memoryStore();
    const node = await createStorageNode({
      name: 'node',
      folder: join(folder, 'storage'),
      stateFolder: join(folder, 'node'),
      volumes: [
        { name: 'web1', path: lead.path },
        { name: 'spare1', path: spare.path },
      ],
      listen: { kind: 'unix' },
      ...{
        store,
        gate: storeEpochGate(store),
        identity: engine,
        backgroundRate: null,
        overlayBytesMax: 8 * limits.MIB,
      },
    });
    try {
      const call = { epoch: 1, signal };
      const portion = { paths: ['/var/lib/wiki/media'], accept: [] };
      await node.replicate({ engagement: 'e1', from: 'web1', to: 'spare1', portion }, call);
      const asks = { engagement: 'e1', volume: 'spare1', lead: LEAD, host: 'spare1', accept: [] };
      const as = (understudy: HostIdentity) => node.personalise({ ...asks, understudy }, call);
      await expect(as({ ...own, hostName: 'spare2' })).rejects.toMatchObject({
        code: 'IDENTITY_UNVERIFIED',
        message: expect.stringContaining('it is the system of spare1, not of spare2'),
      });
      await expect(node.attach('spare1', 'spare1', call)).rejects.toMatchObject({ code: 'VOLUME_STATE' });
    } finally {
      await node.shutdown();
    }
  });
});
