// Every access to a word of the ring goes through Atomics. Standing in its place makes each of them a moment at which the
// simulated scheduler can let somebody else run, or let the one who was about to look or to write die.
const names = ['load', 'store', 'add', 'and', 'or', 'compareExchange'] as const;

type Access = (array: unknown, index: unknown, first: unknown, second: unknown) => unknown;

/** Runs `body`, which must not await anything, with `before` called ahead of every access to a shared word. */
export function withEveryAccess<T>(before: (isStore: boolean) => void, body: () => T): T {
  const originals = names.map((name) => Reflect.get(Atomics, name) as Access);
  for (const [at, name] of names.entries()) {
    const original = originals[at] as Access;
    Reflect.set(Atomics, name, (array: unknown, index: unknown, first: unknown, second: unknown) => {
      before(name !== 'load');
      return original(array, index, first, second);
    });
  }
  try {
    return body();
  } finally {
    for (const [at, name] of names.entries()) Reflect.set(Atomics, name, originals[at]);
  }
}
