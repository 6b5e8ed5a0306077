// Addresses and routes in the files of systemd-networkd, and the hardware addresses by which it knows its interfaces:
// systemd.network(5), systemd.link(5).
import { formatAddress, isShared } from '../address.ts';
import { correspond } from '../correspondence.ts';
import { type FileTree, join, readText, type TextFile } from '../tree/mod.ts';
import type { FindContext, Rule } from './contract.ts';
import { finding, unusable } from './finding.ts';
import type { NetworkFacts } from './network-file.ts';
import { networkdFacts, rewriteNetworkd } from './networkd-file.ts';

const RULE = 'networkd';
const FOLDER = '/etc/systemd/network';
const FILE = /\.(network|link|netdev)$/;
const FILES_MAX = 200;
const WHY = 'Two hosts of one address take the traffic from each other.';
const STRANGE =
  'An address that is not among the declared ones of the lead: on a clone it would exist twice, and nobody said what takes its place.';

interface NetworkdFile {
  readonly file: TextFile;
  /** The text that says which interface it is for. */
  readonly match: string;
}

export const networkdRule: Rule = {
  name: RULE,
  async find(tree, context) {
    return (await networkdFiles(tree)).flatMap(({ file, match }) => {
      if (file.status === 'absent') return [];
      return file.status === 'unusable' ? [unusable(RULE, file)] : findIn(file, match, context);
    });
  },
  async change(found, tree, { correspondence }) {
    // The other file that says whom this one is for may have been rewritten before: it is then recognised by the new name.
    const all = await networkdFiles(tree);
    const one = all.find(({ file }) => file.path === found.path);
    if (one?.file.status !== 'text') return [];
    const { text } = rewriteNetworkd(one.file.text, one.match, correspondence);
    return text === one.file.text ? [] : [{ kind: 'write', path: one.file.path, text }];
  },
  async verify(tree, { correspondence, findings }) {
    const problems: string[] = [];
    for (const { file, match } of await networkdFiles(tree)) {
      if (file.status !== 'text') continue;
      const { text, strange } = rewriteNetworkd(file.text, match, correspondence);
      if (text !== file.text) problems.push(`${file.path} still has addresses of the lead`);
      const isKnown = (value: string): boolean =>
        findings.some((one) => one.rule === RULE && one.path === file.path && one.value === value);
      problems.push(
        ...strange.filter((value) => !isKnown(value)).map((value) => `${file.path} has ${value}, which is nobody's`),
      );
    }
    return problems;
  },
};

function findIn(file: TextFile & { status: 'text' }, match: string, { lead, understudy }: FindContext) {
  const own = networkdFacts(file.text, match).addresses.filter((address) => !isShared(address));
  const pairs = lead === null ? null : correspond(lead, understudy ?? lead);
  const rewritten = pairs === null ? null : rewriteNetworkd(file.text, match, pairs);
  const strange = rewritten?.strange ?? [];
  const known = own.map(formatAddress).filter((value) => !strange.includes(value));
  const changes = rewritten !== null && rewritten.text !== file.text;
  const value = known.length === 0 ? 'an interface' : known.join(', ');
  const facts = { rule: RULE, path: file.path };
  return [
    ...(known.length > 0 || changes ? [finding({ ...facts, value, why: WHY, action: 'rewrite' })] : []),
    ...strange.map((value) => finding({ ...facts, value, why: STRANGE, action: 'unknown' })),
  ];
}

/** Files, and what is added to them in folders "NAME.d". */
async function networkdFiles(tree: FileTree): Promise<readonly NetworkdFile[]> {
  const found: NetworkdFile[] = [];
  for (const name of (await tree.list(FOLDER)).slice(0, FILES_MAX)) {
    const path = join(FOLDER, name);
    if (FILE.test(name)) {
      const file = await readText(tree, path);
      found.push({ file, match: file.status === 'text' ? file.text : '' });
    } else if (FILE.test(name.replace(/\.d$/, ''))) {
      found.push(...(await additions(tree, path)));
    }
  }
  return found;
}

async function additions(tree: FileTree, folder: string): Promise<NetworkdFile[]> {
  const main = await readText(tree, folder.replace(/\.d$/, ''));
  const names = (await tree.list(folder)).filter((name) => name.endsWith('.conf')).slice(0, FILES_MAX);
  const found: NetworkdFile[] = [];
  for (const name of names) {
    found.push({ file: await readText(tree, join(folder, name)), match: main.status === 'text' ? main.text : '' });
  }
  return found;
}

export async function networkdDeclares(tree: FileTree): Promise<NetworkFacts> {
  const facts = (await networkdFiles(tree)).flatMap(({ file, match }) =>
    file.status === 'text' ? [networkdFacts(file.text, match)] : [],
  );
  return { addresses: facts.flatMap(({ addresses }) => addresses), dynamic: facts.flatMap(({ dynamic }) => dynamic) };
}
