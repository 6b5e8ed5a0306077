// `understudy agent`: a file of its own, loaded on demand.
export { runAgentCommand } from '../src/agent/mod.ts';
