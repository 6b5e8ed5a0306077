// Runs one configuration of a Promela model through spin: generate the verifier, compile it, search every state.
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { requireTool } from '../../src/base/mod.ts';
import { patience } from '../rig/patience.ts';

const run = promisify(execFile);

/** Searches at a time: each has a processor for itself. */
const LANES = 2;
const lanes: Promise<unknown>[] = Array.from({ length: LANES }, () => Promise.resolve());
let turn = 0;

const MEMORY_MIB_MAX = 1800;
const DEPTH_MAX = 200_000;
const SEARCH_MS_MAX = patience(240_000);

export interface Search {
  /** Path of the model. */
  readonly model: string;
  /** Names, or NAME=VALUE, defined for it. */
  readonly defines: readonly string[];
  /**
   * `safety`: assertions and invalid end states. `termination`: no run goes on for ever, whatever the scheduler does
   * (the models have no progress labels, so that every cycle is one without progress).
   */
  readonly look: 'safety' | 'termination';
  /** Expected to end at the first error, after which a fast verifier does not pay for its compilation. */
  readonly brief?: boolean;
}

export interface Verdict {
  readonly errors: number;
  /** Every reachable state was visited, none left out for depth or memory. */
  readonly complete: boolean;
  readonly states: number;
  /** What was found, as pan says it; '' when nothing was. */
  readonly finding: string;
  readonly output: string;
}

/** Waits for a free lane, searches, removes what it made. Throws when spin, gcc or pan cannot do their work at all. */
export function search(what: Search): Promise<Verdict> {
  const lane = turn++ % LANES;
  const result = (lanes[lane] ?? Promise.resolve()).then(() => searchNow(what));
  lanes[lane] = result.catch(() => undefined);
  return result;
}

async function searchNow(what: Search): Promise<Verdict> {
  const cwd = await mkdtemp(join(tmpdir(), 'understudy-model-'));
  try {
    const options = {
      cwd,
      timeout: SEARCH_MS_MAX,
      killSignal: 'SIGKILL',
      env: { ...process.env, LC_ALL: 'C' },
    } as const;
    await run(requireTool('spin', 'spin'), ['-a', ...what.defines.map((name) => `-D${name}`), what.model], options);
    // No partial order reduction: it saves nothing where every step is an access to shared memory, and spin does not
    // promise it together with `unless`, which is how processes die here. No lossy compression of states either.
    const kind = what.look === 'safety' ? '-DSAFETY' : '-DNP';
    const speed = what.brief === true ? '-O0' : '-O1';
    const flags = [speed, '-w', kind, '-DNOREDUCE', '-DNOFAIR', `-DMEMLIM=${MEMORY_MIB_MAX}`, '-o', 'pan', 'pan.c'];
    await run(requireTool('gcc', 'gcc'), flags, options);
    const { stdout } = await run(
      join(cwd, 'pan'),
      ['-n', `-m${DEPTH_MAX}`, ...(what.look === 'termination' ? ['-l'] : [])],
      options,
    );
    return verdictOf(stdout);
  } finally {
    await rm(cwd, { recursive: true, force: true });
  }
}

export function verdictOf(output: string): Verdict {
  const errors = /errors: (\d+)/.exec(output);
  const states = /([\d.e+]+) states, stored/.exec(output);
  return {
    errors: errors === null ? Number.NaN : Number(errors[1]),
    complete:
      errors !== null && !/Search not completed|search depth too small|out of memory|reached -DMEMLIM/.test(output),
    states: Number(states?.[1] ?? 0),
    finding: /^pan:\d+: (.*) \(at depth \d+\)$/m.exec(output)?.[1] ?? '',
    output,
  };
}
