// A process that gives an image its new identity, and kills itself before a step that it is told: identity-user IMAGE STATE PLAN STEP.
// Step 0: none; then it prints how many steps there were.
import { readFileSync } from 'node:fs';
import { createIdentityEngine, type Plan } from '../../src/identity/mod.ts';

const [image = '', stateFolder = '', planFile = '', step = '0'] = process.argv.slice(2);
let steps = 0;
const engine = createIdentityEngine({
  stateFolder,
  onStep: () => {
    steps += 1;
    if (steps === Number(step)) process.kill(process.pid, 'SIGKILL');
  },
});
await engine.apply(image, JSON.parse(readFileSync(planFile, 'utf8')) as Plan, new AbortController().signal);
process.stdout.write(`${steps}\n`);
