// A rule for any format of network configuration: what files there are, what they declare, and how they read for the
// understudy.
import { formatAddress, isShared, parseAddress } from '../address.ts';
import { type Correspondence, correspond } from '../correspondence.ts';
import type { PlacedDevice } from '../network-layout.ts';
import type { FileTree, TextFile } from '../tree/mod.ts';
import type { FindContext, Rule } from './contract.ts';
import { finding, unusable } from './finding.ts';
import { addressesIn, type NetworkFacts, type Rewritten } from './network-file.ts';

export interface NetworkSource {
  readonly file: TextFile;
  /** What says which interface the file is for: mostly its own text. '' when it is absent or cannot be read. */
  readonly match: string;
}

export interface NetworkFormat {
  /** The rule's name. */
  readonly name: string;
  files(tree: FileTree): Promise<readonly NetworkSource[]>;
  facts(text: string, match: string): NetworkFacts;
  /** Doing it again changes nothing more. */
  rewrite(text: string, match: string, pairs: Correspondence): Rewritten;
}

const WHY = 'Two hosts of one address take the traffic from each other.';
const STRANGE =
  'An address that is not among the declared ones of the lead: on a clone it would exist twice, and no address of the understudy takes its place.';
const BOUND = 'It is bound to a card of the lead, and would not find it on the clone.';
const ODD = 'The understudy needs something else here, and its description does not say what.';
/** Of wireless networks and tunnels, in any of the formats. */
const SECRET =
  /(?:^|[{,\s])["']?(psk|password|passphrase|wep-key\d?|private-key|preshared-key|PrivateKey|PresharedKey|private|shared|wpa-\w+|leap-password|key|secret)["']?\s*[:=]/im;

export function networkRule(format: NetworkFormat): Rule {
  const { name } = format;
  return {
    name,
    async find(tree, context) {
      const sources = await format.files(tree);
      return sources.flatMap(({ file, match }) => {
        if (file.status === 'absent') return [];
        return file.status === 'unusable' ? [unusable(name, file)] : findIn(format, file, match, context);
      });
    },
    async change(found, tree, { correspondence }) {
      // The other file that says whom this one is for may have been rewritten before: it is then recognised by the new
      // name.
      const source = (await format.files(tree)).find(({ file }) => file.path === found.path);
      if (source?.file.status !== 'text') return [];
      const { text, path } = source.file;
      const next = format.rewrite(text, source.match, correspondence).text;
      const secret = SECRET.test(text) ? { secret: true } : {};
      return next === text ? [] : [{ kind: 'write', path, text: next, ...secret }];
    },
    async verify(tree, { correspondence, findings }) {
      const problems: string[] = [];
      for (const { file, match } of await format.files(tree)) {
        if (file.status !== 'text') continue;
        const { text, strange } = format.rewrite(file.text, match, correspondence);
        if (text !== file.text) problems.push(`${file.path} still has addresses of the lead`);
        const isKnown = (value: string): boolean =>
          findings.some((one) => one.rule === name && one.path === file.path && one.value === value);
        const unknown = strange.filter((value) => !isKnown(value));
        problems.push(...unknown.map((value) => `${file.path} has ${value}, which the plan did not find`));
      }
      return problems;
    },
  };
}

function findIn(
  format: NetworkFormat,
  file: TextFile & { status: 'text' },
  match: string,
  { lead, understudy, correspondence }: FindContext,
) {
  const facts = format.facts(file.text, match);
  const own = addressesIn(facts).filter((address) => !isShared(address));
  // Without anybody to take its part, the lead is compared with itself: that tells which addresses are not its own.
  const pairs = lead === null ? null : (correspondence ?? correspond(lead, understudy ?? lead));
  const rewritten = pairs === null ? null : format.rewrite(file.text, match, pairs);
  const strange = rewritten?.strange ?? [];
  const known = own.map(formatAddress).filter((value) => !strange.includes(value));
  const changes = rewritten !== null && rewritten.text !== file.text;
  const macs = facts.devices.flatMap(({ mac, namesOnly }) => (mac === null || namesOnly === true ? [] : [mac]));
  const what = known.length === 0 ? [...new Set(macs)] : known;
  const value = what.length === 0 ? 'an interface' : what.join(', ');
  const place = { rule: format.name, path: file.path };
  const why = known.length === 0 && macs.length > 0 ? BOUND : WHY;
  return [
    ...(what.length > 0 || changes ? [finding({ ...place, value, why, action: 'rewrite' })] : []),
    ...strange.map((value) =>
      finding({ ...place, value, why: parseAddress(value) === null ? ODD : STRANGE, action: 'unknown' }),
    ),
  ];
}

/** All that an image declares in a format. */
export async function declaredIn(
  format: NetworkFormat,
  tree: FileTree,
): Promise<NetworkFacts & { readonly devices: readonly PlacedDevice[] }> {
  const facts = (await format.files(tree)).flatMap(({ file, match }) =>
    file.status === 'text' ? [{ path: file.path, ...format.facts(file.text, match) }] : [],
  );
  return {
    interfaces: facts.flatMap(({ interfaces }) => interfaces),
    dynamic: facts.flatMap(({ dynamic }) => dynamic),
    devices: facts.flatMap(({ path, devices }) => devices.map((device) => ({ ...device, path }))),
  };
}
