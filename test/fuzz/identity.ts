// What an image says, under fire: lines that are shown of it, and the file by which it says that it was personalised.
import { maskedLines } from '../../src/identity/secrets.ts';
import { encoded, stampPath, stampText, startOf } from '../../src/identity/stamp.ts';
import { fileTree } from '../../src/identity/tree/mod.ts';
import { memoryTree } from '../support/memory-tree.ts';
import { LEAD, MACHINE_ID, SPARE } from '../support/system-image.ts';
import { type Case, holds, outcomeOfAsync, type Reader } from './fuzz.ts';
import { seed } from './seeds.ts';

/** As `Buffer.toString` has it, of bytes that are not UTF-8 half of the time. */
function textOf({ bytes, random }: Case): string {
  return Buffer.from(bytes).toString(random.below(2) === 0 ? 'utf8' : 'latin1');
}

const SECRET = 'hunter2S3cret';
const LINES = [
  `5 4 * * * root mysqldump -p${SECRET} shop > /srv/dump\nPGPASSWORD=${SECRET}\n`,
  `{"db_password": "${SECRET}", "token": "${SECRET}"}\nrestic -r rest:https://anna:${SECRET}@backup/\n`,
  `-----BEGIN OPENSSH PRIVATE KEY-----\n${SECRET}\n-----END OPENSSH PRIVATE KEY-----\n`,
  `admin:\n  password: |\n    ${SECRET}\n  name: anna\n<tls-crypt>\n${SECRET}\n</tls-crypt>\n`,
];

export function maskReader(): Reader {
  return {
    name: 'lines with secrets',
    seeds: LINES.map((text) => seed(text.slice(0, 20), Buffer.from(text))),
    repair: null,
    classes: ['accepted', 'hidden'],
    judge(input) {
      const lines = textOf(input).split('\n');
      const shown = maskedLines(lines);
      holds(shown.length === lines.length, () => `${shown.length} of ${lines.length} lines`);
      const text = shown.join('\n');
      if (input.whole) holds(!text.includes(SECRET), () => `shows ${text}`);
      if (input.whole) return 'accepted';
      return text.includes('(secret)') ? 'hidden' : 'shown';
    },
  };
}

const HOSTS = { lead: LEAD, understudy: SPARE };

function imageWith(stamp: string) {
  const host = { '/etc/hostname': 'spare1\n', '/etc/machine-id': `${MACHINE_ID}\n` };
  return fileTree(memoryTree({ ...host, '/etc/understudy/clone': stamp }));
}

/** That of SPARE, made of LEAD: it is either believed as a whole, or not at all. */
export function stampReader(): Reader {
  const start = { lead: LEAD, isDone: false, stamp: null };
  const made = { start, request: HOSTS, machineId: MACHINE_ID, findings: [], fingerprint: 'f'.repeat(64) };
  return {
    name: 'what a personalised image says of itself',
    seeds: [seed('a stamp', Buffer.from(stampText(made), 'base64url'))],
    repair: null,
    classes: ['accepted', 'nothing', 'IDENTITY_FAILED'],
    async judge(input) {
      const tree = imageWith(encoded(textOf(input)));
      holds((await stampPath(tree)) === '/etc/understudy/clone', () => 'it lies elsewhere');
      const { value, code } = await outcomeOfAsync(() => startOf(tree, HOSTS), ['IDENTITY_FAILED']);
      if (value === null) return code ?? '';
      if (input.whole) holds(value.isDone, () => 'it is not known again');
      if (value.stamp === null) holds(!value.isDone && value.lead === LEAD, () => 'done by nothing');
      else holds(value.isDone || value.lead.hostName === 'spare1', () => `who is ${value.lead.hostName}`);
      return value.stamp === null ? 'nothing' : 'accepted';
    },
  };
}
