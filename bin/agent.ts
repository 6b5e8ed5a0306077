// The agent alone, for hosts: joined into one file that needs nothing but Node.js 18 or newer. CommonJS, so that the file runs
// under any name in any folder; `understudy agent` runs the same code.
import { agentMain } from '../src/agent/mod.ts';

void agentMain(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
