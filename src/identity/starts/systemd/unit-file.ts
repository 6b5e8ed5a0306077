// Unit files of systemd: systemd.syntax(7), and the specifiers of systemd.unit(5) that depend on the name of a unit
// alone.

/** "Unit.Wants" to the values that were given for it, in order. */
export type Settings = Map<string, string[]>;

/** Settings that an empty value resets; dependencies are only ever added to. */
const RESETS = /^(Service\.Exec|Unit\.Condition|Unit\.Assert|Timer\.|Socket\.Listen)/;

/** Adds what a text says to what is known; a drop-in after the unit itself. */
export function addSettings(text: string, settings: Settings): void {
  let section = '';
  for (const line of text.replace(/\\\r?\n/g, ' ').split('\n')) {
    const bare = line.trim();
    if (bare === '' || bare.startsWith('#') || bare.startsWith(';')) continue;
    const header = /^\[([^\]]+)\]$/.exec(bare);
    if (header !== null) section = header[1] ?? '';
    const at = bare.indexOf('=');
    if (header !== null || at < 0) continue;
    const key = `${section}.${bare.slice(0, at).trim()}`;
    const value = bare.slice(at + 1).trim();
    if (value === '' && RESETS.test(key)) settings.delete(key);
    else settings.set(key, [...(settings.get(key) ?? []), value]);
  }
}

/** Names in a list that may be given several times, specifiers replaced. */
export function namesIn(settings: Settings, key: string, unit: string): string[] {
  return (settings.get(key) ?? [])
    .flatMap((value) => withSpecifiers(value, unit).split(/\s+/))
    .filter((name) => name !== '');
}

export function withSpecifiers(text: string, unit: string): string {
  const { prefix, instance, name } = partsOf(unit);
  const values: Readonly<Record<string, string>> = {
    n: unit,
    N: name,
    p: prefix,
    P: unescaped(prefix),
    i: instance,
    I: unescaped(instance),
    j: prefix.slice(prefix.lastIndexOf('-') + 1),
    f: `/${unescaped(instance === '' ? prefix : instance)}`,
    '%': '%',
  };
  return text.replace(/%(.)/g, (whole, letter: string) => values[letter] ?? whole);
}

/** "wg-quick@wg0.service": prefix "wg-quick", instance "wg0". */
export function partsOf(unit: string): { prefix: string; instance: string; name: string; type: string } {
  const dot = unit.lastIndexOf('.');
  const name = dot < 0 ? unit : unit.slice(0, dot);
  const at = name.indexOf('@');
  const [prefix, instance] = at < 0 ? [name, ''] : [name.slice(0, at), name.slice(at + 1)];
  return { prefix, instance, name, type: dot < 0 ? '' : unit.slice(dot + 1) };
}

/** "foo@.service" for an instance of it; null for what is no instance. */
export function templateOf(unit: string): string | null {
  const { prefix, instance, type } = partsOf(unit);
  return instance === '' ? null : `${prefix}@.${type}`;
}

function unescaped(name: string): string {
  return name
    .replaceAll('-', '/')
    .replace(/\\x([0-9a-f]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}
