// Folders that become file systems: a system as Debian lays it out, with something in it that does harm.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Random } from '../../../src/base/mod.ts';
import { run } from '../../support/disk-image.ts';
import { type Content, systemFiles } from '../../support/system-image.ts';
import { pick } from '../api/shapes.ts';
import { everyText, type Format, PLACES, textOf } from './texts.ts';

export interface Tree {
  readonly what: string;
  readonly files: Readonly<Record<string, Content | null>>;
}

const FORMATS = Object.keys(PLACES) as Format[];

/** The text of this number in one place of its format or in all of them, and any text in some others. */
export function hostileFiles(number: number, random: Random): Tree {
  const texts = everyText();
  // Five has no divisor in common with their number, so that each comes as often as any other.
  const at = (number * 5 + Math.floor(number / texts.length)) % texts.length;
  const [format, text] = texts[at] as (typeof texts)[number];
  const places = random.below(2) === 0 ? PLACES[format] : [pick(PLACES[format], random)];
  const files: Record<string, Content | null> = { ...systemFiles() };
  for (const place of places) files[place] = text(random);
  const names = places.length === 1 ? [...places] : [`all places of ${format}`];
  for (let more = random.below(6); more > 0; more -= 1) {
    const other = pick(FORMATS, random);
    const place = pick(PLACES[other], random);
    names.push(place);
    files[place] = { text: textOf(other, random) };
  }
  return { what: `${format} text ${at} in ${names.join(', ')}`, files };
}

/** Links that lead round, out of the image, or through each other. @param outside a file of this machine */
export function hostileLinks(outside: string, random: Random): Tree {
  const up = '../'.repeat(40);
  const targets = [
    outside,
    `${up}${outside}`,
    '.',
    '..',
    'self',
    '/proc/self/root/etc/passwd',
    '/dev/zero',
    'x'.repeat(900),
    '/',
  ];
  const places = [...PLACES.lines, ...PLACES.yaml, ...PLACES.json].filter((path) => path !== '/etc/passwd');
  const files: Record<string, Content | null> = { ...systemFiles() };
  const names: string[] = [];
  for (let count = 1 + random.below(6); count > 0; count -= 1) {
    const path = pick([...places, '/etc/cron.d', '/etc/netplan', '/var/spool/postfix', '/etc/ssh'], random);
    // Nothing may lie below a link.
    if (Object.keys(files).some((one) => one.startsWith(`${path}/`) || path.startsWith(`${one}/`))) continue;
    const target = pick(targets, random);
    files[path] = { link: target === 'self' ? (path.split('/').at(-1) as string) : target };
    names.push(`${path} -> ${target.slice(0, 60)}`);
  }
  const chain = random.below(3) === 0 ? pick([39, 200], random) : 0;
  for (let link = 0; link < chain; link += 1) files[`/etc/chain${link}`] = { link: `chain${link + 1}` };
  if (chain > 0) files['/etc/hostname'] = { link: 'chain0' };
  return { what: `links ${names.join(', ')}, a chain of ${chain}`, files };
}

/** Kinds of files, names and numbers of them. */
export function hostileShape(random: Random): Tree {
  const kinds: readonly [string, Record<string, Content>][] = [
    ['a deep folder', { '/etc/cron.d': deep(pick([200, 900], random)) }],
    ['many files', { '/var/spool/postfix/deferred': many(pick([3000, 11_000], random)) }],
    [
      'pipes and devices',
      { '/etc/hostname': (path) => void run('mkfifo', [path]), '/etc/machine-id': node, '/etc/fstab': node },
    ],
    ['a folder in place of a file', { '/etc/hosts/a/b/c': 'x', '/etc/crontab/x': 'y', '/etc/shadow/a': 'z' }],
    ['a file in place of a folder', { '/etc/netplan': 'x', '/etc/cron.d': 'x', '/var/spool': 'x', '/boot': 'x' }],
    [
      'names that are lines',
      { '/etc/cron.daily/a\nrm -rf': 'x', '/etc/cron.d/\u001b[2J\u202e': 'x', [`/etc/cron.d/${'n'.repeat(255)}`]: 'x' },
    ],
    [
      'names of prototypes',
      { '/etc/cron.d/__proto__': 'x', '/etc/netplan/constructor.yaml': 'a: 1', '/etc/cron.d/toString': 'x' },
    ],
    ['a file that is all hole', { '/etc/crontab': hole(2 ** 36), '/var/lib/systemd/random-seed': hole(2 ** 40) }],
    ['no system', { '/etc': 'x', '/usr': 'x' }],
    ['nothing', {}],
  ];
  const [what, files] = pick(kinds, random);
  const base = what === 'no system' || what === 'nothing' ? {} : systemFiles();
  const taken = Object.keys(files);
  const rest = Object.entries(base).filter(
    ([path]) => !taken.some((one) => path.startsWith(`${one}/`) || one.startsWith(`${path}/`)),
  );
  return { what, files: { ...Object.fromEntries(rest), ...files } };
}

const node: Content = (path) => void run('mknod', [path, 'c', '1', '5']);

function hole(sizeBytes: number): Content {
  return (path) => void run('truncate', ['--size', String(sizeBytes), path]);
}

function deep(depth: number): Content {
  return (path) => {
    mkdirSync(path, { recursive: true });
    // Too long for one call by its path.
    run('bash', [
      '-c',
      `cd "$1" && for ((i = 0; i < $2; i++)); do mkdir d && cd d; done; echo x > job`,
      'deep',
      path,
      String(depth),
    ]);
  };
}

function many(count: number): Content {
  return (path) => {
    mkdirSync(path, { recursive: true });
    for (let index = 0; index < count; index += 1) writeFileSync(join(path, `ID${index}`), '');
  };
}
