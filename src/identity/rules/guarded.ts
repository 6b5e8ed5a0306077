// Rules that cannot bring anything down: whatever one throws over what an image holds is the failure of the operation
// that asked it.
import { messageOf, UnderstudyError } from '../../base/mod.ts';
import type { Rule } from './contract.ts';

/** Each fails with IDENTITY_FAILED, by its name, for whatever it throws that is not an error of the registry. */
export function guarded(rules: readonly Rule[]): readonly Rule[] {
  return rules.map((rule): Rule => {
    const { name, prepare, commands } = rule;
    const ask = <T>(question: () => Promise<T>): Promise<T> => orFailed(`the rule ${name}`, question);
    return {
      name,
      find: (tree, context) => ask(() => rule.find(tree, context)),
      change: (finding, tree, context) => ask(() => rule.change(finding, tree, context)),
      verify: (tree, context) => ask(() => rule.verify(tree, context)),
      ...(prepare === undefined ? {} : { prepare: (tree, context) => ask(() => prepare.call(rule, tree, context)) }),
      ...(commands === undefined
        ? {}
        : { commands: (finding, tree, context) => ask(() => commands.call(rule, finding, tree, context)) }),
    };
  });
}

/** Runs what looks at an image. @throws IDENTITY_FAILED for whatever it throws that is not an error of the registry */
export async function orFailed<T>(who: string, use: () => Promise<T>): Promise<T> {
  try {
    // Also what is thrown before there is a promise.
    return await use();
  } catch (cause) {
    if (cause instanceof UnderstudyError) throw cause;
    const why = `${who} cannot deal with what the image holds: ${messageOf(cause)}`;
    const advice = "leave the file in question out of the image, or report the program's error with this message";
    throw new UnderstudyError('IDENTITY_FAILED', `${why}; ${advice}`, { cause });
  }
}
