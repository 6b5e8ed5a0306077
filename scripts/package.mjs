// `npm run package`: the package as npm makes it, with its bill of materials (CycloneDX) in dist/sbom.cdx.json. `npm
// pack` alone has none, for no script of a package runs by itself here (.npmrc). Further arguments go to `npm pack`.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Lists of system-packages.json that a machine needs where Understudy runs, and whether every one does. */
const SYSTEM = { run: 'required', serve: 'optional' };

const INSTALLED = 'node_modules/';

/** Runs npm in the project; what it prints. */
function npm(root, args) {
  const path = process.env.npm_execpath;
  const [program, ...before] = path?.endsWith('.js') ? [process.execPath, path] : ['npm'];
  const result = spawnSync(program, [...before, ...args], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (result.error) throw result.error;
  if (result.status !== 0) throw new Error(`npm ${args[0]} ended with status ${result.status}`);
  return result.stdout;
}

/** Debian's packages, which come from the distribution: it says their versions and licences, not we. */
function systemComponents(root) {
  const lists = JSON.parse(readFileSync(join(root, 'scripts/system-packages.json'), 'utf8'));
  const components = new Map();
  for (const [list, scope] of Object.entries(SYSTEM)) {
    for (const [name, description] of Object.entries(lists[list])) {
      if (components.has(name)) continue;
      const purl = `pkg:deb/debian/${name}`;
      components.set(name, { 'bom-ref': purl, type: 'application', name, scope, description, purl });
    }
  }
  return [...components.values()];
}

/** A name of the content (RFC 9562, version 8), so that the same sources give the same file. */
function serialNumberOf(text) {
  const hex = createHash('sha256').update(text).digest('hex');
  const variant = '89ab'[Number.parseInt(hex[16], 16) % 4];
  const parts = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, variant + hex.slice(17, 20)];
  return `urn:uuid:${parts.join('-')}-${hex.slice(20, 32)}`;
}

/**
 * What npm says of the lock file, without what differs from one machine and moment to the next; and Debian's packages.
 * What is for development only is left out here: `--omit dev` of npm leaves out as well what we need both then and at
 * run time.
 */
export function billOfMaterials(root) {
  const args = ['--sbom-format', 'cyclonedx', '--sbom-type', 'application', '--package-lock-only'];
  const bill = JSON.parse(npm(root, ['sbom', ...args]));
  const { component, lifecycles } = bill.metadata;
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const { name, dependencies, optionalDependencies } = packages[''];
  const shipped = new Set(
    Object.entries(packages)
      .filter(([path, { dev }]) => path !== '' && dev !== true)
      .map(([path, { version }]) => `${path.slice(path.lastIndexOf(INSTALLED) + INSTALLED.length)}@${version}`),
  );
  const direct = Object.entries({ ...dependencies, ...optionalDependencies }).map(
    ([one, version]) => `${one}@${version}`,
  );
  const system = systemComponents(root);
  const systemRefs = system.map((one) => one['bom-ref']);
  const top = { ref: component['bom-ref'], dependsOn: [...direct, ...systemRefs] };
  const below = bill.dependencies
    .filter(({ ref }) => shipped.has(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((one) => shipped.has(one)) }));
  const content = {
    metadata: { lifecycles, component: { ...component, name } },
    components: [...bill.components.filter((one) => shipped.has(one['bom-ref'])), ...system],
    dependencies: [top, ...below, ...systemRefs.map((ref) => ({ ref, dependsOn: [] }))],
  };
  const { $schema, bomFormat, specVersion } = bill;
  const serialNumber = serialNumberOf(JSON.stringify(content));
  return { $schema, bomFormat, specVersion, serialNumber, version: 1, ...content };
}

const self = fileURLToPath(import.meta.url);
if (process.argv[1] === self) {
  const root = dirname(dirname(self));
  writeFileSync(join(root, 'dist/sbom.cdx.json'), `${JSON.stringify(billOfMaterials(root), null, 2)}\n`);
  process.stdout.write(npm(root, ['pack', ...process.argv.slice(2)]));
}
