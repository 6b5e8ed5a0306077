// The units that one manager of systemd has: its folders in their order (systemd.unit(5)), aliases, masks and drop-ins.
import { type FileTree, join, nameOf, textOf } from '../../tree/mod.ts';
import { addSettings, type Settings, templateOf } from './unit-file.ts';

const UNIT_BYTES_MAX = 256 * 1024;
const FOLDERS_MAX = 4000;
/** What ends a system, or comes before it, starts nothing of it unless somebody has added to it. */
const ENDINGS =
  /^(initrd.*|.*(halt|poweroff|reboot|kexec|shutdown|exit|suspend|sleep|hibernate|umount|final|rescue|emergency))\.target$/;
/** A drop-in with this condition keeps a unit from starting, and those that require it from failing. */
export const NEVER = '/.understudy/never';

export interface Unit {
  /** Its own name: not that of an alias. */
  readonly name: string;
  /** Canonical path; null when there is no such file. */
  readonly file: string | null;
  readonly masked: boolean;
  readonly settings: Settings;
}

export interface Link {
  readonly path: string;
  readonly unit: string;
  readonly owner: string;
  readonly needs: boolean;
}

export class Manager {
  /** Of the administrator: what he enables and masks lies there. */
  readonly admin: string;
  /** Links and files by which a unit is started with another one. */
  readonly links: Link[] = [];
  readonly #tree: FileTree;
  /** First folder first. */
  readonly #files = new Map<string, string>();
  readonly #dropIns = new Map<string, string[]>();
  readonly #loaded = new Map<string, Unit>();

  private constructor(tree: FileTree, admin: string) {
    this.#tree = tree;
    this.admin = admin;
  }

  /** @param folders the first that has a unit counts */
  static async open(
    tree: FileTree,
    folders: readonly string[],
    admin: string,
    cut: (why: string) => void,
  ): Promise<Manager> {
    const manager = new Manager(tree, admin);
    const seen = new Set<string>();
    let left = FOLDERS_MAX;
    for (const folder of folders) {
      const real = (await tree.stat(folder))?.path;
      if (real === undefined || seen.has(real)) continue;
      seen.add(real);
      for (const name of await tree.list(folder)) {
        const path = join(folder, name);
        const group = /^(.+)\.(wants|requires|upholds|d)$/.exec(name);
        if (group === null) {
          if (!manager.#files.has(name)) manager.#files.set(name, path);
          continue;
        }
        left -= 1;
        if (left < 0) cut(`${folder} has more folders of links than can be looked at`);
        else await manager.#addGroup(path, group[1] ?? '', group[2] ?? '');
      }
    }
    return manager;
  }

  /** Which of them are reached no file says: a target may be asked for by hand, by a device, or by the firmware. */
  get targets(): readonly string[] {
    const names = [...[...this.#files.keys()].filter((name) => !ENDINGS.test(name)), ...this.#dropIns.keys()];
    return [...new Set(names)].filter((name) => name.endsWith('.target'));
  }

  async #addGroup(folder: string, owner: string, kind: string): Promise<void> {
    const names = await this.#tree.list(folder);
    if (kind === 'd') {
      const known = this.#dropIns.get(owner) ?? [];
      const fresh = names.filter((name) => name.endsWith('.conf') && !known.some((one) => nameOf(one) === name));
      this.#dropIns.set(owner, [...known, ...fresh.map((name) => join(folder, name))]);
      return;
    }
    for (const unit of names) this.links.push({ path: join(folder, unit), unit, owner, needs: kind === 'requires' });
  }

  has(unit: string): boolean {
    const template = templateOf(unit);
    return this.#files.has(unit) || (template !== null && this.#files.has(template));
  }

  /** Aliases of a unit in the administrator's folder. */
  async aliasLinks(unit: string): Promise<readonly string[]> {
    const found: string[] = [];
    for (const [name, path] of this.#files) {
      if (name === unit || !path.startsWith(`${this.admin}/`)) continue;
      const entry = await this.#tree.lstat(path);
      if (entry?.kind === 'link' && nameOf(entry.target ?? '') === unit) found.push(path);
    }
    return found;
  }

  async unit(name: string): Promise<Unit> {
    const known = this.#loaded.get(name);
    if (known !== undefined) return known;
    const unit = await this.#load(name);
    this.#loaded.set(name, unit);
    return unit;
  }

  async #load(name: string): Promise<Unit> {
    const settings: Settings = new Map();
    const template = templateOf(name);
    const path = this.#files.get(name) ?? (template === null ? undefined : this.#files.get(template));
    const link = path === undefined ? null : await this.#tree.lstat(path);
    if (link?.target === '/dev/null') return { name, file: null, masked: true, settings };
    if (path === undefined) return { name, file: null, masked: await this.#addDropIns(name, settings), settings };
    const entry = await this.#tree.stat(path);
    const own = this.#ownName(name, entry?.path ?? path);
    if (own !== name) return this.unit(own);
    const bytes = await this.#tree.read(path, UNIT_BYTES_MAX);
    // An empty file is a mask as well.
    if (bytes !== null && bytes.length === 0) return { name, file: null, masked: true, settings };
    if (bytes !== null) addSettings(textOf(bytes) ?? bytes.toString('latin1'), settings);
    const masked = await this.#addDropIns(name, settings);
    return { name, file: entry?.kind === 'file' ? entry.path : null, masked, settings };
  }

  /** Also of a unit that has nothing else. @returns whether it is kept from starting by ours */
  async #addDropIns(name: string, settings: Settings): Promise<boolean> {
    for (const one of this.#dropInsOf(name)) {
      const more = await this.#tree.read(one, UNIT_BYTES_MAX);
      if (more !== null) addSettings(textOf(more) ?? more.toString('latin1'), settings);
    }
    return settings.get('Unit.ConditionPathExists')?.includes(NEVER) === true;
  }

  /** A link to a unit of another name is an alias, if there is such a unit. */
  #ownName(name: string, path: string): string {
    const target = nameOf(path);
    if (target === name || target === templateOf(name) || !this.#files.has(target)) return name;
    const isTemplate = /@\.[a-z]+$/.test(target);
    if (!isTemplate) return target;
    const instance = /@([^.]+.*)\.[a-z]+$/.exec(name)?.[1];
    return instance === undefined ? name : target.replace('@.', `@${instance}.`);
  }

  /**
   * "foo-bar@x.service": its own, those of the template, of "foo-.service" and of all services; by name of the file.
   */
  #dropInsOf(name: string): readonly string[] {
    const dot = name.lastIndexOf('.');
    const [stem, type] = [name.slice(0, dot), name.slice(dot + 1)];
    const dashed = [...stem.matchAll(/-/g)].map(({ index }) => `${stem.slice(0, index + 1)}.${type}`);
    const owners = [name, templateOf(name) ?? name, ...dashed.reverse(), type];
    const found = new Map<string, string>();
    for (const owner of owners) {
      for (const path of this.#dropIns.get(owner) ?? []) if (!found.has(nameOf(path))) found.set(nameOf(path), path);
    }
    return [...found].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, path]) => path);
  }
}
