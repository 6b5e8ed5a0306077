// Names of network cards that are bound to hardware addresses: udev(7), systemd.link(5) is the rule for systemd-networkd's.
import { clueRule } from '../clue.ts';

export const nicNamesRule = clueRule('nic-names', [
  {
    at: ['/etc/udev/rules.d/*.rules'],
    lines: /^(?!\s*#).*ATTRS?\{address\}\s*==\s*"([0-9a-fA-F:]{17})"/,
    why: 'The name belongs to a card of the lead; the card of the clone would get another, and its settings would not apply.',
    becomes: {
      action: 'rewrite',
      to: (value, { correspondence }) => {
        const target = correspondence.macFor(value.toLowerCase());
        return target === undefined ? value : target;
      },
    },
  },
]);
