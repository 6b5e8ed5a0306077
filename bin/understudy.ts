#!/usr/bin/env node
// The command line's entry: the only place that names concrete parts.
import { main } from '../src/cli/mod.ts';

process.exitCode = await main(process.argv);
