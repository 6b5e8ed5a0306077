// Writes the figures that documents quote from docs/benchmarks.json anew: `npm run docs:figures`. A test fails when one is not
// what was measured.
import { readFileSync, writeFileSync } from 'node:fs';
import { withFigures } from './quoted.ts';
import type { Section } from './report.ts';

const [measured = '', ...pages] = process.argv.slice(2);
const sections = JSON.parse(readFileSync(measured, 'utf8')) as Section[];
for (const page of pages) writeFileSync(page, withFigures(readFileSync(page, 'utf8'), sections));
