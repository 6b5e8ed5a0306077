// What the commands about identities take: files about hosts, files of rules, and an end by Ctrl-C.
import { tokenForClient } from '../../api/mod.ts';
import { UnderstudyError } from '../../base/mod.ts';
import { loadIdentity, loadRules } from '../../config/mod.ts';
import {
  builtinRules,
  createIdentityEngine,
  type HostIdentity,
  type IdentityEngine,
  ownRules,
  problemOfRule,
} from '../../identity/mod.ts';

/** @throws CONFIG_INVALID, CONFIG_UNREADABLE */
export async function hostIn(file: string): Promise<HostIdentity> {
  const { hostName, domain, interfaces, agent } = await loadIdentity(file);
  return {
    hostName,
    ...(domain === undefined ? {} : { domain }),
    interfaces: interfaces.map(({ gateway, ...one }) => ({ ...one, ...(gateway === undefined ? {} : { gateway }) })),
    ...(agent === undefined
      ? {}
      : { agent: { host: agent.host, controller: agent.controller, token: await tokenForClient(agent.tokenFile) } }),
  };
}

/** @param only the rules of the file, without those that come with the program */
export async function engineWith(file: string | undefined, only = false): Promise<IdentityEngine> {
  if (file === undefined) return createIdentityEngine({ formats: 'detect' });
  const { rules, keep } = await loadRules(file);
  for (const [index, rule] of rules.entries()) {
    const problem = problemOfRule(rule);
    if (problem !== null)
      throw new UnderstudyError('CONFIG_INVALID', `${file}: rules[${index}] (${rule.name}): ${problem}`);
    if (builtinRules.some(({ name }) => name === rule.name))
      throw new UnderstudyError(
        'CONFIG_INVALID',
        `${file}: rules[${index}]: "${rule.name}" comes with the program; use another name`,
      );
  }
  const own = ownRules(rules);
  // The search for what is left looks at what all others have made.
  const all = [...builtinRules.slice(0, -1), ...own, ...builtinRules.slice(-1)];
  return createIdentityEngine({ formats: 'detect', rules: only ? own : all, kept: keep });
}
