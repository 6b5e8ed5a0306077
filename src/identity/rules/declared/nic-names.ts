// Names of network cards that are bound to hardware addresses: udev(7), systemd.link(5) is the rule for
// systemd-networkd's; and what NetworkManager.conf(5) says of cards by their hardware address.
import { parseMac } from '../../address.ts';
import type { PlacedDevice } from '../../network-layout.ts';
import { type FileTree, readText } from '../../tree/mod.ts';
import { type Clue, clueRule } from '../clue.ts';
import { filesAt } from '../glob.ts';
import { macInPlaceOf } from '../network-file.ts';

const RULES = ['/etc/udev/rules.d/*.rules'];
/** SYSFS: of systems with a udev before 2012. */
const BY_MAC = /^(?!\s*#).*(?:ATTRS?|SYSFS)\{address\}\s*==\s*"([0-9a-fA-F:]{17})"/;
const WHY =
  'The name belongs to a card of the lead; the card of the clone would get another, and its settings would not apply.';

function bound(at: readonly string[], lines: RegExp): Clue {
  const to = (value: string, { correspondence }: Parameters<Rewrite>[1]): string =>
    macInPlaceOf(value, correspondence) ?? value;
  return { at, lines, why: WHY, becomes: { action: 'rewrite', to } };
}

type Rewrite = Extract<Clue['becomes'], { readonly action: 'rewrite' }>['to'];

export const nicNamesRule = clueRule('nic-names', [
  bound(RULES, BY_MAC),
  bound(
    ['/etc/NetworkManager/NetworkManager.conf', '/etc/NetworkManager/conf.d/*.conf'],
    /^(?!\s*#).*\bmac:([0-9a-fA-F:]{17})/,
  ),
]);

/** Which card has which name, where udev gives it by the hardware address. */
export async function cardsNamedByUdev(tree: FileTree): Promise<readonly PlacedDevice[]> {
  const found: PlacedDevice[] = [];
  for (const { path } of (await filesAt(tree, RULES)).files) {
    const file = await readText(tree, path);
    for (const line of file.status === 'text' ? file.text.split('\n') : []) {
      const mac = parseMac(BY_MAC.exec(line)?.[1] ?? '');
      const name = /\bNAME\s*:?=\s*"([^"]+)"/.exec(line)?.[1] ?? null;
      if (mac !== null) found.push({ path, name, mac, kind: 'card', namesOnly: true });
    }
  }
  return found;
}
