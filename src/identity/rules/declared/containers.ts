// Containers that start by themselves: Docker's own records, and what systemd starts for Podman.
import { z } from 'zod';
import { readText } from '../../tree/mod.ts';
import { boundedJson } from '../bounded-text.ts';
import type { Rule } from '../contract.ts';
import { finding, unusable } from '../finding.ts';
import { filesAt } from '../glob.ts';

const RULE = 'containers';
const DOCKER = ['/var/lib/docker/containers/*/hostconfig.json'];
const QUADLETS = ['/etc/containers/systemd/**/*.{container,pod,kube}'];
const WHY = 'It starts with the host, and the search does not look inside of it for what must not exist twice.';
const hostConfig = z.object({ RestartPolicy: z.object({ Name: z.string() }) });
const ownConfig = z.object({ Name: z.string(), Config: z.object({ Image: z.string() }) });

export const containersRule: Rule = {
  name: RULE,
  async find(tree) {
    const found = [];
    for (const { path } of (await filesAt(tree, DOCKER)).files) {
      const file = await readText(tree, path);
      if (file.status === 'unusable') found.push(unusable(RULE, file));
      if (file.status !== 'text') continue;
      const policy = parsed(hostConfig, file.text)?.RestartPolicy.Name;
      if (policy === 'no' || policy === '') continue;
      const own = await readText(tree, path.replace(/hostconfig\.json$/, 'config.v2.json'));
      const config = own.status === 'text' ? parsed(ownConfig, own.text) : null;
      const value = config === null ? 'a container' : `${config.Name.replace(/^\//, '')} (${config.Config.Image})`;
      found.push(finding({ rule: RULE, path, value, why: WHY, action: 'unknown', confidence: 'likely' }));
    }
    for (const { path } of (await filesAt(tree, QUADLETS)).files) {
      found.push(
        finding({
          rule: RULE,
          path,
          value: 'a container of systemd',
          why: WHY,
          action: 'unknown',
          confidence: 'likely',
        }),
      );
    }
    return found;
  },
  change: async () => [],
  verify: async () => [],
};

/** Null for what is not as Docker writes it. */
function parsed<T>(schema: z.ZodType<T>, text: string): T | null {
  return schema.safeParse(boundedJson(text)?.value).data ?? null;
}
