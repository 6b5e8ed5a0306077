// Our own files of a guest, the folders `root` and `pet` beside this file, as shell text: what builds the guest may not see our folders.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert, present } from '../src/base/mod.ts';

const END = 'END-OF-FILE';

/** A file or folder beside this source; compiled, this file is in another folder of the project. */
export function besideSource(name: string): string {
  const places = [`./${name}`, `../../guests/${name}`].map((place) => fileURLToPath(new URL(place, import.meta.url)));
  return present(places.find(existsSync), `${name} of the guests`);
}

function filesBelow(folder: string, inside = ''): [string, string][] {
  const entries = readdirSync(join(folder, inside), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const path = `${inside}/${entry.name}`;
    return entry.isDirectory() ? filesBelow(folder, path) : [[path, readFileSync(join(folder, path), 'utf8')]];
  });
}

/** Files of a folder beside this file, by their path in the guest. */
export function skeletonFiles(folder: 'root' | 'pet'): Readonly<Record<string, string>> {
  return Object.fromEntries(filesBelow(besideSource(folder)));
}

/** Defines a shell function, which lays the files into the folder that it is given. */
export function placeFunction(files: Readonly<Record<string, string>>, name = 'place'): string {
  const steps = Object.entries(files).map(([path, text]) => {
    assert(
      text.endsWith('\n') && !text.includes(`\n${END}\n`) && !path.includes("'"),
      `${path} can be in a shell text`,
    );
    return `mkdir -p "$1"'${dirname(path)}'\ncat > "$1"'${path}' <<'${END}'\n${text}${END}`;
  });
  return `${name}() {\n${steps.join('\n')}\n}\n`;
}
