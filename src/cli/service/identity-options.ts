// What the commands about identities take: files about hosts, files of rules, and an end by Ctrl-C.
import type { Command } from 'commander';
import { tokenForClient } from '../../api/mod.ts';
import { loadIdentity, loadRules } from '../../config/mod.ts';
import { createIdentityEngine, type HostIdentity, type IdentityEngine, ruleSet } from '../../identity/mod.ts';

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

export interface EngineFlags {
  rules?: string;
  kernelMount?: boolean;
}

/** Of commands that look into images. */
export function withEngine(command: Command): Command {
  return command
    .option('--rules <file>', 'your own rules (docs/identity.md)')
    .option(
      '--kernel-mount',
      'the kernel may mount a private overlay of the image: XFS, btrfs, rules that run a program',
    );
}

/**
 * @param only the rules of the file, without the built-in ones
 * @throws CONFIG_INVALID, CONFIG_UNREADABLE
 */
export async function engineWith(
  { rules: file, kernelMount = false }: EngineFlags,
  only = false,
): Promise<IdentityEngine> {
  const options = { formats: 'detect', kernelMount } as const;
  if (file === undefined) return createIdentityEngine(options);
  const { rules, keep } = await loadRules(file);
  // To look at what they would do takes no mount; `apply` asks for it.
  return createIdentityEngine({ ...options, rules: ruleSet(file, rules, { only, canRun: true }), kept: keep });
}
