// Addresses and routes in /etc/network/interfaces and what it includes, interfaces(5).
import { formatAddress, isShared } from '../address.ts';
import { correspond } from '../correspondence.ts';
import { type FileTree, join, readText, type TextFile } from '../tree/mod.ts';
import type { FindContext, Rule } from './contract.ts';
import { finding, unusable } from './finding.ts';
import { ifupdownFacts, rewriteIfupdown } from './ifupdown-file.ts';
import type { NetworkFacts } from './network-file.ts';

const RULE = 'ifupdown';
const MAIN = '/etc/network/interfaces';
const FOLDER = '/etc/network/interfaces.d';
const FILES_MAX = 200;
const WHY = 'Two hosts of one address take the traffic from each other.';
const STRANGE =
  'An address that is not among the declared ones of the lead: on a clone it would exist twice, and nobody said what takes its place.';

export const ifupdownRule: Rule = {
  name: RULE,
  async find(tree, context) {
    const files = await ifupdownFiles(tree);
    return files.flatMap((file) => {
      if (file.status === 'absent') return [];
      return file.status === 'unusable' ? [unusable(RULE, file)] : findIn(file, context);
    });
  },
  async change(found, tree, { correspondence }) {
    const file = await readText(tree, found.path);
    if (file.status !== 'text') return [];
    const { text } = rewriteIfupdown(file.text, correspondence);
    return text === file.text ? [] : [{ kind: 'write', path: file.path, text }];
  },
  async verify(tree, { correspondence, findings }) {
    const problems: string[] = [];
    for (const file of await ifupdownFiles(tree)) {
      if (file.status !== 'text') continue;
      const { text, strange } = rewriteIfupdown(file.text, correspondence);
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

function findIn(file: TextFile & { status: 'text' }, { lead, understudy }: FindContext) {
  const own = ifupdownFacts(file.text).addresses.filter((address) => !isShared(address));
  // Without anybody to take its part, the lead is compared with itself: that tells which addresses are not its own.
  const pairs = lead === null ? null : correspond(lead, understudy ?? lead);
  const rewritten = pairs === null ? null : rewriteIfupdown(file.text, pairs);
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

/** Everything that the main file may include. */
async function ifupdownFiles(tree: FileTree): Promise<readonly TextFile[]> {
  const main = await readText(tree, MAIN);
  const names = (await tree.list(FOLDER)).slice(0, FILES_MAX).map((name) => join(FOLDER, name));
  const sourced = main.status === 'text' ? sourcesOf(main.text) : [];
  const files = [main];
  for (const path of new Set([...names, ...sourced])) {
    const file = await readText(tree, path);
    if (!files.some(({ path: known }) => known === file.path)) files.push(file);
  }
  return files;
}

/** Single files named by "source"; patterns other than that of the usual folder are left to the search for mentions. */
function sourcesOf(text: string): string[] {
  const sources = text.split('\n').flatMap((line) => /^\s*source\s+(\S+)/.exec(line)?.[1] ?? []);
  const paths = sources.filter((path) => !/[*?[$]/.test(path)).slice(0, FILES_MAX);
  return paths.map((path) => (path.startsWith('/') ? path : join('/etc/network', path)));
}

export async function ifupdownDeclares(tree: FileTree): Promise<NetworkFacts> {
  const files = await ifupdownFiles(tree);
  const facts = files.flatMap((file) => (file.status === 'text' ? [ifupdownFacts(file.text)] : []));
  return { addresses: facts.flatMap(({ addresses }) => addresses), dynamic: facts.flatMap(({ dynamic }) => dynamic) };
}
